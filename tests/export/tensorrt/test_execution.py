"""A plan on the machine that built it: compared where there is a GPU; else its description says so."""

import json

import pytest
import torch

from export import plans
from export.contract import parse
from export.onnx_graphs import export_dense
from export.targets import Order

CONFIG = """
name: "sum_and_scale" max_batch_size: 4 platform: "tensorrt_plan"
input [ { name: "features" data_type: TYPE_FP32 dims: [ 6 ] } ]
output [ { name: "tokens" data_type: TYPE_FP32 dims: [ 3 ] } ]
instance_group [ { count: 1 kind: KIND_GPU profile: [ "0" ] } ]
"""


@pytest.fixture
def built(tmp_path):
    contract = parse(CONFIG)
    torch.manual_seed(0)
    module = torch.nn.Linear(6, 3).eval().requires_grad_(False)
    export_dense(module, contract, tmp_path / plans.DENSE)
    plans.write_plan(tmp_path, contract, Order("rtx"), None)
    inputs = torch.randn(4, 6)
    expected = [({"features": inputs.numpy()}, {"tokens": module(inputs).numpy()})]
    return tmp_path, contract, expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, on which the plan runs")
def test_without_a_gpu_nothing_is_compared_and_the_description_says_why(built):
    folder, contract, expected = built
    assert plans.compare_plan(folder, contract, Order("rtx"), expected) == []
    described = json.loads((folder / "model.rtx.json").read_text())
    assert described["compared"] == f"not run: torch {torch.__version__} sees no NVIDIA GPU"
    assert described["profiles"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and torch with CUDA")
def test_on_a_gpu_the_plan_is_compared_with_pytorch(built):
    folder, contract, expected = built
    (row,) = plans.compare_plan(folder, contract, Order("rtx"), expected)
    assert row.ok, row.remark
    assert json.loads((folder / "model.rtx.json").read_text())["compared"] is True
