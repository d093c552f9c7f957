"""The reader of weld runs: where class and session come from, what is missing, how runs are split."""

from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

from multimodal.weld_classes import CLASS_NAMES
from training.weld_folder import WeldRun, class_of_category, find_runs, split_by_session


def _folder(root: Path, session: str, name: str, files: tuple[str, ...] = (".avi", ".flac", ".csv")) -> Path:
    folder = root / session / name
    (folder / "images").mkdir(parents=True)
    for ending in files:
        (folder / f"{name}{ending}").write_bytes(b"x")
    return folder


def _manifest(root: Path, *rows: str, header: str = "CATEGORY,SUBDIRS") -> None:
    (root / "manifest.csv").write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")


def _runs(sessions: int, per_session: int) -> list[WeldRun]:
    return [
        WeldRun(f"{session}-{index}", index % 12, str(session), None, (), None, None)
        for session in range(sessions)
        for index in range(per_session)
    ]


def test_without_a_manifest_the_class_is_the_code_in_the_name(tmp_path: Path) -> None:
    _folder(tmp_path, "s1", "01-02-23-0001-11")
    (run,) = find_runs(tmp_path)
    assert (run.id, run.session, CLASS_NAMES[run.class_index]) == ("01-02-23-0001-11", "s1", "Crater_Cracks")


def test_the_manifest_overrules_the_name(tmp_path: Path) -> None:
    _folder(tmp_path, "s1", "01-02-23-0001-11")
    _manifest(tmp_path, "Spatter,somewhere/else/s1/01-02-23-0001-11")
    assert find_runs(tmp_path)[0].class_index == CLASS_NAMES.index("Spatter")


def test_runs_deeper_in_the_tree_are_found_too(tmp_path: Path) -> None:
    _folder(tmp_path / "raid" / "data", "s1", "01-02-23-0001-00")
    assert [run.session for run in find_runs(tmp_path)] == ["s1"]


def test_what_was_not_recorded_is_none(tmp_path: Path) -> None:
    _folder(tmp_path, "s1", "01-02-23-0001-00", files=(".avi",))
    (run,) = find_runs(tmp_path)
    assert run.video is not None
    assert (run.photos, run.audio, run.sensor) == ((), None, None)


def test_photos_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "s1", "01-02-23-0001-00")
    for name in ("b.JPG", "a.jpg", "notes.txt"):
        (folder / "images" / name).write_bytes(b"x")
    assert [photo.name for photo in find_runs(tmp_path)[0].photos] == ["a.jpg", "b.JPG"]


def test_a_single_file_of_another_name_is_taken(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "s1", "01-02-23-0001-00", files=())
    (folder / "sound.flac").write_bytes(b"x")
    audio = find_runs(tmp_path)[0].audio
    assert audio is not None
    assert audio.name == "sound.flac"


def test_two_candidates_for_a_modality_are_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "s1", "01-02-23-0001-00", files=())
    for name in ("a.flac", "b.flac"):
        (folder / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=r"expected one \.flac file, found 2"):
        find_runs(tmp_path)


@pytest.mark.parametrize("spelling", ["porosity_w-excessive_penetration", "Porosity w Excessive Penetration"])
def test_spelling_of_a_category_does_not_matter(spelling: str) -> None:
    assert class_of_category(spelling) == CLASS_NAMES.index("Porosity_w_Excessive_Penetration")


def test_an_unknown_category_is_an_error_and_not_good(tmp_path: Path) -> None:
    _folder(tmp_path, "s1", "01-02-23-0001-00")
    _manifest(tmp_path, "Slag,s1/01-02-23-0001-00")
    with pytest.raises(
        ValueError, match=r"manifest.csv, line 2: category: expected one of Good, .* got 'Slag'"
    ):
        find_runs(tmp_path)


def test_an_unknown_code_is_an_error(tmp_path: Path) -> None:
    _folder(tmp_path, "s1", "01-02-23-0001-12")
    with pytest.raises(ValueError, match="class code 00 to 11"):
        find_runs(tmp_path)


def test_a_run_that_the_manifest_does_not_list_is_an_error(tmp_path: Path) -> None:
    _folder(tmp_path, "s1", "01-02-23-0001-00")
    _manifest(tmp_path)
    with pytest.raises(ValueError, match="1 have none, the first 01-02-23-0001-00"):
        find_runs(tmp_path)


def test_a_manifest_without_its_columns_is_an_error(tmp_path: Path) -> None:
    _folder(tmp_path, "s1", "01-02-23-0001-00")
    _manifest(tmp_path, "Good", header="CATEGORY")
    with pytest.raises(ValueError, match="SUBDIRS missing"):
        find_runs(tmp_path)


def test_a_missing_and_an_empty_root_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="python -m training generate"):
        find_runs(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="MM-DD-YY-NNNN-CC"):
        find_runs(tmp_path)


def test_no_session_is_in_two_splits_and_no_run_is_lost() -> None:
    runs = _runs(sessions=20, per_session=12)
    splits = split_by_session(runs, {"train": 0.7, "validation": 0.1, "test": 0.2}, seed=1)
    sessions = {name: {runs[index].session for index in rows} for name, rows in splits.items()}
    assert sorted(chain.from_iterable(splits.values())) == list(range(240))
    assert sum(len(held) for held in sessions.values()) == 20
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 168, "validation": 24, "test": 48}


def test_every_split_has_every_class_in_its_share() -> None:
    runs = [run for run in _runs(sessions=60, per_session=12) if (int(run.session) + run.class_index) % 3]
    splits = split_by_session(runs, {"train": 0.75, "test": 0.25})
    total = Counter(run.class_index for run in runs)
    held = Counter(runs[index].class_index for index in splits["test"])
    assert all(0.15 < held[index] / total[index] < 0.35 for index in total)


def test_the_seed_chooses_the_split_and_nothing_else_does() -> None:
    runs = _runs(sessions=12, per_session=12)
    shares = {"train": 0.5, "test": 0.5}
    assert split_by_session(runs, shares, 1) == split_by_session(runs, shares, 1)
    assert split_by_session(runs, shares, 1) != split_by_session(runs, shares, 2)


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        split_by_session(_runs(3, 1), {"train": 0.7, "test": 0.2})
    with pytest.raises(ValueError, match="at least 2 sessions, got 1"):
        split_by_session(_runs(1, 12), {"train": 0.5, "test": 0.5})
