import numpy as np
import pytest

from serving.backends.dali.audio import is_cut_off, window
from serving.backends.dali.contract import Status
from tests.serving.preprocess.files import payloads, recording, sine


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("kind", ["FLAC", "WAV"])
def test_a_tone_arrives_at_16_khz_whatever_its_rate(read, kind, rate_hz, channels):
    (answer,) = read(payloads(audio=recording(kind, sine(rate_hz, channels=channels), rate_hz)))
    expected = sine()[:, 0]
    assert answer["modality_status"][2] == Status.OK
    assert answer["audio_samples"].tolist() == [16_000]
    inner = slice(100, 15_900)  # a resampler knows nothing beyond the ends
    assert np.abs(answer["audio_waveform"][:16_000] - expected)[inner].max() < 1e-4
    assert not answer["audio_waveform"][16_000:].any()


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_is_heard_within_its_own_loss(read, subtype):
    (answer,) = read(payloads(audio=recording("OGG", sine(48_000), 48_000, subtype=subtype)))
    assert answer["audio_samples"].tolist() == [16_000]
    assert np.abs(answer["audio_waveform"][100:15_900] - sine()[100:15_900, 0]).max() < 0.05


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_depth_of_wav_is_heard(read, subtype):
    (answer,) = read(payloads(audio=recording("WAV", subtype=subtype)))
    assert np.abs(answer["audio_waveform"][:16_000] - sine()[:, 0]).max() < 0.01


def test_channels_are_averaged(read):
    both = np.concatenate([sine(), -0.5 * sine()], axis=1)
    (answer,) = read(payloads(audio=recording(waveform=both)))
    assert np.abs(answer["audio_waveform"][:16_000] - 0.25 * sine()[:, 0]).max() < 1e-4


def test_a_long_recording_is_four_evenly_spaced_excerpts(read):
    steps = np.repeat(np.arange(20) / 20, 16_000)  # second k is k/20 loud
    (answer,) = read(payloads(audio=recording(waveform=steps)))
    part = 82_160 // 4
    starts = [round(k * (steps.size - part) / 3) for k in range(4)]
    expected = np.concatenate([steps[start : start + part] for start in starts])
    assert answer["audio_samples"].tolist() == [82_160]
    assert np.abs(answer["audio_waveform"] - expected).max() < 1e-4
    assert answer["audio_waveform"][-1] == pytest.approx(19 / 20, abs=1e-4)


def test_a_recording_as_long_as_the_window_is_left_as_it_is():
    waveform = np.linspace(-1, 1, 40, dtype=np.float32)
    fitted, samples = window(waveform, 40)
    assert np.array_equal(fitted, waveform)
    assert samples == 40


@pytest.mark.parametrize("kind", ["FLAC", "WAV", "OGG"])
@pytest.mark.parametrize("kept", [0.9, 0.5])
def test_a_recording_that_breaks_off_is_corrupt(read, kind, kept):
    data = recording(kind, np.random.default_rng(0).uniform(-0.5, 0.5, 32_000))
    (answer,) = read(payloads(audio=data[: int(kept * len(data))]))
    assert answer["modality_status"][2] == Status.CORRUPT
    assert not answer["audio_valid"].any()
    assert not answer["audio_waveform"].any()
    assert answer["audio_samples"].tolist() == [0]


@pytest.mark.parametrize("junk", [b"fLaC", b"RIFF\0\0\0\0WAVE", b"OggS", b"\0", b"RIFF" + bytes(40)])
def test_a_magic_number_without_a_recording_is_corrupt(read, junk):
    (answer,) = read(payloads(audio=junk))
    assert answer["modality_status"][2] == Status.CORRUPT


def test_a_recording_with_a_value_that_is_no_number_is_corrupt(read):
    broken = sine()
    broken[5] = np.nan
    (answer,) = read(payloads(audio=recording("WAV", broken, subtype="FLOAT")))
    assert answer["modality_status"][2] == Status.CORRUPT


def test_a_wav_written_to_a_pipe_has_no_length_and_is_whole():
    data = bytearray(recording("WAV"))
    at = data.find(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    assert not is_cut_off(bytes(data))


def test_louder_than_full_scale_is_clipped(read):
    (answer,) = read(payloads(audio=recording("WAV", 4 * sine(), subtype="FLOAT")))
    assert np.abs(answer["audio_waveform"]).max() == 1.0
