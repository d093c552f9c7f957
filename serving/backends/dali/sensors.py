"""Sensor logs, CSV by column name or .npy, resampled to a fixed number of steps."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from .contract import Status

NPY_MAGIC = b"\x93NUMPY"


def read(payload: np.ndarray, columns: Sequence[str], steps: int) -> tuple[np.ndarray, Status]:
    """One weld's log.

    payload: (bytes,) uint8: CSV text with a header, or a .npy array (rows, columns) in the order of `columns`
    returns: (steps, columns) float32 in physical units; PARTIAL when rows were dropped
    raises:  ValueError when fewer than two rows are usable or the file cannot be read
    """
    data = payload.tobytes()
    rows = _from_npy(data, len(columns)) if data.startswith(NPY_MAGIC) else _from_csv(data, columns)
    with np.errstate(over="ignore"):
        good = rows[np.isfinite(rows.astype(np.float32)).all(axis=1)]
    if len(good) < 2:
        raise ValueError(f"sensor: expected at least 2 numeric rows, got {len(good)} of {len(rows)}")
    at = np.linspace(0, len(good) - 1, steps)
    series = np.stack([np.interp(at, np.arange(len(good)), column) for column in good.T], axis=1)
    return series.astype(np.float32), Status.OK if len(good) == len(rows) else Status.PARTIAL


def _from_npy(data: bytes, columns: int) -> np.ndarray:
    rows = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if rows.ndim != 2 or rows.shape[1] != columns or rows.dtype.kind not in "fiu":
        raise ValueError(
            f"sensor: expected numbers of shape (rows, {columns}), got {rows.dtype} {rows.shape}"
        )
    return rows.astype(np.float64)


def _from_csv(data: bytes, columns: Sequence[str]) -> np.ndarray:
    """(rows, columns) float64; what is no number is NaN, blank lines do not count."""
    lines = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    names: list[str] = []
    for cells in lines:
        names = [name.strip() for name in cells]
        if names:
            break
    places = [names.index(column) for column in columns]
    rows = [[_number(cells, place) for place in places] for cells in lines if cells]
    return np.array(rows, np.float64).reshape(-1, len(columns))


def _number(cells: list[str], place: int) -> float:
    try:
        return float(cells[place])
    except (ValueError, IndexError):
        return np.nan
