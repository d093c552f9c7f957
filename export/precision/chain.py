"""A pipeline's engines in order, on arrays by tensor name, with any mixture of engines.

    chain = Chain(contracts)
    whole = chain.answers(runs, task_inputs)                  # every tensor that any engine leaves
    chain.answers(runs | {"weld_small_fusion": other}, whole, only=("weld_small_fusion",))

Tensors keep their names from engine to engine, so the order follows from the names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from export.contract import Contract
from export.parity import Arrays, Run


class Misshapen(ValueError):
    """An engine answers other rows than it was asked for."""


class Chain:
    """contracts: of the engines, in any order; ValueError where one waits for what a later one leaves."""

    def __init__(self, contracts: Sequence[Contract]) -> None:
        self.contracts = _in_order(contracts)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the engines in the order in which they run."""
        return tuple(contract.name for contract in self.contracts)

    @property
    def inputs(self) -> set[str]:
        """What comes from outside."""
        left = {tensor.name for contract in self.contracts for tensor in contract.outputs}
        return {tensor.name for contract in self.contracts for tensor in contract.inputs} - left

    @property
    def results(self) -> tuple[str, ...]:
        """Outputs that no other engine reads: what the pipeline answers."""
        read = {tensor.name for contract in self.contracts for tensor in contract.inputs}
        return tuple(t.name for contract in self.contracts for t in contract.outputs if t.name not in read)

    def after(self, model: str) -> tuple[str, ...]:
        """The engines whose answers may change when the model does: itself and what reads it, in order."""
        changed: set[str] = set()
        names = []
        for contract in self.contracts:
            if contract.name == model or changed & {tensor.name for tensor in contract.inputs}:
                names.append(contract.name)
                changed |= {tensor.name for tensor in contract.outputs}
        return tuple(names)

    def answers(
        self, runs: Mapping[str, Run], known: Mapping[str, np.ndarray], only: Collection[str] | None = None
    ) -> Arrays:
        """`known` and all that the engines (`only` some of them) make of it, name -> (items, ...)."""
        found = dict(known)
        for contract in self.contracts:
            if only is None or contract.name in only:
                found.update(in_batches(runs[contract.name], contract, found))
        return found


def in_batches(run: Run, contract: Contract, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """One engine's answers on all items, at most as many at a time as its contract allows.

    errors: Misshapen
    """
    items = len(arrays[contract.inputs[0].name])
    parts = []
    for start in range(0, items, contract.max_batch):
        rows = min(contract.max_batch, items - start)
        part = run(feed(contract, arrays, start, start + rows))
        for name, array in part.items():
            if len(array) != rows:
                raise Misshapen(f"{contract.name}: expected {rows} rows of {name}, got {len(array)}")
        parts.append(part)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def feed(contract: Contract, arrays: Mapping[str, np.ndarray], start: int, stop: int) -> Arrays:
    """The engine's inputs for some of the items."""
    return {tensor.name: np.ascontiguousarray(arrays[tensor.name][start:stop]) for tensor in contract.inputs}


def _in_order(contracts: Sequence[Contract]) -> tuple[Contract, ...]:
    waiting, ordered = list(contracts), []
    while waiting:
        pending = {tensor.name for contract in waiting for tensor in contract.outputs}
        ready = [one for one in waiting if not pending & {tensor.name for tensor in one.inputs}]
        if not ready:
            names = ", ".join(contract.name for contract in waiting)
            raise ValueError(f"{names}: expected engines that can run one after the other, got a circle")
        ordered += ready
        waiting = [contract for contract in waiting if contract not in ready]
    return tuple(ordered)
