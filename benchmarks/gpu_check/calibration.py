"""Real inputs of every engine of a preset, for int8: its task's, through the fp32 modules before it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchmarks.gpu_check.clock import first_line
from benchmarks.gpu_check.findings import Skip
from benchmarks.gpu_check.runners import TorchRunner, as_run
from benchmarks.gpu_check.subjects import Subject, subjects

if TYPE_CHECKING:
    from export.parity import Arrays

RANGES, JUDGED = "ranges", "judged"  # items that ranges come from, and others that an engine is compared on


def batches(subject: Subject, part: str = RANGES) -> list[Arrays]:
    """The subject's inputs on items of its preset's task, all rows there; Skip where there are none here."""
    from export.precision import inside
    from export.precision.calibration import in_batches

    found = tensors(subject.preset)
    if isinstance(found, Skip):
        raise found
    names = [tensor.name for tensor in subject.contract.inputs]
    missing = [name for name in names if name not in found[part]]
    if missing:
        raise Skip(f"no calibration of {', '.join(missing)}: the task of {subject.preset} ends before it")
    return in_batches(inside.whole_requests(found[part], subject.contract), subject.contract.max_batch)


@functools.cache
def tensors(preset: str, device: str = "cuda") -> Mapping[str, Arrays] | Skip:
    """Every tensor between a preset's engines on items of its task, by part, or why there are none.

    To be called before a module of the preset is on the GPU: they share their weights.
    """
    from export.precision.calibration import judged_of
    from export.precision.chain import Chain
    from export.precision.tasks import task_of

    try:
        task = task_of(preset)
        known = {RANGES: task.calibration, JUDGED: judged_of(task)}
        own = {one.name: one for one in subjects(preset) if one.contract is one.promised}
        chain = Chain([one.contract for one in own.values()])
        for name in chain.models:
            module = own[name].module.to(device)
            run = as_run(TorchRunner(module, own[name].contract, "fp32"), device)
            known = {part: chain.answers({name: run}, arrays, (name,)) for part, arrays in known.items()}
            module.cpu()
    except Exception as error:  # of a data set, a decoder or a package that this machine lacks
        return Skip(f"no real inputs to calibrate on: {first_line(error)}")
    return known
