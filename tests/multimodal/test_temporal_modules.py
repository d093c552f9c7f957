"""Modules over time: sizes, identities and what every entry of the table promises."""

from __future__ import annotations

import pytest
import torch

from multimodal.temporal import (
    TEMPORAL,
    NonLocalFrames,
    NonLocalTemporal,
    TemporalAttention,
    TemporalExcitation,
    TemporalShift,
)

LAYOUTS = {
    "sequence": (2, 4, 16),
    "maps": (8, 16, 3, 5),
    "clips": (2, 4, 16, 3, 5),
}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded(build, seed: int = 0) -> torch.nn.Module:
    """A module with random weights everywhere, also where it starts at zero."""
    torch.manual_seed(seed)
    module = build()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module.eval()


def zeroed(module: torch.nn.Module) -> torch.nn.Module:
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    return module


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        (lambda: TemporalShift(), 0),
        (lambda: TemporalExcitation(64), 2_384),
        (lambda: TemporalExcitation(256), 34_112),
        (lambda: TemporalExcitation(1792), 1_615_040),
        (lambda: TemporalExcitation(2304), 2_666_304),
        (lambda: TemporalAttention(256), 16_513),
        (lambda: TemporalAttention(1792), 803_713),
        (lambda: TemporalAttention(2304), 1_328_257),
        (lambda: NonLocalTemporal(512), 525_568),
    ],
)
def test_a_module_has_the_parameters_its_sizes_ask_for(build, parameters):
    assert count(build()) == parameters


# What holds for every entry of the table, in every layout.


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", TEMPORAL)
def test_every_entry_keeps_the_shape(name, layout):
    features = drawn(*LAYOUTS[layout])
    assert seeded(lambda: TEMPORAL[name](16, 4))(features).shape == features.shape


@pytest.mark.parametrize("name", TEMPORAL)
def test_maps_and_clips_are_the_same_thing_in_two_shapes(name):
    module, clips = seeded(lambda: TEMPORAL[name](16, 4)), drawn(2, 4, 16, 3, 5)
    torch.testing.assert_close(module(clips.flatten(0, 1)), module(clips).flatten(0, 1))


@pytest.mark.parametrize("name", TEMPORAL)
def test_maps_of_one_pixel_are_a_sequence(name):
    module, sequence = seeded(lambda: TEMPORAL[name](16, 4)), drawn(2, 4, 16)
    torch.testing.assert_close(module(sequence[..., None, None])[..., 0, 0], module(sequence))


@pytest.mark.parametrize("layout", ["sequence", "clips"])
@pytest.mark.parametrize("name", TEMPORAL)
def test_a_clip_does_not_see_its_neighbours_in_the_batch(name, layout):
    module, features = seeded(lambda: TEMPORAL[name](16, 4)), drawn(*LAYOUTS[layout])
    torch.testing.assert_close(module(features)[1:], module(features[1:]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", TEMPORAL)
def test_training_and_service_give_the_same_to_the_bit_with_a_batch_of_one_too(name):
    module, features = seeded(lambda: TEMPORAL[name](16, 4)), drawn(1, 4, 16)
    served = module(features)
    assert torch.equal(served, module(features))
    assert torch.equal(served, module.train()(features))


@pytest.mark.parametrize("name", TEMPORAL)
def test_stored_weights_give_the_same_to_the_bit(name):
    first, second = (seeded(lambda: TEMPORAL[name](16, 4), seed) for seed in (0, 1))
    second.load_state_dict(first.state_dict())
    features = drawn(2, 4, 16)
    assert torch.equal(first(features), second(features))


@pytest.mark.parametrize("name", ["tea", "non_local"])
def test_every_parameter_learns(name):
    module = seeded(lambda: TEMPORAL[name](16, 4)).train()
    module(drawn(2, 4, 16)).square().sum().backward()
    for parameter, values in module.named_parameters():
        assert torch.isfinite(values.grad).all(), parameter
        # A bias of the keys adds the same to all scores of a row, which softmax does not see.
        assert (values.grad.abs().max() > 1e-3) == (parameter != "block.phi.bias"), parameter


@pytest.mark.parametrize("name", ["tsm", "tea", "non_local"])
def test_maps_that_are_no_whole_number_of_clips_are_refused_in_a_sentence(name):
    with pytest.raises(ValueError, match="expected clips of 4 frames, got 7 maps"):
        TEMPORAL[name](16, 4)(torch.zeros(7, 16, 2, 2))


@pytest.mark.parametrize("name", ["tsm", "tea", "non_local"])
def test_another_rank_is_refused_in_a_sentence(name):
    with pytest.raises(ValueError, match=r"expected .* got \(4, 16\)"):
        TEMPORAL[name](16, 4)(torch.zeros(4, 16))


@pytest.mark.parametrize("name", ["tsm", "tea", "non_local"])
def test_bfloat16_gives_numbers(name):
    module = seeded(lambda: TEMPORAL[name](16, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(module(drawn(2, 4, 16))).all()


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: TemporalShift(frames=0), "temporal shift: expected frames of at least 1, got 0"),
        (lambda: TemporalShift(fraction=1), "fraction of at least 2, for two parts must move, got 1"),
        (lambda: TemporalExcitation(0), "temporal excitation: expected channels of at least 1, got 0"),
        (lambda: TemporalExcitation(8, reduction=0), "expected reduction of at least 1, got 0"),
        (lambda: TemporalAttention(0), "temporal attention: expected width of at least 1, got 0"),
        (lambda: NonLocalTemporal(8, inner=0), "non-local block: expected inner of at least 1, got 0"),
        (lambda: NonLocalFrames(8, frames=0), "non-local block: expected frames of at least 1, got 0"),
    ],
)
def test_nonsense_sizes_are_refused_in_a_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


# Temporal shift.


def test_the_shift_moves_one_channel_back_and_one_ahead():
    frames = (8 * torch.arange(4)[:, None] + torch.arange(8)).float()  # frame t, channel c holds 8 t + c
    shifted = TemporalShift(frames=4, fraction=8)(frames[None])[0]
    assert shifted[:, 0].tolist() == [8, 16, 24, 0]
    assert shifted[:, 1].tolist() == [0, 1, 9, 17]
    assert torch.equal(shifted[:, 2:], frames[:, 2:])


def test_the_shift_lets_in_two_folds_of_zeros_per_clip():
    shifted = TemporalShift(frames=4, fraction=8)(torch.ones(3 * 4, 16, 2, 5))
    assert int((shifted == 0).sum()) == 3 * (2 * 2 * 2 * 5)  # clips * (2 folds of 2 channels, 2 x 5 pixels)
    assert set(shifted.unique().tolist()) == {0.0, 1.0}


def test_the_shift_is_linear():
    shift, left, right = TemporalShift(frames=4), drawn(2, 4, 16), drawn(2, 4, 16, seed=1)
    torch.testing.assert_close(shift(2 * left - 3 * right), 2 * shift(left) - 3 * shift(right))


def test_what_the_shift_pushes_out_of_the_clip_gets_no_gradient():
    frames = torch.ones(1, 4, 16, requires_grad=True)
    TemporalShift(frames=4, fraction=8)(frames).sum().backward()
    expected = torch.ones(4, 16)
    expected[0, :2] = 0  # channels that move to the frame before
    expected[3, 2:4] = 0  # channels that move to the frame behind
    assert torch.equal(frames.grad[0], expected)


def test_a_single_frame_loses_what_is_shifted():
    shifted = TemporalShift(frames=1, fraction=8)(torch.ones(2, 1, 16))
    assert shifted[0, 0].tolist() == [0.0] * 4 + [1.0] * 12


def test_fewer_channels_than_the_fraction_stay_where_they_are():
    frames = drawn(2, 4, 7)
    assert torch.equal(TemporalShift(frames=4, fraction=8)(frames), frames)


def test_the_length_of_a_sequence_is_read_from_the_sequence():
    assert TemporalShift(frames=8)(drawn(2, 5, 16)).shape == (2, 5, 16)


# Temporal excitation.


def test_excitation_of_zero_weights_halves_everything():
    clips = drawn(2, 4, 16, 3, 5)
    torch.testing.assert_close(zeroed(TemporalExcitation(16, 4))(clips), clips / 2)


def test_residual_excitation_of_zero_weights_adds_the_half():
    clips = drawn(2, 4, 16)
    torch.testing.assert_close(zeroed(TemporalExcitation(16, 4, residual=True))(clips), 1.5 * clips)


def test_excitation_sees_the_frames_before_and_behind_only():
    module, frames = seeded(lambda: TemporalExcitation(8, 5)), drawn(1, 5, 8)
    changed = frames.clone()
    changed[:, 4] += 1
    differs = (module(frames) != module(changed)).any(dim=2)[0]
    assert differs.tolist() == [False, False, False, True, True]


def test_excitation_turns_all_pixels_of_a_channel_alike():
    clips = torch.ones(1, 4, 8, 2, 3)
    gate = seeded(lambda: TemporalExcitation(8, 4))(clips)
    assert torch.equal(gate, gate[..., :1, :1].expand_as(gate))
    assert gate.min() > 0 and gate.max() < 1


# Temporal attention.


def test_attention_of_zero_weights_is_the_mean():
    frames = drawn(2, 5, 8)
    vector, weights = zeroed(TemporalAttention(8))(frames)
    torch.testing.assert_close(vector, frames.mean(dim=1))
    torch.testing.assert_close(weights, torch.full((2, 5, 1), 0.2))


def test_weights_of_frames_sum_to_one_in_training_and_in_service():
    for module in (seeded(lambda: TemporalAttention(8)).train(), seeded(lambda: TemporalAttention(8))):
        vector, weights = module(drawn(3, 6, 8))
        assert vector.shape == (3, 8) and weights.shape == (3, 6, 1)
        assert weights.min() >= 0
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(3, 1), atol=1e-6, rtol=0)


def test_the_order_of_frames_moves_the_weights_and_leaves_the_vector():
    module, frames, order = seeded(lambda: TemporalAttention(8)), drawn(2, 5, 8), [3, 0, 4, 1, 2]
    vector, weights = module(frames)
    moved_vector, moved_weights = module(frames[:, order])
    torch.testing.assert_close(moved_vector, vector, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(moved_weights, weights[:, order], atol=1e-6, rtol=1e-5)


def test_frames_that_are_not_valid_might_as_well_not_be_there():
    module, frames = seeded(lambda: TemporalAttention(8)), drawn(2, 6, 8)
    valid = torch.tensor([[True, True, True, True, False, False]]).expand(2, -1)
    vector, weights = module(frames, valid)
    short_vector, short_weights = module(frames[:, :4])
    torch.testing.assert_close(vector, short_vector, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights[:, :4], short_weights, atol=1e-6, rtol=1e-5)
    assert torch.equal(weights[:, 4:], torch.zeros(2, 2, 1))
    assert torch.equal(module(torch.where(valid[..., None], frames, 99.0), valid)[0], vector)


def test_a_clip_without_a_valid_frame_gives_zeros_and_harms_nobody():
    module, frames = seeded(lambda: TemporalAttention(8)), drawn(2, 3, 8)
    valid = torch.tensor([[False] * 3, [True] * 3])
    vector, weights = module(frames, valid)
    assert torch.equal(vector[0], torch.zeros(8)) and torch.equal(weights[0], torch.zeros(3, 1))
    torch.testing.assert_close(vector[1:], module(frames[1:])[0])


# Non-local block.


def test_the_non_local_block_starts_as_the_identity():
    torch.manual_seed(0)
    sequence = drawn(2, 16, 5)
    assert torch.equal(NonLocalTemporal(16)(sequence), sequence)


def test_the_non_local_block_moves_along_with_its_frames():
    module, sequence, order = seeded(lambda: NonLocalTemporal(16)), drawn(2, 16, 5), [3, 0, 4, 1, 2]
    torch.testing.assert_close(
        module(sequence[..., order]), module(sequence)[..., order], atol=1e-5, rtol=1e-5
    )


def test_the_non_local_block_is_its_formula():
    module, sequence = seeded(lambda: NonLocalTemporal(6, inner=2)), drawn(1, 6, 4)
    theta, phi, g = (layer(sequence)[0] for layer in (module.theta, module.phi, module.g))
    read = torch.stack([(theta[:, t] @ phi).softmax(dim=0) @ g.T for t in range(4)], dim=1)  # (inner, frames)
    expected = sequence + module.out(read[None])
    torch.testing.assert_close(module(sequence), expected, atol=1e-5, rtol=1e-5)


def test_every_frame_divides_its_attention_over_all_frames():
    attention = seeded(lambda: NonLocalTemporal(16)).attention(drawn(2, 16, 5))
    assert attention.shape == (2, 5, 5)
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(2, 5), atol=1e-6, rtol=0)


def test_in_maps_a_position_reads_the_same_position_only():
    module, clips = seeded(lambda: NonLocalFrames(8, 4)), drawn(1, 4, 8, 2, 3)
    changed = clips.clone()
    changed[:, 0, :, 1, 2] += 1
    differs = (module(clips) != module(changed)).any(dim=2)[0]  # (frames, height, width)
    assert differs[:, 1, 2].all()
    assert int(differs.sum()) == 4
