"""The extractor that judges fragments: statistics of early stages of a network that knows pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from multimodal.encoders.efficientnet_lite import EfficientNetLiteBackbone, LiteNormalise
from multimodal.encoders.stage_statistics import (
    WIDTHS,
    ShallowLiteBackbone,
    StageStatisticsExtractor,
    local_statistics,
    statistics,
)
from multimodal.pretrained import efficientnet_lite0_file
from training.quality_clips.shipped import PythonFile


@pytest.fixture(scope="module")
def backbone():
    made = ShallowLiteBackbone()
    made.load_published(efficientnet_lite0_file())
    return made.eval()


def coffee(size_px=96):
    picture = Image.open(PythonFile("skimage", "data/coffee.png").path()).resize((size_px, size_px))
    return LiteNormalise()(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255)


def test_statistics_are_means_then_deviations_of_every_channel():
    first = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]])
    second = torch.tensor([[[[0.0, 8.0]]]])
    found = statistics((first, second))
    torch.testing.assert_close(found, torch.tensor([[2.0, 5.0, 4.0, 1.0, 0.001, 4.0]]), atol=1e-4, rtol=0)


def test_local_statistics_are_those_of_each_cell():
    halves = torch.tensor([[[[1.0, 3.0, 10.0, 10.0]]]])
    found = local_statistics((halves,), 1, 2)
    expected = torch.tensor([[[[2.0, 10.0]], [[1.0, 0.001]]]])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_its_blocks_are_the_first_of_the_published_network(backbone):
    whole = EfficientNetLiteBackbone.from_file(efficientnet_lite0_file(), top=False)
    with torch.no_grad():
        ours, theirs = backbone.extract_features(coffee()), whole.extract_features(coffee())
    assert [one.shape[1] for one in ours] == list(WIDTHS)
    for place in (0, 1):
        assert torch.equal(ours[place], theirs[place])
    assert torch.equal(ours[3], theirs[2])
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 700_768


def test_fitted_statistics_of_the_same_pictures_have_mean_zero_and_deviation_one(backbone):
    torch.manual_seed(0)
    extractor = StageStatisticsExtractor(out_dim=8, backbone=backbone)
    pictures = torch.randn(16, 3, 64, 64)
    extractor.fit(pictures)
    found = (statistics(backbone.extract_features(pictures)) - extractor.mean) / extractor.deviation
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(512), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std(dim=0), torch.ones(512), atol=1e-3, rtol=0)


def test_blur_lowers_the_deviations_of_the_first_stage(backbone):
    sharp = coffee()
    soft = torch.nn.functional.avg_pool2d(sharp, 5, stride=1, padding=2, count_include_pad=False)
    with torch.no_grad():
        (first, *_), (blurred, *_) = (backbone.extract_features(one) for one in (sharp, soft))
    clear, dull = statistics((first,))[:, 24:], statistics((blurred,))[:, 24:]
    assert (dull < clear).float().mean() > 0.8  # of the 24 channels


def test_pictures_of_other_planes_are_refused():
    with pytest.raises(ValueError, match="stage statistics: expected pictures of 3 planes, got 6"):
        StageStatisticsExtractor(in_channels=6)
