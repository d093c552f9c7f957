"""How a pipeline whose answers are a number is judged, on answers made by hand."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from export.budgets import BUDGETS, budget_of
from serving.releases import check, findings, report
from serving.releases.compared import Compared
from serving.releases.golden import Golden, Item
from serving.releases.judges import JUDGES, judge_of
from serving.releases.probes import fault
from serving.releases.record import Member, Release
from serving.releases.replay import Answers

OK, CORRUPT = 0, 3
TARGETS = (20.0, 35.0, 50.0, 65.0, 80.0, 95.0)
BUDGET = BUDGETS["video_quality"]
MS = [[50.0] * 8] * 3


def item(index: int, target: float | None, damage: str = "") -> Item:
    complete = target is not None and not damage
    return Item(f"clip-{index}", None, ("video",), damage, complete, "", target)


def golden(targets: tuple[float | None, ...] = TARGETS) -> Golden:
    """Clips of these qualities, one that nobody judged, and one that is broken."""
    items = [item(index, target) for index, target in enumerate(targets)]
    return Golden(Path("video_quality"), (), None, (*items, item(6, None), item(7, None, "video")))


def answer(score: float, status: int = OK, index: int = 1) -> dict[str, np.ndarray]:
    """What the pipeline says; of a video that does not decode it says zeros."""
    share = 1 / 8 if status == OK else 0.0
    return {
        "quality_score": np.asarray([score], np.float32),
        "frame_scores": np.full(8, score, np.float32),
        "frame_weights": np.full(8, share, np.float32),
        "fusion_weights": np.zeros((4, 16), np.float32),
        "fusion_shape": np.zeros(2, np.int32),
        "fusion_index": np.asarray([index], np.int32),
        "frame_numbers": np.arange(8, dtype=np.int32),
        "frame_times": np.arange(8, dtype=np.float32),
        "modality_status": np.asarray([status], np.int32),
    }


def answers(scores, index: int = 1) -> Answers:
    """To the six clips of known quality, the unknown one and the broken one."""
    said = [answer(score, index=index) for score in (*scores, 40.0)] + [answer(0.0, CORRUPT, index)]
    return Answers(said, ms=MS)


def stacked(side: Answers) -> dict[str, np.ndarray]:
    return {name: np.stack([one[name] for one in side.outputs]) for name in side.outputs[0]}


def compare(new, live=TARGETS, targets=TARGETS, **more) -> Compared:
    return Compared(golden(targets), BUDGET, answers(live), answers(new), **more)


def judged(compared: Compared) -> dict[str, findings.Finding]:
    return {one.name: one for one in findings.judge(compared)}


def rejected(found: dict[str, findings.Finding]) -> set[str]:
    return {name for name, one in found.items() if not one.passed}


def test_equal_sets_pass_and_only_clips_of_known_quality_count():
    found = judged(compare(TARGETS))
    assert rejected(found) == set()
    assert found["SRCC drop"].text == "1.000 on 6 items of known quality, the live set has 1.000"
    assert found["PLCC drop"].used == 0


def test_two_neighbours_in_the_wrong_order_cost_more_than_the_budget_allows():
    """1 - 6 * (1 + 1) / (6 * 35) = 0.943."""
    found = judged(compare((20, 50, 35, 65, 80, 95)))
    assert rejected(found) == {"SRCC drop", "PLCC drop"}
    assert found["SRCC drop"].text == (
        "SRCC: expected 0.970 or more on 6 items of known quality (live: 1.000), got 0.943; see the items on "
        "the page, then train again or release with --force"
    )


def test_a_bent_scale_keeps_the_ranks_and_costs_linear_correlation_alone():
    found = judged(compare((0, 0.01, 0.1, 1, 10, 100)))
    assert rejected(found) == {"PLCC drop"}
    assert found["SRCC drop"].text.startswith("1.000 on 6 items")


def test_scores_turned_round_are_recognised():
    found = judged(compare(tuple(100 - target for target in TARGETS)))
    assert rejected(found) == {"SRCC drop", "PLCC drop", "sign"}
    assert "turned round (SRCC -1.000)" in found["sign"].text


def test_a_head_that_says_always_the_same_is_rejected_though_it_has_no_correlation():
    found = judged(compare((50.0,) * 6))
    assert rejected(found) == {"SRCC drop", "PLCC drop", "constant score"}
    assert "got no number" in found["SRCC drop"].text
    assert found["SRCC drop"].used > 1
    assert "every item of known quality is scored 50;" in found["constant score"].text


def test_a_live_set_without_correlation_forbids_nothing():
    found = judged(compare(TARGETS, live=(50.0,) * 6))
    assert rejected(found) == set()


def test_a_set_without_known_qualities_passes_and_the_page_says_that_no_metric_judged():
    found = judged(compare((90, 10, 50, 20, 70, 30), targets=(None,) * 6))
    assert rejected(found) == set()
    assert not found["metrics"].compared
    assert found["metrics"].text.startswith("metrics: none, as no item of the golden set has a known quality")
    assert "no metric decides either" in found["numbers"].text


@pytest.mark.parametrize("targets", [(20.0, 80.0, *(None,) * 4), (50.0,) * 6])
def test_two_clips_or_equal_ones_say_nothing_about_correlation(targets):
    assert findings.metrics(compare(TARGETS, targets=targets)) == {}


def test_answers_are_held_to_pytorchs_whether_or_not_a_quality_is_known():
    known = stacked(answers(TARGETS))
    drifted = (20, 35, 50, 65, 80, 97.5)
    found = judged(compare(drifted, targets=(None,) * 6, expected=known))
    assert rejected(found) == {"numbers"}
    assert "within 1 of PyTorch with the same weights, got 2.5 for clip-5" in found["numbers"].text


def test_another_fusion_is_no_other_status_but_has_to_be_the_one_that_was_chosen():
    live_known, known = stacked(answers(TARGETS)), stacked(answers(TARGETS, index=3))
    other = Compared(
        golden(),
        BUDGET,
        answers(TARGETS),
        answers(TARGETS, index=3),
        live_expected=live_known,
        fusion="gated",
    )
    assert rejected(judged(other)) == set()
    assert "these weights and the fusion gated" in judged(other)["numbers"].text
    assert "--weights FILE --fusion gated` adds them" in judged(other)["numbers"].text
    as_before = Compared(golden(), BUDGET, answers(TARGETS), answers(TARGETS), known, live_known, "gated")
    assert "expected fusion_index within 0.5 of PyTorch" in judged(as_before)["numbers"].text


def test_weights_of_frames_sum_to_one_except_where_nothing_could_be_read():
    broken = compare(TARGETS)
    broken.new.outputs[2]["frame_weights"][:] = 0.0
    assert rejected(judged(broken)) == {"sums"}
    assert fault(answer(0.0, CORRUPT), {}, BUDGET, ("video",)) == ""
    short = answer(50.0) | {"frame_weights": np.zeros(8, np.float32)}
    assert fault(short, {}, BUDGET, ("video",)) == "frame_weights: expected a sum of 1, got 0.000"


def test_the_figures_in_the_record_leave_out_what_is_no_number():
    compared = compare((50.0,) * 6)
    figures = check._figures(compared, findings.judge(compared))
    assert (figures["srcc_live"], "srcc" in figures) == (1.0, False)
    json.dumps(figures, allow_nan=False)


def test_the_page_draws_scores_against_known_qualities_and_lists_the_largest_shifts(tmp_path):
    new = (20, 35, 50, 65, 80, np.nan)
    compared = compare(new)
    one = Release(1, "released", {"head": Member(1)}, (), "repository", "ann", "", "")
    subject = report.Subject("video_quality", one, one, "carol@desk", "2026-01-02T03:04:05+00:00", 12.3)
    page = report.write(tmp_path, subject, findings.judge(compared), compared).read_text()
    assert page.count('class="ring"') == 6
    assert "Scores of 6 items of known quality" in page
    assert "The largest shifts among 8 scores" in page
    assert "not a number</span>" in page
    ElementTree.fromstring(page[page.index("<figure><figcaption>Scores") : page.rindex("</figure>") + 9])
    numbers = json.loads((tmp_path / "check.json").read_text())
    assert numbers["metrics"]["srcc"] == {"live": 1.0, "new": None}
    assert numbers["items"][5] == {
        "id": "clip-5",
        "sent": "video",
        "complete": True,
        "target": 95.0,
        "live": 95.0,
        "new": None,
        "shift": None,
    }


@pytest.mark.parametrize("pipeline", BUDGETS)
def test_every_pipeline_has_a_judge_that_knows_each_metric_of_its_budget(pipeline):
    budget = budget_of(pipeline)
    assert type(budget.judged_as) in JUDGES
    assert set(judge_of(budget).metrics) == set(budget.drops)
