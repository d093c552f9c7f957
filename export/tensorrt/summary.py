"""What a plan is, for people and for JSON: layers by kind and type, profiles, memory.

`network` is what the parser made of the graph and needs no GPU; `engine` is what the builder made of that, as
TensorRT's inspector tells it, and needs one that can load the plan.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from export.tensorrt import package

MIB = 1 << 20
TYPE_FIELDS = ("DataType", "Datatype", "Format/Datatype", "Format/DataType")
TYPE_WORDS = {
    "float": "FLOAT",
    "fp32": "FLOAT",
    "half": "HALF",
    "fp16": "HALF",
    "bfloat16": "BF16",
    "bf16": "BF16",
    "int8": "INT8",
    "uint8": "UINT8",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
    "fp8": "FP8",
}


def of_network(trt: Any, network: Any) -> dict[str, Any]:
    """Layers by kind and by the type of what they compute, inputs and outputs."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return {
        "layers": len(layers),
        "kinds": _counted(layer.type.name for layer in layers),
        "types": _counted(layer.get_output(0).dtype.name for layer in layers if layer.num_outputs),
        "inputs": [_tensor(network.get_input(index)) for index in range(network.num_inputs)],
        "outputs": [_tensor(network.get_output(index)) for index in range(network.num_outputs)],
    }


def of_engine(trt: Any, plan: bytes) -> dict[str, Any]:
    """Layers, types and memory of the built engine; {"unread": why} where this machine cannot load it."""
    with package.gathered(trt) as logged:
        runtime = package.create_runtime(trt)
        engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        return {"unread": " ".join(logged[0].split())[:200] if logged else "TensorRT loads no plan here"}
    found = json.loads(
        engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    )
    layers = [layer for layer in found.get("Layers", []) if isinstance(layer, Mapping)]
    return {
        "layers": engine.num_layers,
        "kinds": _counted(str(layer.get("LayerType", "unknown")) for layer in layers),
        "types": _counted(kind for layer in layers for kind in _types(layer)),
        "context_mib": round(package.device_memory_bytes(engine) / MIB, 2),
    }


def text(summary: Mapping[str, Any]) -> str:
    """A summary as one line: `plan 4.6 MB, 222 layers, FLOAT 180, INT64 20, profiles 1-8-8; ..`."""
    network, engine = summary["network"], summary["engine"]
    types = ", ".join(f"{name} {count}" for name, count in network["types"].items())
    batches = ", ".join("{minimum}-{optimum}-{maximum}".format(**one["batch"]) for one in summary["profiles"])
    built = (
        f"{engine['layers']} layers built, {engine['context_mib']} MiB a context"
        if "layers" in engine
        else "built, not loaded here"
    )
    return (
        f"{summary['package']} {summary['version']}, {summary['bytes'] / 1e6:.1f} MB, "
        f"{network['layers']} layers ({types}), batches {batches}, {built}, {summary['seconds']:.1f} s"
    )


def _types(layer: Mapping[str, Any]) -> Iterable[str]:
    """What the inspector says about the types of a layer's outputs, as TensorRT's DataType names them.

    TensorRT 10 says `Half` or `Row major linear FP16 format` in one field; 11 has a field for the type.
    """
    for tensor in layer.get("Outputs", []):
        if isinstance(tensor, Mapping):
            said = next((str(tensor[name]) for name in TYPE_FIELDS if tensor.get(name)), "")
            words = (TYPE_WORDS.get(word) for word in re.findall(r"\w+", said.lower()))
            yield next(filter(None, words), "unknown")


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "type": tensor.dtype.name, "shape": list(tensor.shape)}


def _counted(names: Iterable[str]) -> dict[str, int]:
    """name -> how often, the most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda entry: (-entry[1], entry[0])))
