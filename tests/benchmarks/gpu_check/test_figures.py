"""Arithmetic that can be checked by hand: operations, shares of a peak, percentiles, tables."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.gpu_check import decoding
from benchmarks.gpu_check.clock import percentile
from benchmarks.gpu_check.findings import Finding, Plan, table
from benchmarks.gpu_check.peaks import known, shares, tflops
from benchmarks.gpu_check.subjects import flop, flop_per_item
from serving.backends.dali.serialised import pipelines_of


def attention_flop(tokens, width):
    """Four projections of width x width, scores and their weighted sum over all pairs of tokens."""
    return 8 * tokens * width**2 + 4 * tokens**2 * width


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Linear(64, 32), (10, 64), 2 * 10 * 64 * 32),
        (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 16, 16), 2 * 16 * 16 * 8 * 3 * 9),
        (
            nn.TransformerEncoderLayer(32, 4, 128, batch_first=True).eval(),
            (1, 20, 32),
            attention_flop(20, 32) + 2 * 2 * 20 * 32 * 128,
        ),
    ],
    ids=["linear", "convolution", "transformer layer"],
)
def test_operations_are_those_of_the_closed_form(module, shape, expected):
    assert flop(module.requires_grad_(False), [torch.randn(shape)]) == expected


def test_a_model_counts_what_its_products_take(subject):
    assert flop_per_item(subject) == 3 * 2 * (192 * 16 + 16 * 4)


def test_the_fast_path_is_as_it_was_after_a_count():
    flop(nn.Linear(2, 2), [torch.ones(1, 2)])
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_rate_is_operations_over_time():
    assert tflops(2 * 8192**3, 1.0) == pytest.approx(1099.5, abs=0.1)
    with pytest.raises(ValueError, match="milliseconds: expected a time above 0, got 0"):
        tflops(1.0, 0)


@pytest.mark.parametrize(
    ("name", "bf16"),
    [
        ("NVIDIA H200", 989.4),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA H100 80GB HBM3", 989.4),
    ],
)
def test_a_gpu_is_known_by_the_name_its_driver_gives_it(name, bf16):
    assert known(name)[1]["bf16"] == bf16


@pytest.mark.parametrize("name", ["NVIDIA A10G", "NVIDIA H100 PCIe", "NVIDIA L400", "Tesla T4"])
def test_another_gpu_with_a_name_alike_has_no_peak(name):
    assert known(name) is None


def test_a_share_is_of_the_peak_of_the_same_precision():
    peak = Finding(
        rows=[
            {"precision": "fp32", "known_tflops": 60.0},
            {"precision": "bf16", "known_tflops": 1000.0},
        ],
        facts={"best": {"fp32": 50.0, "bf16": 800.0}},
    )
    assert shares(200.0, "bf16", {"peak": peak}) == {"share_of_measured": 0.25, "share_of_known": 0.2}
    assert shares(200.0, "int8", {"peak": peak}) == {"share_of_measured": None, "share_of_known": None}
    assert shares(200.0, "bf16", {}) == {"share_of_measured": None, "share_of_known": None}


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.95) == 95.0
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([2.0, 1.0], 1.0) == 2.0
    with pytest.raises(ValueError, match="expected at least one, got none"):
        percentile([], 0.5)


def test_batches_are_powers_of_two_up_to_the_largest():
    assert Plan().batches(8) == (1, 2, 4, 8)
    assert Plan().batches(40) == (1, 2, 4, 8, 40)
    assert Plan().batches(3) == (1, 2, 3)
    assert Plan(quick=True).batches(16) == (1, 16)


def test_a_table_has_the_columns_that_some_row_has():
    rows = [
        {"model": "fusion", "ok": True, "latency_ms": 1.23456, "share_of_known": 0.5},
        {"model": "video_encoder", "ok": False, "latency_ms": float("nan")},
    ]
    assert table(rows, ("model", "ok", "latency_ms", "share_of_known", "build_s")).splitlines() == [
        "model          ok   latency_ms  share_of_known",
        "fusion         yes  1.235       50.0%",
        "video_encoder  NO   -           -",
    ]


def test_what_json_cannot_say_is_none():
    found = Finding(rows=[{"cosine": float("nan"), "batch": 1}], facts={"best": {"fp32": float("inf")}})
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False)) == {
        "facts": {"best": {"fp32": None}},
        "rows": [{"cosine": None, "batch": 1}],
        "skipped": [],
        "faults": [],
    }


def test_decoders_are_compared_by_their_mean_difference():
    a, b = np.full((2, 2, 3), 100, np.uint8), np.full((2, 2, 3), 97, np.uint8)
    assert decoding.compared("video", [a, a], [a, b]) == {"mean_abs": 1.5, "max_abs": 3.0, "ok": True}
    assert decoding.compared("photo", [a], [b])["ok"] is False
    with pytest.raises(ValueError, match=r"photo: expected shapes \[\(2, 2, 3\)\], got \[\(1, 2, 3\)\]"):
        decoding.compared("photo", [a], [b[:1]])


def test_photos_read_by_address_are_those_of_a_copy():
    pytest.importorskip("nvidia.dali", reason="nvidia-dali is not installed")
    files = [
        np.frombuffer(photo.read_bytes(), np.uint8)
        for photo in [Path(__file__).parents[3] / "deploy/example/weld.jpg"] * 2
    ]
    pipeline = decoding._built(
        pipelines_of(decoding.PIPELINES).photos(64, "cpu", batch_size=2, num_threads=1, device_id=None)
    )
    copied = decoding._decoded(pipeline, {"image": files})
    received = decoding.by_address(pipeline, {"image": files})
    assert decoding.compared("photo", copied, received) == {"mean_abs": 0.0, "max_abs": 0.0, "ok": True}
