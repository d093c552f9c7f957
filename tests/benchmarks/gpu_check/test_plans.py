"""What can be known of an engine without a GPU: inputs and outputs, its profile, that it does not load."""

from dataclasses import replace

import pytest
import torch

from benchmarks.gpu_check import building
from benchmarks.gpu_check.findings import Skip
from benchmarks.gpu_check.runners import empty_outputs
from export import tensorrt
from export.contract import Tensor
from export.tensorrt import package, parsing
from export.tensorrt.execution import Execution, chosen_profile, slot_faults, slots_of_network

SMALL = ((1, 3), (1, 3), (1, 3))
LARGE = ((1, 3), (8, 3), (16, 3))


@pytest.fixture(scope="module")
def rtx():
    return tensorrt.import_tensorrt("rtx")


@pytest.fixture(scope="module")
def slots(rtx, graph):
    builder = rtx.Builder(package.logger(rtx))
    network = package.create_network(rtx, builder)
    parsing.parse(rtx, network, graph)
    return slots_of_network(network)


def test_buffers_are_of_the_types_and_sizes_that_the_parser_sees(slots, subject):
    assert [(slot.name, slot.torch, slot.dims, slot.is_input) for slot in slots] == [
        ("image_pixels", "uint8", (-1, 3, 8, 8, 3), True),
        ("image_valid", "bool", (-1, 3), True),
        ("image_tokens", "float32", (-1, 3, 4), False),
    ]
    assert slot_faults(subject.contract, slots) == []
    buffers = empty_outputs(subject.contract, 5, device="cpu")
    assert {name: (tuple(one.shape), one.dtype) for name, one in buffers.items()} == {
        "image_tokens": ((5, 3, 4), torch.float32)
    }


def test_an_engine_of_another_contract_is_named_for_what_differs(slots, subject):
    wider = replace(subject.contract, outputs=(Tensor("image_tokens", "FP16", (3, 5)),))
    assert slot_faults(wider, slots) == [
        "output: expected image_tokens FP16[3, 5] after the batch, the engine has float32[-1, 3, 4]"
    ]
    renamed = replace(subject.contract, outputs=(Tensor("tokens", "FP32", (3, 4)),))
    assert slot_faults(renamed, slots) == ["expected the outputs tokens, the engine has image_tokens"]


def test_an_open_length_has_no_buffer_before_the_run(subject):
    free = replace(subject.contract, outputs=(Tensor("logits", "FP32", (-1, 9)),))
    with pytest.raises(Skip, match="only known when it has run"):
        empty_outputs(free, 1, device="cpu")


@pytest.mark.parametrize(("batch", "profile"), [(1, 0), (2, 1), (16, 1)])
def test_the_profile_is_the_nearest_that_fits(batch, profile):
    assert chosen_profile([SMALL, LARGE], (batch, 3)) == profile


def test_a_batch_beyond_every_profile_is_refused():
    with pytest.raises(ValueError, match=r"expected a shape in \[1, 3\] to \[16, 3\], got \[17, 3\]"):
        chosen_profile([LARGE], (17, 3))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, on which the plan loads")
def test_a_plan_builds_without_a_gpu_and_says_that_it_does_not_load(rtx, subject, graph):
    made = tensorrt.build(graph, subject.promised, precision="fp32", target="rtx")
    assert len(made.plan) > 1000
    with pytest.raises(RuntimeError, match=r"small_encoder: tensorrt_rtx .* does not load its own plan"):
        Execution(rtx, made.plan, subject.contract)


def test_int8_is_calibrated_on_a_task_or_not_at_all(subject, tmp_path):
    with pytest.raises(Skip, match="no real inputs to calibrate on: small: expected a preset of"):
        building.graph_of(subject, "int8", tmp_path)


def test_a_graph_is_lowered_once(subject, tmp_path):
    path = building.graph_of(subject, "bf16", tmp_path)
    written = path.stat().st_mtime_ns
    assert path.name == "bf16.onnx"
    assert building.graph_of(subject, "bf16", tmp_path).stat().st_mtime_ns == written
