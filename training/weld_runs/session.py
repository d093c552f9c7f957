"""What all runs of one session have in common: plate, set-points, camera, microphone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Session:
    """Conditions of one session; nothing here depends on a run's class.

    current_a, voltage_v, feed_mm_min, flow_l_min, pressure_bar: set-points of a good weld
    zoom, camera_x, camera_y: scale and offset (share of the picture) of the welding camera
    tilt_rad: angle of the seam in the welding camera's picture
    plate_rgb: mean colour of the plate in the photos, 0-1; grain: strength of its texture
    gain: loudness of the recording; tone_hz: fundamental of the arc's hum
    """

    thickness_mm: int
    steel: str
    weld_type: str
    speed_cpm: int
    current_a: float
    voltage_v: float
    feed_mm_min: float
    flow_l_min: float
    pressure_bar: float
    zoom: float
    camera_x: float
    camera_y: float
    tilt_rad: float
    plate_rgb: tuple[float, float, float]
    grain: float
    gain: float
    tone_hz: float


def draw_session(rng: np.random.Generator) -> Session:
    """Draw a session; thick plates (two thirds, as in the public set) take more current and voltage."""
    thick = rng.random() < 2760 / 4040
    grey = rng.uniform(0.36, 0.56)
    tint = rng.normal(0, 0.012, 3)
    red, green, blue = (float(value) for value in np.clip(grey + tint + (0.0, 0.0, 0.02), 0.2, 0.8))
    return Session(
        thickness_mm=7 if thick else 3,
        steel="FE410" if rng.random() < 3541 / 4040 else "BSK46",
        weld_type="NON_FILLET" if rng.random() < 2919 / 4040 else "FILLET",
        speed_cpm=int(rng.integers(30, 46)),
        current_a=float(rng.normal(140.0 if thick else 122.0, 2.0)),
        voltage_v=float(rng.normal(20.6 if thick else 18.8, 0.25)),
        feed_mm_min=float(rng.normal(4300.0 if thick else 3700.0, 80.0)),
        flow_l_min=float(rng.normal(15.0, 0.6)),
        pressure_bar=float(rng.normal(1.8, 0.06)),
        zoom=float(rng.uniform(0.95, 1.05)),
        camera_x=float(rng.uniform(-0.05, 0.05)),
        camera_y=float(rng.uniform(-0.07, 0.07)),
        tilt_rad=float(rng.uniform(-0.06, 0.06)),
        plate_rgb=(red, green, blue),
        grain=float(rng.uniform(0.5, 1.2)),
        gain=float(10 ** (rng.uniform(-3, 3) / 20)),
        tone_hz=float(rng.uniform(97.0, 103.0)),
    )
