"""Runners and the ways to leave rows out, on the CPU: the same code that a GPU runs, but for the clock."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.gpu_check import absent_rows, engines
from benchmarks.gpu_check.findings import Finding, Plan, Skip
from benchmarks.gpu_check.runners import TorchRunner, as_run, on_device, on_host
from benchmarks.gpu_check.subjects import of_one_row
from export import parity
from export.example_inputs import draw, zero_absent


def bench_of(subject):
    expected = parity.references(
        parity.pytorch(subject.module, subject.contract), parity.cases(subject.contract)
    )
    return engines.Bench(subject, Plan(), {}, expected, 1, Finding(facts={"parity": []}))


def test_every_candidate_of_a_precision_is_tried_and_only_engines_of_ours_are_judged(subject):
    plan = Plan(precisions=("fp32", "bf16", "int8"))
    bench = engines.Bench(subject, plan, {}, [], 1)
    assert [(str(one), one.judged) for one in engines.candidates(bench)] == [
        ("torch fp32", True),
        ("torch.compile fp32", False),
        ("onnxruntime fp32", False),
        ("tensorrt fp32", True),
        ("tensorrt_rtx fp32", True),
        ("torch bf16", False),
        ("torch.compile bf16", False),
        ("onnxruntime bf16", False),
        ("tensorrt bf16", True),
        ("tensorrt_rtx bf16", True),
        ("onnxruntime int8", False),
        ("tensorrt int8", True),
        ("tensorrt_rtx int8", True),
    ]


def test_the_module_itself_is_right(subject):
    bench = bench_of(subject)
    candidate = engines.Candidate("torch", "fp32", lambda: pytest.fail("not built here"))
    run = as_run(TorchRunner(subject.module, subject.contract, "fp32"), "cpu")
    assert engines.compare(bench, candidate, run)["ok"] is True
    assert bench.found.faults == []
    assert [row["output"] for row in bench.found.facts["parity"]] == ["image_tokens"]


def test_an_engine_outside_its_tolerance_is_a_fault_with_figures(subject):
    bench = bench_of(subject)
    candidate = engines.Candidate("tensorrt", "fp32", lambda: pytest.fail("not built here"))
    right = as_run(TorchRunner(subject.module, subject.contract, "fp32"), "cpu")
    row = engines.compare(bench, candidate, lambda inputs: {k: v + 0.5 for k, v in right(inputs).items()})
    assert row["ok"] is False
    assert row["max_abs"] == pytest.approx(0.5)
    (fault,) = bench.found.faults
    assert fault.startswith(
        "small_encoder, tensorrt fp32, image_tokens: outside the tolerance; max abs 5.0e-01"
    )


def test_int8_is_judged_on_real_items_and_all_elements_together(subject):
    bench = bench_of(subject)
    candidate = engines.Candidate("tensorrt", "int8", lambda: pytest.fail("not built here"))
    right = as_run(TorchRunner(subject.module, subject.contract, "fp32"), "cpu")
    with pytest.raises(Skip, match="no real inputs to compare int8 on"):
        engines.compare(bench, candidate, right)
    bench.real = bench.expected[:1]  # stand for them
    one_off = np.zeros((3, 4), np.float32)
    one_off[0, 0] = 0.02
    assert engines.compare(bench, candidate, lambda i: {k: v + one_off for k, v in right(i).items()})["ok"]
    row = engines.compare(bench, candidate, lambda i: {k: 1.5 * v for k, v in right(i).items()})
    assert row["ok"] is False
    assert "image_tokens: 0.500 apart of 0." in bench.found.faults[0]


def test_what_has_no_tolerance_is_not_judged_and_says_so(subject):
    bench = bench_of(subject)
    unknown = replace(
        engines.Candidate("tensorrt", "fp32", lambda: pytest.fail("not built here")), precision="fp4"
    )
    run = as_run(TorchRunner(subject.module, subject.contract, "fp32"), "cpu")
    assert engines.compare(bench, unknown, run) == {"ok": None}
    assert bench.found.skipped[0].startswith("small_encoder, tensorrt fp4: not judged: precision: expected")


@pytest.mark.parametrize(("share", "present"), [(1.0, 24), (0.5, 12), (0.25, 6), (0.0, 1)])
def test_a_mask_has_the_share_that_was_asked_for(share, present):
    mask = absent_rows.mask(8, 3, share)
    assert mask.shape == (8, 3)
    assert mask.sum() == present


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_present_rows_alone_give_what_all_rows_give(subject, share):
    arrays = draw(subject.contract, 8, seed=5)
    arrays["image_valid"] = absent_rows.mask(8, 3, share)
    zero_absent(arrays, "image_valid")
    inputs, single = on_device(arrays, "cpu"), of_one_row(subject)
    dense = TorchRunner(subject.module, subject.contract, "fp32").bind(inputs)
    rows = TorchRunner(single.module, single.contract, "fp32")
    chosen = absent_rows.of_present(rows, subject.contract, inputs, arrays["image_valid"].ravel())
    expected, found = on_host(dense())["image_tokens"], on_host(chosen())["image_tokens"]
    assert found.shape == (8, 3, 4)
    assert np.abs(expected - found).max() < 1e-6
    assert np.abs(found[~arrays["image_valid"]]).max(initial=0.0) == 0.0
