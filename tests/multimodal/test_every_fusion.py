"""What every entry of the fusion table promises."""

from __future__ import annotations

import pytest
import torch

from multimodal.fusions import FUSIONS
from multimodal.presets import Fusion

from .fusion_inputs import LENGTHS, SIZES, WIDTHS, all_valid, random_tokens


@pytest.fixture(params=sorted(FUSIONS))
def fusion(request):
    torch.manual_seed(0)
    return FUSIONS[request.param](WIDTHS, SIZES).eval()


@pytest.mark.parametrize("batch", [1, 2, 8, 16])
def test_any_batch_gives_one_vector_a_row(fusion, batch):
    fused, info = fusion(random_tokens(batch))
    assert fused.shape == (batch, SIZES.width)
    assert {name: rows.shape[::2] for name, rows in info["attention"].items()} == {
        name: (batch, length) for name, length in LENGTHS.items()
    }


@pytest.mark.parametrize("training", [True, False])
def test_attention_rows_are_never_negative_and_sum_to_one(fusion, training):
    _, info = fusion.train(training)(random_tokens(4))
    for rows in info["attention"].values():
        assert (rows >= 0).all()
        torch.testing.assert_close(rows.sum(-1), torch.ones(rows.shape[:2]), atol=1e-6, rtol=0)


def test_eval_is_bit_identical_from_call_to_call(fusion):
    tokens = random_tokens(3)
    assert torch.equal(fusion(tokens)[0], fusion(tokens)[0])


def test_a_state_dict_round_trip_reproduces_the_output_bit_for_bit(fusion):
    twin = type(fusion)(WIDTHS, SIZES).eval()
    twin.load_state_dict(fusion.state_dict())
    tokens = random_tokens(2)
    assert torch.equal(fusion(tokens)[0], twin(tokens)[0])


def test_rows_of_a_batch_do_not_see_each_other(fusion):
    tokens = random_tokens(4)
    together = fusion(tokens)[0]
    alone = [fusion({name: rows[i : i + 1] for name, rows in tokens.items()})[0] for i in range(4)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_one_row_can_be_trained(fusion):
    fused, _ = fusion.train()(random_tokens(1))
    fused.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in fusion.parameters())


def test_the_order_of_tokens_inside_a_modality_does_not_matter(fusion):
    tokens = random_tokens(2)
    order = torch.randperm(LENGTHS["audio"], generator=torch.Generator().manual_seed(1))
    fused, info = fusion(tokens)
    shuffled, moved = fusion({**tokens, "audio": tokens["audio"][:, order]})
    torch.testing.assert_close(shuffled, fused, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        moved["attention"]["audio"], info["attention"]["audio"][..., order], atol=1e-6, rtol=0
    )


def test_tokens_given_twice_change_nothing_but_halve_their_attention(fusion):
    tokens = random_tokens(2)
    fused, info = fusion(tokens)
    doubled, split = fusion({**tokens, "video": tokens["video"].repeat(1, 2, 1)})
    torch.testing.assert_close(doubled, fused, atol=1e-6, rtol=0)
    half = info["attention"]["video"].repeat(1, 1, 2) / 2
    torch.testing.assert_close(split["attention"]["video"], half, atol=1e-6, rtol=0)


def test_masked_tokens_might_as_well_be_cut_off(fusion):
    tokens, masks = random_tokens(2), all_valid(2)
    masks["sensor"][:, 13:] = False
    fused, info = fusion(tokens, masks)
    garbage = {**tokens, "sensor": tokens["sensor"].index_fill(1, torch.arange(13, LENGTHS["sensor"]), 1e3)}
    torch.testing.assert_close(fusion(garbage, masks)[0], fused, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        fusion({**tokens, "sensor": tokens["sensor"][:, :13]})[0], fused, atol=1e-6, rtol=0
    )
    assert (info["attention"]["sensor"][..., 13:] == 0).all()


def test_an_absent_modality_is_not_looked_at(fusion):
    tokens, present = random_tokens(2), torch.tensor([[True, False, True, True]] * 2)
    other = {**tokens, "image": -5 * tokens["image"]}
    assert torch.equal(fusion(tokens, present=present)[0], fusion(other, present=present)[0])
    assert not torch.equal(fusion(tokens)[0], fusion(other)[0])


def test_with_everything_masked_and_absent_the_answer_is_finite(fusion):
    masks = {name: torch.zeros_like(mask) for name, mask in all_valid(2).items()}
    fused, info = fusion(random_tokens(2), masks, torch.zeros(2, 4, dtype=torch.bool))
    assert torch.isfinite(fused).all()
    assert all((rows == 0).all() for rows in info["attention"].values())
    fused.sum().backward()
    assert all(
        torch.isfinite(parameter.grad).all()
        for parameter in fusion.parameters()
        if parameter.grad is not None
    )


def test_bf16_autocast_gives_numbers(fusion):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused, _ = fusion(random_tokens(2))
    assert torch.isfinite(fused).all()


def test_the_number_of_modalities_is_free():
    for build in FUSIONS.values():
        fusion = build({"left": 8, "right": 6}, Fusion(width=16, heads=2, tokens=3))
        assert fusion({"left": torch.randn(2, 4, 8), "right": torch.randn(2, 7, 6)})[0].shape == (2, 16)


@pytest.mark.parametrize(
    ("widths", "sentence"),
    [({}, "at least one modality"), ({"video": 0}, "positive token width for video, got 0")],
)
def test_nonsense_widths_are_refused_in_a_sentence(widths, sentence):
    for build in FUSIONS.values():
        with pytest.raises(ValueError, match=sentence):
            build(widths, SIZES)
