"""The golden set of video quality: ladders, broken files, labelled clips, and PyTorch's answers to them."""

import csv
import json

import numpy as np
import pytest
import torch

from export.__main__ import main
from export.golden_videos import CONTENTS, STRENGTHS, VideoItem, VideoSet
from multimodal.quality_build import build_quality, save_quality_weights
from multimodal.quality_presets import FRAMES, QUALITY_PRESETS
from training.decoding import Status

pytestmark = pytest.mark.slow

TINY = QUALITY_PRESETS["video_quality_tiny"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(3)
    models = {name: build_quality(TINY, fusion=name) for name in ("gated", "pyramid")}
    return save_quality_weights(
        models["gated"], models, tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory, weights):
    out = tmp_path_factory.mktemp("golden")
    assert write(out, weights) == 0
    return out / "video_quality"


def write(out, weights, *more):
    typed = ["golden", "video_quality", "--preset", TINY.name, "--weights", str(weights), "--out", str(out)]
    return main([*typed, *more])


def content(folder):
    return json.loads((folder / "golden.json").read_text())


def expected(folder):
    (path,) = (file for file in folder.glob("expected-*.npz") if not file.stem.endswith("pyramid"))
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_every_content_is_a_ladder_of_compression_and_three_files_are_broken_or_small(root):
    described = content(root)
    items = described["items"]
    assert len(items) == CONTENTS * len(STRENGTHS) + 3
    assert [line["damage"] for line in items[-3:]] == ["video", "", "video"]
    assert (described["class_names"], described["normal"]) == ([], None)
    sizes = [(root / "inputs" / f"{line['id']}.npz").stat().st_size for line in items[: len(STRENGTHS)]]
    assert sizes == sorted(sizes, reverse=True), "the stronger the compression, the smaller the file"


def test_items_without_a_known_quality_cannot_be_judged_and_say_so(root):
    assert {line["target"] for line in content(root)["items"]} == {None}
    assert not any(line["complete"] for line in content(root)["items"])


def test_answers_have_every_output_of_the_pipeline_and_broken_files_their_status(root):
    answers = expected(root)
    count = len(content(root)["items"])
    assert {name: rows.shape for name, rows in answers.items()} == {
        "quality_score": (count, 1),
        "frame_scores": (count, FRAMES),
        "frame_weights": (count, FRAMES),
        "fusion_weights": (count, 4, 16),
        "fusion_shape": (count, 2),
        "fusion_index": (count, 1),
        "frame_numbers": (count, FRAMES),
        "frame_times": (count, FRAMES),
        "modality_status": (count, 1),
    }
    assert answers["modality_status"][-3:, 0].tolist() == [Status.PARTIAL, Status.OK, Status.CORRUPT]
    assert (answers["modality_status"][:-3] == Status.OK).all()
    assert not answers["quality_score"][-1].any()
    np.testing.assert_allclose(answers["frame_weights"][:-1].sum(axis=1), 1, atol=1e-5)


def test_another_fusion_adds_its_answers_to_the_same_items(root, weights):
    before = content(root)
    assert write(root.parent, weights, "--fusion", "pyramid") == 0
    assert content(root) == before
    (path,) = root.glob("expected-*-pyramid.npz")
    with np.load(path) as arrays:
        assert (arrays["fusion_index"][:-1] != expected(root)["fusion_index"][:-1]).all()


def test_labelled_clips_of_the_held_out_contents_bring_their_targets(root, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    video = VideoSet().item(content(root)["items"][0], inputs(root, 0)).video
    rows = [("train", "blur", 50.0), ("held_out", "blur", 61.5), ("held_out", "h264", 88.25)]
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "split", "distortion", "score"))
        for number, (split, kind, score) in enumerate(rows):
            (clips / f"{number}.mp4").write_bytes(video)
            writer.writerow((f"clips/{number}.mp4", split, kind, score))
    work = tmp_path / "work"
    work.mkdir()
    items = VideoSet().choose({"videos": str(tmp_path), "seed": 1}, work)
    assert [item.target for item in items] == [61.5, 88.25, None, None, None]
    assert [item.describe()["complete"] for item in items] == [True, True, False, False, False]


def test_a_folder_that_is_no_labelled_set_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"manifest.csv: expected the manifest of a labelled set, found none"
    ):
        VideoSet().choose({"videos": str(tmp_path), "seed": 1}, tmp_path)


def test_an_item_read_back_from_its_files_is_the_item(root):
    for place, line in enumerate(content(root)["items"][:2]):
        again = VideoItem.from_inputs(line, inputs(root, place))
        assert again.describe() == {key: value for key, value in line.items() if key != "sha256"}
        assert np.array_equal(again.inputs()["video"], inputs(root, place)["video"])


def inputs(root, place):
    line = content(root)["items"][place]
    with np.load(root / "inputs" / f"{line['id']}.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}
