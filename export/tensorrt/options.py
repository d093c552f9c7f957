"""How plans are built: a named set of options is one entry, and its text is part of an engine's recipe."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Options:
    """What a builder is told beside the graph and its profiles.

    workspace_mib:      memory that a kernel may ask for while it runs
    refit:              a BuilderFlag by which weights can be exchanged in the plan; empty for none
    version_compatible: the plan runs on later versions too: slower, and Triton has to be told to trust it
    hardware_compatible: the plan runs on later GPUs of the Ampere family and after, not on this one only
    tf32:               fp32 products may lose 13 bits of their mantissa: off, since fp32 is what is promised
    """

    workspace_mib: int = 4096
    refit: str = ""
    version_compatible: bool = False
    hardware_compatible: bool = False
    tf32: bool = False

    def __str__(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


OPTIONS: dict[str, Options] = {
    "default": Options(),
    # IDENTICAL, as free refitting may drop the bias of a product in TensorRT 11.3: weights can be restored to
    # a plan that was stripped of them, not changed.
    "refittable": Options(refit="REFIT_IDENTICAL"),
    "portable": Options(version_compatible=True, hardware_compatible=True),
}


# RTX 1.7 has no lean runtime to put into a plan, wants CUDA at work to build a refittable one, and ignores
# the level of hardware.
NOT_FOR_RTX = ("refit", "version_compatible", "hardware_compatible")


def apply(trt: Any, config: Any, options: Options) -> None:
    """Set the options on a builder's configuration.

    errors: ValueError for an option or a flag that this package does not have
    """
    asked = [name for name in NOT_FOR_RTX if getattr(options, name)]
    if trt.__name__ == "tensorrt_rtx" and asked:
        raise ValueError(
            f"{', '.join(asked)}: expected none of it for TensorRT for RTX, which builds no such plans; "
            "use the default options, or --target gpu"
        )
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    wanted = {"TF32": options.tf32, "VERSION_COMPATIBLE": options.version_compatible}
    if options.refit:
        wanted[options.refit] = True
    for name, on in wanted.items():
        flag = getattr(trt.BuilderFlag, name, None)
        if flag is None:
            if on:
                raise ValueError(f"{name}: expected a builder flag of {trt.__name__} {trt.__version__}")
        elif on:
            config.set_flag(flag)
        else:
            config.clear_flag(flag)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
