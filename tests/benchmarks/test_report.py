"""The report: which file counts, what the targets say, and a page that stands alone."""

import argparse
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from benchmarks.commands import report
from benchmarks.commands.arguments import Done
from benchmarks.report import markdown, results
from benchmarks.report.axes import Scale, apart, linear_ticks, log_ticks
from benchmarks.report.page import page
from benchmarks.report.peers import COLUMNS, OURS, cells, compared, how_run
from benchmarks.report.results import digits, said
from benchmarks.report.targets import verdicts
from tests.benchmarks.results_of_a_day import RESULTS, facts, spread, write, write_all


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "results"
    made.mkdir()
    return made


def test_the_last_full_run_counts_and_a_quick_one_only_where_there_is_no_other(folder):
    write(folder, "goodput", time="2026-11-22T12:00:00+00:00", quick=True)
    assert results.read([folder]).last("goodput").is_quick
    write(folder, "goodput", time="2026-11-20T12:00:00+00:00", commit="older")
    write(folder, "goodput", time="2026-11-21T12:00:00+00:00", commit="newer")
    assert results.read([folder]).last("goodput").facts["commit"] == "newer"


def test_a_verb_and_a_pipeline_are_read_from_the_command_or_the_name(folder):
    (folder / "curve_video_quality.json").write_text(json.dumps(facts("tests") | {"result": {}}))
    (folder / "b.json").write_text(json.dumps(facts("accuracy vision_language") | {"result": {}}))
    found = results.read([folder])
    assert [(one.verb, one.pipeline) for one in found.files] == [
        ("accuracy", "vision_language"),
        ("curve", "video_quality"),
    ]


def test_other_files_are_passed_over_and_a_missing_folder_is_told(folder):
    (folder / "other.json").write_text("[1]")
    (folder / "broken.json").write_text("{")
    assert results.read([folder]).files == []
    with pytest.raises(FileNotFoundError, match="expected results at"):
        results.read([folder / "nowhere"])
    with pytest.raises(ValueError, match="expected at least one result"):
        page(results.read([folder]))


def test_every_target_is_judged_by_its_number(folder):
    said_of = {one.target: (one.measured, one.met) for one in verdicts(results.read([write_all(folder)]))}
    assert list(said_of.values()) == [
        ("0.92", True),
        ("6 ms on 40 ms", False),
        ("1.25", False),
        ("4.00", True),
        ("0.85", False),
        ("40 rejected, the slowest within 70 ms", False),
        ("video 0.90, image 0.80", False),
        ("0.95", True),
        ("0 of 900", True),
        ("0.99", True),
    ]


def test_what_was_not_measured_is_open(folder):
    write(folder, "stages")
    found = verdicts(results.read([folder]))
    assert len(found) == 10
    assert {(one.measured, one.met) for one in found} == {("not measured", None)}


def test_how_a_peer_was_run_is_told(folder):
    ours, lit_serve, _ = compared(results.read([write_all(folder)]))
    assert how_run(lit_serve) == ("LitServe, same engines", "0.2", "—", "—", "1 x 2", "45", "38", "800")
    assert how_run(ours) == ("crossfuse", *("—",) * 7)


def test_our_row_is_completed_from_our_own_files(folder):
    rows = compared(results.read([write_all(folder)]))
    assert [one.title for one in rows] == [
        "crossfuse",
        "LitServe, same engines",
        "FastAPI, torch",
    ]
    assert cells(rows[0]) == (
        "crossfuse", "20 [19-21]", "40 / 80 / 160", "56.7%", "3.80", "0", "0 / 0 / 230",
    )  # fmt: skip
    assert cells(rows[1])[2:] == ("—",) * 5


@pytest.mark.parametrize("left_out", [None, *RESULTS])
def test_a_page_stands_alone_and_says_what_is_missing(folder, left_out):
    for name in RESULTS:
        if name != left_out:
            write(folder, name)
    text = page(results.read([folder]))
    assert not re.search(r"https?://|\bsrc=|\bhref=|@import|url\(", text)
    tree = ElementTree.fromstring(text.removeprefix("<!doctype html>"))
    drawn = tree.findall(".//figure/svg")
    assert drawn
    for drawing in drawn:
        assert_inside(drawing)
    words = "".join(tree.itertext())
    assert SAID.get(left_out, "") in words
    assert "A <fast> & small one" in words


SAID = {name: f"python -m benchmarks {name}" for name in RESULTS}  # where the measurement is left out
SAID |= dict.fromkeys(("absent", "corrupt"), "not measured") | {"goodput": "goodput at the SLO"}


def assert_inside(drawing):
    """No mark outside its drawing."""
    _, _, width, height = map(float, drawing.get("viewBox").split())
    for mark in drawing.iter():
        for name, limit in (
            ("x", width),
            ("cx", width),
            ("x1", width),
            ("x2", width),
            ("y", height),
            ("cy", height),
        ):
            if mark.get(name) is not None:
                assert 0 <= float(mark.get(name)) <= limit, (mark.tag, mark.attrib)


def test_bars_are_as_long_as_their_values(folder):
    write(folder, "stages")
    tree = ElementTree.fromstring(page(results.read([folder])).removeprefix("<!doctype html>"))
    widths = [float(bar.get("width")) for bar in tree.findall(".//figure/svg/rect")]
    gate, small = sum(widths[:4]), sum(widths[4:])
    assert small / gate == pytest.approx(10.0, rel=0.01)


def test_a_swap_with_its_recording_is_drawn_request_by_request(folder):
    path = write(folder, "swap")
    labels = np.array(["old"] * 5 + ["new"] * 3 + ["mixture: new weld_small_fusion"])
    np.savez(path.with_suffix(".npz"), due_s=np.arange(9.0), latency_s=np.full(9, 0.05), labels=labels)
    tree = ElementTree.fromstring(page(results.read([folder])).removeprefix("<!doctype html>"))
    dots = {group.get("class"): len(group.findall("circle")) for group in tree.findall(".//figure/svg/g")[:3]}
    assert dots == {"blue": 5, "orange": 3, "red": 1}


def test_the_command_writes_page_and_table_and_fills_the_readme(folder, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{markdown.BEGIN}\nold\n{markdown.END}\nafter\n")
    chosen = parsed(
        [str(write_all(folder)), "--out", str(tmp_path / "r" / "report.html"), "--into", str(readme)]
    )
    assert report.run(chosen) == Done(tmp_path / "r" / "report.html", [])
    table = (tmp_path / "r" / "report.md").read_text()
    assert table.startswith(f"| {' | '.join(COLUMNS)} |\n")
    assert f"| **{OURS}** | 20 [19-21] |" in table
    assert readme.read_text() == f"before\n{markdown.BEGIN}\n{table}{markdown.END}\nafter\n"


@pytest.mark.parametrize(
    ("disturbed", "reason"),
    [
        ({"quick": True}, "a quick run"),
        ({"load_before": 4.0}, "the machine was busy"),
        ({"clean": False}, "uncommitted changes"),
        ({"stolen_share": 0.2}, "the host took 20% of the processor time"),
        ({"complete": False}, "ended before its last round"),
    ],
)
def test_a_doubtful_run_is_shown_but_never_quoted(folder, tmp_path, disturbed, reason):
    write(folder, "goodput", **disturbed)
    readme = tmp_path / "README.md"
    readme.write_text("unchanged")
    done = report.run(parsed([str(folder), "--out", str(tmp_path / "report.html"), "--into", str(readme)]))
    assert reason in done.faults[0] and done.faults[0].startswith("not put into README.md: goodput_0.json: ")
    assert readme.read_text() == "unchanged"
    assert reason in done.path.read_text()
    assert "nothing of this table is to be quoted" in done.path.with_suffix(".md").read_text()


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ({"repeats": 5, "point_s": 60.0}, "every figure comes from a full run."),
        ({"repeats": 2}, "asks (docs/benchmarks.md) are goodput (2 of 60 s)."),
        ({"repeats": 9, "point_s": 20.0}, "asks (docs/benchmarks.md) are goodput (9 of 20 s)."),
        (
            {"rounds": 1, "search": {"repeats": 1, "point_s": 25.0}},
            "docs/benchmarks.md) are goodput (1 of 25 s).",
        ),
    ],
)
def test_a_run_shorter_than_the_method_asks_says_so(folder, plan, told):
    write_all(folder)
    for path in folder.glob("goodput*.json"):
        file = json.loads(path.read_text())
        path.write_text(json.dumps(file | {"result": file["result"] | {"plan": plan}}))
    assert markdown.table(results.read([folder])).rstrip().endswith(told)


def test_a_readme_without_marks_is_told(folder, tmp_path):
    with pytest.raises(ValueError, match="expected the marks"):
        markdown.placed("no marks", "table")


def parsed(words):
    parser = argparse.ArgumentParser()
    report.add(parser.add_subparsers())
    return parser.parse_args(["report", *words])


def test_quantities_are_said_in_three_figures_with_their_spread():
    assert said(spread(12.345, 11.0, 13.0), "Hz") == "12.3 [11-13] Hz"
    assert said(3, "ms") == "3 ms"
    assert said(None) == "not measured"
    assert [digits(value) for value in (0.0123, 0.123, 1.234, 12.34, 123.4, 12345.6)] == [
        "0.012", "0.12", "1.23", "12.3", "123", "12,346",
    ]  # fmt: skip


def test_ticks_are_round_and_scales_meet_their_ends():
    assert linear_ticks(0.0, 31.0) == [0, 10, 20, 30]
    assert linear_ticks(0.0, 1.1) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert log_ticks(15.0, 700.0) == [20, 50, 100, 200, 500]
    scale = Scale(1.0, 100.0, 0.0, 10.0, log=True)
    assert [scale(value) for value in (1.0, 10.0, 100.0)] == pytest.approx([0.0, 5.0, 10.0])


def test_names_that_would_overlap_are_moved_apart():
    assert apart([50.0, 10.0, 55.0], 15.0) == [50.0, 10.0, 65.0]
