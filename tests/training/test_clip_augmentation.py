import numpy as np

from multimodal.quality_presets import FRAMES, Sampling
from training.clip_augmentation import ClipAugmentation

SAMPLING = Sampling(size_px=32, burst=2, fragments_px=64)


def augmentation(seed=0):
    return ClipAugmentation(SAMPLING, np.random.default_rng(seed))


def mosaics(batch=2):
    return np.random.default_rng(1).integers(0, 256, (batch, FRAMES, 64, 64, 3), dtype=np.uint8)


def test_an_augmented_clip_has_the_same_pixels_elsewhere():
    clips = mosaics()
    altered = augmentation()("spatial", clips)
    assert altered.shape == clips.shape
    assert not np.array_equal(altered, clips)
    for before, after in zip(clips, altered, strict=True):
        assert np.array_equal(np.sort(before, axis=None), np.sort(after, axis=None))


def test_all_frames_of_a_clip_are_altered_alike():
    still = np.repeat(mosaics(1)[:, :1], FRAMES, axis=1)
    altered = augmentation()("spatial", still)
    assert (altered == altered[:, :1]).all()


def test_patches_stay_whole():
    corners = np.zeros((1, 1, 64, 64, 3), np.uint8)
    corners[:, :, 32:, :32], corners[:, :, :32, 32:], corners[:, :, 32:, 32:] = 1, 2, 3
    for seed in range(5):
        altered = augmentation(seed)("spatial", corners)[0, 0, :, :, 0]
        quarters = altered.reshape(2, 32, 2, 32).swapaxes(1, 2).reshape(4, -1)
        assert (quarters == quarters[:, :1]).all()
        assert sorted(quarters[:, 0]) == [0, 1, 2, 3]


def test_whole_frames_keep_their_halves_together():
    halves = np.zeros((1, 2, 32, 32, 3), np.uint8)
    halves[:, :, :, 16:] = 1
    altered = augmentation(2)("temporal", halves)[0, 0, :, :, 0]
    columns, rows = altered.reshape(2, 16, 2, 16).mean(axis=(1, 3)), altered
    assert set(np.unique(columns)) == {0.0, 1.0}
    assert rows.mean() == 0.5


def test_the_same_seed_alters_alike():
    assert np.array_equal(augmentation(4)("spatial", mosaics()), augmentation(4)("spatial", mosaics()))


def test_chosen_moments_come_in_order_with_all_frames_of_their_burst():
    clips = np.broadcast_to(np.arange(16, dtype=np.uint8)[None, :, None, None, None], (3, 16, 4, 4, 3))
    chosen, frames = augmentation().moments(clips, 3)
    assert chosen.shape == (3, 3)
    assert (np.diff(chosen, axis=1) > 0).all()
    expected = np.stack([chosen * 2, chosen * 2 + 1], axis=2).reshape(3, 6)
    assert np.array_equal(frames[:, :, 0, 0, 0], expected)
