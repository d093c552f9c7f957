"""Simulated weld runs: the public layout, the same files for the same seed, spread evidence."""

import csv
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from multimodal.weld_classes import CLASS_NAMES, MODALITIES
from training.weld_runs import generate, write_run
from training.weld_runs.camera import film_weld
from training.weld_runs.session import draw_session
from training.weld_runs.signatures import NOMINAL, SIGNATURES, Evidence, draw_evidence

HEADER = (
    "Date,Time,Part No,Pressure,CO2 Weld Flow,Feed,Primary Weld Current,Wire Consumed,"
    "Secondary Weld Voltage,Remarks"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("session") / "01-02-23-0007-09"
    write_run(folder, CLASS_NAMES.index("Spatter"), seed=7)
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("runs"), {0: 3, 3: 2, 11: 1}, seed=5, workers=1, progress=False)


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_run_is_a_video_a_sound_a_log_and_five_photos_named_after_it(run: Path) -> None:
    name = run.name
    photos = {f"images/{name}_{index}.jpg" for index in range(1, 6)}
    assert set(_contents(run)) == {f"{name}.avi", f"{name}.flac", f"{name}.csv", *photos}


def test_the_video_is_mpeg4_part_2_tagged_as_the_public_one(run: Path) -> None:
    with av.open(str(run / f"{run.name}.avi")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.codec_tag) == ("mpeg4", "FMP4")
        assert (stream.width, stream.height, float(stream.average_rate)) == (320, 192, 15.0)
        frames = sum(1 for _ in container.decode(stream))
        assert 60 <= frames <= 90
        assert frames == stream.frames


def test_the_sound_is_16_khz_mono_and_as_long_as_the_video(run: Path) -> None:
    sound = soundfile.info(run / f"{run.name}.flac")
    with av.open(str(run / f"{run.name}.avi")) as container:
        seconds = container.streams.video[0].frames / 15
    assert (sound.samplerate, sound.channels, sound.subtype) == (16_000, 1, "PCM_16")
    assert abs(sound.frames - 16_000 * seconds) <= 1


def test_the_log_has_the_public_header_and_195_to_300_complete_rows(run: Path) -> None:
    lines = (run / f"{run.name}.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == HEADER
    assert 195 <= len(lines) - 1 <= 300
    assert {len(row) for row in csv.reader(lines)} == {10}


def test_the_photos_are_wide_jpegs(run: Path) -> None:
    with Image.open(run / "images" / f"{run.name}_1.jpg") as photo:
        assert (photo.format, photo.size, photo.mode) == ("JPEG", (500, 225), "RGB")


def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for place, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_run(tmp_path / place / "01-02-23-0001-01", 1, seed)
    first, again, other = (_contents(tmp_path / place) for place in "abc")
    assert first == again
    assert all(first[name] != other[name] for name in first)


def test_workers_change_nothing(root: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", {0: 3, 3: 2, 11: 1}, seed=5, workers=2, progress=False)
    assert _contents(tmp_path / "again") == _contents(root)


def test_the_manifest_lists_every_run_with_its_category_and_place(root: Path) -> None:
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["CATEGORY"] for row in rows) == {"Good": 3, "Porosity": 2, "Crater_Cracks": 1}
    assert all((root / row["SUBDIRS"]).is_dir() for row in rows)
    assert all(row["SUBDIRS"].startswith(row["DIRECTORY"] + "/") for row in rows)
    assert all(CLASS_NAMES[int(row["SUBDIRS"][-2:])] == row["CATEGORY"] for row in rows)
    assert len({row["DIRECTORY"] for row in rows}) == 3


def test_a_root_with_runs_is_never_written_over(root: Path) -> None:
    with pytest.raises(FileExistsError, match="choose another folder"):
        generate(root, 1, progress=False)


@pytest.mark.parametrize("counts", [0, -1, {}, {12: 3}])
def test_impossible_counts_are_refused(counts: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="runs per class: expected"):
        generate(tmp_path / "new", counts, progress=False)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_an_unknown_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="class index: expected 0 to 11, got 12"):
        write_run(tmp_path / "x", 12, seed=0)


def test_every_class_is_a_combination_of_its_own_and_good_is_nominal_everywhere() -> None:
    combinations = [tuple(signature[name] for name in MODALITIES) for signature in SIGNATURES]
    assert len(set(combinations)) == len(CLASS_NAMES)
    assert combinations[0] == (NOMINAL,) * 4


@pytest.mark.parametrize(("modality", "groups"), [("video", 5), ("image", 5), ("audio", 3), ("sensor", 4)])
def test_a_single_modality_sees_only_a_few_groups(modality: str, groups: int) -> None:
    assert len({signature[modality] for signature in SIGNATURES}) == groups


def test_evidence_is_weak_in_a_tenth_of_the_runs() -> None:
    rng = np.random.default_rng(0)
    strengths = [draw_evidence(9, "audio", rng).strength for _ in range(2000)]
    assert 0.07 < np.mean(np.asarray(strengths) < 0.5) < 0.13
    assert min(abs(strength - 0.6) for strength in strengths) >= 0.15  # nothing between weak and full


def test_distractors_in_good_runs_stay_weaker_than_evidence() -> None:
    rng = np.random.default_rng(0)
    seen = [draw_evidence(0, "sensor", rng) for _ in range(2000)]
    echoes = [evidence.strength for evidence in seen if evidence.kind != NOMINAL]
    assert 0.1 < len(echoes) / len(seen) < 0.2
    assert max(echoes) <= 0.3


def test_a_big_pool_lights_more_of_the_picture_than_a_small_one() -> None:
    session = draw_session(np.random.default_rng(1))

    def bright(kind: str) -> float:
        film = film_weld(session, Evidence(kind, 1.0), 20, np.random.default_rng(2))
        return float((film[5:15] > 190).sum(axis=(1, 2)).mean())

    assert bright("big_pool") > 1.3 * bright(NOMINAL) > 1.3 * 1.3 * bright("small_pool")
