"""Real inputs of every engine of a preset, for int8: its task's, through the fp32 modules before it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from benchmarks.gpu_check.clock import first_line
from benchmarks.gpu_check.findings import Skip
from benchmarks.gpu_check.runners import TorchRunner, as_run
from benchmarks.gpu_check.subjects import Subject, subjects

if TYPE_CHECKING:
    from export.parity import Arrays

ROWS = 8  # of a batch


def batches(subject: Subject) -> list[Arrays]:
    """The subject's inputs on the calibration items of its preset's task; Skip where there are none here."""
    found = tensors(subject.preset)
    if isinstance(found, Skip):
        raise found
    names = [tensor.name for tensor in subject.contract.inputs]
    missing = [name for name in names if name not in found]
    if missing:
        raise Skip(f"no calibration of {', '.join(missing)}: the task of {subject.preset} ends before it")
    items = len(found[names[0]])
    return [{name: found[name][start : start + ROWS] for name in names} for start in range(0, items, ROWS)]


@functools.cache
def tensors(preset: str, device: str = "cuda") -> Arrays | Skip:
    """Every tensor between a preset's engines on its calibration items, or why there are none.

    To be called before a module of the preset is on the GPU: they share their weights.
    """
    from export.precision.chain import Chain
    from export.precision.tasks import task_of

    try:
        known = task_of(preset).calibration
        own = {one.name: one for one in subjects(preset) if one.contract is one.promised}
        chain = Chain([one.contract for one in own.values()])
        for name in chain.models:
            module = own[name].module.to(device)
            run = as_run(TorchRunner(module, own[name].contract, "fp32"), device)
            known = chain.answers({name: run}, known, only=(name,))
            module.cpu()
    except Exception as error:  # of a data set, a decoder or a package that this machine lacks
        return Skip(f"no real inputs to calibrate on: {first_line(error)}")
    return known
