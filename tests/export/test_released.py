import json

import pytest

from export import released


@pytest.fixture
def repository(tmp_path):
    """Release 2 is live, 1 was before, 3 waits, 4 is retired; each has its own version of `nose`."""
    states = {1: "released", 2: "released", 3: "prepared", 4: "retired"}
    releases = {
        str(number): {
            "state": state,
            "members": {
                "nose": {
                    "version": number,
                    "files": {"model.onnx": f"{number}" * 64},
                    "weights_sha256": f"{number}" * 8,
                }
            },
        }
        for number, state in states.items()
    }
    record = {"active": 2, "previous": 1, "releases": releases}
    (tmp_path / "releases.json").write_text(json.dumps({"schema": 1, "pipelines": {"smell": record}}))
    return tmp_path


def test_a_version_knows_who_uses_it(repository):
    found = {
        version: [use.role for use in released.uses(repository, "nose", version)] for version in range(1, 6)
    }
    assert found == {1: ["the one before the live one"], 2: ["live"], 3: ["waiting"], 4: [], 5: []}
    assert released.uses(repository, "ear", 1) == []


def test_a_live_engine_is_not_replaced_by_one_of_other_weights(repository):
    sentence = (
        r"nose/2: expected to leave release 2 of smell \(live\) as it is, got an export made from other "
        "weights; use --out FOLDER, then `python -m serving release prepare smell --from FOLDER`"
    )
    with pytest.raises(ValueError, match=sentence):
        released.refuse_other_weights(repository, "nose", 2, "other")
    released.refuse_other_weights(repository, "nose", 2, "2" * 8)
    released.refuse_other_weights(repository, "nose", 4, "other")


def test_a_live_engine_may_be_written_again_with_the_same_bytes_only(repository):
    released.refuse_other_files(repository, "nose", 3, {"model.onnx": "3" * 64, "dense.onnx": "new"})
    with pytest.raises(ValueError, match=r"release 3 of smell \(waiting\) .* would replace by others"):
        released.refuse_other_files(repository, "nose", 3, {"model.onnx": "4" * 64})


def test_without_releases_everything_may_be_exported(tmp_path):
    released.refuse_other_weights(tmp_path, "nose", 1, "any")


def test_a_file_that_releases_did_not_write_is_refused(tmp_path):
    (tmp_path / "releases.json").write_text('{"pipelines": 3}')
    with pytest.raises(ValueError, match=r"expected the releases of this repository, got .*; restore"):
        released.uses(tmp_path, "nose", 1)
