"""What DALI does with a photo that a text comes with: a file's bytes in, a square of the contract's size out.

The size comes from this model's config.pbtxt through the `dali` backend, hence one text for every preset:
every model folder is whole, so that a release of one preset can change its decoding without the other's.
`device` is "gpu" (nvJPEG) or "cpu"; the pipeline also takes batch_size, num_threads and device_id.
"""

from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode

DECODER = {"cpu": "cpu", "gpu": "mixed"}


@pipeline_def(prefetch_queue_depth=1)
def photos(size_px: int, device: str) -> DataNode:
    """JPEG, PNG or WebP -> (size_px, size_px, 3) uint8 RGB, stretched; alpha and EXIF are ignored."""
    encoded = fn.external_source(name="image", dtype=types.UINT8, ndim=1)
    pixels = fn.decoders.image(
        encoded, device=DECODER[device], output_type=types.RGB, adjust_orientation=False
    )
    return fn.resize(
        pixels, resize_x=size_px, resize_y=size_px, interp_type=types.INTERP_LINEAR, antialias=True
    )
