"""Token after token: what is chosen, when a sequence ends, and that neighbours do not matter."""

import numpy as np
import pytest

from serving.backends.generator.generation import Limits, drawn, greedy, log_softmax, sample

END = 0
# for each last token the logits of the next: 1 -> 2 -> 3 -> end
TABLE = np.log(
    np.array(
        [[0.25, 0.25, 0.25, 0.25], [0.1, 0.1, 0.7, 0.1], [0.1, 0.2, 0.1, 0.6], [0.4, 0.2, 0.3, 0.1]],
    )
)


def following(seen: list | None = None):
    """A decoder that looks at the last token alone; seen: is told which rows are still in the batch."""

    def step(input_ids, rows):
        if seen is not None:
            seen.append(rows.tolist())
        return TABLE[input_ids[:, -1]]

    return step


def starting(*begins):
    """A decoder whose rows begin with different tokens, whatever the prompt is."""

    def step(input_ids, rows):
        first = input_ids.shape[1] == 1
        return TABLE[np.asarray(begins)[rows] if first else input_ids[:, -1]]

    return step


def test_the_most_likely_token_follows_until_the_end_and_the_end_is_not_told():
    (one,) = greedy(following(), 1, Limits((1,), END, 0, 9))
    assert one.tokens == (2, 3)
    assert one.probability == pytest.approx(0.7 * 0.6 * 0.4)


def test_a_sequence_that_does_not_end_stops_at_its_largest_length():
    (one,) = greedy(following(), 1, Limits((1,), END, 0, 2))
    assert one.tokens == (2, 3)
    assert one.probability == pytest.approx(0.7 * 0.6), "no end came, so none counts"


def test_the_end_may_not_come_before_the_smallest_length():
    (one,) = greedy(following(), 1, Limits((3,), END, 1, 2))
    assert one.tokens[0] == 2
    first = 0.3 / 0.6  # the end's 0.4 is shared out among the others
    assert one.probability == pytest.approx(first * 0.6)


def test_rows_that_ended_leave_the_batch():
    seen = []
    begin = following(seen)
    greedy(
        lambda ids, rows: begin(ids, rows) + (rows == 1)[:, None] * [9, 0, 0, 0], 3, Limits((1,), END, 0, 9)
    )
    assert seen == [[0, 1, 2], [0, 2], [0, 2]]


def test_rows_of_different_lengths_are_what_they_are_alone():
    limits = Limits((1,), END, 0, 9)
    together = greedy(starting(1, 2, 3), 3, limits)
    alone = [greedy(starting(begin), 1, limits)[0] for begin in (1, 2, 3)]
    assert together == alone
    assert [one.tokens for one in together] == [(2, 3), (3,), ()]


def test_no_rows_are_no_sequences():
    assert greedy(following(), 0, Limits((1,), END, 0, 9)) == []


def test_drawn_tokens_depend_on_the_rows_own_generator_alone():
    limits = Limits((1,), END, 1, 6)
    together = sample(following(), [np.random.default_rng(seed) for seed in range(8)], 3, limits)
    alone = [sample(following(), [np.random.default_rng(seed)], 3, limits)[0] for seed in range(8)]
    assert together == alone
    assert len({one.tokens for one in together}) > 3


def test_tokens_are_drawn_as_often_as_they_are_likely_among_the_best():
    rng = np.random.default_rng(0)
    tokens = [drawn(TABLE[2], 2, rng) for _ in range(4_000)]
    assert set(tokens) == {1, 3}
    assert np.mean([token == 3 for token in tokens]) == pytest.approx(0.75, abs=0.02)


def test_one_token_to_draw_from_is_the_most_likely_one():
    rng = np.random.default_rng(0)
    assert {drawn(TABLE[1], 1, rng) for _ in range(20)} == {2}
    assert drawn(TABLE[1], 99, np.random.default_rng(1)) in range(4), "there are fewer than that"


def test_logits_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match=r"logits: expected numbers, got NaN"):
        greedy(lambda ids, rows: np.full((1, 4), np.nan), 1, Limits((1,), END, 0, 2))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (((), END, 0, 2), "prompt_ids: expected at least the begin token, got none"),
        (((1,), END, 2, 2), "expected 0 <= min < max, got 2 and 2"),
    ],
)
def test_limits_that_make_no_sense_are_refused(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        Limits(*values)


def test_probabilities_sum_to_one_however_large_the_logits():
    assert np.exp(log_softmax(np.array([[1e4, 1e4 - 1, -1e4]]))).sum() == pytest.approx(1)
