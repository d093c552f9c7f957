import math

import pytest
import torch

from multimodal.front_ends import (
    DIFFERENCE_GAIN,
    SMALLEST_CONTRAST,
    ChangeFrontEnd,
    DetailFrontEnd,
    ImageNetNormalise,
    PixelFrontEnd,
)


def noise(batch=2, frames=3, side=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, frames, side, side, 3), generator=generator, dtype=torch.uint8)


def planes(pixels):
    return DetailFrontEnd(32)(pixels)


def test_the_colours_come_first_and_are_normalised_as_ever():
    pixels = noise()
    plain = ImageNetNormalise()(PixelFrontEnd()(pixels))
    assert torch.equal(planes(pixels)[:, :, :3], plain)


def test_a_flat_picture_has_no_detail():
    flat = torch.full((1, 1, 32, 32, 3), 90, dtype=torch.uint8)
    rest, normalised, contrast = planes(flat)[0, 0, 3:]
    assert rest.abs().max() < 1e-3
    assert normalised.abs().max() < 1e-2
    # float32 leaves up to about 0.002 of 90^2 - 90^2, under the floor of a tenth of a level
    assert contrast.max() < torch.tensor(SMALLEST_CONTRAST).sqrt().log() + 0.7


def test_more_contrast_shows_in_the_rest_but_hardly_where_it_is_normalised():
    base = noise(1, 1, 32).float()
    soft = ((base - 128) * 0.25 + 128).to(torch.uint8)
    weak, strong = (
        planes(picture)[0, 0, 3:].square().mean(dim=(1, 2)).sqrt() for picture in (soft, base.byte())
    )
    assert strong[0] > 3.5 * weak[0]
    assert strong[1] < 1.2 * weak[1]


def test_patches_do_not_see_each_other():
    pixels = noise(1, 1, 64)
    other = pixels.clone()
    other[:, :, :32, :32] = 255 - other[:, :, :32, :32]
    same, changed = planes(pixels)[..., 3:, :, :], planes(other)[..., 3:, :, :]
    different = (same != changed).any(dim=2)[0, 0]
    assert different[:32, :32].any()
    assert not different[32:].any()
    assert not different[:, 32:].any()


def test_rows_of_a_batch_are_independent():
    pixels = noise(3)
    assert torch.allclose(planes(pixels)[1:2], planes(pixels[1:2]), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_exported_planes_equal_pytorchs(tmp_path, batch):
    from export.contract import Contract, Tensor
    from export.onnx_graphs import export_dense
    from export.parity import onnx_runtime

    contract = Contract(
        "detail",
        (Tensor("video_fragments", "UINT8", (8, 64, 64, 3)),),
        (Tensor("planes_tokens", "FP32", (8, 6, 64, 64)),),
        8,
        "onnxruntime",
    )
    module = DetailFrontEnd(32)
    export_dense(module, contract, tmp_path / "detail.onnx")
    pixels = noise(batch, 8, 64, seed=batch)
    found = onnx_runtime(tmp_path / "detail.onnx")({"video_fragments": pixels.numpy()})["planes_tokens"]
    assert torch.allclose(torch.from_numpy(found), module(pixels), atol=1e-4)


def bursts(first, second):
    """One moment of two flat frames."""
    return torch.stack(
        [torch.full((32, 32, 3), level, dtype=torch.uint8) for level in (first, second)]
    ).unsqueeze(0)


def test_a_stalled_burst_has_no_change_and_the_floor_of_its_logarithm():
    still = ChangeFrontEnd(2)(bursts(90, 90))
    assert still.shape == (1, 1, 6, 32, 32)
    assert torch.equal(still[:, :, :3], torch.zeros(1, 1, 3, 32, 32))
    assert still[0, 0, 3].unique().tolist() == pytest.approx([math.log(0.25)])


def test_changes_keep_their_sign_and_their_amount_does_not():
    brighter, darker = (ChangeFrontEnd(2)(bursts(100, level))[0, 0, :, 0, 0] for level in (110, 90))
    assert brighter[0] == pytest.approx(DIFFERENCE_GAIN * 10 / 255, rel=1e-5)
    assert torch.allclose(brighter[:3], -darker[:3])
    assert torch.allclose(brighter[3:], darker[3:])
    assert float(brighter[3]) == pytest.approx(math.log(10.25), rel=1e-5)


def test_what_is_in_the_picture_does_not_matter():
    dark, light = (ChangeFrontEnd(2)(bursts(level, level + 7)) for level in (20, 200))
    assert torch.allclose(dark, light, atol=1e-4)


def test_one_frame_alone_is_refused():
    with pytest.raises(ValueError, match="burst: expected at least two frames, got 1"):
        ChangeFrontEnd(1)
