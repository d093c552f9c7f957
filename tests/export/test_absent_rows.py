from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from export import engines
from export.absent_rows import INNER, mask_of, single_row, skip_absent
from export.contract import Contract, Tensor
from export.cpu_engines import runtime
from export.example_inputs import draw
from export.parity import onnx_runtime
from multimodal.weld_classes import MODALITIES

pytestmark = pytest.mark.slow

PHOTOS = Contract(
    "photos",
    (Tensor("pixels", "UINT8", (5, 4, 4, 3)), Tensor("valid", "BOOL", (5,))),
    (Tensor("tokens", "FP32", (5, 7)),),
    8,
    "onnxruntime",
)
BATCH = 3
# Another number of rows sums in another order: at most 2e-6 of values up to 4 was measured.
ATOL = 2e-5


def masks(rows: int) -> dict[str, np.ndarray]:
    some = np.zeros((BATCH, rows), bool)
    some[1] = True
    some[2, rows // 2 :] = True
    some[2, 0] = rows == 1
    return {"none": np.zeros((BATCH, rows), bool), "some": some, "all": np.ones((BATCH, rows), bool)}


@pytest.mark.parametrize("there", ["none", "some", "all"])
@pytest.mark.parametrize("modality", MODALITIES)
def test_the_served_graph_equals_the_dense_graph_on_valid_rows_and_zeros_elsewhere(exported, modality, there):
    model = exported(f"tiny_{modality}_encoder")
    mask = mask_of(model.contract)
    inputs = draw(model.contract, BATCH, seed=7)
    inputs[mask.name] = masks(mask.dims[0])[there]
    output = model.contract.outputs[0].name
    served = onnx_runtime(model.folder / "model.onnx")(inputs)[output]
    dense = onnx_runtime(model.folder / "dense.onnx")(inputs)[output]
    rows = np.broadcast_to(inputs[mask.name], dense.shape[:2])
    np.testing.assert_allclose(served, dense * rows[:, :, None], atol=ATOL, rtol=0)
    assert (served[~rows] == 0).all()
    assert there == "none" or np.abs(served[rows]).max() > 0.1


@pytest.mark.parametrize("modality", MODALITIES)
def test_only_valid_rows_reach_the_network(exported, modality, tmp_path):
    model = exported(f"tiny_{modality}_encoder")
    mask = mask_of(model.contract)
    raw = model.contract.inputs[0].name
    graph = onnx.load(model.folder / "model.onnx")
    graph.graph.output.append(onnx.ValueInfoProto(name=INNER + raw))
    onnx.save(graph, tmp_path / "probed.onnx")
    inputs = draw(model.contract, BATCH, seed=7)
    run = onnx_runtime(tmp_path / "probed.onnx")
    for there in masks(mask.dims[0]).values():
        inputs[mask.name] = there
        assert len(run(inputs)[INNER + raw]) == there.sum()


class Pooled(torch.nn.Module):
    """Tokens as a constant matrix times the rows: ONNX Runtime cannot multiply that with nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.rand(2, 8))

    def forward(self, series: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return (self.matrix @ series) * valid[:, :, None]


def test_a_network_that_cannot_run_on_nothing_need_not(tmp_path):
    inputs = (Tensor("series", "FP32", (8, 3)), Tensor("valid", "BOOL", (1,)))
    contract = Contract("pooled", inputs, (Tensor("pooled_tokens", "FP32", (2, 3)),), 8, "onnxruntime")
    engines.write_graphs(Pooled(), contract, tmp_path)
    run = onnx_runtime(tmp_path / "model.onnx")
    nothing = draw(contract, BATCH, seed=7) | {"valid": np.zeros((BATCH, 1), bool)}
    np.testing.assert_array_equal(run(nothing)["pooled_tokens"], np.zeros((BATCH, 2, 3), np.float32))


def test_a_graph_with_branches_of_its_own_is_refused():
    value, make = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    branch = onnx.helper.make_graph([make("Identity", ["x"], ["y"])], "branch", [], [value("y", 1, None)])
    node = make("If", ["there"], ["tokens"], then_branch=branch, else_branch=branch)
    contract = Contract(
        "c", (Tensor("x", "FP32", (3,)), Tensor("there", "BOOL", (1,))), PHOTOS.outputs, 8, "o"
    )
    sides = [
        [value(t.name, t.onnx, ["n", *t.dims]) for t in side] for side in (contract.inputs, contract.outputs)
    ]
    with pytest.raises(ValueError, match="expected no subgraphs, got If; export the module without branches"):
        skip_absent(onnx.helper.make_model(onnx.helper.make_graph([node], "c", *sides)), contract)


def test_rubbish_in_an_absent_row_stays_there(exported):
    model = exported("tiny_sensor_encoder")
    inputs = draw(model.contract, BATCH, seed=7)
    inputs["sensor_valid"][1] = False
    run = onnx_runtime(model.folder / "model.onnx")
    clean = run(inputs)["sensor_tokens"]
    inputs["sensor_series"][1] = np.nan
    np.testing.assert_array_equal(run(inputs)["sensor_tokens"], clean)


def test_a_request_of_five_photos_becomes_rows_of_one():
    row = single_row(PHOTOS)
    assert [tensor.dims for tensor in (*row.inputs, *row.outputs)] == [(1, 4, 4, 3), (1,), (1, 7)]
    assert row.max_batch == 40


def test_one_row_per_request_is_its_own_contract():
    clip = Contract(
        "clip", (Tensor("x", "FP32", (3,)), Tensor("valid", "BOOL", (1,))), PHOTOS.outputs, 8, "x"
    )
    assert single_row(clip) is clip


def test_tensors_that_disagree_about_the_rows_are_refused():
    four = replace(PHOTOS, outputs=(Tensor("tokens", "FP32", (4, 7)),))
    with pytest.raises(
        ValueError, match=r"photos: expected 5 rows in tokens FP32\[4, 7\] as in valid BOOL\[5\], got 4"
    ):
        single_row(four)


def test_a_model_with_several_masks_has_no_rows_to_choose(exported):
    fusion = exported("tiny_fusion")
    assert mask_of(fusion.contract) is None
    with pytest.raises(ValueError, match=r"tiny_fusion: expected exactly one BOOL\[rows\] input"):
        skip_absent(onnx.load(fusion.folder / "dense.onnx"), fusion.contract)


@pytest.mark.parametrize("there", ["none", "some", "all"])
@pytest.mark.parametrize("modality", MODALITIES)
def test_openvino_takes_the_served_graph_too_and_batches_without_a_row(exported, modality, there):
    model = exported(f"tiny_{modality}_encoder")
    mask = mask_of(model.contract)
    inputs = draw(model.contract, BATCH, seed=7)
    inputs[mask.name] = masks(mask.dims[0])[there]
    output = model.contract.outputs[0].name
    answers = [
        runtime(model.folder / "model.onnx", engine)(inputs)[output] for engine in ("onnxruntime", "openvino")
    ]
    np.testing.assert_allclose(*answers, atol=ATOL, rtol=0)
    rows = np.broadcast_to(inputs[mask.name], answers[1].shape[:2])
    assert (answers[1][~rows] == 0).all()
