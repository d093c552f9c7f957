"""Colours normalised in the first weights are colours normalised on every pixel."""

import pytest
import torch
from torch import nn

from multimodal.build import build
from multimodal.front_ends import ImageNetNormalise, PixelFrontEnd
from multimodal.levels import LevelFrontEnd, PatchProduct, fold_normalisation, reading_levels
from multimodal.presets import PRESETS

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def encoders():
    torch.manual_seed(0)
    return build(TINY).eval().encoders


def pictures(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, (*shape, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize(("modality", "shape"), [("video", (2, 4, 32, 32)), ("image", (2, 5, 28, 28))])
def test_an_encoder_that_reads_levels_says_what_the_other_says(encoders, modality, shape):
    raw, encoder = pictures(*shape), encoders[modality]
    with torch.no_grad():
        expected = encoder(PixelFrontEnd()(raw))
        got = reading_levels(encoder)(LevelFrontEnd()(raw))
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=0)
    assert expected.std() > 0.01


@pytest.mark.parametrize("bias", [True, False])
def test_a_folded_convolution_is_equal_with_and_without_a_bias(bias):
    torch.manual_seed(0)
    first = nn.Conv2d(3, 6, 4, 4, bias=bias)
    raw = pictures(2, 8, 8)
    with torch.no_grad():
        expected = first(ImageNetNormalise()(PixelFrontEnd()(raw)))
        torch.testing.assert_close(
            fold_normalisation(first)(LevelFrontEnd()(raw)), expected, atol=1e-5, rtol=0
        )


def test_the_encoder_itself_stays_as_it_was_and_shares_its_weights(encoders):
    before = {name: tensor.clone() for name, tensor in encoders["image"].state_dict().items()}
    made = reading_levels(encoders["image"])
    after = encoders["image"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    own = {
        name
        for name, weight in made.named_parameters()
        if weight is not encoders["image"].get_parameter(name)
    }
    assert own == {f"backbone.embeddings.patch_embeddings.projection.{part}" for part in ("weight", "bias")}


def test_a_first_layer_that_pads_is_refused(encoders):
    made = reading_levels(encoders["image"])
    made.set_submodule("backbone.embeddings.patch_embeddings.projection", nn.Conv2d(3, 4, 3, padding=1))
    with pytest.raises(
        ValueError, match=r"expected one convolution of three colours without padding, got .*\(1, 1\)"
    ):
        reading_levels(made)


@pytest.mark.parametrize(
    ("convolution", "shape"),
    [(nn.Conv2d(3, 6, 4, 4), (2, 3, 8, 12)), (nn.Conv3d(3, 6, (2, 4, 4), (2, 4, 4)), (2, 3, 6, 8, 4))],
)
def test_patches_side_by_side_are_a_product_of_matrices(convolution, shape):
    pictures = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(
            PatchProduct(convolution)(pictures), convolution(pictures), atol=1e-6, rtol=1e-5
        )


def test_patches_that_overlap_are_no_product():
    with pytest.raises(
        ValueError, match=r"a stride as long as its kernel, got stride \(2, 2\) and kernel \(4, 4\)"
    ):
        PatchProduct(nn.Conv2d(3, 6, 4, 2))
