"""Token pooling equals adaptive average pooling for every ratio the encoders meet."""

from __future__ import annotations

import pytest
import torch

from multimodal.encoders.pooling import pool_tokens, pooling_rows


@pytest.mark.parametrize(("length", "count"), [(73, 12), (101, 12), (16, 8), (8, 8), (2, 8), (4, 12), (1, 3)])
def test_pooling_equals_adaptive_average_pooling(length, count):
    tokens = torch.randn(2, length, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.adaptive_avg_pool1d(tokens.transpose(1, 2), count).transpose(1, 2)
    torch.testing.assert_close(pool_tokens(tokens, count), expected, atol=1e-6, rtol=0)


def test_rows_of_weights_sum_to_one():
    assert [sum(row) for row in pooling_rows(73, 12)] == pytest.approx([1.0] * 12)


def test_nothing_to_pool_is_refused():
    with pytest.raises(ValueError, match="0 in and 8 out"):
        pooling_rows(0, 8)
