"""Token after token: what is chosen, when a sequence ends, and that neighbours do not matter."""

import numpy as np
import pytest

from serving.backends.generator.generation import Decoding, greedy, sample, softmax

END, PAD = 0, 4
# for each last token the chances of the next: 1 -> 2 -> 3 -> end; the last is no word
CHANCES = [
    [0.25, 0.25, 0.25, 0.25, 0],
    [0.1, 0.1, 0.7, 0.1, 0],
    [0.1, 0.2, 0.1, 0.6, 0],
    [0.4, 0.2, 0.3, 0.1, 0],
]
TABLE = np.log(np.maximum(CHANCES, 1e-30))


def from_one(shortest=0, longest=9, begin=1):
    return Decoding((begin,), END, PAD, shortest, longest)


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
    (one,) = greedy(following(), 1, from_one())
    assert one.tokens == (2, 3)
    assert one.probability == pytest.approx(0.7 * 0.6 * 0.4)


def test_a_sequence_that_does_not_end_stops_at_its_largest_length():
    (one,) = greedy(following(), 1, from_one(longest=1))
    assert one.tokens == (2,)
    assert one.probability == pytest.approx(0.7), "no end came, so none counts"


def test_the_end_behind_the_largest_length_counts():
    (one,) = greedy(following(), 1, from_one(longest=2))
    assert one.tokens == (2, 3)
    assert one.probability == pytest.approx(0.7 * 0.6 * 0.4)


def test_the_end_may_not_come_before_the_smallest_length():
    (one,) = greedy(following(), 1, from_one(begin=3, shortest=1, longest=1))
    assert one.tokens == (2,)
    assert one.probability == pytest.approx(0.3 / 0.6), "the end's 0.4 is shared out among the others"


def test_rows_that_ended_leave_the_batch():
    seen = []
    begin = following(seen)
    greedy(lambda ids, rows: begin(ids, rows) + (rows == 1)[:, None] * [9, 0, 0, 0, 0], 3, from_one())
    assert seen == [[0, 1, 2], [0, 2], [0, 2]]


def test_rows_of_different_lengths_are_what_they_are_alone():
    limits = from_one()
    together = greedy(starting(1, 2, 3), 3, limits)
    alone = [greedy(starting(begin), 1, limits)[0] for begin in (1, 2, 3)]
    assert together == alone
    assert [one.tokens for one in together] == [(2, 3), (3,), ()]


def test_no_rows_are_no_sequences():
    assert greedy(following(), 0, from_one()) == []


def test_drawn_tokens_depend_on_the_rows_own_numbers_alone():
    decoding = from_one(shortest=1, longest=5)
    uniforms = np.random.default_rng(0).random((8, 6))
    together = sample(following(), uniforms, 3, decoding)
    alone = [sample(following(), row[None], 3, decoding)[0] for row in uniforms]
    assert together == alone
    assert len({one.tokens for one in together}) > 3


def first(uniforms, top_k):
    """The first token behind token 2, for each number."""
    decoding = from_one(begin=2, shortest=1, longest=1)
    told = sample(following(), np.stack([uniforms, uniforms], axis=1), top_k, decoding)
    return [one.tokens[0] for one in told]


def test_tokens_are_drawn_as_often_as_they_are_likely_among_the_best():
    assert first(np.array([0, 0.74, 0.76, 0.999999]), top_k=2) == [3, 3, 1, 1]
    tokens = first(np.random.default_rng(0).random(4_000), top_k=2)
    assert np.mean([token == 3 for token in tokens]) == pytest.approx(0.75, abs=0.02)


def test_one_token_to_draw_from_is_the_most_likely_one_and_more_than_there_are_is_all():
    uniforms = np.random.default_rng(0).random(50)
    assert set(first(uniforms, top_k=1)) == {3}
    assert set(first(uniforms, top_k=99)) == {1, 2, 3}


def test_logits_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match=r"logits: expected numbers, got NaN"):
        greedy(lambda ids, rows: np.full((1, 5), np.nan), 1, from_one())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (((), END, PAD, 0, 2), "prompt: expected at least the begin token, got none"),
        (((1,), END, PAD, 3, 2), "expected 0 <= shortest <= longest, got 3 and 2"),
    ],
)
def test_limits_that_make_no_sense_are_refused(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        Decoding(*values)


def test_probabilities_sum_to_one_however_large_the_logits():
    assert softmax(np.array([[1e4, 1e4 - 1, -1e4]])).sum() == pytest.approx(1)
