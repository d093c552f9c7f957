"""What lies between served tensors and encoders: in the graph, so that serving and training cannot differ."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from multimodal.presets import KALDI_HOP, KALDI_WINDOW, Audio

SMALLEST_CHANGE = 0.25  # levels: rounding of a frame that was coded twice
BLUR_PX, BLUR_SIGMA_PX = 7, 7 / 6  # of BRISQUE's local mean
SMALLEST_CONTRAST = 0.01  # square of a tenth of a level
REST_SCALE = 8.0  # levels: about the deviation of the rest in photographs
FFT_POINTS = 512
PREEMPHASIS = 0.97
LOWEST_HZ = 20.0
MEL_FLOOR = 1.192092955078125e-07  # the floor of Kaldi's fbank and of AST's feature extractor
AUDIOSET_MEAN = -4.2677393  # of log-mel features; AST divides by twice the deviation
AUDIOSET_STD = 4.5689974
PADDING_FEATURE = -AUDIOSET_MEAN / (2 * AUDIOSET_STD)  # a zero log-mel feature after normalisation
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)
# Neighbouring frames of four clips, 64 px wide, are .014 (a face that speaks) to .076 (cyclists in close-up)
# apart (root mean square of values in [0, 1]); times 25 that is .35 to 1.9, of the order of the frame itself.
DIFFERENCE_GAIN = 25.0


class PixelFrontEnd(nn.Module):
    """UINT8 pictures, channels last, to floats in [0, 1], channels first."""

    def forward(self, pixels: Tensor) -> Tensor:
        """(..., height, width, 3) uint8 -> (..., 3, height, width) float32 in [0, 1]."""
        # The cast comes first: TensorRT accepts a UINT8 input only if its sole consumer is a cast.
        return (pixels.to(torch.float32) / 255.0).movedim(-1, -3)


class ImageNetNormalise(nn.Module):
    """Colours to mean 0, deviation 1 of ImageNet, as the published image networks expect."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def forward(self, colours: Tensor) -> Tensor:
        """(..., 3, height, width) in [0, 1] -> same shape, normalised."""
        return (colours - self.mean) / self.std


class BurstFrontEnd(nn.Module):
    """Bursts of frames to one picture of many channels each: the first frame, then what changes after it.

    The first frame is normalised as ImageNet; the others are their difference to it, times `DIFFERENCE_GAIN`,
    so that motion, flicker and stalls are as loud as the picture. A still burst has zeros there.
    """

    def __init__(self, burst: int) -> None:
        super().__init__()
        if burst < 1:
            raise ValueError(f"burst: expected at least one frame, got {burst}")
        self.burst = burst
        self.pixels = PixelFrontEnd()
        self.normalise = ImageNetNormalise()

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, moments * burst, height, width, 3) uint8 -> (batch, moments, 3 * burst, height, width)."""
        bursts = self.pixels(pixels).unflatten(1, (-1, self.burst))  # (batch, moments, burst, 3, h, w)
        first = bursts[:, :, :1]
        if self.burst == 1:
            return self.normalise(first).flatten(2, 3)
        changes = (bursts[:, :, 1:] - first) * DIFFERENCE_GAIN
        return torch.cat([self.normalise(first), changes], dim=2).flatten(2, 3)


class ChangeFrontEnd(nn.Module):
    """Bursts of frames to what changes in them alone: signed, and the logarithm of how much.

    Without the picture itself a network cannot learn by heart which contents came with which score: it sees
    stalls (nothing changes), flicker (all of it changes alike) and how fast things move.
    """

    def __init__(self, burst: int) -> None:
        super().__init__()
        if burst < 2:
            raise ValueError(f"burst: expected at least two frames, got {burst}; one alone does not change")
        self.burst = burst
        self.pixels = PixelFrontEnd()

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, moments * burst, height, width, 3) uint8 -> (batch, moments, 6 (burst - 1), h, w)."""
        bursts = self.pixels(pixels).unflatten(1, (-1, self.burst))  # (batch, moments, burst, 3, h, w)
        changes = bursts[:, :, 1:] - bursts[:, :, :1]
        amount = (changes.abs() * 255.0 + SMALLEST_CHANGE).log()
        return torch.cat([changes * DIFFERENCE_GAIN, amount], dim=2).flatten(2, 3)


class DetailFrontEnd(nn.Module):
    """Mosaics of patches with three more planes: what a picture has beyond a blurred copy of its brightness.

    The planes are that rest, the rest over the local contrast (mean subtracted, contrast normalised), and the
    logarithm of the local contrast, each patch by itself. Compression, blur and noise are louder there than
    in the colours, which mostly tell one content from another.
    Source: Mittal, Moorthy, Bovik, BRISQUE (IEEE TIP 2012).
    """

    blur: Tensor

    def __init__(self, patch_px: int) -> None:
        super().__init__()
        self.patch_px = patch_px
        self.pixels = PixelFrontEnd()
        self.normalise = ImageNetNormalise()
        offsets = torch.arange(BLUR_PX, dtype=torch.float32) - BLUR_PX // 2
        bell = torch.exp(-0.5 * (offsets / BLUR_SIGMA_PX) ** 2)
        bell = bell / bell.sum()
        self.register_buffer("blur", torch.outer(bell, bell)[None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, frames, height, width, 3) uint8, whole patches -> (batch, frames, 6, height, width)."""
        colours = self.pixels(pixels)
        batch, frames, _, height, width = colours.shape
        rows, columns = height // self.patch_px, width // self.patch_px
        levels = colours.mean(dim=2) * 255.0  # (batch, frames, height, width)
        cut = levels.reshape(batch, frames, rows, self.patch_px, columns, self.patch_px)
        patches = cut.transpose(3, 4).reshape(-1, 1, self.patch_px, self.patch_px)
        planes = self._rest(patches)  # (all patches, 3, patch, patch)
        joined = planes.reshape(batch, frames, rows, columns, 3, self.patch_px, self.patch_px)
        detail = joined.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, frames, 3, height, width)
        return torch.cat([self.normalise(colours), detail], dim=2)

    def _rest(self, patches: Tensor) -> Tensor:
        """(patches, 1, height, width) levels 0-255 -> (patches, 3, height, width)."""
        margin = BLUR_PX // 2
        padded = nn.functional.pad(patches, (margin,) * 4, mode="replicate")
        mean = nn.functional.conv2d(padded, self.blur)
        square = nn.functional.conv2d(padded * padded, self.blur)
        contrast = (square - mean * mean).clamp(min=SMALLEST_CONTRAST).sqrt()
        rest = patches - mean
        return torch.cat([rest / REST_SCALE, rest / (contrast + 1.0), contrast.log()], dim=1)


class KaldiLogMel(nn.Module):
    """Kaldi's log-mel filter bank with AST's normalisation, as transformers' ASTFeatureExtractor computes it.

    Windows of 25 ms every 10 ms, mean removed, pre-emphasis .97, Hann window, 512 point power spectrum,
    triangular mel filters from 20 Hz to half the sample rate, natural logarithm. All steps before the square
    are linear, so they are one strided convolution; there is no complex number in the graph. Keep it in
    float32: the quiet mel bins lie eight decades under the loud ones.
    Source: Gong et al., AST (arXiv 2104.01778); Kaldi `compute-fbank-feats`.
    """

    spectrum: Tensor
    mel: Tensor
    frame_ends: Tensor

    def __init__(self, audio: Audio) -> None:
        super().__init__()
        self.frames = audio.frames
        self.register_buffer("spectrum", windowed_spectrum().float().unsqueeze(1), persistent=False)
        self.register_buffer(
            "mel", mel_filters(audio.mel_bins, audio.sample_rate_hz).float().unsqueeze(-1), persistent=False
        )
        ends = torch.arange(audio.frames, dtype=torch.int32) * KALDI_HOP + KALDI_WINDOW
        self.register_buffer("frame_ends", ends, persistent=False)

    def forward(self, waveform: Tensor, samples: Tensor) -> Tensor:
        """Normalised log-mel features; frames that reach past the real samples are zero features, normalised.

        waveform: (batch, 400 + 160 (frames - 1)) float in [-1, 1], zero padded; samples: (batch, 1) int, real
                  samples
        returns:  (batch, frames, mel bins)
        """
        parts = nn.functional.conv1d(waveform.unsqueeze(1), self.spectrum, stride=KALDI_HOP)
        real, imaginary = parts.chunk(2, dim=1)  # each (batch, frequencies, frames)
        power = real * real + imaginary * imaginary
        # A convolution of width one, for ONNX Runtime refuses a batch of zero rows in a product with a
        # matrix.
        log_mel = nn.functional.conv1d(power, self.mel).clamp(min=MEL_FLOOR).log().transpose(1, 2)
        heard = (self.frame_ends <= samples).unsqueeze(-1)  # (batch, frames, 1)
        return torch.where(heard, (log_mel - AUDIOSET_MEAN) / (2 * AUDIOSET_STD), PADDING_FEATURE)


class SeriesStandardiser(nn.Module):
    """Sensor channels to mean 0, deviation 1 of the *training set*, so that absolute levels survive."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    @torch.no_grad()
    def fit(self, series: Tensor) -> None:
        """Take mean and deviation from training rows (..., channels); a constant channel keeps deviation 1.

        Raises ValueError when there are no rows or the channels do not match.
        """
        rows = series.reshape(-1, series.shape[-1]).double()
        if rows.shape[1] != self.mean.numel() or not len(rows):
            raise ValueError(
                f"sensor statistics: expected rows of {self.mean.numel()} channels, got "
                f"{tuple(series.shape)}; pass the training series as (..., channels)"
            )
        deviation = rows.std(dim=0, unbiased=False)
        self.mean.copy_(rows.mean(dim=0))
        self.std.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def forward(self, series: Tensor) -> Tensor:
        """(batch, steps, channels) physical units -> same shape, standardised."""
        return (series - self.mean) / self.std


def windowed_spectrum() -> Tensor:
    """(514, 400) float64: real, then imaginary parts of 257 frequencies of one raw window."""
    identity = torch.eye(KALDI_WINDOW, dtype=torch.float64)
    centred = identity - 1.0 / KALDI_WINDOW
    previous = torch.roll(identity, 1, dims=0)
    previous[0] = identity[0]  # Kaldi emphasises the first sample against itself
    emphasis = identity - PREEMPHASIS * previous
    window = torch.hann_window(KALDI_WINDOW, periodic=False, dtype=torch.float64)
    time = torch.arange(KALDI_WINDOW, dtype=torch.float64)
    frequency = torch.arange(FFT_POINTS // 2 + 1, dtype=torch.float64)
    angle = 2 * math.pi * frequency[:, None] * time[None, :] / FFT_POINTS
    transform = torch.cat([angle.cos(), -angle.sin()])
    return (transform * window) @ emphasis @ centred


def mel_filters(bins: int, sample_rate_hz: int) -> Tensor:
    """(bins, 257) float64: triangles evenly spaced on Kaldi's mel scale, 1127 ln(1 + f / 700)."""
    lowest, highest = (1127.0 * math.log1p(hertz / 700.0) for hertz in (LOWEST_HZ, sample_rate_hz / 2))
    # No linspace: once transformers has loaded a model, which patches it, it ignores `torch.device("meta")`.
    steps = torch.arange(bins + 2, dtype=torch.float64) / (bins + 1)
    points = lowest + (highest - lowest) * steps
    hertz = torch.arange(FFT_POINTS // 2 + 1, dtype=torch.float64) * sample_rate_hz / FFT_POINTS
    positions = 1127.0 * torch.log1p(hertz / 700.0)[None, :]
    left, centre, right = points[:-2, None], points[1:-1, None], points[2:, None]
    rising = (positions - left) / (centre - left)
    falling = (right - positions) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0.0)
