"""The decoded data set: decoded once, stale never, batches as the network takes them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from multimodal.presets import PRESETS
from training.dataset import load_dataset
from training.decoding import decode_run
from training.weld_folder import find_runs
from training.weld_runs import generate

pytestmark = pytest.mark.slow

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = generate(tmp_path_factory.mktemp("data"), {0: 2, 9: 2}, seed=2, workers=1, progress=False)
    next(folder.rglob("*-09/*.flac")).unlink()
    return folder


def test_a_row_is_what_the_reference_decoder_gives(root: Path, tmp_path: Path) -> None:
    data = load_dataset(root, TINY, tmp_path, workers=1)
    raw, valid, labels = data.batch([3])
    decoded = decode_run(find_runs(root)[3], TINY)
    assert labels.tolist() == [data.runs[3].class_index]
    for name, expected in decoded.raw.items():
        assert np.abs(raw[name][0].numpy().astype(np.float64) - expected).max() <= 0.5 / 32767
    for name, mask in decoded.valid.items():
        assert np.array_equal(valid[name][0].numpy(), mask)


def test_batches_keep_the_types_of_the_served_tensors(root: Path, tmp_path: Path) -> None:
    data = load_dataset(root, TINY, tmp_path, workers=1)
    (raw, valid, labels), rest = data.batches(3)
    assert [raw[name].dtype for name in ("video", "image", "audio", "audio_samples", "sensor")] == [
        torch.uint8,
        torch.uint8,
        torch.float32,
        torch.int32,
        torch.float32,
    ]
    assert valid["image"].shape == (3, 5)
    assert labels.shape == (3,)
    assert len(rest[2]) == 1


def test_a_missing_file_is_counted_as_absent(root: Path, tmp_path: Path) -> None:
    data = load_dataset(root, TINY, tmp_path, workers=1)
    assert data.status_counts()["audio"] == {"OK": 3, "ABSENT": 1, "PARTIAL": 0, "CORRUPT": 0}
    assert int(data.valid["audio"].sum()) == 3


def test_the_second_call_decodes_nothing_and_two_workers_decode_the_same(root: Path, tmp_path: Path) -> None:
    first = load_dataset(root, TINY, tmp_path / "one", workers=1)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    load_dataset(root, TINY, tmp_path / "one", workers=1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == times
    second = load_dataset(root, TINY, tmp_path / "two", workers=2)
    assert all(np.array_equal(first.arrays[name], second.arrays[name]) for name in first.arrays)


def test_other_sizes_and_changed_files_are_decoded_anew(root: Path, tmp_path: Path) -> None:
    load_dataset(root, TINY, tmp_path, workers=1)
    larger = dataclasses.replace(TINY, video=dataclasses.replace(TINY.video, size_px=48))
    assert load_dataset(root, larger, tmp_path, workers=1).arrays["video"].shape == (4, 4, 48, 48, 3)
    log = next(root.rglob("*-00/*.csv"))
    log.write_bytes(log.read_bytes() + b"\n")
    load_dataset(root, TINY, tmp_path, workers=1)
    assert len(list(tmp_path.iterdir())) == 3


def test_an_interrupted_decoding_is_started_again(root: Path, tmp_path: Path) -> None:
    load_dataset(root, TINY, tmp_path, workers=1)
    (folder,) = tmp_path.iterdir()
    (folder / "complete.json").unlink()
    (folder / "sensor.npy").write_bytes(b"half")
    assert len(load_dataset(root, TINY, tmp_path, workers=1)) == 4


def test_a_root_whose_videos_are_all_unreadable_is_refused(tmp_path: Path) -> None:
    root = generate(tmp_path / "data", {0: 1}, workers=1, progress=False)
    next(root.rglob("*.avi")).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="expected readable video files, all 1 are corrupt"):
        load_dataset(root, TINY, tmp_path / "cache", workers=1)
