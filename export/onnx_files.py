"""Writing an ONNX graph, whatever its size; without torch, for a container that has none."""

from __future__ import annotations

from pathlib import Path

import onnx

EXTERNAL_DATA_BYTES = 1_800_000_000  # protobuf ends at 2 GiB


def save(graph: onnx.ModelProto, path: Path, limit_bytes: int = EXTERNAL_DATA_BYTES) -> list[Path]:
    """Write and check `graph`; beyond `limit_bytes` the weights go to `<path>.data`. Returns the files."""
    if graph.ByteSize() <= limit_bytes:
        onnx.save_model(graph, path)
        files = [path]
    else:
        data = path.with_name(path.name + ".data")
        onnx.save_model(graph, path, save_as_external_data=True, location=data.name)
        onnx.load_external_data_for_model(
            graph, str(path.parent)
        )  # saving moved the weights out of the caller's graph
        files = [path, data]
    onnx.checker.check_model(str(path))  # by path: the only way that knows about external data
    return files
