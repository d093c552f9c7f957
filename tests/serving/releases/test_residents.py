"""What a start has to make room for."""

from dataclasses import replace

from serving import control
from serving.releases.prepare import adopt
from serving.releases.record import Member
from serving.releases.store import Store
from tests.serving.releases.small_sets import PIPELINE, write_repository


def test_a_start_loads_every_model_once_and_what_the_previous_release_adds(tmp_path):
    store = Store(write_repository(tmp_path / "models"))
    wanted = control.options([PIPELINE], store.repository)
    assert control.loaded_versions(wanted) == 4, "the ensemble, its gate, encoder and head"
    with store.locked("prepare"):
        record = adopt(store, PIPELINE, "cpu", "somebody")
        first = record.release(1)
        second = replace(first, number=2, members={**first.members, "head": Member(2), "encoder": Member(2)})
        store.write(PIPELINE, replace(record.with_release(second), active=2, previous=1))
    assert control.loaded_versions(wanted) == 6
