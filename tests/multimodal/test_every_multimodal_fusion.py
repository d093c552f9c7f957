"""What every entry of the table of fusions of any number of modalities promises."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import nn

from multimodal.fusions import (
    MULTIMODAL_FUSIONS,
    AttentionFusion,
    EarlyFusion,
    GatedVectorFusion,
    LateFusion,
    ModalityFusionSizes,
    MultimodalFusion,
)

from .fusion_inputs import parameters

WIDTH = 16
SIZES = ModalityFusionSizes(WIDTH, heads=4, dropout=0.1)
ANY_WIDTHS = {"early", "selected"}
ORDERLESS = {"attention", "additive_attention"}
PUBLISHED = (1024, 512, 768)

every_name = pytest.mark.parametrize("name", MULTIMODAL_FUSIONS)


def widths_of(name, count=3):
    return (24, WIDTH, 10, 7, 30)[:count] if name in ANY_WIDTHS else (WIDTH,) * count


def build(name, count=3, seed=0):
    torch.manual_seed(seed)
    return MULTIMODAL_FUSIONS[name](widths_of(name, count), SIZES).eval()


def vectors(widths, batch=3, seed=0):
    numbers = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, width, generator=numbers) for width in widths]


def set_zero(module):
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def set_identity(layer):
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)


@pytest.mark.parametrize(
    ("build_published", "count"),
    [
        (lambda: EarlyFusion(PUBLISHED), 2_230_784),
        (lambda: AttentionFusion(), 1_313_280),
        (lambda: AttentionFusion(mode="additive"), 512 * 512 + 512 + 512),
        (lambda: GatedVectorFusion(), 657_411),
        (lambda: GatedVectorFusion(normalize=True), 657_411),
        (lambda: LateFusion(), 262_659),
        (lambda: MultimodalFusion(PUBLISHED), 5_653_514),
    ],
    ids=list(MULTIMODAL_FUSIONS),
)
def test_the_published_sizes_have_the_published_number_of_parameters(build_published, count):
    with torch.device("meta"):
        assert parameters(build_published()) == count


@every_name
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("batch", [1, 4])
def test_any_number_of_modalities_gives_one_vector(name, count, batch):
    fused, info = build(name, count)(vectors(widths_of(name, count), batch))
    assert fused.shape == (batch, WIDTH)
    assert isinstance(info, dict)


@every_name
def test_every_modality_counts(name):
    fusion, given = build(name), vectors(widths_of(name))
    before, _ = fusion(given)
    for place in range(3):
        changed = [vector.clone() for vector in given]
        changed[place] = -changed[place]
        assert (fusion(changed)[0] - before).abs().max() > 1e-4


@every_name
@pytest.mark.parametrize("training", [True, False])
def test_weights_are_never_negative_and_sum_to_one(name, training):
    _, info = build(name).train(training)(vectors(widths_of(name)))
    for key, values in info.items():
        if "weights" in key or key == "attention":
            assert (values >= 0).all()
            torch.testing.assert_close(values.sum(-1), torch.ones(values.shape[:-1]), atol=1e-6, rtol=0)
        if key == "gates":
            assert ((values > 0) & (values < 1)).all()


@every_name
def test_eval_is_bit_identical_from_call_to_call(name):
    fusion, given = build(name), vectors(widths_of(name))
    assert torch.equal(fusion(given)[0], fusion(given)[0])


@every_name
def test_a_state_dict_round_trip_reproduces_the_output_bit_for_bit(name):
    fusion, twin, given = build(name), build(name, seed=1), vectors(widths_of(name))
    if name != "late":
        assert not torch.equal(fusion(given)[0], twin(given)[0])
    twin.load_state_dict(fusion.state_dict())
    assert torch.equal(fusion(given)[0], twin(given)[0])


@every_name
def test_nothing_is_built_while_it_runs(name):
    fusion = build(name)
    before = list(fusion.state_dict())
    fusion(vectors(widths_of(name)))
    assert list(fusion.state_dict()) == before


@every_name
def test_rows_of_a_batch_do_not_see_each_other(name):
    fusion, given = build(name), vectors(widths_of(name), 4)
    alone = [fusion([vector[row : row + 1] for vector in given])[0] for row in range(4)]
    torch.testing.assert_close(fusion(given)[0], torch.cat(alone), atol=1e-5, rtol=0)


@every_name
def test_a_batch_of_one_can_be_trained(name):
    fusion = build(name).train()
    fusion(vectors(widths_of(name), 1))[0].sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in fusion.parameters())


@every_name
def test_every_parameter_learns_except_the_key_biases(name):
    torch.manual_seed(0)
    fusion = build(name).train()
    fused, _ = fusion(vectors(widths_of(name), 16))
    (fused * torch.randn_like(fused)).sum().backward()
    for path, parameter in fusion.named_parameters():
        assert torch.isfinite(parameter.grad).all(), path
        if not path.endswith("key.bias"):  # softmax does not see a shift: zero but for rounding
            assert parameter.grad.abs().max() > 1e-7, path


@every_name
@torch.no_grad()
def test_only_attention_is_blind_to_the_order_of_modalities(name):
    fusion = build(name) if name not in ANY_WIDTHS else MULTIMODAL_FUSIONS[name]((WIDTH,) * 3, SIZES).eval()
    if name == "late":
        fusion.scores.data = torch.tensor([0.0, 1.0, 2.0])
    given = vectors((WIDTH,) * 3)
    before, _ = fusion(given)
    moved = max(
        float((fusion([given[i] for i in order])[0] - before).abs().max()) for order in permutations(range(3))
    )
    assert (moved < 1e-5) == (name in ORDERLESS)


@every_name
def test_bf16_autocast_gives_numbers(name):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(build(name)(vectors(widths_of(name)))[0]).all()


@every_name
def test_a_modality_of_another_width_is_named(name):
    given = vectors(widths_of(name))
    given[1] = torch.zeros(3, WIDTH + 1)
    with pytest.raises(ValueError, match=r"expected input 2 of width 16 on 2 axes, got \(3, 17\)"):
        build(name)(given)


@pytest.mark.parametrize("name", sorted(set(MULTIMODAL_FUSIONS) - ORDERLESS))
@pytest.mark.parametrize("count", [2, 4])
def test_one_modality_too_few_or_too_many_is_refused_not_dropped(name, count):
    with pytest.raises(ValueError, match=rf"expected 3 (modalities|inputs, one per width), got {count}"):
        build(name)(vectors((*widths_of(name), WIDTH)[:count]))


@every_name
def test_no_modality_at_all_is_refused(name):
    with pytest.raises(ValueError, match=r"expected (at least one modality|3 inputs, one per width), got"):
        build(name)([])


@pytest.mark.parametrize("name", sorted(set(MULTIMODAL_FUSIONS) - ANY_WIDTHS))
def test_fusions_that_compare_vectors_want_one_width(name):
    with pytest.raises(ValueError, match=r"expected modalities of the output's width 16, got \(24, 16\)"):
        MULTIMODAL_FUSIONS[name]((24, 16), SIZES)


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="a multiple of heads, got width 10, heads 4"):
        ModalityFusionSizes(10, 4)
    with pytest.raises(ValueError, match="expected dropout in"):
        ModalityFusionSizes(8, 4, 1.0)
    with pytest.raises(ValueError, match="a multiple of heads, got width 12, heads 8"):
        MultimodalFusion((4, 5), 12)
    with pytest.raises(ValueError, match="expected mode mha or additive, got 'dot'"):
        AttentionFusion(8, 2, "dot")


def test_an_untrained_late_fusion_is_the_mean():
    fusion, given = LateFusion(WIDTH, 4).eval(), vectors((WIDTH,) * 4)
    set_identity(fusion.output)
    fused, info = fusion(given)
    torch.testing.assert_close(info["weights"], torch.full((3, 4), 0.25))
    torch.testing.assert_close(fused, torch.stack(given).mean(0))


def test_gates_of_zero_weights_are_half_open_and_normalised_they_share_evenly():
    given = vectors((WIDTH,) * 3)
    for normalize, expected in ((False, sum(given) / 2), (True, sum(given) / 3)):
        fusion = GatedVectorFusion(WIDTH, 3, normalize).eval()
        set_zero(fusion.gates)
        set_identity(fusion.output)
        fused, info = fusion(given)
        assert torch.equal(info["gates"], torch.full((3, 3), 0.5))
        torch.testing.assert_close(fused, expected)


def test_gates_that_are_all_shut_still_share_when_normalised():
    fusion, given = GatedVectorFusion(WIDTH, 2, normalize=True).eval(), vectors((WIDTH,) * 2)
    set_zero(fusion.gates)
    for gate in fusion.gates:
        gate[-1].bias.data.fill_(-200.0)  # sigmoid is 0 in float32
    _, info = fusion(given)
    assert (info["gates"] == 0).all()
    torch.testing.assert_close(info["weights"], torch.full((3, 2), 0.5))


def test_additive_attention_without_a_question_is_the_mean_and_with_one_its_formula():
    fusion, given = AttentionFusion(2, 1, "additive").eval(), [torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)]
    set_zero(fusion.question)
    assert torch.equal(fusion(given)[0], torch.tensor([[0.5, 0.0]]))
    set_identity(fusion.hidden)
    fusion.question.weight.data = torch.tensor([[1.0, 0.0]])
    share = torch.tanh(torch.tensor(1.0)).exp() / (torch.tanh(torch.tensor(1.0)).exp() + 1)  # 0.6817
    torch.testing.assert_close(fusion(given)[1]["weights"], torch.tensor([[share, 1 - share]]))
    torch.testing.assert_close(fusion(given)[0], torch.tensor([[share, 0.0]]))


def test_attention_that_asks_nothing_reads_all_modalities_alike():
    fusion, given = AttentionFusion(WIDTH, 4).eval(), vectors((WIDTH,) * 3)
    set_zero(fusion.attention.query)
    for layer in (fusion.attention.value, fusion.attention.out, fusion.output):
        set_identity(layer)
    fused, info = fusion(given)
    torch.testing.assert_close(info["attention"], torch.full((3, 4, 3, 3), 1 / 3))
    torch.testing.assert_close(fused, torch.stack(given).mean(0))


def test_an_early_fusion_of_zeros_gives_its_last_bias():
    fusion = EarlyFusion((5, 6), 4).eval()
    set_zero(fusion)
    fusion.join[-1].bias.data.fill_(2.0)
    assert torch.equal(fusion(vectors((5, 6)))[0], torch.full((3, 4), 2.0))


def test_a_selector_of_zeros_gives_every_branch_a_quarter():
    fusion = build("selected")
    set_zero(fusion.selector)
    set_identity(fusion.final)
    fused, info = fusion(vectors(widths_of("selected")))
    assert torch.equal(info["fusion_weights"], torch.full((3, 4), 0.25))
    branches = [info[f"{name}_fused"] for name in ("early", "attention", "gated", "late")]
    torch.testing.assert_close(fused, torch.stack(branches).mean(0))
    assert torch.equal(info["final_fused"], fused)


def test_projections_of_the_selected_fusion_are_registered_and_left_out_where_widths_agree():
    fusion = MultimodalFusion((24, WIDTH, 10), WIDTH, 4)
    assert {name for name in fusion.state_dict() if name.startswith("projections")} == {
        "projections.0.weight",
        "projections.0.bias",
        "projections.2.weight",
        "projections.2.bias",
    }
