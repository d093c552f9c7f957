"""The mean-pool fusion's own arithmetic."""

from __future__ import annotations

import torch

from multimodal.fusions import WeldMeanPoolFusion

from .fusion_inputs import LENGTHS, SIZES, WIDTHS, all_valid, parameters, random_tokens


def test_the_published_sizes_have_3_409_408_parameters():
    with torch.device("meta"):
        assert parameters(WeldMeanPoolFusion()) == 3_409_408


def test_attention_is_uniform_over_valid_tokens():
    masks = all_valid(1)
    masks["video"][:, 4:] = False
    _, info = WeldMeanPoolFusion(WIDTHS, SIZES)(random_tokens(1), masks)
    assert info["attention"]["video"].tolist() == [[[0.25] * 4 + [0.0] * 4]]
    assert info["attention"]["sensor"].shape == (1, 1, LENGTHS["sensor"])


def test_the_joined_vector_is_the_mean_of_each_modality():
    fusion = WeldMeanPoolFusion(WIDTHS, SIZES).eval()
    tokens = random_tokens(2)
    joined = torch.cat([rows.mean(dim=1) for rows in tokens.values()], dim=1)
    torch.testing.assert_close(fusion(tokens)[0], fusion.aggregate(joined), atol=1e-6, rtol=0)
