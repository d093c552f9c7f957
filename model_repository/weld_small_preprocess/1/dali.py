"""What DALI does with the files of one weld: a file's bytes in, a tensor of the contract's size out.

The sizes come from this model's config.pbtxt through the `dali` backend, hence one text for both presets:
every model folder is whole, so that a release of one preset can change its decoding without the other's.
`device` is "gpu" (nvJPEG, NVDEC) or "cpu"; every pipeline also takes batch_size, num_threads and device_id.
"""

from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode

DECODER = {"cpu": "cpu", "gpu": "mixed"}


@pipeline_def(prefetch_queue_depth=1)
def originals() -> DataNode:
    """JPEG, PNG or WebP -> (height, width, 3) uint8 RGB of each photo's own size; alpha and EXIF are ignored.

    Used on a CPU: there the backend stretches them, in a third of the time that DALI takes for it.
    """
    encoded = fn.external_source(name="image", dtype=types.UINT8, ndim=1)
    return fn.decoders.image(encoded, device="cpu", output_type=types.RGB, adjust_orientation=False)


@pipeline_def(prefetch_queue_depth=1)
def photos(size_px: int, device: str) -> DataNode:
    """The same stretched to (size_px, size_px, 3), left where they are decoded."""
    encoded = fn.external_source(name="image", dtype=types.UINT8, ndim=1)
    pixels = fn.decoders.image(
        encoded, device=DECODER[device], output_type=types.RGB, adjust_orientation=False
    )
    return stretched(pixels, size_px)


@pipeline_def(prefetch_queue_depth=1)
def recordings(rate_hz: int) -> DataNode:
    """FLAC, WAV or Ogg -> (samples,) float32 at rate_hz, mean over the channels; always on the CPU."""
    encoded = fn.external_source(name="audio", dtype=types.UINT8, ndim=1)
    waveform, _ = fn.decoders.audio(encoded, sample_rate=float(rate_hz), downmix=True, dtype=types.FLOAT)
    return waveform


@pipeline_def(prefetch_queue_depth=1)
def videos(size_px: int, device: str) -> DataNode:
    """The frames numbered in `frames` of a video file -> (frames, size_px, size_px, 3) uint8 RGB.

    Used on a GPU only: there NVDEC reads H.264, HEVC, VP9, AV1 and MPEG-4; on a CPU PyAV reads more, as fast.
    """
    encoded = fn.external_source(name="video", dtype=types.UINT8, ndim=1)
    numbers = fn.external_source(name="frames", dtype=types.INT32, ndim=1)
    return stretched(fn.decoders.video(encoded, device=DECODER[device], frames=numbers), size_px)


def stretched(pixels: DataNode, size_px: int) -> DataNode:
    """The whole picture as a square: nothing of a weld seam is cropped away."""
    return fn.resize(
        pixels, resize_x=size_px, resize_y=size_px, interp_type=types.INTERP_LINEAR, antialias=True
    )
