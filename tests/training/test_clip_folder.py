import csv

import numpy as np
import pytest

from training.clip_folder import find_clips, split_rows


def table(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def videos(root, *names):
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).write_bytes(b"a video")


def own(root, rows):
    columns = ("file", "content", "source", "split", "origin", "distortion", "strength", "score")
    return table(root / "manifest.csv", columns, rows)


def test_our_own_set_is_read_with_its_split_its_source_and_scores_of_frames(tmp_path):
    videos(tmp_path / "clips", "bus-0-00.mp4")
    (tmp_path / "frames").mkdir()
    np.save(tmp_path / "frames" / "bus-0-00.npy", np.array([90.0, 80.0], np.float32))
    own(tmp_path, [("clips/bus-0-00.mp4", "bus", "bus-0", "train", "me", "blur", "0.5", "61.25")])
    (clip,) = find_clips(tmp_path)
    assert (clip.content, clip.source, clip.split, clip.distortion, clip.score) == (
        "bus",
        "bus-0",
        "train",
        "blur",
        61.25,
    )
    assert clip.frame_scores == tmp_path / "frames" / "bus-0-00.npy"


def test_konvid_scores_of_one_to_five_become_0_to_100(tmp_path):
    videos(tmp_path / "KoNViD_1k_videos", "111.mp4", "222.mp4")
    table(tmp_path / "meta" / "KoNViD_1k_attributes.csv", ("flickr_id", "MOS"), [("111", 1.0), ("222", 4.0)])
    assert [clip.score for clip in find_clips(tmp_path)] == [0.0, 75.0]


def test_youtube_ugc_videos_are_found_by_the_beginning_of_their_names(tmp_path):
    videos(tmp_path / "h264", "Gaming_1080P-0a1b_crf_10_ss_00_t_20.0.mp4", "Gaming_1080P-0a1bc.mp4")
    table(tmp_path / "MOS_for_YouTube_UGC_dataset.csv", ("vid", "MOS full"), [("Gaming_1080P-0a1b", 3.0)])
    (clip,) = find_clips(tmp_path)
    assert clip.path.name == "Gaming_1080P-0a1b_crf_10_ss_00_t_20.0.mp4"
    assert clip.score == 50.0


def test_lsvq_holds_out_its_official_test_videos_and_no_others(tmp_path):
    names = [f"yfcc/{index}" for index in range(60)]
    videos(tmp_path / "yfcc", *(f"{index}.mp4" for index in range(60)))
    table(tmp_path / "LSVQ_whole_train.csv", ("name", "mos"), [(name, 50) for name in names[:50]])
    table(tmp_path / "LSVQ_whole_test.csv", ("name", "mos"), [(name, 70) for name in names[50:]])
    clips = find_clips(tmp_path)
    assert [clip.score for clip in clips if clip.split == "held_out"] == [70.0] * 10
    assert {clip.split for clip in clips[:50]} == {"train", "choose"}


def test_without_an_official_split_every_name_has_its_fixed_place(tmp_path):
    videos(tmp_path, *(f"{index}.mp4" for index in range(200)))
    table(tmp_path / "KoNViD_1k_attributes.csv", ("flickr_id", "MOS"), [(index, 3) for index in range(200)])
    first, second = find_clips(tmp_path), find_clips(tmp_path)
    assert [clip.split for clip in first] == [clip.split for clip in second]
    rows = split_rows(first)
    assert len(rows["train"]) > 130
    assert min(len(rows["choose"]), len(rows["held_out"])) > 5


def test_a_folder_without_a_known_table_is_refused_with_their_names(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"expected one of the tables manifest\.csv, lsvq_whole_train"
    ):
        find_clips(tmp_path)


def test_a_table_that_names_a_missing_video_is_refused(tmp_path):
    table(tmp_path / "KoNViD_1k_attributes.csv", ("flickr_id", "MOS"), [("333", 3.0)])
    with pytest.raises(FileNotFoundError, match="line 2: expected a video named 333"):
        find_clips(tmp_path)


@pytest.mark.parametrize("score", ["", "good", "nan"])
def test_a_score_that_is_no_number_is_refused_with_its_line(tmp_path, score):
    videos(tmp_path, "1.mp4")
    table(tmp_path / "LSVQ_whole_train.csv", ("name", "mos"), [("1", score)])
    with pytest.raises(ValueError, match=r"(line 2: expected a number|expected a column mos)"):
        find_clips(tmp_path)


def test_a_score_outside_the_scale_is_refused(tmp_path):
    videos(tmp_path, "1.mp4")
    table(tmp_path / "KoNViD_1k_attributes.csv", ("flickr_id", "MOS"), [("1", 55)])
    with pytest.raises(ValueError, match="expected a score of 1-5, got 55"):
        find_clips(tmp_path)


def test_a_content_on_both_sides_of_a_split_is_refused(tmp_path):
    videos(tmp_path / "clips", "a.mp4", "b.mp4")
    row = ("bus", "bus-0", "me", "blur", "0.5", "50")
    own(
        tmp_path,
        [("clips/a.mp4", *row[:2], "train", *row[2:]), ("clips/b.mp4", *row[:2], "held_out", *row[2:])],
    )
    with pytest.raises(ValueError, match="content bus: expected it in one split"):
        split_rows(find_clips(tmp_path))


def test_an_empty_split_is_refused(tmp_path):
    videos(tmp_path / "clips", "a.mp4")
    own(tmp_path, [("clips/a.mp4", "bus", "bus-0", "train", "me", "blur", "0.5", "50")])
    with pytest.raises(ValueError, match="got none for choose, held_out"):
        split_rows(find_clips(tmp_path))
