import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from serving.releases import findings, golden, report
from serving.releases.compared import Compared, Finding
from serving.releases.record import Member, Release
from serving.releases.replay import Answers
from tests.serving.releases.golden_sets import BUDGET, WEIGHTS, answer, write_set

MS = [[50.0 + index for index in range(12)]] * 3


@pytest.fixture
def compared(tmp_path):
    items = golden.read(write_set(tmp_path), "nose")
    new = [answer(index, named=2 if index == 1 else None) for index in range(12)]
    right = Answers([answer(index) for index in range(12)], ms=MS)
    return Compared(items, BUDGET, right, Answers(new, ms=MS), items.expected(WEIGHTS))


@pytest.fixture
def subject():
    live = Release(1, "released", {"nose": Member(1)}, (), "repository", "ann", "", "")
    members = {"nose": Member(2, {"model.onnx": "0123456789abcdef" * 4}, WEIGHTS)}
    new = Release(2, "prepared", members, ("nose",), "candidate", "bob", "<b>better</b>", "")
    return report.Subject("nose", new, live, "carol@desk", "2026-01-02T03:04:05+00:00", 12.3)


def test_the_page_names_pipeline_release_time_person_and_verdict(tmp_path, subject, compared):
    found = findings.judge(compared)
    page = report.write(tmp_path / "2", subject, found, compared).read_text()
    assert "<title>nose, release 2: rejected</title>" in page
    assert (
        "against release 1, which is live &middot; 2026-01-02 03:04:05 UTC &middot; checked by carol@desk"
        in page
    )
    assert "REJECTED" in page
    assert "Items whose answer changed: 1 of 12" in page
    assert re.search(r'item-1</td>.*?<span class="good">Crack</span>.*?<span class="bad">Pore</span>', page)


def test_the_page_needs_no_other_file_and_every_tag_is_closed(subject, compared):
    page = report.render(subject, findings.judge(compared), compared)
    assert not re.search(r"\b(src|href)=|url\(|@import", page)
    body = page[page.index("<main>") : page.index("</main>") + 7]
    ElementTree.fromstring(body.replace("&middot;", "-").replace("&rarr;", "-").replace("<br>", "<br/>"))


def test_what_people_typed_is_text_on_the_page(subject, compared):
    page = report.render(subject, [], compared)
    assert "&lt;b&gt;better&lt;/b&gt;" in page
    assert "<b>better</b>" not in page


def test_a_set_that_did_not_load_has_a_page_with_the_reason(subject):
    page = report.render(subject, [Finding("loads", False, "loads: no such file")], None)
    assert "loads: no such file" in page
    assert "1 of 1 findings speak against it" in page


def test_the_numbers_are_json_even_where_an_answer_is_no_number(tmp_path, subject, compared):
    compared.new.outputs[0]["probabilities"][:] = np.nan
    found = findings.judge(compared)
    page = report.write(tmp_path / "2", subject, found, compared)
    numbers = json.loads((page.parent / "check.json").read_text())
    assert (numbers["passed"], numbers["release"], numbers["live"]) == (False, 2, 1)
    assert numbers["items"][0]["new"] == "no class"
    assert numbers["items"][0]["new_probability"] is None
    assert np.shape(numbers["latency_ms"]["new"]) == (3, 12)
    assert "no class" in page.read_text()


def test_a_change_is_counted_in_the_confusion_and_coloured_by_whether_it_is_right(subject, compared):
    page = report.render(subject, findings.judge(compared), compared)
    assert page.count('class="cell less right"') == 1
    assert page.count('class="cell more wrong"') == 1
