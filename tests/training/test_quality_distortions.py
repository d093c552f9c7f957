import numpy as np
import pytest

from training.quality_clips.distortions import (
    CODECS,
    KINDS,
    MIXED,
    PICTURE,
    PRISTINE,
    TRANSPARENT,
    single,
    treatments,
)
from training.quality_clips.scenes import FRAMES, dead_leaves, fly_over, with_passers_by
from training.quality_clips.sources import CHOOSE, HELD_OUT, cut, own, packaged, split_of


@pytest.fixture(scope="module")
def film():
    rng = np.random.default_rng(3)
    return fly_over(dead_leaves(rng), (240, 180), rng)


def altered(film, kind, strength, seed=0):
    return single(kind, strength).alter(film, np.random.default_rng(seed)).astype(np.float64)


@pytest.mark.parametrize("kind", PICTURE)
def test_a_stronger_distortion_is_further_from_the_source(film, kind):
    near, far = (np.abs(altered(film, kind, strength) - film).mean() for strength in (0.1, 0.9))
    assert 0 < near < far


@pytest.mark.parametrize("kind", PICTURE)
def test_the_same_seed_distorts_the_same_way(film, kind):
    assert np.array_equal(altered(film, kind, 0.5, seed=7), altered(film, kind, 0.5, seed=7))


def test_dropped_frames_repeat_the_frame_before_and_invent_nothing(film):
    stalled = altered(film, "dropped frames", 0.7)
    repeats = 0
    for index in range(1, FRAMES):
        same = [np.array_equal(stalled[index], film[earlier]) for earlier in range(index + 1)]
        assert any(same)
        repeats += np.array_equal(stalled[index], stalled[index - 1])
    assert repeats > FRAMES // 3
    assert np.array_equal(stalled[0], film[0])


def test_blur_keeps_the_mean_and_loses_detail(film):
    soft = altered(film, "blur", 0.8)
    assert soft.mean() == pytest.approx(film.mean(), abs=1.0)
    assert np.diff(soft, axis=2).std() < 0.5 * np.diff(film.astype(float), axis=2).std()


def test_flicker_moves_whole_frames(film):
    brightness = altered(film, "flicker", 0.7).mean(axis=(1, 2, 3)) / film.mean(axis=(1, 2, 3))
    assert brightness.std() > 0.08


def test_an_unknown_distortion_or_strength_is_refused():
    for kind, strength in (("smear", 0.5), ("blur", 1.5)):
        with pytest.raises(ValueError, match=r"distortion: expected one of H\.264"):
            single(kind, strength)


def test_codecs_compress_more_with_strength_and_pictures_are_written_transparently():
    for kind in CODECS:
        weak, strong = single(kind, 0.0).coding, single(kind, 1.0).coding
        assert weak.encoder == strong.encoder
        assert weak.options != strong.options
    assert single("blur", 0.5).coding is TRANSPARENT


def test_a_source_gets_every_kind_at_every_level_and_pairs_of_two():
    made = treatments(np.random.default_rng(0), levels=2, mixed=3)
    assert made[0].kind == PRISTINE
    for kind in KINDS:
        strengths = [one.strength for one in made if one.kind == kind]
        assert len(strengths) == 2
        assert strengths[0] < 0.5 < strengths[1]
    assert sum(MIXED in one.kind for one in made) == 3


def test_dead_leaves_and_flights_are_the_same_for_the_same_seed():
    one, same, other = (dead_leaves(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.shape == (480, 640, 3)
    flights = [fly_over(one, (160, 120), np.random.default_rng(5)) for _ in range(2)]
    assert np.array_equal(*flights)
    assert flights[0].shape == (FRAMES, 120, 160, 3)


def test_passers_by_change_a_part_of_the_picture_only(film):
    crossed = with_passers_by(film, np.random.default_rng(11))
    changed = (crossed != film).any(axis=(0, 3))
    assert 0.01 < changed.mean() < 0.9


def test_every_split_has_contents_and_every_source_a_content_of_one_split():
    splits = {}
    for source in packaged():
        splits.setdefault(split_of(source.content), set()).add(source.content)
    assert splits["choose"] == set(CHOOSE)
    assert splits["held_out"] == set(HELD_OUT)
    assert len(splits["train"]) > 30
    assert not splits["train"] & (splits["choose"] | splits["held_out"])


def test_a_packaged_film_gives_even_sides_and_all_its_frames():
    first = next(source for source in packaged() if source.name == "bikes-0").film()
    assert first.shape == (FRAMES, 136, 320, 3)


def test_own_films_are_contents_of_their_own(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected films"):
        own(tmp_path)
    (tmp_path / "holiday.mp4").write_bytes(b"")
    (source,) = own(tmp_path)
    assert source.content == "holiday"


def test_a_film_that_ends_too_early_is_refused(tmp_path):
    path = next(source for source in packaged() if source.name == "carphone-0").film.args[0].path()
    with pytest.raises(ValueError, match="expected 32 frames from frame 110 on, got 10"):
        cut(path, 110, 176)
