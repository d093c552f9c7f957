"""Warm-up files: of the sizes that the configurations promise, and what a request really brings."""

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from serving import warm_up
from serving.required import configuration, missing_files, models_of, warm_up_files

PIPELINE = "weld_inspection"


@pytest.fixture(scope="module")
def repository(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """weld_small as a GPU would serve it: the ensemble points at its engines for TensorRT."""
    folder = tmp_path_factory.mktemp("gpu") / "models"
    for model in models_of(exported, [PIPELINE], "cpu"):
        shutil.copytree(exported / model, folder / model)
    shutil.copy(folder / PIPELINE / "configs/cpu.pbtxt", folder / PIPELINE / "config.pbtxt")
    return folder


@pytest.fixture(scope="module")
def written(repository: Path) -> list[Path]:
    return warm_up.write(repository, [PIPELINE])


def test_every_file_has_the_bytes_that_its_input_promises(repository, written):
    promised = {
        path: size
        for model in models_of(repository, [PIPELINE], "gpu")
        for path, size in warm_up_files(repository / model, configuration(repository, model, "gpu")).items()
    }
    assert len(promised) == 2 + 2 + 3 + 2 + 8
    assert {path: path.stat().st_size for path in written} == promised


def test_the_rows_are_of_a_recording_and_not_all_alike(repository, written):
    pixels = np.fromfile(repository / "weld_small_image_encoder/warmup/image_pixels", np.uint8)
    assert pixels.std() > 10
    series = np.fromfile(repository / "weld_small_sensor_encoder/warmup/sensor_series", np.float32)
    assert np.isfinite(series).all()
    assert np.unique(series).size > 100
    assert np.fromfile(repository / "weld_small_fusion/warmup/video_valid", bool).tolist() == [True]


def test_the_fusion_is_warmed_up_with_what_the_encoders_answer(repository, written):
    folder = repository / "weld_small_sensor_encoder"
    session = onnxruntime.InferenceSession(folder / "1" / "dense.onnx")
    series = np.fromfile(folder / "warmup" / "sensor_series", np.float32).reshape(
        1, *session.get_inputs()[0].shape[1:]
    )
    (tokens,) = session.run(
        ["sensor_tokens"], {"sensor_series": series, "sensor_valid": np.ones((1, 1), bool)}
    )
    kept = np.fromfile(repository / "weld_small_fusion/warmup/sensor_tokens", np.float32)
    np.testing.assert_allclose(kept, tokens.ravel(), atol=1e-5)


def test_the_second_time_nothing_is_written_and_a_file_of_another_size_is_replaced(repository, written):
    assert warm_up.write(repository, [PIPELINE]) == []
    broken = repository / "weld_small_fusion/warmup/video_tokens"
    broken.write_bytes(b"short")
    sentences = [line for line in missing_files(repository, [PIPELINE], "gpu") if "warm-up" in line]
    assert len(sentences) == 1
    assert sentences[0].startswith("weld_small_fusion/warmup/video_tokens: expected ")
    assert sentences[0].endswith("bytes for the warm-up, got 5; run `python -m serving warm-up`")
    assert broken in warm_up.write(repository, [PIPELINE])
    assert broken.stat().st_size > 1000


def test_the_cpu_needs_no_warm_up_files(repository):
    assert not [line for line in missing_files(repository, [PIPELINE], "cpu") if "warm-up" in line]
