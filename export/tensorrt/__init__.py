"""TensorRT plans from the exported graphs: one builder for TensorRT 10, TensorRT 11 and TensorRT for RTX."""

from export.tensorrt.build import Built, build
from export.tensorrt.device import Device
from export.tensorrt.options import OPTIONS, Options
from export.tensorrt.package import import_tensorrt
from export.tensorrt.parsing import ParseError
from export.tensorrt.profiles import Profile, Range, profiles

__all__ = [
    "OPTIONS",
    "Built",
    "Device",
    "Options",
    "ParseError",
    "Profile",
    "Range",
    "build",
    "import_tensorrt",
    "profiles",
]
