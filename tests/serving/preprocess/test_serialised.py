"""DALI pipelines as files: written without a GPU, for one too, and read instead of the code."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from serving import first_start
from serving.backends.dali import serialised
from serving.backends.dali.preprocess import wanted
from serving.backends.dali.serialised import pipelines_of
from tests.serving.preprocess.conftest import REPOSITORY, committed_contract
from tests.serving.preprocess.files import photo

CPU = {"batch_size": 2, "num_threads": 1, "device_id": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    version = tmp_path / "weld_base_preprocess" / "1"
    version.mkdir(parents=True)
    shutil.copy(REPOSITORY / "weld_base_preprocess/1/dali.py", version)
    return version


def photos(folder: Path, size_px: int = 64) -> np.ndarray:
    built = serialised.pipeline(pipelines_of(folder / "dali.py"), "photos", (size_px, "cpu"), **CPU)
    built.build()
    (pixels,) = built.run(image=[np.frombuffer(photo(seed=seed), np.uint8) for seed in range(2)])
    return np.array(pixels.as_tensor())


def test_a_serialised_pipeline_decodes_what_its_code_decodes(folder):
    expected = photos(folder)
    path = serialised.write(pipelines_of(folder / "dali.py"), "photos", (64, "cpu"))
    (folder / "dali.py").write_text((folder / "dali.py").read_text())  # unchanged: the file is still its
    assert path.parent == folder
    np.testing.assert_array_equal(photos(folder), expected)


def test_it_is_the_file_that_is_read(folder):
    path = serialised.write(pipelines_of(folder / "dali.py"), "recordings", (16_000,))
    path.write_bytes(b"no pipeline")
    with pytest.raises(RuntimeError):
        serialised.pipeline(pipelines_of(folder / "dali.py"), "recordings", (16_000,), **CPU)


def test_a_file_of_another_size_or_of_changed_code_is_not_read(folder):
    path = serialised.write(pipelines_of(folder / "dali.py"), "photos", (64, "cpu"))
    path.write_bytes(b"no pipeline")
    assert photos(folder, 32).shape == (2, 32, 32, 3)
    (folder / "dali.py").write_text((folder / "dali.py").read_text() + "\n# another text\n")
    assert photos(folder).shape == (2, 64, 64, 3)


def test_the_pipelines_of_the_gpu_are_written_without_one(folder):
    code, contract = pipelines_of(folder / "dali.py"), committed_contract("weld_base_preprocess")
    for modality in ("image", "video"):
        name, arguments = wanted(contract, modality, "gpu")
        content = serialised.write(code, name, arguments).read_bytes()
        assert arguments[1] == "gpu"
        assert b"mixed" in content  # where it decodes
        assert b"gpu" in content  # where it resizes
        assert serialised.write(code, name, arguments) is None


def test_sound_is_decoded_on_the_cpu_beside_a_gpu_too():
    contract = committed_contract("weld_base_preprocess")
    assert wanted(contract, "audio", "gpu") == wanted(contract, "audio", "cpu") == ("recordings", (16_000,))


def test_a_first_start_serialises_what_runs_on_the_gpu_and_only_once(tmp_path):
    first_start.seed(REPOSITORY, tmp_path)
    pipelines = ["weld_inspection", "video_quality", "vision_language"]
    written = first_start.serialise(tmp_path, pipelines)
    names = sorted(f"{path.parent.parent.name}/{path.name.split('-')[0]}" for path in written)
    assert names == [
        "vision_language_base_preprocess/photos",
        "weld_base_preprocess/photos",
        "weld_base_preprocess/videos",
    ]
    assert first_start.serialise(tmp_path, pipelines) == []
