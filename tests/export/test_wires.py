from dataclasses import replace

import pytest

from export.contract import Contract, Step, Tensor
from export.wires import check_wires, compatible

FILE = Tensor("file", "UINT8", (-1,))
FRAMES = Tensor("frames", "FP32", (3, 8))
TOKENS = Tensor("tokens", "FP32", (4,))
GATE = Contract("gate", (FILE,), (Tensor("present", "BOOL", (1,)),), 8, "gate")
DECODE = Contract("decode", (FILE, GATE.outputs[0]), (FRAMES,), 8, "dali")
ENCODE = Contract("encode", (Tensor("x", "FP32", (3, 8)),), (Tensor("y", "FP32", (4,)),), 8, "onnxruntime")
MODELS = {model.name: model for model in (GATE, DECODE, ENCODE)}
STEPS = (
    Step("gate", -1, {"file": "file"}, {"present": "present"}),
    Step("decode", -1, {"file": "file", "present": "present"}, {"frames": "frames"}),
    Step("encode", -1, {"x": "frames"}, {"y": "tokens"}),
)
ENSEMBLE = Contract("nose", (FILE,), (TOKENS,), 8, "ensemble", steps=STEPS)


def with_step(index: int, **changes) -> Contract:
    steps = list(STEPS)
    steps[index] = replace(steps[index], **changes)
    return replace(ENSEMBLE, steps=tuple(steps))


def with_model(name: str, **changes) -> dict[str, Contract]:
    return MODELS | {name: replace(MODELS[name], **changes)}


def test_an_ensemble_whose_wires_fit_has_no_faults():
    assert check_wires(ENSEMBLE, MODELS) == []


def test_minus_one_fits_any_length_but_not_another_rank():
    assert compatible((-1, 3), (7, 3))
    assert compatible((7, 3), (-1, -1))
    assert not compatible((7, 3), (7, 4))
    assert not compatible((-1,), (7, 3))


@pytest.mark.parametrize(
    ("ensemble", "models", "fault"),
    [
        (with_step(2, model="encoder"), MODELS, "nose: step encoder names a model that has no configuration"),
        (
            with_step(2, inputs={"z": "frames", "x": "frames"}),
            MODELS,
            "nose: step encode has no input z; it has x",
        ),
        (with_step(2, inputs={}), MODELS, "nose: step encode: input x is not connected"),
        (with_step(2, inputs={"x": "pictures"}), MODELS, "nose: step encode: nobody produces pictures"),
        (with_step(2, outputs={"q": "tokens"}), MODELS, "nose: step encode has no output q; it has y"),
        (with_step(2, outputs={}), MODELS, "nose: no step produces the output tokens"),
        (
            with_step(2, outputs={"y": "frames"}),
            MODELS,
            "nose: frames is produced twice, by decode and encode",
        ),
        (
            ENSEMBLE,
            with_model("decode", outputs=(Tensor("frames", "FP16", (3, 8)),)),
            "nose: step encode: expected x FP32[3, 8], decode gives frames FP16[3, 8]",
        ),
        (
            ENSEMBLE,
            with_model("decode", outputs=(Tensor("frames", "FP32", (3, 9)),)),
            "nose: step encode: expected x FP32[3, 8], decode gives frames FP32[3, 9]",
        ),
        (
            ENSEMBLE,
            with_model("encode", outputs=(Tensor("y", "FP32", (5,)),)),
            "nose: answer: expected tokens FP32[4], encode gives y FP32[5]",
        ),
        (
            ENSEMBLE,
            with_model("encode", max_batch=4),
            "nose: step encode: expected max_batch_size of at least 8, got 4",
        ),
        (
            with_step(1, inputs={"file": "file"}),
            with_model("decode", inputs=(FILE,)),
            "nose: expected the first step alone to run on the client's tensors only, got gate, decode",
        ),
        (
            replace(ENSEMBLE, steps=(STEPS[1], STEPS[0], STEPS[2])),
            MODELS,
            "nose: expected the first step alone to run on the client's tensors only, got gate",
        ),
        (replace(ENSEMBLE, steps=()), MODELS, "nose: expected an ensemble with at least one step, got none"),
    ],
)
def test_a_wire_that_does_not_fit_is_named(ensemble, models, fault):
    assert fault in check_wires(ensemble, models)
