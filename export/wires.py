"""Whether the models of an ensemble fit together: every wire checked before a server has to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from export.contract import Contract, Step, Tensor

Sources = dict[str, tuple[str, Tensor]]  # ensemble tensor -> (who produces it, as what)


def check_wires(ensemble: Contract, contracts: Mapping[str, Contract]) -> list[str]:
    """One sentence for every wire of `ensemble` that does not fit; an empty list when all do.

    contracts: model name -> its contract, for at least every model that a step names.
    """
    if not ensemble.steps:
        return [f"{ensemble.name}: expected an ensemble with at least one step, got none"]
    unknown = sorted({step.model for step in ensemble.steps} - set(contracts))
    if unknown:
        return [f"{ensemble.name}: step {model} names a model that has no configuration" for model in unknown]
    sources, faults = _sources(ensemble, contracts)
    for step in ensemble.steps:
        faults += _step_faults(ensemble, step, contracts[step.model], sources)
    faults += _answer_faults(ensemble, sources)
    return faults + _gate_faults(ensemble)


def compatible(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two dims can be the same tensor: same rank, equal or -1 on either side, axis by axis."""
    return len(one) == len(other) and all(
        -1 in pair or pair[0] == pair[1] for pair in zip(one, other, strict=True)
    )


def _sources(ensemble: Contract, contracts: Mapping[str, Contract]) -> tuple[Sources, list[str]]:
    sources: Sources = {tensor.name: ("the client", tensor) for tensor in ensemble.inputs}
    faults = []
    for step in ensemble.steps:
        tensors = {tensor.name: tensor for tensor in contracts[step.model].outputs}
        for key, value in step.outputs.items():
            if key not in tensors:
                faults.append(_unknown(ensemble, step, "output", key, tensors))
            elif value in sources:
                faults.append(
                    f"{ensemble.name}: {value} is produced twice, by {sources[value][0]} and {step.model}"
                )
            else:
                sources[value] = (step.model, tensors[key])
    return sources, faults


def _step_faults(ensemble: Contract, step: Step, model: Contract, sources: Sources) -> list[str]:
    tensors = {tensor.name: tensor for tensor in model.inputs}
    faults = [_unknown(ensemble, step, "input", key, tensors) for key in step.inputs if key not in tensors]
    faults += [
        f"{ensemble.name}: step {step.model}: input {name} is not connected"
        for name in tensors
        if name not in step.inputs
    ]
    if model.max_batch < ensemble.max_batch:
        faults.append(
            f"{ensemble.name}: step {step.model}: expected max_batch_size of at least {ensemble.max_batch}, "
            f"got {model.max_batch}"
        )
    for key, value in step.inputs.items():
        if value not in sources:
            faults.append(f"{ensemble.name}: step {step.model}: nobody produces {value}")
        elif key in tensors:
            faults += _mismatch(f"{ensemble.name}: step {step.model}", tensors[key], sources[value])
    return faults


def _answer_faults(ensemble: Contract, sources: Sources) -> list[str]:
    faults = []
    for tensor in ensemble.outputs:
        source = sources.get(tensor.name)
        if source is None or source[0] == "the client":
            faults.append(f"{ensemble.name}: no step produces the output {tensor.name}")
        else:
            faults += _mismatch(f"{ensemble.name}: answer", tensor, source)
    return faults


def _gate_faults(ensemble: Contract) -> list[str]:
    """One step alone may run on the client's tensors only: two branches that refuse hang server 2.51."""
    offered = {tensor.name for tensor in ensemble.inputs}
    entries = [step.model for step in ensemble.steps if set(step.inputs.values()) <= offered]
    if entries == [ensemble.steps[0].model]:
        return []
    got = ", ".join(entries) or "none"
    return [f"{ensemble.name}: expected the first step alone to run on the client's tensors only, got {got}"]


def _mismatch(where: str, wanted: Tensor, source: tuple[str, Tensor]) -> list[str]:
    producer, given = source
    if wanted.dtype == given.dtype and compatible(wanted.dims, given.dims):
        return []
    return [f"{where}: expected {wanted}, {producer} gives {given}"]


def _unknown(ensemble: Contract, step: Step, side: str, key: str, known: Iterable[str]) -> str:
    return f"{ensemble.name}: step {step.model} has no {side} {key}; it has {', '.join(known)}"
