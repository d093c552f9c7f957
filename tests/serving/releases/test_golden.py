import json

import numpy as np
import pytest

from serving.releases import golden
from tests.serving.releases.golden_sets import NAMES, WEIGHTS, write_set


@pytest.fixture
def root(tmp_path):
    return write_set(tmp_path / "golden")


def test_a_set_is_items_with_known_truth_and_requests_without_batch_axis(root):
    read = golden.read(root, "nose")
    assert (read.class_names, read.normal, len(read.items)) == (NAMES, 0, 12)
    assert [item.label for item in read.items[:4]] == [0, 1, 2, 0]
    assert (read.items[0].sent, read.items[11].sent) == ("video + sound", "sound")
    assert [request["sound"].tolist() for request in read.requests()][5] == [5, 5, 5]


def test_answers_are_known_for_the_weights_that_pytorch_was_asked_with_and_no_others(root):
    read = golden.read(root, "nose")
    assert read.expected(WEIGHTS)["probabilities"].shape == (12, 3)
    assert read.expected("cd" * 32) is None
    assert read.expected("") is None


def test_another_fusion_of_the_same_weights_has_answers_of_its_own(root):
    folder = root / "nose"
    np.savez(folder / f"expected-{WEIGHTS[:16]}-gated.npz", score=np.ones((12, 1)))
    read = golden.read(root, "nose")
    assert list(read.expected(WEIGHTS, "gated")) == ["score"]
    assert "probabilities" in read.expected(WEIGHTS)
    assert read.expected(WEIGHTS, "pyramid") is None


def edit_first(root, **changes):
    path = root / "nose" / "golden.json"
    content = json.loads(path.read_text())
    content["items"][0] |= changes
    path.write_text(json.dumps(content))


def test_an_item_may_have_a_target_instead_of_a_label_or_neither(root):
    edit_first(root, label=None, target=61.5)
    first, second = golden.read(root, "nose").items[:2]
    assert (first.label, first.target, first.complete) == (None, 61.5, True)
    assert (second.label, second.target) == (1, None)
    edit_first(root, label=None, target=None, complete=False)
    assert golden.read(root, "nose").items[0].target is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"label": None}, "item-0: expected a label or a target of a complete item, got neither"),
        ({"label": None, "target": float("nan")}, "item-0: expected a target that is a number, got nan"),
    ],
)
def test_an_item_that_cannot_be_judged_as_it_claims_is_refused(root, changes, sentence):
    edit_first(root, **changes)
    with pytest.raises(ValueError, match=sentence):
        golden.read(root, "nose")


def test_without_a_set_the_sentence_says_how_to_make_one(tmp_path):
    with pytest.raises(ValueError, match="found none; run `python -m export golden nose`, or pass --golden"):
        golden.read(tmp_path, "nose")


def test_a_set_that_is_no_json_says_how_to_make_it_again(root):
    (root / "nose" / "golden.json").write_text("{")
    with pytest.raises(ValueError, match=r"golden\.json: expected a golden set, got .*; remove .* and run"):
        golden.read(root, "nose")


def test_a_request_that_was_changed_is_not_sent(root):
    np.savez(root / "nose" / "inputs" / "item-3.npz", sound=np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match=r"item-3\.npz: .* got another file"):
        list(golden.read(root, "nose").requests())
    (root / "nose" / "inputs" / "item-3.npz").unlink()
    with pytest.raises(ValueError, match=r"item-3\.npz: .* got no file"):
        list(golden.read(root, "nose").requests())


def test_answers_to_another_number_of_items_are_refused(root):
    np.savez(root / "nose" / f"expected-{WEIGHTS[:16]}.npz", probabilities=np.zeros((5, 3)))
    with pytest.raises(ValueError, match="expected 12 answers, got 5 of probabilities"):
        golden.read(root, "nose").expected(WEIGHTS)
