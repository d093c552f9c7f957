import re

import onnx
import pytest
import torch
from onnx import helper

from export import onnx_graphs
from export.contract import Contract, Tensor
from export.tensorrt import ParseError, build
from export.tensorrt.parsing import origin, reason


class Doubled(torch.nn.Module):
    """Rows whose values are looked for, which no engine of a fixed shape can do."""

    def forward(self, rows):
        return rows.to(torch.uint8).flip(1).to(torch.float32)


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Doubled()

    def forward(self, rows):
        return self.inner(rows) * 2


def test_an_operator_that_tensorrt_has_not_is_named_with_its_module_and_line(tmp_path):
    row = Tensor("rows", "FP32", (4,))
    contract = Contract("small", (row,), (Tensor("answers", "FP32", (4,)),), 8, "tensorrt_plan")
    path = tmp_path / "small.onnx"
    onnx_graphs.export_dense(Outer(), contract, path)
    with pytest.raises(ParseError) as refused:
        build(path, contract)
    said = str(refused.value)
    assert said.startswith("small.onnx: tensorrt_rtx 1.")
    assert re.search(
        r"cannot take this graph: \w+ node_\w+ of inner \S*Doubled \(\S*test_parsing.py:\d+, ", said
    )
    assert "`return rows.to(torch.uint8).flip(1).to(torch.float32)`" in said
    assert "uint8" in said.lower()
    assert "cudaError" not in said, "that this machine has no GPU is not the reason"
    assert said.endswith("; change the module, or what export writes for it")
    assert "\n" not in said


def test_a_graph_that_chooses_rows_itself_is_refused(write, contract):
    path = write(
        helper.make_node("NonZero", ["rows"], ["found"], name="choose"),
        helper.make_node("Cast", ["found"], ["cast"], to=1),
        helper.make_node("ReduceSum", ["cast"], ["sum"], keepdims=0),
        helper.make_node("Add", ["rows", "sum"], ["answers"]),
    )
    with pytest.raises(ParseError, match=r"small.onnx: .* cannot take this graph: NonZero choose: "):
        build(path, contract)


def test_a_node_that_no_exporter_wrote_has_no_origin():
    assert origin(helper.make_node("Add", ["a", "b"], ["c"])) == ""
    node = helper.make_node("Add", ["a", "b"], ["c"])
    node.metadata_props.append(
        onnx.StringStringEntryProto(key="pkg.torch.onnx.name_scopes", value="half a li")
    )
    assert origin(node) == ""


def test_a_place_is_told_without_the_folders_of_this_machine():
    node = helper.make_node("Add", ["a", "b"], ["c"])
    trace = (
        'File "/opt/venv/lib/python3.11/site-packages/torch/nn/linear.py", line 7, in forward\n'
        "    return x + 1"
    )
    node.metadata_props.append(onnx.StringStringEntryProto(key="pkg.torch.onnx.stack_trace", value=trace))
    assert origin(node) == " (torch/nn/linear.py:7, `return x + 1`)"


def test_a_reason_is_one_line_without_what_every_machine_without_gpu_adds():
    text = "Invalid Node - n\nfirst.\nCuda Runtime (cudaError 35)\nfirst.\nsecond."
    assert reason(text) == "first. second"
    assert reason("x" * 900) == "x" * 400 + " ..."
    assert reason("\n") == "no reason given"


def test_a_file_that_is_not_there_is_named(tmp_path, contract):
    with pytest.raises(FileNotFoundError, match=r"none.onnx: expected an ONNX file, found none"):
        build(tmp_path / "none.onnx", contract)
