"""Front ends against transformers' feature extractor and against arithmetic done by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor

from multimodal.front_ends import (
    DIFFERENCE_GAIN,
    PADDING_FEATURE,
    BurstFrontEnd,
    ImageNetNormalise,
    KaldiLogMel,
    PixelFrontEnd,
    SeriesStandardiser,
    mel_filters,
)
from multimodal.presets import Audio, Transformer

FRAMES = 128
AUDIO = Audio(Transformer(32, 1, 2), frames=FRAMES, stride=16)


@pytest.fixture(scope="module")
def reference() -> ASTFeatureExtractor:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the lowest filters are narrower than a bin: true of the published ones too
        extractor = ASTFeatureExtractor(max_length=FRAMES)
    assert hasattr(extractor, "mel_filters"), "the comparison needs the numpy path, that is, no torchaudio"
    return extractor


def speech_like(samples: int) -> np.ndarray:
    """Two voiced tones that swell three times a second, in noise."""
    numbers, time = np.random.default_rng(0), np.arange(samples) / 16_000
    voice = 0.2 * np.sin(2 * np.pi * 150 * time) + 0.1 * np.sin(2 * np.pi * 1_200 * time)
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)
    return (swell * voice + 0.02 * numbers.standard_normal(samples)).astype(np.float32)


def features(front_end: KaldiLogMel, waveform: np.ndarray) -> np.ndarray:
    padded = torch.zeros(1, AUDIO.samples)
    padded[0, : len(waveform)] = torch.from_numpy(waveform)
    return front_end(padded, torch.tensor([[len(waveform)]], dtype=torch.int32))[0].numpy()


def test_the_mel_filters_are_the_published_ones(reference):
    ours = mel_filters(128, 16_000).numpy()
    np.testing.assert_allclose(ours, reference.mel_filters.T, atol=1e-9)


@pytest.mark.parametrize("samples", [AUDIO.samples, AUDIO.samples - 1, 12_345, 561, 560, 400])
@pytest.mark.parametrize("gain", [1.0, 1e-3])
def test_log_mel_equals_the_reference_extractor(reference, samples, gain):
    waveform = gain * speech_like(samples)
    expected = reference(waveform, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    np.testing.assert_allclose(features(KaldiLogMel(AUDIO), waveform), expected, atol=5e-5)


def test_a_constant_offset_is_removed(reference):
    waveform = speech_like(AUDIO.samples) + np.float32(0.5)
    expected = reference(waveform, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    np.testing.assert_allclose(features(KaldiLogMel(AUDIO), waveform), expected, atol=2e-3)


def test_frames_past_the_real_samples_are_padding_whatever_the_waveform_holds():
    waveform = torch.rand(1, AUDIO.samples)
    out = KaldiLogMel(AUDIO)(waveform, torch.tensor([[400 + 9 * 160]], dtype=torch.int32))[0]
    assert (out[10:] == PADDING_FEATURE).all()
    assert (out[:10] != PADDING_FEATURE).all()
    assert pytest.approx(4.2677393 / (2 * 4.5689974)) == PADDING_FEATURE


def test_a_clip_shorter_than_one_window_is_all_padding():
    out = KaldiLogMel(AUDIO)(torch.rand(1, AUDIO.samples), torch.tensor([[399]], dtype=torch.int32))
    assert (out == PADDING_FEATURE).all()


def test_pixels_move_their_channels_to_the_front_and_end_in_zero_to_one():
    pixels = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)  # (batch, height, width, 3)
    out = PixelFrontEnd()(pixels)
    assert out.shape == (1, 3, 1, 1)
    torch.testing.assert_close(out.flatten(), torch.tensor([0.0, 0.2, 1.0]))
    assert PixelFrontEnd()(torch.zeros(2, 4, 8, 6, 3, dtype=torch.uint8)).shape == (2, 4, 3, 8, 6)


def test_the_standardiser_uses_training_statistics_and_keeps_levels():
    standardise = SeriesStandardiser(2)
    standardise.fit(torch.tensor([[[0.0, 7.0], [4.0, 7.0]]]))
    out = standardise(torch.tensor([[[2.0, 7.0], [6.0, 8.0]]]))
    assert out.tolist() == [[[0.0, 0.0], [2.0, 1.0]]]  # the constant channel keeps deviation 1
    assert set(standardise.state_dict()) == {"mean", "std"}


def test_the_standardiser_refuses_other_channels():
    with pytest.raises(ValueError, match=r"rows of 6 channels, got \(3, 2\)"):
        SeriesStandardiser(6).fit(torch.zeros(3, 2))


def test_imagenets_mean_colour_becomes_zero_and_one_deviation_above_it_one():
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colours = torch.stack([mean, mean + std])[:, :, None, None]
    normalised = ImageNetNormalise()(colours).squeeze()
    torch.testing.assert_close(normalised, torch.tensor([[0.0] * 3, [1.0] * 3]), atol=1e-6, rtol=0)


def test_a_burst_becomes_its_first_frame_and_what_changes_after_it():
    pixels = torch.zeros(1, 4, 2, 2, 3, dtype=torch.uint8)  # two moments of two frames
    pixels[0, :2] = 51  # .2 of white, and nothing changes
    pixels[0, 3] = 102  # the second moment's second frame is brighter by .4
    channels = BurstFrontEnd(2)(pixels)
    assert channels.shape == (1, 2, 6, 2, 2)
    torch.testing.assert_close(channels[0, 0, 0], torch.full((2, 2), (0.2 - 0.485) / 0.229))
    assert (channels[0, 0, 3:] == 0).all()
    torch.testing.assert_close(channels[0, 1, 3:], torch.full((3, 2, 2), 0.4 * DIFFERENCE_GAIN))


def test_a_burst_of_one_is_the_normalised_frame():
    pixels = torch.randint(
        0, 256, (2, 8, 4, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    expected = ImageNetNormalise()(PixelFrontEnd()(pixels))
    assert torch.equal(BurstFrontEnd(1)(pixels), expected)


def test_a_burst_of_nothing_is_refused():
    with pytest.raises(ValueError, match="burst: expected at least one frame, got 0"):
        BurstFrontEnd(0)
