"""The demo's own choices; that it runs is proven with a server, in end_to_end/."""

from pathlib import Path

import pytest

from serving import demo


def test_it_asks_about_the_clips_that_vmaf_scores_highest_and_lowest(tmp_path: Path):
    rows = ["file,score", "clips/a.mp4,71.5", "clips/b.avi,9.25", "clips/c.mp4,96.0", "clips/d.webm,12.0"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    assert demo.best_and_worst(tmp_path) == (tmp_path / "clips/c.mp4", tmp_path / "clips/b.avi")


def test_a_command_that_fails_ends_it_with_the_command(capsys):
    with pytest.raises(demo.StepFailed, match=r"^`python -c 'raise SystemExit\(3\)'` ended with 3; its"):
        demo.run(demo.PYTHON, "-c", "raise SystemExit(3)")
    assert capsys.readouterr().out.startswith("\n$ python -c ")


def test_the_films_have_a_content_that_no_training_sees():
    from training.quality_clips.sources import packaged, split_of

    assert split_of(demo.CONTENT) == "held_out"
    assert [source.content for source in packaged()].count(demo.CONTENT) == 1
