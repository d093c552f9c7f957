"""What `python -m benchmarks engines` makes of its times, and what it refuses."""

import numpy as np
import pytest

from benchmarks import engines
from benchmarks.__main__ import make_parser
from export.contract import Contract, Tensor
from export.precision.chain import Chain


def spent(*milliseconds: float) -> dict[str, np.ndarray]:
    """Of two models; the processor took half of the clock's time."""
    return {name: np.array([ms, ms / 2]) for name, ms in zip(("a", "b"), milliseconds, strict=True)}


def engine(name: str, takes: str, leaves: str) -> Contract:
    sides = [(Tensor(one, "FP32", (2,)),) for one in (takes, leaves)]
    return Contract(name, *sides, 4, "onnxruntime")


def test_ratios_are_medians_over_rounds_of_two_times_of_one_round():
    # The last round met another process: it says nothing of either setting.
    times = {
        engines.BASELINE: [spent(8, 2), spent(8, 2), spent(80, 20)],
        "other": [spent(2, 2), spent(2, 2), spent(20, 20)],
    }
    found = engines.figures(times, "other")
    assert found["models"]["a"]["faster"] == 4 and found["models"]["b"]["faster"] == 1
    assert found["request"] == {
        "median_ms": 4,
        "min_ms": 4,
        "processor_ms": 2,
        "faster": 2.5,
        "faster_at_best": 2.5,
        "less_processor": 2.5,
    }


def test_the_chain_is_every_engine_of_one_request_in_order(tmp_path):
    names = [f"weld_small_{part}_encoder" for part in ("video", "image", "audio", "sensor")]
    for name in (*names, "weld_small_fusion"):
        (tmp_path / name).mkdir()
        (tmp_path / name / engines.FILE).touch()
    chain = engines.chain_of("weld_small", engines.Plan(engines=tmp_path))
    assert chain.models[-1] == "weld_small_fusion" and sorted(chain.models[:-1]) == sorted(names)
    inputs = engines.drawn(chain)
    assert inputs.keys() == chain.inputs and all(len(array) == 1 for array in inputs.values())


def test_a_request_passes_every_engine_and_each_is_timed():
    chain = Chain([engine("eye", "pixels", "tokens"), engine("fusion", "tokens", "answer")])
    runs = {
        "eye": lambda arrays: {"tokens": arrays["pixels"] + 1},
        "fusion": lambda arrays: {"answer": arrays["tokens"] * 2},
    }
    ones = np.ones((1, 2), np.float32)
    found, spent = engines.once(chain, runs, {"pixels": ones})
    assert np.array_equal(found["answer"], 4 * ones)
    assert list(spent) == ["eye", "fusion"] and all(took.shape == (2,) for took in spent.values())


@pytest.mark.parametrize(
    ("preset", "error", "sentence"),
    [
        ("weld_smal", ValueError, "preset: expected one of .*weld_small.*, got weld_smal"),
        ("weld_base", ValueError, "expected one that weld_inspection serves on a CPU, got weld_base"),
        ("weld_small", FileNotFoundError, "model.onnx is missing; run `python -m export weld_small`"),
    ],
)
def test_a_preset_without_engines_for_the_cpu_is_refused(tmp_path, preset, error, sentence):
    with pytest.raises(error, match=sentence):
        engines.chain_of(preset, engines.Plan(engines=tmp_path))


def test_no_rounds_are_refused():
    with pytest.raises(ValueError, match="--rounds: expected at least 1, got 0"):
        engines.Plan(rounds=0)


def test_the_command_line_knows_it():
    typed = make_parser().parse_args(["engines", "weld_small", "--quick", "--threads", "1"])
    assert (typed.verb, typed.preset, typed.quick, typed.threads) == ("engines", "weld_small", True, 1)
