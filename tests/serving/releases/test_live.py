"""What a running server holds and pins, changed one call at a time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import serving
from serving.releases.live import CANARY, Live, Refused, Unreachable
from serving.releases.residents import refresh
from serving.releases.store import Store
from serving.server import free_ports
from tests.serving.releases.small_pipeline import (
    FIRST,
    NEW,
    OLD,
    PAIR,
    SECOND,
    Stage,
    write_engine,
    write_repository,
)

BOTH = {"first": [1, 2], "second": [1, 2]}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    repository = write_repository(tmp_path_factory.mktemp("repository"))
    with (
        serving.running([PAIR], repository) as address,
        Live(address.grpc, repository) as live,
    ):
        yield Stage(live, Store(repository))


@pytest.fixture(autouse=True)
def at_the_first_set(request: pytest.FixtureRequest) -> None:
    if "stage" in request.fixturenames:
        live = request.getfixturevalue("stage").live
        live.hold(BOTH)
        live.pin(PAIR, FIRST)


def test_a_server_that_is_not_there_is_said_with_what_to_do(tmp_path):
    (port,) = free_ports(1)
    with Live(f"127.0.0.1:{port}", tmp_path) as live:
        assert not live.answers()
        with pytest.raises(Unreachable, match=r"expected an answer, got none; start it, or say the right"):
            live.pinned(PAIR)
        with pytest.raises(Unreachable, match="expected an answer within 0 s"):
            live.wait(0.1)


@pytest.mark.server
def test_exactly_the_listed_versions_are_resident(stage, eventually):
    assert stage.resident() == {"first": {1, 2}, "second": {1, 2}}
    stage.live.hold({"first": [1], "second": [1]})
    eventually(lambda: stage.resident() == {"first": {1}, "second": {1}})
    assert stage.answer() == OLD


@pytest.mark.server
def test_a_version_that_is_not_on_disk_is_named_and_nothing_is_unloaded_for_it(stage):
    with pytest.raises(Refused, match=r"first/9: expected that version folder in repository\d+, found none"):
        stage.live.hold({"first": [9], "second": [1, 2]})
    assert stage.resident() == {"first": {1, 2}, "second": {1, 2}}


@pytest.mark.server
def test_a_version_that_does_not_load_is_named_with_its_cause_and_the_others_stay(stage):
    broken = write_engine(stage.live.repository, "second", 3, None)
    with pytest.raises(Refused, match=r"^second version 3: .*model\.onnx: ONNX Runtime .* cannot load it"):
        stage.live.hold(BOTH | {"second": [1, 2, 3]})
    assert stage.answer() == OLD
    shutil.rmtree(broken)


@pytest.mark.server
def test_pinning_moves_every_answer_at_once(stage):
    assert stage.live.pinned(PAIR) == FIRST
    stage.live.pin(PAIR, SECOND)
    assert stage.live.pinned(PAIR) == SECOND
    assert stage.answer() == NEW


@pytest.mark.server
def test_the_same_graph_under_another_name_has_pins_of_its_own_and_goes_without_its_models(stage):
    stage.live.pin(PAIR, SECOND, PAIR + CANARY)
    assert (stage.answer(), stage.answer(PAIR + CANARY)) == (OLD, NEW)
    stage.live.unpin(PAIR + CANARY)
    assert stage.live.pinned(PAIR + CANARY) is None
    assert not stage.live.is_ready(PAIR + CANARY)
    assert stage.resident() == {"first": {1, 2}, "second": {1, 2}}
    stage.live.unpin(PAIR + CANARY)  # nothing to unload is no fault


@pytest.mark.server
def test_pins_to_what_is_not_resident_are_refused_under_another_name_and_the_live_one_goes_on(stage):
    with pytest.raises(Refused, match=r"pair_canary: .*first.*9"):
        stage.live.pin(PAIR, FIRST | {"first": 9}, PAIR + CANARY)
    assert stage.answer() == OLD


@pytest.mark.server
def test_a_model_without_a_version_is_refused_before_the_server_hears_of_it(stage):
    with pytest.raises(Refused, match="pair: expected a version for each of its models, got none for second"):
        stage.live.pin(PAIR, {"first": 1})


@pytest.mark.server
def test_a_version_folder_that_came_or_went_does_not_move_what_is_live(stage):
    came = write_engine(stage.live.repository, "first", 4, 11.0)
    refresh(stage.live, FIRST)
    stage.live.pin(PAIR, FIRST, PAIR + CANARY)
    assert (stage.answer(), stage.resident()["first"]) == (OLD, {1, 2})
    shutil.rmtree(came)
    refresh(stage.live, FIRST)
    stage.live.pin(PAIR, FIRST, PAIR + CANARY)
    stage.live.unpin(PAIR + CANARY)
    assert (stage.answer(), stage.resident()["first"]) == (OLD, {1, 2})


@pytest.mark.server
def test_the_counters_of_an_ensemble_begin_anew_with_its_pins(stage):
    stage.answer()
    stage.answer()
    before = stage.live.statistics(PAIR)
    assert (before.success, before.fail) == (2, 0)
    assert before.success_ns > 0
    stage.live.pin(PAIR, SECOND)
    assert stage.live.statistics(PAIR).success == 0


@pytest.mark.server
def test_a_configuration_that_changed_on_disk_is_read_again(stage):
    config = Path(stage.live.repository / PAIR / "config.pbtxt")
    text = config.read_text()
    assert stage.live.is_ensemble(PAIR)
    config.write_text('name: "pair"\n')
    assert not stage.live.is_ensemble(PAIR)
    config.write_text(text)
