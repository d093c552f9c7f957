"""Which frames the samplers keep, and that the learned one learns."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from multimodal.samplers import SAMPLERS, ContentAwareSampler, MotionAwareSampler
from multimodal.samplers.motion_aware import most_in_each_window, motion_of

SHORT = [(5, [0, 0, 1, 1, 2, 3, 3, 4]), (8, [0, 1, 2, 3, 4, 5, 6, 7]), (1, [0] * 8)]


class Brightness(torch.nn.Module):
    """(images, 3, height, width) -> (images, 1)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(1, 2, 3)).unsqueeze(1)


def brightest(target: int) -> ContentAwareSampler:
    """A sampler whose scores rise with brightness."""
    sampler = ContentAwareSampler(Brightness(), feature_width=1, hidden=1, target_frames=target)
    for name, value in sampler.importance.named_parameters():
        torch.nn.init.constant_(value, 1.0 if name.endswith("weight") else 0.0)
    return sampler.eval()


def pictures(*levels: float) -> torch.Tensor:
    """One frame of constant brightness per level, (frames, 3, 2, 2)."""
    return torch.tensor(levels, dtype=torch.float32)[:, None, None, None].expand(-1, 3, 2, 2).clone()


@pytest.mark.parametrize(("count", "kept"), SHORT)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_repeats_the_frames_of_a_short_clip_evenly(name, count, kept):
    if name == "motion":
        pytest.importorskip("cv2", reason="dense optical flow needs OpenCV")
        frames = np.zeros((count, 16, 16, 3), np.uint8)
        chosen, indices, values = MotionAwareSampler()(frames)
    else:
        chosen, indices, values = brightest(8)(pictures(*np.linspace(0.1, 1, count)))
    assert indices.tolist() == kept
    assert len(chosen) == 8 and len(values) == count


# Content-aware.


def test_the_importance_network_has_the_parameters_its_sizes_ask_for():
    sampler = ContentAwareSampler(torch.nn.Identity(), feature_width=2048)
    assert sum(parameter.numel() for parameter in sampler.parameters()) == 1_049_601


def test_the_best_frames_are_kept_in_their_order():
    frames = pictures(0.3, 0.9, 0.1, 0.8, 0.2)
    chosen, indices, scores = brightest(2)(frames)
    assert indices.tolist() == [1, 3]
    assert torch.equal(chosen, frames[[1, 3]])
    torch.testing.assert_close(scores, torch.sigmoid(torch.tensor([0.3, 0.9, 0.1, 0.8, 0.2])))


def test_every_clip_of_a_batch_is_chosen_from_on_its_own():
    first, second = pictures(0.3, 0.9, 0.1, 0.8), pictures(0.9, 0.1, 0.2, 0.8)
    sampler = brightest(2)
    chosen, indices, scores = sampler(torch.stack([first, second]))
    assert indices.tolist() == [[1, 3], [0, 3]]
    assert chosen.shape == (2, 2, 3, 2, 2) and scores.shape == (2, 4)
    assert torch.equal(chosen[1], sampler(second)[0])


def test_all_frames_of_a_batch_go_through_the_extractor_at_once():
    class Counting(Brightness):
        calls = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            assert images.shape == (10, 3, 2, 2)
            return super().forward(images)

    sampler = ContentAwareSampler(Counting(), feature_width=1, hidden=1, target_frames=2)
    sampler(torch.rand(2, 5, 3, 2, 2, generator=torch.Generator().manual_seed(0)))
    assert sampler.extractor.calls == 1


@pytest.mark.parametrize("count", [5, 2])
def test_training_leaves_the_frames_as_they_are_and_teaches_the_scores(count):
    frames = pictures(*(0.1 * step for step in range(1, count + 1)))
    sampler = brightest(3).train()
    chosen, indices, _ = sampler(frames)
    torch.testing.assert_close(chosen, frames[indices])
    chosen.sum().backward()
    for name, parameter in sampler.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_in_service_the_choice_has_no_gradient():
    assert not brightest(3)(pictures(0.1, 0.2, 0.3, 0.4))[0].requires_grad


def test_the_scores_learn_to_prefer_what_the_loss_rewards():
    torch.manual_seed(0)
    sampler = ContentAwareSampler(Brightness(), feature_width=1, hidden=8, target_frames=1).train()
    frames = torch.stack([pictures(-1.0, 1.0), pictures(1.0, -1.0)])
    optimiser = torch.optim.Adam(sampler.parameters(), lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        sampler(frames)[0].mean().backward()  # the darker the chosen frame, the lower the loss
        optimiser.step()
    assert sampler.eval()(frames)[1].tolist() == [[0], [1]]


@pytest.mark.parametrize("shape", [(3, 2, 2), (0, 3, 2, 2)])
def test_frames_of_another_shape_are_refused_in_a_sentence(shape):
    with pytest.raises(ValueError, match=r"expected .* with at least one frame, got"):
        brightest(2)(torch.zeros(shape))


# Motion-aware.


def test_constant_motion_keeps_the_first_frame_of_every_window():
    assert most_in_each_window(np.ones(32), 8).tolist() == [0, 4, 8, 12, 16, 20, 24, 28]


def test_rising_motion_keeps_the_last_frame_of_every_window():
    assert most_in_each_window(np.arange(30.0), 8).tolist() == [2, 6, 10, 14, 17, 21, 25, 29]


@pytest.mark.parametrize(("count", "kept"), SHORT)
def test_as_many_windows_as_frames_or_more_keep_every_frame(count, kept):
    assert most_in_each_window(np.arange(float(count)), 8).tolist() == kept


def texture(shift_px: int = 0) -> np.ndarray:
    """Smooth grey noise of 100 x 160 px, moved to the right."""
    cv2 = pytest.importorskip("cv2", reason="dense optical flow needs OpenCV")
    smooth = cv2.GaussianBlur(np.random.default_rng(0).random((100, 180)), (0, 0), 3)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.round(255 * smooth[:, 20 - shift_px : 180 - shift_px]).astype(np.uint8)


def test_motion_is_measured_in_pixels():
    motion = motion_of(np.stack([texture(0), texture(3), texture(6)]))
    np.testing.assert_allclose(motion, 3, atol=0.1)


def test_a_still_picture_does_not_move():
    assert motion_of(np.stack([texture()] * 3)).max() < 0.3


def test_the_first_frame_moves_as_much_as_the_second_and_a_single_one_not_at_all():
    motion = motion_of(np.stack([texture(0), texture(3), texture(3)]))
    assert motion[0] == motion[1] > 2 > motion[2]
    assert motion_of(texture()[None]).tolist() == [0.0]


def test_the_frame_that_jumps_is_kept_in_colour_too():
    frames = np.stack([texture(0)] * 3 + [texture(3)] * 5)
    colours = np.repeat(frames[..., None], 3, axis=3)
    for clip in (frames, colours):
        chosen, indices, motion = MotionAwareSampler(target_frames=1)(clip)
        assert indices.tolist() == [3]
        assert np.array_equal(chosen[0], clip[3])
        assert motion.shape == (8,)


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 8, 8, 3)), np.zeros((0, 8, 8, 3), np.uint8), np.zeros((2, 8, 8, 4), np.uint8)]
)
def test_pictures_of_another_kind_are_refused_in_a_sentence(frames):
    pytest.importorskip("cv2", reason="dense optical flow needs OpenCV")
    with pytest.raises(ValueError, match="motion-aware sampler: expected uint8 frames"):
        motion_of(frames)


def test_without_opencv_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)  # what an import of a missing module finds
    with pytest.raises(ImportError, match="found none; pip install opencv-python-headless"):
        MotionAwareSampler()(np.zeros((2, 8, 8, 3), np.uint8))


@pytest.mark.parametrize(
    "build",
    [
        lambda: MotionAwareSampler(0),
        lambda: ContentAwareSampler(Brightness(), feature_width=0),
        lambda: ContentAwareSampler(Brightness(), feature_width=1, target_frames=0),
    ],
)
def test_nonsense_sizes_are_refused_in_a_sentence(build):
    with pytest.raises(ValueError, match="of at least 1, got"):
        build()
