"""One file keeps what was trained of a preset; what packages ship comes from them."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from multimodal.vision_language.build import (
    build_vision_language,
    load_pretrained,
    save_vision_language_weights,
    trained_fusions,
)
from multimodal.vision_language.fusion_table import VISION_LANGUAGE_FUSIONS
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS

from .pairs import TINY, pairs

SMALL = VISION_LANGUAGE_PRESETS["vision_language_small"]


def tiny(fusion="mlp", seed=0):
    torch.manual_seed(seed)
    return build_vision_language(TINY, fusion=fusion)


@pytest.fixture
def saved(tmp_path):
    models = {"mlp": tiny(), "gated": tiny("gated")}
    return models, save_vision_language_weights(models, tmp_path / "tiny.safetensors", torch.float32)


def test_a_file_gives_the_same_answers_to_the_bit(saved):
    models, path = saved
    built = build_vision_language(TINY, path, "mlp")
    with torch.no_grad():
        one, other = models["mlp"](*pairs()), built(*pairs())
    for name in ("classification_logits", "retrieval_visual", "retrieval_text", "joint_embedding"):
        assert torch.equal(one[name], other[name])


def test_a_file_knows_its_fusions_in_the_order_of_the_table(saved):
    assert trained_fusions(saved[1]) == ("mlp", "gated")


def test_a_fusion_without_a_head_in_the_file_is_refused(saved):
    with pytest.raises(
        ValueError, match="expected a head for the fusion late, the file has some for mlp, gated"
    ):
        build_vision_language(TINY, saved[1], "late")


def test_an_unknown_fusion_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'selected'"):
        build_vision_language(TINY, fusion="select")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors, found none"):
        build_vision_language(TINY, tmp_path / "nothing.safetensors")


def test_a_file_of_another_preset_is_refused(saved, tmp_path):
    state = load_file(saved[1])
    del state["trunk.heads.retrieval_text.bias"]
    path = tmp_path / "less.safetensors"
    save_file(state, path)
    with pytest.raises(ValueError, match=r"1 missing, 0 unknown .* heads\.retrieval_text\.bias"):
        build_vision_language(TINY, path)


def test_a_model_under_another_name_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="fusion late: expected a model with it, got one with mlp"):
        save_vision_language_weights({"late": tiny()}, tmp_path / "wrong.safetensors")


def test_frozen_trunks_are_left_to_their_packages(tmp_path):
    torch.manual_seed(0)
    model = load_pretrained(build_vision_language(SMALL), SMALL)
    path = save_vision_language_weights({"mlp": model}, tmp_path / "small.safetensors", torch.float32)
    with safe_open(path, "pt") as file:
        names = set(file.keys())
    assert names and not any(".backbone." in name for name in names)
    built = build_vision_language(SMALL, path)
    for (name, one), other in zip(model.state_dict().items(), built.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert built.text.frozen and built.visual.backbone.frozen


def test_a_trained_trunk_comes_with_the_file(saved):
    names = set(load_file(saved[1]))
    assert any(name.startswith("trunk.visual.backbone.") for name in names)
    assert any(name.startswith("trunk.text.backbone.") for name in names)


def test_statistics_of_batch_norms_are_never_rounded(tmp_path):
    path = save_vision_language_weights({"mlp": tiny()}, tmp_path / "half.safetensors")
    kept = load_file(path)
    assert {one.dtype for name, one in kept.items() if "running_" in name} == {torch.float32}
    assert kept["trunk.visual.projection.weight"].dtype == torch.float16


def test_a_decoder_is_built_for_a_gamma_and_never_kept(tmp_path):
    torch.manual_seed(0)
    model = build_vision_language(TINY, gamma=0.5)
    path = save_vision_language_weights({"mlp": model}, tmp_path / "told.safetensors")
    assert not any("decoder" in name for name in load_file(path))
    assert build_vision_language(TINY, path, gamma=0.5).heads.decoder is not None


def test_a_source_that_is_not_there_is_named(tmp_path):
    base = VISION_LANGUAGE_PRESETS["vision_language_base"]
    with torch.device("meta"):
        model = build_vision_language(base)
    with pytest.raises(
        OSError, match="ResNetModel: expected a folder from save_pretrained or a reachable hub"
    ):
        load_pretrained(model, base, visual=tmp_path / "nowhere")


def test_every_fusion_of_the_table_can_be_built():
    assert tuple(VISION_LANGUAGE_FUSIONS) == (
        "mlp",
        "additive",
        "early",
        "attention",
        "gated",
        "late",
        "selected",
    )
    for name in VISION_LANGUAGE_FUSIONS:
        assert tiny(name).fusion_name == name


def test_equal_weights_fuse_late_before_training():
    fusion = VISION_LANGUAGE_FUSIONS["late"](TINY)
    _, info = fusion(torch.randn(3, 16), torch.randn(3, 16))
    torch.testing.assert_close(info["weights"].detach(), torch.full((3, 2), 0.5))
