"""Seeded tensors for every input of a contract, close enough to real ones that the networks react to them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from export.contract import Contract, Tensor

VOCABULARY = 60  # ids are drawn below it: fewer words than any network knows, vision_language_tiny has 64
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def draw(contract: Contract, batch: int, seed: int, absent: bool = False) -> dict[str, np.ndarray]:
    """Input name -> array of (batch, *dims) in the contract's dtype.

    absent: True marks some rows as not valid and zeroes them, as preprocess does; the last request of several
    then has nothing at all, and a batch of one keeps its first row.
    The same seed gives the same arrays.
    """
    rng = np.random.default_rng(seed)
    arrays = {tensor.name: _array(rng, tensor, (batch, *tensor.dims)) for tensor in contract.inputs}
    _fit_samples(rng, arrays)
    masks = [tensor for tensor in contract.inputs if tensor.dtype == "BOOL"]
    for tensor in masks:
        if absent:
            arrays[tensor.name] = _mask(rng, (batch, *tensor.dims))
    if len(masks) == 1:
        zero_absent(arrays, masks[0].name)
    return arrays


def zero_absent(arrays: dict[str, np.ndarray], mask_name: str) -> None:
    """Zero, in place, every row that the mask calls absent; a mask of one column is the whole request's."""
    mask = arrays[mask_name]
    for name, array in arrays.items():
        if name == mask_name:
            continue
        if mask.shape[1] == 1:
            array[~mask[:, 0]] = 0
        else:
            array[~mask] = 0


def _array(rng: np.random.Generator, tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    if tensor.dtype == "BOOL":
        return np.ones(shape, dtype=bool)
    draw_it = BY_NAME.get(tensor.name) or BY_NAME.get(f"*_{tensor.name.rsplit('_', 1)[-1]}")
    if draw_it:
        return draw_it(rng, shape).astype(tensor.numpy)
    if tensor.dtype == "UINT8":
        return _pixels(rng, shape)
    if np.issubdtype(tensor.numpy, np.integer):
        return np.ones(shape, dtype=tensor.numpy)
    return rng.standard_normal(shape).astype(tensor.numpy)


def _pixels(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """(..., height, width, 3) in 0..255: a gradient per picture and noise; noise alone is all alike."""
    *lead, height, width, colours = shape
    corner = rng.uniform(0, 255, (*lead, 2, 1, 1, colours))
    rows = np.linspace(0, 1, height)[:, None, None]
    columns = np.linspace(-1, 1, width)[None, :, None]
    picture = corner[..., 0, :, :, :] * (1 - rows) + corner[..., 1, :, :, :] * rows + 40 * columns
    return np.clip(picture + rng.normal(0, 20, (*lead, height, width, 1)), 0, 255).astype(np.uint8)


def _activations(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """What a stage leaves, averaged over frames: mostly positive, few large, every row at its own level."""
    level = rng.uniform(0.2, 1.5, (shape[0], *(1 for _ in shape[1:])))
    return level * np.abs(rng.standard_normal(shape)) - 0.2


def _waveform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """(batch, samples) in [-1, 1]: an arc's hum with its overtones, and hiss."""
    seconds = np.arange(shape[-1]) / 16_000
    tones = rng.uniform(80, 4_000, (shape[0], 4, 1))
    hum = np.sin(2 * np.pi * tones * seconds).mean(axis=1) * rng.uniform(0.1, 0.8, (shape[0], 1))
    return np.clip(hum + rng.normal(0, 0.05, shape), -1, 1)


def _series(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """(batch, steps, 6), a drifting walk in a welding log's units: bar, l/min, m/min, A, m, V."""
    level = np.array([40.0, 15.0, 8.0, 180.0, 5.0, 22.0])
    walk = np.cumsum(rng.normal(0, 0.02, shape), axis=1)
    return level * (1 + walk + rng.normal(0, 0.05, shape))


def _token_ids(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """(batch, length) ids of tokens, none of them a mark of padding."""
    return rng.integers(1, VOCABULARY, shape)


def _text_mask(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """(batch, length) of 1 and 0: texts of every length, the first row's as long as it may be."""
    ends = rng.integers(min(3, shape[1]), shape[1] + 1, shape[0])
    ends[0] = shape[1]
    return np.arange(shape[1])[None] < ends[:, None]


def _relevance(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """(batch, grid, grid) >= 0, most of it near nothing."""
    return rng.exponential(0.1, shape) ** 2


def _status(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """What became of a payload: 0 to 3."""
    return rng.integers(0, 4, shape)


# a tensor's name, or `*_` and what it is, from the end of its name -> how it is drawn
BY_NAME: dict[str, Draw] = {
    "audio_waveform": _waveform,
    "sensor_series": _series,
    "*_maps": _activations,
    "*_levels": _activations,
    "input_ids": _token_ids,
    "*_mask": _text_mask,
    "relevance": _relevance,
    "*_status": _status,
}


def _fit_samples(rng: np.random.Generator, arrays: dict[str, np.ndarray]) -> None:
    """Give every second waveform an end before the window's, with zeros after it, as preprocess pads."""
    if not {"audio_waveform", "audio_samples"} <= set(arrays):
        return
    waveform, samples = arrays["audio_waveform"], arrays["audio_samples"]
    window = waveform.shape[1]
    for row in range(waveform.shape[0]):
        samples[row] = window if row % 2 == 0 else rng.integers(window // 3, window)
        waveform[row, int(samples[row, 0]) :] = 0


def _mask(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """About half of the rows absent; the first is there, so that no comparison is empty; the last is not."""
    mask = rng.random(shape) < 0.5
    mask[-1] = False
    mask[0, 0] = True
    return mask
