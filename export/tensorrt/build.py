"""ONNX file -> serialized plan, by either package: types of the graph, profiles of the configuration, what
earlier builds measured.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.contract import Contract
from export.tensorrt import options as named
from export.tensorrt import package, parsing, profiles, progress, summary, timing_cache
from export.tensorrt.device import Device, find
from export.tensorrt.options import OPTIONS, Options

# precision -> TensorRT's type that at least one layer of the network has then
TYPES = {"fp32": "FLOAT", "bf16": "BF16", "fp16": "HALF", "int8": "INT8"}


@dataclass(frozen=True)
class Built:
    """A plan and what `export.tensorrt.summary` says about it."""

    plan: bytes
    summary: Mapping[str, Any]


def build(
    onnx_path: Path,
    contract: Contract,
    *,
    precision: str = "fp32",
    target: str = "rtx",
    cache_dir: Path | None = None,
    device: Device | None = None,
    options: Options = OPTIONS["default"],
) -> Built:
    """Build the plan of a graph that has its types in itself.

    contract:  the configuration of the GPU's server: inputs, batch, profiles
    precision: what the graph says it is; a graph without one layer of it is refused
    target:    gpu (tensorrt) or rtx (tensorrt_rtx)
    cache_dir: where timing caches lie; None for none
    device:    the GPU, by default this machine's; an RTX plan can do without
    errors: ModuleNotFoundError and RuntimeError where the package or the GPU is missing or the builder fails,
            ParseError for a graph that TensorRT cannot take, ValueError for another contract or precision
    """
    trt = package.import_tensorrt(target)
    device = device or find()
    require_gpu(target, device)
    with package.gathered(trt):
        return _build(trt, onnx_path, contract, precision, cache_dir, device, options)


def _build(
    trt: Any,
    path: Path,
    contract: Contract,
    precision: str,
    cache_dir: Path | None,
    device: Device | None,
    options: Options,
) -> Built:
    begun = time.perf_counter()
    builder = trt.Builder(package.logger(trt))
    network = package.create_network(trt, builder)
    parsing.parse(trt, network, path)
    _check(network, contract, path, precision)
    wanted = profiles.profiles(contract)
    config = _configuration(trt, builder, device, options)
    for profile in wanted:
        config.add_optimization_profile(_optimisation(builder, contract, network, profile))
    config.progress_monitor = watched = progress.monitor(trt, contract.name)
    plan = _serialized(trt, builder, network, config, _cache_file(trt, cache_dir, device), contract.name)
    del watched  # it has to outlive the build
    told = {
        "package": trt.__name__,
        "version": trt.__version__,
        "precision": precision,
        "device": built_for(device),
        "bytes": len(plan),
        "seconds": round(time.perf_counter() - begun, 2),
        "profiles": profiles.as_dicts(wanted),
        "network": summary.of_network(trt, network),
        "engine": summary.of_engine(trt, plan),
    }
    return Built(plan, told)


def built_for(device: Device | None) -> str:
    """The GPU, or the compute capabilities instead of one, that a plan is for."""
    return str(device) if device else ", ".join(package.CAPABILITIES)


def require_gpu(target: str, device: Device | None) -> None:
    """RuntimeError with what to do where a target needs a GPU and there is none."""
    if device is None and package.PACKAGES[target].needs_gpu:
        raise RuntimeError(
            f"{target}: expected an NVIDIA GPU that nvidia-smi lists, found none; build on the machine that "
            "serves, or use --target rtx, whose builder needs none"
        )


def _configuration(trt: Any, builder: Any, device: Device | None, options: Options) -> Any:
    config = builder.create_builder_config()
    named.apply(trt, config, options)
    package.set_capabilities(trt, config, (device.capability,) if device else package.CAPABILITIES)
    return config


def _cache_file(trt: Any, folder: Path | None, device: Device | None) -> Path | None:
    return timing_cache.file_of(folder, trt, device) if folder else None


def _serialized(trt: Any, builder: Any, network: Any, config: Any, cache: Path | None, name: str) -> bytes:
    if cache:
        timing_cache.attach(config, cache)
    with package.gathered(trt) as logged:
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError(
            f"{name}: expected a plan from {trt.__name__} {trt.__version__}, got none: "
            f"{parsing.reason(' '.join(logged))}"
        )
    if cache:
        timing_cache.save(config, cache)
    return bytes(plan)


def _optimisation(builder: Any, contract: Contract, network: Any, profile: profiles.Profile) -> Any:
    made = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if -1 in tuple(tensor.shape):
            made.set_shape(tensor.name, *profile.shapes(contract.input(tensor.name)))
    return made


def _check(network: Any, contract: Contract, path: Path, precision: str) -> None:
    """ValueError where the graph has other tensors than the contract, or no layer of its precision."""
    found = [network.get_input(index).name for index in range(network.num_inputs)]
    wanted = [tensor.name for tensor in contract.inputs]
    if sorted(found) != sorted(wanted):
        raise ValueError(
            f"{path.name}: expected the inputs {', '.join(wanted)} of {contract.name}, "
            f"got {', '.join(found)}; export the model for this configuration"
        )
    if precision not in TYPES:
        raise ValueError(f"precision: expected one of {', '.join(TYPES)}, got {precision}")
    types = {
        network.get_layer(index).get_output(0).dtype.name
        for index in range(network.num_layers)
        if network.get_layer(index).num_outputs
    }
    if TYPES[precision] not in types:
        raise ValueError(
            f"{path.name}: expected a graph in {precision}, got one whose layers compute "
            f"{', '.join(sorted(types))}; convert it first (export.precision)"
        )
