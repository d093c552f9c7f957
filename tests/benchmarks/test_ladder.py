"""Ladders of compression: what is written, what counts as right, and a run against a real server."""

import json

import numpy as np
import pytest

from benchmarks import ladder, ladder_picture, rungs
from benchmarks.__main__ import main
from benchmarks.ladder import Scored
from benchmarks.rungs import LADDERS, Rung
from training.quality_clips.sources import HELD_OUT, Source

FALLING = (90, 80, 60, 40, 20, 10)


def scored(scores, codec="H.264", source="bikes-0"):
    """One ladder, mildest first."""
    (values,) = (one.values for one in LADDERS if one.codec == codec)
    steps = enumerate(zip(values, scores, strict=True))
    content = source.split("-")[0]
    return [Scored(Rung(source, content, codec, n, value, None), score) for n, (value, score) in steps]


def of_every_codec(scores=FALLING, source="bikes-0"):
    return [one for rung in LADDERS for one in scored(scores, rung.codec, source)]


def test_every_ladder_rises_in_the_same_number_of_steps():
    for one in LADDERS:
        assert len(one.values) == 6 and list(one.values) == sorted(set(one.values))
    assert rungs.CLIPS == 18


def test_a_rung_changes_the_compression_and_nothing_else():
    of = {one.codec: one.coding(one.values[-1]) for one in LADDERS}
    assert (of["H.264"].encoder, of["H.264"].options) == ("libx264", {"crf": "48", "preset": "veryfast"})
    assert (of["MPEG-4"].container, of["MPEG-4"].options) == ("avi", {"qmin": "31", "qmax": "31"})
    assert of["VP9"].options["crf"] == "60" and of["VP9"].options["b"] == "0"


def test_all_held_out_contents_are_climbed_and_nothing_else():
    sources = rungs.held_out()
    assert {one.content for one in sources} == set(HELD_OUT)
    quick = rungs.first_of_each(sources, 2)
    assert [one.name for one in quick] == ["bikes-0", "coffee-0"]


def test_rungs_are_written_once_and_shrink(tmp_path):
    pictures = np.random.default_rng(3).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    source = Source("noise-0", "noise", "here", lambda: pictures)
    first = list(rungs.climb(source, tmp_path))
    sizes = [one.path.stat().st_size for one in first]
    assert sizes[0] > sizes[5] and sizes[6] > sizes[11] and sizes[12] > sizes[17]
    written = [one.path.stat().st_mtime_ns for one in first]
    again = list(rungs.climb(source, tmp_path))
    assert again == first and [one.path.stat().st_mtime_ns for one in again] == written
    assert not list(tmp_path.rglob("*.part"))


def test_other_pictures_get_a_folder_of_their_own(tmp_path):
    dark, bright = np.zeros((2, 32, 32, 3), np.uint8), np.full((2, 32, 32, 3), 250, np.uint8)
    folders = set()
    for film in (dark, bright):
        source = Source("film-0", "film", "here", lambda film=film: film)
        folders.add(next(rungs.climb(source, tmp_path)).path.parent)
    assert len(folders) == 2


def test_a_ladder_that_falls_is_all_right():
    assert ladder.share(scored(FALLING)) == {"pairs": 15, "right": 15, "share": 1.0}


def test_one_pair_the_wrong_way_round_and_one_tie_are_two_of_fifteen():
    found = ladder.share(scored((90, 80, 60, 70, 20, 20)))
    assert found == {"pairs": 15, "right": 13, "share": pytest.approx(13 / 15)}


def test_rungs_of_different_ladders_are_never_compared():
    high, low = scored(FALLING, source="bikes-0"), scored([s - 9 for s in FALLING], source="coffee-0")
    assert ladder.share([*high, *low])["pairs"] == 30
    assert ladder.share([*high, *scored(FALLING, "VP9")])["right"] == 30


def test_inversions_are_listed_worst_first_with_what_they_are_about():
    result = ladder.figures([*of_every_codec(), *of_every_codec((90, 80, 60, 70, 20, 25), "coffee-0")])
    worst = result["worst_inversions"]
    assert [one["points"] for one in worst] == [10, 10, 10, 5, 5, 5]
    assert worst[0] == {
        "source": "coffee-0",
        "codec": "H.264",
        "milder": 30,
        "harsher": 36,
        "milder_score": 60,
        "harsher_score": 70,
        "points": 10,
    }


def test_shares_are_given_by_codec_by_content_and_by_both():
    clips = [*of_every_codec(), *of_every_codec(FALLING[::-1], "coffee-0")]
    result = ladder.figures(clips)
    assert (result["clips"], result["sources"]) == (36, 2)
    assert result["all"] == {"pairs": 90, "right": 45, "share": 0.5}
    assert result["codecs"]["VP9"] == {"pairs": 30, "right": 15, "share": 0.5}
    assert result["contents"]["bikes"]["share"] == 1.0 and result["contents"]["coffee"]["share"] == 0.0
    assert result["codecs_of_contents"]["bikes"]["MPEG-4"]["pairs"] == 15
    assert len(result["scores"]) == 36 and result["scores"][0]["value"] == 18


@pytest.mark.parametrize(("last", "reached"), [(10, True), (50, False)])
def test_the_goal_is_95_percent_of_the_pairs_of_h264(last, reached):
    result = ladder.figures(of_every_codec((90, 80, 60, 40, 20, last)))
    assert result["goal"] == {"codec": "H.264", "share": 0.95, "reached": reached}
    assert ladder.goal_line(result) == (
        "H.264: 15 of 15 pairs in the right order, 100.0%; goal 95%: reached"
        if reached
        else "H.264: 13 of 15 pairs in the right order, 86.7%; goal 95%: NOT reached"
    )


def test_the_table_has_a_row_per_content_the_inversions_and_the_goal():
    lines = ladder.table(ladder.figures(of_every_codec((90, 80, 60, 70, 20, 10)))).splitlines()
    assert lines[0].split() == ["right", "pairs", "H.264", "MPEG-4", "VP9", "all"]
    assert lines[1].split() == ["bikes", *["93.3%"] * 4]
    assert lines[3] == "wrong by 10.0 points: bikes-0, H.264 36 scored 70.0, 30 scored 60.0"
    assert lines[-1].startswith("H.264: 14 of 15 pairs")


def test_the_picture_is_drawn(tmp_path):
    clips = [*of_every_codec(), *of_every_codec((90, 95, 60, 40, 20, 10), "coffee-0")]
    path = ladder_picture.draw(clips, ladder.figures(clips), tmp_path / "new" / "ladder.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.server
@pytest.mark.slow
def test_the_command_ranks_two_ladders_on_a_server_of_its_own(
    exported_quality, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["ladder", "--quick", "--out", "ladder.json"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == "ladder.json"
    assert "pairs in the right order" in printed.err
    written = json.loads((tmp_path / "ladder.json").read_text())
    assert written["result"]["clips"] == 36 and written["result"]["all"]["pairs"] == 90
    assert written["fusion"] and written["seed"] is None
    assert (tmp_path / "ladder.png").is_file()
