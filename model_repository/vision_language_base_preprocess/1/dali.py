"""What DALI does with a photo that a text comes with: a file's bytes in, a square of the contract's size out.

The size comes from this model's config.pbtxt through the `dali` backend, hence one text for every preset:
every model folder is whole, so that a release of one preset can change its decoding without the other's.
`device` is "gpu" (nvJPEG) or "cpu"; the pipeline also takes batch_size, num_threads and device_id.
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
    return fn.resize(
        pixels, resize_x=size_px, resize_y=size_px, interp_type=types.INTERP_LINEAR, antialias=True
    )
