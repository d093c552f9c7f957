"""ONNX file -> TensorRT network, or an error that names the node and the module and line it came from."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx

from export.tensorrt import package

METADATA = "pkg.torch.onnx."  # what PyTorch's exporter says about a node
# what a machine without a GPU adds to every complaint
NOISE = re.compile(r"cudaError|Cuda Runtime|While parsing node|--- (Begin|End) node|^Node name:|^ERROR: ")
PLACE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in [^\n]+\n\s*(?P<code>[^\n]+)')
PACKAGES = re.compile(r"^.*/(?:site-packages|dist-packages)/")
LONGEST = 400  # characters of a reason; TensorRT prints whole nodes


class ParseError(ValueError):
    """A graph that TensorRT cannot take: one sentence per node."""


def parse(trt: Any, network: Any, path: Path) -> None:
    """Fill `network` with the graph of an ONNX file, external data included.

    errors: ParseError; FileNotFoundError without a file
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected an ONNX file, found none; export the model")
    parser = trt.OnnxParser(network, package.logger(trt))
    with package.gathered(trt) as logged:
        parsed = parser.parse_from_file(str(path))
    if parsed:
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    nodes = {node.name: node for node in _nodes(path)} if errors else {}
    sentences = [sentence(error, nodes) for error in errors] or [reason("\n".join(logged))]
    raise ParseError(
        f"{path.name}: {trt.__name__} {trt.__version__} cannot take this graph: {'; '.join(sentences)}; "
        "change the module, or what export writes for it"
    )


def sentence(error: Any, nodes: Mapping[str, onnx.NodeProto]) -> str:
    """What one error of the parser is about: operator, node, module, line, reason."""
    name = error.node_name()
    where = f"{error.node_operator() or 'the graph'} {name}".strip()
    if name in nodes:
        where += origin(nodes[name])
    return f"{where}: {reason(error.desc())}"


def origin(node: onnx.NodeProto) -> str:
    """` of MODULE (FILE:LINE, CODE)` as PyTorch's exporter noted it; empty where it did not."""
    notes = {one.key.removeprefix(METADATA): one.value for one in node.metadata_props}
    scopes, classes = _words(notes.get("name_scopes")), _words(notes.get("class_hierarchy"))
    module = scopes[-2] if len(scopes) > 1 else ""
    kind = classes[-2] if len(classes) > 1 else ""
    places = PLACE.findall(notes.get("stack_trace", ""))
    parts = []
    if module or kind:
        parts.append(f" of {' '.join(filter(None, (module, kind)))}")
    if places:
        file, line, code = places[-1]
        parts.append(f" ({_short(file)}:{line}, `{code.strip()}`)")
    return "".join(parts)


def reason(text: str) -> str:
    """The lines of TensorRT's text that say something, as one."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not NOISE.search(line)]
    lines = [line for line in dict.fromkeys(lines) if not line.startswith("Invalid Node - ")] or lines
    said = " ".join(lines).rstrip(".") or "no reason given"
    return said if len(said) <= LONGEST else said[:LONGEST] + " ..."


def _short(file: str) -> str:
    """A path below the packages or the checkout: where it lies on this machine helps nobody."""
    below = PACKAGES.sub("", file)
    root = str(Path(__file__).parents[2]) + "/"
    if below != file or file.startswith(root):
        return below.removeprefix(root)
    return "/".join(Path(file).parts[-3:])


def _words(text: str | None) -> list[str]:
    try:
        found = ast.literal_eval(text or "[]")
    except (ValueError, SyntaxError):
        return []
    return [str(word) for word in found] if isinstance(found, list) else []


def _nodes(path: Path) -> Iterator[onnx.NodeProto]:
    """The nodes of the graph and of its functions, without weights that lie elsewhere."""
    model = onnx.load(path, load_external_data=False)
    yield from model.graph.node
    for function in model.functions:
        yield from function.node
