"""The welding machine's log: six channels that rise, ripple and fall with the arc."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multimodal.weld_classes import SENSOR_COLUMNS
from training.weld_runs.session import Session
from training.weld_runs.signatures import Evidence

HEADER = ("Date", "Time", "Part No", *SENSOR_COLUMNS, "Remarks")
ROW_PERIOD_S = 0.116  # median step of the public logs, about 8.6 Hz
ROWS = (
    195,
    301,
)  # as many as the shorter public logs; the video and audio beside it are a 4-6 s excerpt of that time


def _arc_envelope(rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Share of the set-point per row, (rows,): off, ramp of a few rows, on, ramp, off."""
    start, stop = rng.integers(4, 24), rows - rng.integers(4, 24)
    ramp = rng.uniform(2.0, 7.0)
    row = np.arange(rows)
    return np.clip(np.minimum((row - start) / ramp, (stop - row) / ramp), 0.0, 1.0)


def _ripple(rows: int, share: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Multiplicative ripple (rows,) around 1: slow drift, a weave oscillation and white noise."""
    row = np.arange(rows)
    drift = np.cumsum(rng.normal(0, 1, rows)) / np.sqrt(rows)
    weave = np.sin(2 * np.pi * row / rng.uniform(8, 20) + rng.uniform(0, 6.28))
    return 1.0 + share * (0.4 * drift + 0.5 * weave + rng.normal(0, 1, rows))


def sensor_log(session: Session, evidence: Evidence, rng: np.random.Generator) -> NDArray[np.float64]:
    """Simulate a log (rows, 6) in the order of SENSOR_COLUMNS: bar, L/min, mm/min, A, mm, V.

    hot:     current +35 %, voltage +12 %, feed +28 %, restless current
    cold:    current -26 %, voltage -9 %, feed -20 %
    gas_low: gas flow -50 %, pressure -28 %, both unsteady
    """
    hot, cold, gas = evidence.of("hot"), evidence.of("cold"), evidence.of("gas_low")
    rows = int(rng.integers(*ROWS))
    arc = _arc_envelope(rows, rng)
    level = rng.normal(1.0, 0.025)
    current = (
        session.current_a * level * (1 + 0.35 * hot - 0.26 * cold) * _ripple(rows, 0.03 + 0.04 * hot, rng)
    )
    voltage = (
        session.voltage_v * rng.normal(1, 0.01) * (1 + 0.12 * hot - 0.09 * cold) * _ripple(rows, 0.015, rng)
    )
    feed = session.feed_mm_min * level * (1 + 0.28 * hot - 0.20 * cold) * _ripple(rows, 0.01, rng)
    flow = (
        session.flow_l_min * rng.normal(1, 0.02) * (1 - 0.50 * gas) * _ripple(rows, 0.012 + 0.08 * gas, rng)
    )
    pressure = (
        session.pressure_bar * rng.normal(1, 0.01) * (1 - 0.28 * gas) * _ripple(rows, 0.006 + 0.04 * gas, rng)
    )
    gas_open = np.clip(
        np.convolve(arc, np.ones(9) / 4, mode="same"), 0, 1
    )  # pre- and post-flow of a few rows
    wire = np.cumsum(feed * arc) * ROW_PERIOD_S / 60.0
    columns = [
        pressure * (0.9 + 0.1 * (1 - gas_open)),  # the line's pressure drops a little while gas flows
        flow * gas_open,
        feed * arc,
        current * arc + np.abs(rng.normal(0, 0.4, rows)),
        wire,
        voltage * np.sqrt(arc) + np.abs(rng.normal(0, 0.05, rows)),
    ]
    return np.stack(columns, axis=1)


def write_sensor_log(path: Path, log: NDArray[np.float64], begin: datetime.datetime) -> None:
    """Write the log with the public data set's full header; time stamps advance by the real logger's step."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(HEADER)
        for index, values in enumerate(log):
            stamp = begin + datetime.timedelta(seconds=index * ROW_PERIOD_S)
            clock = stamp.strftime("%H:%M:%S.%f")[:-3]
            rows.writerow([stamp.strftime("%m/%d/%Y"), clock, "1", *(f"{value:.3f}" for value in values), ""])
