import pytest
import torch

from multimodal.front_ends import SMALLEST_CONTRAST, DetailFrontEnd, ImageNetNormalise, PixelFrontEnd


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
