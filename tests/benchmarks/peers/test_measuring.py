"""The comparison's order and what becomes of a peer that fails; servers and searches are played."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from benchmarks.__main__ import make_parser
from benchmarks.commands import peers as command
from benchmarks.commands.arguments import Mistyped
from benchmarks.goodput import spread
from benchmarks.peers import PEERS, checking, measuring
from benchmarks.peers.sides import OURS, Side

LAYOUTS = [(1, 2), (2, 1)]
QUESTION = SimpleNamespace(workload=SimpleNamespace(slo_ms=500.0, why="because"))


def latency():
    return {name: spread([10.0]) for name in ("p50", "p95", "p99")}


@pytest.fixture
def played(monkeypatch):
    """Sides that answer so many a second; what was asked, in order. A name in `broken` does not come up."""
    state = SimpleNamespace(asked=[], hz={}, broken={}, void=[])

    @contextmanager
    def up(name, layout=None):
        if layout in state.broken.get(name, ()):
            raise RuntimeError(f"no {name} with {layout}")
        yield SimpleNamespace(name=name, layout=layout, away={"x": 0.1}), [1]

    def search(subject, plan, near_hz):
        state.asked.append((subject.name, plan.seed, near_hz))
        void = bool(state.void) and state.void.pop(0)
        return {"goodput_hz": spread([state.hz[subject.name]]), "void": void}

    def loads(subject, rate_hz, plan, shares):
        points = [{"runs": [{"share": share}]} for share in shares]
        return {"points": points, "void": False}

    def capacity(subject, count=0):
        return 10.0 * (subject.layout or (1,))[0]

    monkeypatch.setattr(measuring, "ours", lambda *_: up(OURS))
    monkeypatch.setattr(Side, "up", lambda side, question, layout, *_: up(side.name, layout))
    monkeypatch.setattr(measuring.environments, "made", lambda *_: None)
    monkeypatch.setattr(measuring.environments, "version", lambda *_: "1")
    monkeypatch.setattr(measuring.environments, "shared_versions", list)
    monkeypatch.setattr(measuring.goodput, "measure", search)
    monkeypatch.setattr(measuring.goodput, "capacity", capacity)
    monkeypatch.setattr(measuring.curve, "measure", loads)
    point = {"latency_ms": latency(), "slo_attained": spread([0.9])}
    monkeypatch.setattr(measuring.curve, "row", lambda share, runs: point)
    monkeypatch.setattr(measuring.coldstart, "memory", lambda pids: {"pss": 100.0})
    monkeypatch.setattr(measuring.processor, "taken_s", lambda pids: 0.0)
    return state


def compare(*names, rounds=2):
    sides = [Side(PEERS[name], "torch", {}) for name in names]
    return measuring.measure(sides, QUESTION, plan(rounds), None, None)


def plan(rounds):
    chosen = measuring.plan(True, seed=7, rounds=rounds)
    return measuring.replace(chosen, layouts=LAYOUTS)


def test_sides_are_measured_in_turn_and_a_later_round_begins_at_what_the_last_one_found(played):
    played.hz = {OURS: 30.0, "FastAPI, torch": 10.0}
    result = compare("fast_api")
    assert [(name, near) for name, _, near in played.asked] == [
        (OURS, 0.0),
        ("FastAPI, torch", 0.0),
        (OURS, 30.0),
        ("FastAPI, torch", 10.0),
    ]
    assert len({seed for _, seed, _ in played.asked}) == 2  # one of each round, the same for all
    assert result["ratios"] == {"FastAPI, torch": 3.0} and measuring.faults(result) == []
    row = next(one for one in result["servers"] if one["name"] == "FastAPI")
    assert (row["workers"], row["threads"], row["at_once_hz"]["median"]) == (2, 1, 20.0)


def test_a_comparison_goes_on_where_it_was_left(played):
    played.hz = {OURS: 30.0, "FastAPI, torch": 10.0}
    first = json.loads(json.dumps(compare("fast_api", rounds=1)))
    played.asked.clear()
    played.broken = {"FastAPI, torch": [(1, 2)]}  # the layout that did less is not tried again
    side = Side(PEERS["fast_api"], "torch", {})
    result = measuring.measure([side], QUESTION, plan(2), None, None, earlier=first["servers"])
    assert [(name, near) for name, _, near in played.asked] == [(OURS, 30.0), ("FastAPI, torch", 10.0)]
    assert [len(row["rounds"]) for row in result["servers"]] == [2, 2] and result["lacking"] == {}
    assert {name: result["servers"][1][name] for name in ("workers", "threads", "version")} == {
        "workers": 2,
        "threads": 1,
        "version": "1",
    }


def test_a_side_that_is_not_asked_for_again_keeps_its_rounds(played):
    played.hz = {OURS: 30.0, "FastAPI, torch": 10.0, "LitServe, torch": 15.0}
    first = compare("fast_api", rounds=1)
    side = Side(PEERS["lit_serve"], "torch", {})
    result = measuring.measure([side], QUESTION, plan(1), None, None, earlier=first["servers"])
    assert result["ratios"] == {"FastAPI, torch": 3.0, "LitServe, torch": 2.0}


def test_a_void_round_does_not_count_and_is_said(played):
    played.hz = {OURS: 30.0, "FastAPI, torch": 10.0}
    played.void = [False, True]
    side = Side(PEERS["fast_api"], "torch", {})
    strict = measuring.replace(plan(2), strict=True)
    result = measuring.measure([side], QUESTION, strict, None, None)
    assert [(len(row["rounds"]), row["void_rounds"]) for row in result["servers"]] == [(2, 0), (1, 1)]
    assert result["lacking"] == {"FastAPI, torch": 1} and not result["void"]
    assert measuring.faults(result) == [
        "FastAPI, torch: 1 of 2 rounds are missing or void; --resume makes them up"
    ]


EARLIER = {
    "command": "python -m benchmarks peers",
    "commit": "abc1234",
    "time": "2026-11-22T12:00:00+00:00",
    "machine": {"cores": 2},
    "versions": {},
    "seed": 7,
    "result": {"plan": {"search": {"point_s": 20.0}, "curve": {}}, "servers": []},
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, None),
        ({"seed": 8}, "expected the seed of .*, 7, got 8; repeat what that run was told"),
        ({"machine": {"cores": 4}}, "expected the machine of"),
        ({"plan": {"search": {"point_s": 60.0}, "curve": {}}}, "expected the search of"),
    ],
)
def test_rounds_are_added_to_those_of_the_same_plan_and_machine_only(tmp_path, change, told):
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(EARLIER))
    now = EARLIER | {"plan": EARLIER["result"]["plan"]} | change
    if told:
        with pytest.raises(Mistyped, match=told):
            command.resumed(path, now, now["plan"])
    else:
        found = command.resumed(path, now, now["plan"])
        assert [one["commit"] for one in command.history(found | {"resumed": [{"commit": "b"}]})] == [
            "b",
            "abc1234",
        ]


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_without_an_earlier_result_there_is_nothing_to_resume(tmp_path, text):
    path = tmp_path / "peers.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Mistyped, match=r"expected a result of `peers` at .*peers\.json; leave it out first"):
        command.resumed(path, EARLIER, {})


def test_a_layout_that_does_not_answer_leaves_the_other(played):
    played.hz = {OURS: 30.0, "MLServer, torch": 10.0}
    played.broken = {"MLServer, torch": [(2, 1)]}
    result = compare("ml_server", rounds=1)
    row = next(one for one in result["servers"] if one["name"] == "MLServer")
    assert (row["workers"], row["threads"]) == (1, 2)
    assert row["layouts_refused"] == [{"layout": (2, 1), "why": "no MLServer, torch with (2, 1)"}]


def test_a_peer_that_fails_is_told_and_the_others_are_measured(played):
    played.hz = {OURS: 30.0, "LitServe, torch": 10.0}
    played.broken = {"MLServer, torch": LAYOUTS}
    result = compare("ml_server", "lit_serve", rounds=1)
    assert [row["name"] for row in result["servers"]] == [OURS, "LitServe"]
    assert measuring.faults(result) == [
        "MLServer, torch: not measured: no MLServer, torch with (1, 2); no MLServer, torch with (2, 1)"
    ]
    assert measuring.table(result).splitlines()[-1] == result["failures"][0]


def test_what_is_known_is_kept_after_every_side(played):
    played.hz = {OURS: 30.0, "FastAPI, torch": 10.0}
    kept = []
    side = Side(PEERS["fast_api"], "torch", {})
    result = measuring.measure([side], QUESTION, plan(1), None, None, kept.append)
    assert [len(one["servers"]) for one in kept] == [1, 2] and kept[-1] == result


def test_without_our_own_figure_there_is_no_ratio(played):
    played.hz = {"LitServe, torch": 10.0}
    played.broken = {OURS: [None]}
    result = compare("lit_serve", rounds=1)
    assert result["ratios"] == {"LitServe, torch": None}
    assert result["failures"] == ["crossfuse: round 1 failed: no crossfuse with None"]


def test_where_no_side_answers_every_failure_is_told(played):
    played.broken = {OURS: [None], "LitServe, torch": LAYOUTS}
    result = compare("lit_serve", rounds=1)
    assert result["servers"] == [] and result["ratios"] == {}
    assert measuring.table(result).splitlines()[1:] == result["failures"] == measuring.faults(result)


def test_a_quick_comparison_fails_when_a_side_did(monkeypatch, tmp_path):
    known = {"servers": [], "ratios": {}, "failures": ["LitServe: not measured: because"], "lacking": {}}
    question = SimpleNamespace(outputs=())
    monkeypatch.setattr(command, "prepared", lambda *_: ({}, question, []))
    monkeypatch.setattr(checking, "served_engines", lambda _: {})
    monkeypatch.setattr(checking, "reference", lambda *_: None)
    monkeypatch.setattr(measuring, "measure", lambda *_: known)
    words = ["peers", "--quick", "--only", "lit_serve", "--out", str(tmp_path / "peers.json")]
    done = command.run(make_parser().parse_args(words))
    assert done.faults == known["failures"] and done.status == 1
