"""Engines in order by the names of their tensors."""

import numpy as np
import pytest

from export.contract import Contract, Tensor
from export.precision.chain import Chain


def engine(name, takes, leaves):
    tensors = [tuple(Tensor(one, "FP32", (2,)) for one in side) for side in (takes, leaves)]
    return Contract(name, *tensors, 4, "onnxruntime")


ENGINES = [
    engine("fusion", ("seen", "heard"), ("answer",)),
    engine("eye", ("pixels",), ("seen",)),
    engine("ear", ("sound",), ("heard",)),
]
RUNS = {
    "eye": lambda arrays: {"seen": arrays["pixels"] + 1},
    "ear": lambda arrays: {"heard": arrays["sound"] * 2},
    "fusion": lambda arrays: {"answer": arrays["seen"] + arrays["heard"]},
}


def test_engines_run_after_what_they_read_in_batches_that_they_take():
    chain = Chain(ENGINES)
    assert chain.models == ("eye", "ear", "fusion")
    assert chain.inputs == {"pixels", "sound"}
    assert chain.results == ("answer",)
    sizes = []

    def eye(arrays):
        sizes.append(len(arrays["pixels"]))
        return RUNS["eye"](arrays)

    ones = np.ones((6, 2), np.float32)
    answers = chain.answers(RUNS | {"eye": eye}, {"pixels": ones, "sound": ones})
    assert np.array_equal(answers["answer"], 4 * ones)
    assert sizes == [4, 2]


def test_only_what_an_engine_changes_runs_again():
    chain = Chain(ENGINES)
    assert chain.after("ear") == ("ear", "fusion")
    assert chain.after("fusion") == ("fusion",)


def test_a_circle_is_refused():
    with pytest.raises(ValueError, match=r"a, b: expected engines that can run one after the other"):
        Chain([engine("a", ("y",), ("x",)), engine("b", ("x",), ("y",))])
