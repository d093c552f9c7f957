"""The microphone: hum of the arc, crackle of short circuits, hiss of the gas, pops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from training.weld_runs.session import Session
from training.weld_runs.signatures import Evidence

SAMPLE_RATE_HZ = 16_000
HISS_BAND_HZ = (4000.0, 7000.0)
HISS_GAIN_DB = 11.0  # at strength 1
POPS_PER_S = 7.0  # at strength 1; a calm arc has about one faint pop in three seconds


def _shaped_noise(count: int, evidence: Evidence, rng: np.random.Generator) -> NDArray[np.float32]:
    """White noise (count,) given the spectrum of a weld: falling with frequency, with a band of gas hiss."""
    length = next_fast_len(count, real=True)  # a prime length would take ten times as long
    spectrum = rfft(rng.standard_normal(length, dtype=np.float32))
    hertz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE_HZ).astype(np.float32)
    tilt = (1 + hertz / 900.0) ** rng.uniform(-0.9, -0.6)
    low, high = HISS_BAND_HZ
    band = np.clip((hertz - low) / 400 + 0.5, 0, 1) * np.clip((high - hertz) / 400 + 0.5, 0, 1)
    gain_db = HISS_GAIN_DB * evidence.of("hiss") + rng.normal(0, 0.7)
    shape = tilt * (1 + band * (10 ** (gain_db / 20) - 1))
    return irfft(spectrum * shape, length)[:count].astype(np.float32)


def _hum(count: int, tone_hz: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Harmonics of the rectified mains (count,), wandering a little in pitch and loudness."""
    seconds = np.arange(count) / SAMPLE_RATE_HZ
    wander = 1 + 0.004 * np.sin(2 * np.pi * rng.uniform(0.2, 0.7) * seconds + rng.uniform(0, 6.28))
    phase = (2 * np.pi * tone_hz / SAMPLE_RATE_HZ) * np.cumsum(wander)
    turn = np.remainder(phase, 2 * np.pi).astype(np.float32)
    total = np.zeros(count, np.float32)
    for harmonic in range(1, 9):
        total += np.sin(harmonic * turn + rng.uniform(0, 6.28)) * (rng.uniform(0.6, 1.2) / harmonic)
    return total


def _pops(count: int, strength: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Bursts of noise (count,) that decay within 6-25 ms; strength sets their number and their loudness."""
    total = np.zeros(count, dtype=np.float32)
    length = int(0.08 * SAMPLE_RATE_HZ)
    loudness = 0.15 + 0.85 * strength
    for _ in range(rng.poisson((0.3 + POPS_PER_S * strength) * count / SAMPLE_RATE_HZ)):
        start = int(rng.integers(0, count - length))
        decay = np.exp(-np.arange(length) / (rng.uniform(0.006, 0.025) * SAMPLE_RATE_HZ)).astype(np.float32)
        total[start : start + length] += (
            loudness * rng.uniform(0.5, 1.2) * decay * rng.standard_normal(length, np.float32)
        )
    return total


def arc_sound(
    session: Session, evidence: Evidence, seconds: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Simulate `seconds` of mono sound at 16 kHz, (samples,) in [-1, 1].

    hiss: the 4-7 kHz band 11 dB louder; pops: seven loud bursts a second.
    """
    count = round(seconds * SAMPLE_RATE_HZ)
    time_s = np.arange(count, dtype=np.float32) / SAMPLE_RATE_HZ
    begin, end = rng.uniform(0.05, 0.35), seconds - rng.uniform(0.05, 0.35)
    arc = np.clip(np.minimum((time_s - begin) / 0.03, (end - time_s) / 0.06), 0, 1)
    crackle_hz = rng.uniform(60, 90)  # short circuits of the wire chop the noise
    chop = 0.75 + 0.25 * np.sin(2 * np.pi * crackle_hz * time_s + 3 * np.sin(2 * np.pi * 3.1 * time_s))
    noise = _shaped_noise(count, evidence, rng) * chop
    hum = _hum(count, session.tone_hz, rng)
    pops = _pops(count, evidence.of("pops"), rng)
    room = rng.standard_normal(count, dtype=np.float32) * np.float32(rng.uniform(0.001, 0.0025))
    sound = (0.035 * noise + rng.uniform(0.013, 0.022) * hum + 0.18 * pops) * arc
    return np.clip(sound * np.float32(session.gain * 10 ** (rng.normal(0, 1) / 20)) + room, -1, 1).astype(
        np.float32
    )
