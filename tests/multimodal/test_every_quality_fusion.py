"""What every entry of the table of quality fusions promises."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from multimodal.attention import MultiHeadAttention
from multimodal.clip_features import (
    EVIDENCE_COLUMNS,
    EVIDENCE_ROWS,
    ClipWidths,
    QualityFusionSizes,
    evidence_of,
)
from multimodal.fusions import QUALITY_FUSIONS

from .clip_inputs import SIZES, STEPS, UNEQUAL, WIDTHS, assemble, random_clip, rows, uniform, zero_clip
from .fusion_inputs import parameters

# Constructed without arguments. Closed form of each where it is tested alone.
PUBLISHED_COUNTS = {
    "vector_cross_attention": 3_152_384,
    "cross_attention": 7_092_224,
    "self_attention": 1_577_472,
    "gated": 1_346_178,
    "mixture_of_experts": 3_680_776,
    "hierarchical": 3_936_768,
    "pyramid": 14_030_336,
    "dynamic_weight": 1_879_618,
    "quality_aware": 1_419_650,
    "space_time_cross_attention": 1_443_584,
    "space_time_gated": 4_196_866,
    "multi_level": 6_037_507,
    "score_mixture": 4_721_288,
    "quality_aware_score": 1_573_891,
    "concatenation": (1_792 + 2_304 + 1) * 512,
}
ONE_WIDTH = {
    "vector_cross_attention",
    "cross_attention",
    "self_attention",
    "gated",
    "mixture_of_experts",
    "dynamic_weight",
    "quality_aware",
}
USES = {
    "vector_cross_attention": {"heads", "dropout"},
    "cross_attention": {"width", "heads", "dropout"},
    "self_attention": {"width", "heads", "dropout"},
    "gated": {"width", "gate_width", "dropout"},
    "mixture_of_experts": {"width", "experts", "dropout"},
    "hierarchical": {"width", "dropout"},
    "pyramid": {"width", "dropout"},
    "dynamic_weight": {"width", "gate_width", "dropout"},
    "quality_aware": {"width", "gate_width", "dropout"},
    "space_time_cross_attention": {"width", "heads", "dropout"},
    "space_time_gated": {"width", "dropout"},
    "multi_level": {"width", "heads", "dropout"},
    "score_mixture": {"gate_width", "experts", "dropout"},
    "quality_aware_score": {"gate_width", "dropout"},
    "concatenation": {"width"},
}
OTHER_SIZES = {"width": 24, "heads": 2, "experts": 5, "gate_width": 32, "dropout": 0.3}
RATINGS = ("quality", "uncertainty")  # rows of evidence that are shares of nothing

every_name = pytest.mark.parametrize("name", QUALITY_FUSIONS)


def build(name: str, widths: ClipWidths = WIDTHS, sizes: QualityFusionSizes = SIZES) -> nn.Module:
    torch.manual_seed(0)
    return QUALITY_FUSIONS[name].from_sizes(widths, sizes).eval()


@pytest.fixture(params=QUALITY_FUSIONS)
def fusion(request):
    return build(request.param)


def structure(fusion: nn.Module) -> list[object]:
    """Everything that sizes can change."""
    shapes = [tuple(parameter.shape) for parameter in fusion.parameters()]
    dropouts = [module.p for module in fusion.modules() if isinstance(module, nn.Dropout)]
    heads = [module.heads for module in fusion.modules() if isinstance(module, MultiHeadAttention)]
    return [shapes, dropouts, heads]


def test_the_table_has_its_order_for_answers_name_a_fusion_by_its_place():
    assert tuple(QUALITY_FUSIONS) == tuple(PUBLISHED_COUNTS) == tuple(USES)


@every_name
def test_the_published_sizes_have_the_published_number_of_parameters(name):
    with torch.device("meta"):
        assert parameters(QUALITY_FUSIONS[name]()) == PUBLISHED_COUNTS[name]


@pytest.mark.parametrize("name", sorted(ONE_WIDTH))
def test_default_sizes_are_the_published_ones(name):
    with torch.device("meta"):
        fusion = QUALITY_FUSIONS[name].from_sizes(
            replace(WIDTHS, spatial=512, temporal=512), QualityFusionSizes()
        )
    assert parameters(fusion) == PUBLISHED_COUNTS[name]
    assert fusion.out_width == 512


@every_name
def test_from_sizes_takes_the_sizes_it_has_a_use_for_and_no_others(name):
    usual = structure(build(name))
    changed = {
        size
        for size, value in OTHER_SIZES.items()
        if structure(build(name, sizes=replace(SIZES, **{size: value}))) != usual
    }
    assert changed == USES[name]


@every_name
def test_views_of_two_widths_are_fused_or_refused_in_a_sentence(name):
    if name in ONE_WIDTH:
        with pytest.raises(ValueError, match=r"one width, got 12 \(spatial\) and 16 \(temporal\); choose a"):
            build(name, UNEQUAL)
    else:
        fused, _ = build(name, UNEQUAL).fuse_clip(random_clip(2, UNEQUAL))
        assert fused.shape[0] == 2


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_a_clip_gives_one_vector_or_one_score(fusion, batch):
    fused, info = fusion.fuse_clip(random_clip(batch))
    assert fused.shape == (batch, fusion.out_width)
    assert isinstance(info, dict)
    assert fusion.out_width == (1 if fusion.is_score else SIZES.width)


def test_spatial_frames_need_not_be_as_many_as_temporal_steps(fusion):
    fused, info = fusion.fuse_clip(random_clip(3, frames=5))
    assert torch.isfinite(fused).all()
    assert evidence_of(fusion, info, fused)[0].shape == (3, EVIDENCE_ROWS, EVIDENCE_COLUMNS)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("clip", [random_clip(3), zero_clip(3)], ids=["random", "zero"])
def test_evidence_is_what_its_labels_say_and_shares_sum_to_one(fusion, clip, training):
    fused, info = fusion.train(training).fuse_clip(clip)
    evidence, (height, width) = evidence_of(fusion, info, fused)
    labels = fusion.evidence
    assert evidence.shape == (3, EVIDENCE_ROWS, EVIDENCE_COLUMNS)
    assert height == len(labels.rows)
    assert width == len(labels.columns) or not labels.columns
    assert (evidence[:, height:] == 0).all() and (evidence[:, :, width:] == 0).all()
    assert ((evidence >= 0) & (evidence <= 1)).all()
    shares = [place for place, row in enumerate(labels.rows) if row not in RATINGS]
    torch.testing.assert_close(evidence[:, shares].sum(dim=-1), torch.ones(3, len(shares)), atol=1e-6, rtol=0)


def test_gates_and_attention_never_are_negative_and_sum_to_one_even_in_training(fusion):
    _, info = fusion.train().fuse_clip(random_clip(4))
    for name, values in info.items():
        if name in ("gates", "weights") or "attention" in name:
            assert (values >= 0).all()
            torch.testing.assert_close(values.sum(-1), torch.ones(values.shape[:-1]), atol=1e-6, rtol=0)


def test_views_that_are_all_alike_share_attention_evenly(fusion):
    clip = random_clip(2)
    steady = assemble(
        torch.ones_like(clip.spatial),
        torch.ones_like(clip.temporal),
        clip.frame_weights,
        clip.spatial_maps,
        clip.temporal_levels,
    )
    fused, info = fusion.fuse_clip(steady)
    evidence, (height, width) = evidence_of(fusion, info, fused)
    assert torch.isfinite(evidence).all()
    if width == STEPS:
        torch.testing.assert_close(evidence[:, :height, :width], torch.full((2, height, STEPS), 1 / STEPS))


def test_eval_is_bit_identical_from_call_to_call(fusion):
    clip = random_clip(3)
    assert torch.equal(fusion.fuse_clip(clip)[0], fusion.fuse_clip(clip)[0])


@every_name
def test_a_state_dict_round_trip_reproduces_the_output_bit_for_bit(name):
    torch.manual_seed(1)
    twin = QUALITY_FUSIONS[name].from_sizes(WIDTHS, SIZES).eval()
    fusion, clip = build(name), random_clip(2)
    assert not torch.equal(fusion.fuse_clip(clip)[0], twin.fuse_clip(clip)[0])
    twin.load_state_dict(fusion.state_dict())
    assert torch.equal(fusion.fuse_clip(clip)[0], twin.fuse_clip(clip)[0])


def test_rows_of_a_batch_do_not_see_each_other(fusion):
    clip = random_clip(4)
    alone = [fusion.fuse_clip(rows(clip, slice(row, row + 1)))[0] for row in range(4)]
    torch.testing.assert_close(fusion.fuse_clip(clip)[0], torch.cat(alone), atol=1e-5, rtol=0)


def test_one_clip_can_be_trained(fusion):
    fusion.train().fuse_clip(random_clip(1))[0].sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in fusion.parameters())


def test_every_parameter_learns_except_the_key_biases(fusion):
    torch.manual_seed(0)
    fused, _ = fusion.train().fuse_clip(random_clip(16))
    (fused * torch.randn_like(fused)).sum().backward()  # a plain sum would be constant behind a LayerNorm
    for name, parameter in fusion.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        if not name.endswith("key.bias"):  # softmax does not see a shift: zero but for rounding
            assert parameter.grad.abs().max() > 1e-7, name


def test_nothing_is_built_while_it_runs(fusion):
    before = {name: tuple(value.shape) for name, value in fusion.state_dict().items()}
    fusion.fuse_clip(random_clip(2))
    assert {name: tuple(value.shape) for name, value in fusion.state_dict().items()} == before


def test_the_weights_of_frames_change_the_answer(fusion):
    drawn, even = random_clip(2), random_clip(2, weights=uniform(2))
    difference = (fusion.fuse_clip(drawn)[0] - fusion.fuse_clip(even)[0]).abs().max()
    assert difference > 1e-4


@pytest.mark.parametrize("view", ["spatial", "temporal"])
def test_both_views_count(fusion, view):
    clip = random_clip(2)
    parts = {"spatial": clip.spatial, "temporal": clip.temporal}
    maps = clip.spatial_maps
    if view == "spatial":
        maps = tuple(-stage for stage in maps)
    parts[view] = -parts[view]
    other = assemble(parts["spatial"], parts["temporal"], clip.frame_weights, maps, clip.temporal_levels)
    assert (fusion.fuse_clip(clip)[0] - fusion.fuse_clip(other)[0]).abs().max() > 1e-4


def test_training_passes_differ_wherever_there_is_dropout(fusion):
    torch.manual_seed(0)
    clip = random_clip(4)
    repeats = torch.equal(fusion.train().fuse_clip(clip)[0], fusion.fuse_clip(clip)[0])
    assert repeats == (not any(isinstance(module, nn.Dropout) for module in fusion.modules()))


def test_bf16_autocast_gives_numbers(fusion):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused, info = fusion.fuse_clip(random_clip(2))
        evidence, _ = evidence_of(fusion, info, fused)
    assert torch.isfinite(fused).all()
    assert torch.isfinite(evidence).all()
