"""EfficientNet-Lite0 sees in real photos what its published weights see."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from export.contract import Contract, Tensor
from export.onnx_graphs import EXAMPLE_BATCH, export_dense
from export.parity import onnx_runtime
from multimodal.encoders.efficientnet_lite import (
    EfficientNetLiteBackbone,
    LiteNormalise,
    imagenet_classifier,
)
from multimodal.pretrained import efficientnet_lite0_file

ESPRESSO, TABBY, TIGER_CAT, EGYPTIAN_CAT = 967, 281, 282, 285


def centre_crop(photo, size_px=224, share=0.875):
    """The evaluation of the published weights: the centre of the shorter side, bicubic."""
    picture = Image.fromarray(photo)
    side = int(min(picture.size) * share)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    cut = picture.crop((left, top, left + side, top + side))
    resized = np.asarray(cut.resize((size_px, size_px), Image.Resampling.BICUBIC), np.float32)
    return torch.from_numpy(resized).permute(2, 0, 1)[None] / 255


@torch.no_grad()
def probabilities(photo):
    path = efficientnet_lite0_file()
    trunk, classifier = EfficientNetLiteBackbone.from_file(path), imagenet_classifier(path)
    return classifier(trunk(LiteNormalise()(centre_crop(photo))))[0].softmax(dim=0)


def test_a_cup_of_coffee_is_an_espresso_and_surely_so():
    found = probabilities(data.coffee())
    assert int(found.argmax()) == ESPRESSO
    assert float(found.max()) == pytest.approx(0.95, abs=0.01)  # 0.78 with ImageNet's mean and deviation


def test_a_tabby_is_one_of_three_cats():
    found = probabilities(data.chelsea())
    assert int(found.argmax()) == TIGER_CAT
    assert float(found[[TABBY, TIGER_CAT, EGYPTIAN_CAT]].sum()) > 0.9


@pytest.mark.parametrize(("top", "count", "width"), [(True, 3_371_008, 1280), (False, 2_958_848, 320)])
def test_it_has_the_published_number_of_parameters(top, count, width):
    trunk = EfficientNetLiteBackbone(top)
    assert sum(parameter.numel() for parameter in trunk.parameters()) == count
    assert trunk.feature_dim == width


def test_stages_halve_from_stride_4_to_32():
    trunk = EfficientNetLiteBackbone().eval()
    with torch.no_grad():
        stages = trunk.stages(torch.rand(1, 3, 64, 96))
    assert [tuple(one.shape[1:]) for one in stages.maps] == [
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]
    assert trunk.stage_sides(64) == (16, 8, 4, 2)


def test_without_its_top_the_stages_are_the_same():
    path, picture = efficientnet_lite0_file(), torch.rand(1, 3, 64, 64)
    whole, bare = (EfficientNetLiteBackbone.from_file(path, top) for top in (True, False))
    with torch.no_grad():
        for one, other in zip(whole.stages(picture).maps, bare.stages(picture).maps, strict=True):
            assert torch.equal(one, other)


def test_normalised_values_run_from_about_minus_one_to_one():
    ends = LiteNormalise()(torch.tensor([0.0, 127 / 255, 1.0]))
    assert ends.tolist() == pytest.approx([-127 / 128, 0.0, 1.0], abs=1e-6)


@pytest.mark.slow
def test_its_onnx_graph_agrees_with_pytorch_at_other_batches_than_it_was_made_with(tmp_path):
    trunk = EfficientNetLiteBackbone.from_file(efficientnet_lite0_file(), top=False)
    contract = Contract(
        "lite0",
        (Tensor("picture", "FP32", (3, 64, 64)),),
        (Tensor("summary", "FP32", (320,)),),
        8,
        "onnxruntime",
    )
    export_dense(trunk, contract, tmp_path / "dense.onnx")
    run = onnx_runtime(tmp_path / "dense.onnx")
    for batch in (1, 5):
        assert batch != EXAMPLE_BATCH
        picture = LiteNormalise()(
            torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(batch))
        )
        with torch.no_grad():
            expected = trunk(picture)
        answer = torch.from_numpy(run({"picture": picture.numpy()})["summary"])
        torch.testing.assert_close(answer, expected, atol=1e-4, rtol=0)
