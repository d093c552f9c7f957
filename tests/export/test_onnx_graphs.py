from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from export.contract import Contract, Tensor
from export.onnx_graphs import check_graph, export_dense, save
from export.parity import onnx_runtime

pytestmark = pytest.mark.slow

NOSE = Contract("nose", (Tensor("air", "FP32", (3,)),), (Tensor("smell", "FP32", (2,)),), 4, "onnxruntime")


class Nose(torch.nn.Module):
    """A linear layer; `smells` are its outputs per row."""

    def __init__(self, smells: int = 2) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, smells)

    def forward(self, air: torch.Tensor) -> torch.Tensor:
        return self.linear(air)


class AnyNose(Nose):
    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.linear(tensors[0])


class FixedNose(Nose):
    def forward(self, air: torch.Tensor) -> torch.Tensor:
        return self.linear(air.reshape(2, 3))


@pytest.mark.parametrize("kind", [Nose, AnyNose])
def test_an_exported_graph_has_the_contracts_tensors_and_any_batch(kind, tmp_path, capfd):
    graph = export_dense(kind(), NOSE, tmp_path / "dense.onnx")
    check_graph(graph, NOSE)
    run = onnx_runtime(tmp_path / "dense.onnx")
    for batch in (1, 3, 4):
        assert run({"air": np.zeros((batch, 3), np.float32)})["smell"].shape == (batch, 2)
    assert capfd.readouterr() == ("", "")


def test_a_module_with_other_dims_than_its_contract_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(
        ValueError, match=r"nose: output: expected smell FP32\[2\] after the batch, .* FLOAT\[5\]"
    ):
        export_dense(Nose(smells=5), NOSE, tmp_path / "dense.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_with_another_name_is_refused(tmp_path):
    graph = export_dense(Nose(), NOSE, tmp_path / "dense.onnx")
    with pytest.raises(ValueError, match="nose: expected the outputs odour, the graph has smell"):
        check_graph(graph, replace(NOSE, outputs=(Tensor("odour", "FP32", (2,)),)))
    with pytest.raises(
        ValueError, match=r"nose: input: expected air FP16\[3\] after the batch, .* FLOAT\[3\]"
    ):
        check_graph(graph, replace(NOSE, inputs=(Tensor("air", "FP16", (3,)),)))


def test_a_graph_with_a_fixed_batch_is_refused():
    value = onnx.helper.make_tensor_value_info
    body = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["air"], ["smell"])],
        "nose",
        [value("air", onnx.TensorProto.FLOAT, [2, 3])],
        [value("smell", onnx.TensorProto.FLOAT, ["batch", 3])],
    )
    wide = replace(NOSE, outputs=(Tensor("smell", "FP32", (3,)),))
    with pytest.raises(ValueError, match=r"nose: input: .* and a fixed batch axis"):
        check_graph(onnx.helper.make_model(body), wide)


def test_a_module_that_only_works_for_one_batch_does_not_export(tmp_path):
    with pytest.raises(Exception, match="batch"):
        export_dense(FixedNose(), NOSE, tmp_path / "dense.onnx")


def test_a_graph_too_large_for_one_file_gets_its_weights_beside_it(tmp_path):
    graph = export_dense(Nose(), NOSE, tmp_path / "dense.onnx")
    before = graph.SerializeToString()
    path = tmp_path / "large" / "model.onnx"
    path.parent.mkdir()
    assert save(graph, path, limit_bytes=1) == [path, path.with_name("model.onnx.data")]
    assert graph.SerializeToString() == before
    air = {"air": np.ones((2, 3), np.float32)}
    np.testing.assert_array_equal(
        onnx_runtime(path)(air)["smell"], onnx_runtime(tmp_path / "dense.onnx")(air)["smell"]
    )
