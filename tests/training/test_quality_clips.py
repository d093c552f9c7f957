import csv

import numpy as np
import pytest

from multimodal.quality_presets import QUALITY_PRESETS
from training.clip_dataset import load_clips
from training.quality_clips import Amount, generate
from training.quality_clips.distortions import TRANSPARENT, single
from training.quality_clips.scenes import dead_leaves, fly_over
from training.quality_clips.vmaf import score
from training.quality_clips.writing import LOSSLESS, write_film

pytestmark = pytest.mark.slow
CONTENTS = ("leaves 0", "leaves 30", "leaves 33")


@pytest.fixture(scope="module")
def root(small_clips):
    return small_clips


@pytest.fixture(scope="module")
def film():
    rng = np.random.default_rng(8)
    return fly_over(dead_leaves(rng), (176, 144), rng)


def rows_of(root):
    with (root / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_copy_that_lost_nothing_scores_as_vmaf_scores_identity(film, tmp_path):
    reference = write_film(tmp_path / "reference.mkv", film, LOSSLESS)
    assert score(write_film(tmp_path / "same.mkv", film, LOSSLESS), reference).clip > 97


def test_frames_are_paired_by_number_whatever_clock_the_container_has(film, tmp_path):
    """Matroska counts in milliseconds: paired by time, the same frames used to score 10 to 20 points less."""
    reference = write_film(tmp_path / "reference.mkv", film, LOSSLESS)
    in_mp4 = score(write_film(tmp_path / "copy.mp4", film, TRANSPARENT), reference)
    assert in_mp4.clip > 90
    assert in_mp4.frames.shape == (len(film),)
    assert in_mp4.frames.min() > 85


def test_more_compression_scores_less(film, tmp_path):
    reference = write_film(tmp_path / "reference.mkv", film, LOSSLESS)
    ladder = [
        score(write_film(tmp_path / f"{level}.mp4", film, single("H.264", level).coding), reference).clip
        for level in (0.0, 0.5, 1.0)
    ]
    assert ladder[0] > ladder[1] + 10 > ladder[2] + 20


def test_a_file_that_is_no_video_is_one_sentence(film, tmp_path):
    reference = write_film(tmp_path / "reference.mkv", film, LOSSLESS)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(RuntimeError, match=r"vmaf: expected a score of text\.mp4, FFmpeg failed"):
        score(tmp_path / "text.mp4", reference)


def test_every_clip_has_its_row_its_file_and_a_score_per_frame(root):
    rows = rows_of(root)
    assert len(rows) == 3 * (1 + 8 + 1)
    assert {row["split"] for row in rows} == {"train", "choose", "held_out"}
    for row in rows:
        assert (root / row["file"]).is_file()
        frames = np.load(root / "frames" / f"{(root / row['file']).stem}.npy")
        assert frames.mean() == pytest.approx(float(row["score"]), abs=0.1)


def test_the_pristine_copy_is_the_best_of_its_source(root):
    rows = rows_of(root)
    for content in CONTENTS:
        scores = {row["distortion"]: float(row["score"]) for row in rows if row["content"] == content}
        assert scores["pristine"] > 90
        assert scores["pristine"] > max(value for name, value in scores.items() if name != "pristine") - 1.0


def test_a_second_call_makes_nothing_again(root):
    before = {path: path.stat().st_mtime_ns for path in (root / "clips").iterdir()}
    assert generate(root, amount=Amount(1, 1, CONTENTS)) == root
    assert {path: path.stat().st_mtime_ns for path in (root / "clips").iterdir()} == before


def test_an_unknown_content_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"contents: expected some of .*bikes.*, got trams"):
        generate(tmp_path / "new", amount=Amount(only=("trams",)))
    assert not (tmp_path / "new").exists()


def test_decoded_clips_carry_the_score_of_each_moment(root, tmp_path):
    dataset = load_clips(root, QUALITY_PRESETS["video_quality_tiny"], tmp_path, workers=1)
    assert len(dataset) == 30
    views = dataset.views([0, 5])
    assert views["video_frames"].shape == (2, 16, 32, 32, 3)
    assert views["video_fragments"].shape == (2, 8, 32, 32, 3)
    assert dataset.frame_scores.shape == (30, 8, 2)
    first = np.load(dataset.clips[0].frame_scores)
    assert np.array_equal(dataset.frame_scores[0, 0], first[:2])
    assert dataset.moment_scores[0, 0] == pytest.approx(first[:2].mean())


def test_a_set_of_which_too_much_does_not_decode_is_refused(root, tmp_path):
    for path in (root / "clips").iterdir():
        target = tmp_path / "broken" / "clips" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes() if path.name.startswith("leaves_0") else b"nothing")
    (tmp_path / "broken" / "manifest.csv").write_text((root / "manifest.csv").read_text())
    with pytest.raises(ValueError, match="expected videos that decode, got 20 of 30 that do not"):
        load_clips(tmp_path / "broken", QUALITY_PRESETS["video_quality_tiny"], tmp_path / "cache", workers=1)
