"""What an absent modality costs: requests with one modality against that modality's branch alone.

The branch alone is its decoder and its encoder, each asked directly with nothing else to do; the time of a
request is the sum of both, as both want all cores. Mixed traffic is compared by the size of its batches.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from crossfuse._payloads import InputTensor, infer_request
from tqdm import tqdm
from tritonclient.utils import np_to_triton_dtype

from benchmarks import offline, open_loop
from benchmarks.goodput import said, spread
from benchmarks.in_process import InProcess, Rows, requests_of
from benchmarks.open_loop import Load
from benchmarks.verified import Subject, at_once, messages_of, subject
from benchmarks.workloads import Workload, alone
from export import contract

LEAST_OF_BRANCH, LEAST_BATCH = 0.85, 0.90
DECODERS = ("dali", "tokenizer")


@dataclass(frozen=True)
class Plan:
    """Requests at once, how often, and the seed of which modalities a mixed request has."""

    requests: int = 240
    repeats: int = 5
    seed: int = 7


QUICK: dict[str, Any] = {"requests": 16, "repeats": 1}


@dataclass(frozen=True)
class Branch:
    """The models that one modality alone has to go through, and their requests, serialized.

    own: those of this modality alone, its decoder and its encoders; the others every request goes through
    """

    modality: str
    own: Sequence[str]
    messages: Mapping[str, Sequence[bytes]]
    outputs: Mapping[str, str]


def branch_models(
    pipeline: contract.Contract, contracts: Mapping[str, contract.Contract], modality: str
) -> list[str]:
    """The decoder and the encoders of a modality.

    An encoder is its own when all that it reads is named after it, or comes from a decoder of nothing else.
    """
    known = set(pipeline.parameters["modalities"].split(","))
    found: list[str] = []
    own: set[str] = set()
    for step in pipeline.steps:
        sources = set(step.inputs.values())
        if contracts[step.model].engine in DECODERS and modality in sources:
            found.append(step.model)
            if not sources & known - {modality}:
                own |= set(step.outputs.values())
        elif all(name in own or name.startswith(f"{modality}_") for name in sources):
            found.append(step.model)
    return found


def branches(repository: Path, workload: Workload, payloads: Sequence[Mapping[str, Any]]) -> list[Branch]:
    """Every modality's branch, with what its models get from requests that have this modality only."""
    pipeline = contract.load(repository, workload.pipeline)
    contracts = {step.model: contract.load(repository, step.model) for step in pipeline.steps}
    network = InProcess(repository, workload.pipeline, threads=2)
    modalities = pipeline.parameters["modalities"].split(",")
    own = {modality: branch_models(pipeline, contracts, modality) for modality in modalities}
    someones = {model for models in own.values() for model in models}
    found = []
    for modality in modalities:
        rows = requests_of(messages_of(workload.pipeline, alone(payloads, modality)))
        tensors = network.tensors(rows)
        messages = {
            step.model: direct(step.model, step.inputs, tensors)
            for step in pipeline.steps
            if step.model in own[modality] or step.model not in someones
        }
        outputs = {model: contracts[model].outputs[0].name for model in messages}
        found.append(Branch(modality, own[modality], messages, outputs))
    return found


def direct(model: str, inputs: Mapping[str, str], rows: Rows) -> list[bytes]:
    """Requests to one model itself. inputs: its tensor -> the pipeline's name of it"""
    found = []
    for row in rows:
        tensors = [
            InputTensor(
                name,
                np_to_triton_dtype(row[source].dtype),
                row[source].shape,
                np.ascontiguousarray(row[source]).tobytes(),
            )
            for name, source in inputs.items()
        ]
        found.append(infer_request(model, tensors).SerializeToString())
    return found


def asked_directly(url: str, messages: Sequence[bytes], output: str, requests: int) -> float:
    """Answers a second of one model, everything at once; RuntimeError when one fails."""
    schedule = at_once(requests, len(messages))
    both = {"live": messages, "canary": messages}
    recorded = open_loop.replay(Load(url, schedule, both, np.zeros(requests, bool), (output,)))
    if not recorded.answered.all():
        detail = recorded.detail[~recorded.answered][0]
        raise RuntimeError(f"a model asked directly: expected {requests} answers, got {detail}")
    return requests / float(recorded.latency_s.max())


def mixture(
    payloads: Sequence[Mapping[str, Any]], seed: int, modalities: Sequence[str]
) -> list[dict[str, Any]]:
    """The same requests, each with some of its modalities, at least one: all subsets equally probable."""
    draw = np.random.default_rng(seed)
    found = []
    for each in payloads:
        bits = int(draw.integers(1, 2 ** len(modalities)))
        found.append({name: each[name] for place, name in enumerate(modalities) if bits >> place & 1})
    return found


def measure(
    url: str, repository: Path, workload: Workload, payloads: Sequence[Mapping[str, Any]], plan: Plan
) -> dict[str, Any]:
    """Every modality alone, its branch alone, and the batches of mixed and of uniform traffic."""
    rates: dict[str, dict[str, list[float]]] = {}
    found = branches(repository, workload, payloads)
    subjects = {one.modality: subject(url, workload, alone(payloads, one.modality)) for one in found}
    with tqdm(total=plan.repeats * len(found), desc="absent", unit="branch", file=sys.stderr) as bar:
        for _ in range(plan.repeats):
            for one in found:
                rate = rates.setdefault(one.modality, {})
                served = offline.throughput(offline.burst(subjects[one.modality], plan.requests))
                rate.setdefault("served", []).append(served)
                for model, messages in one.messages.items():
                    alone_hz = asked_directly(url, messages, one.outputs[model], plan.requests)
                    rate.setdefault(model, []).append(alone_hz)
                bar.update()
    rows = {one.modality: row(rates[one.modality], one.own) for one in found}
    batches = mixed_batches(url, workload, payloads, plan, list(rates))
    return {"plan": asdict(plan), "modalities": rows, "batches": batches, "goals": goals(rows, batches)}


def row(rates: Mapping[str, Sequence[float]], own: Sequence[str]) -> dict[str, Any]:
    """One modality.

    rates: `served`, and each model that such a request needs -> answers a second of every repeat
    own:   those of them that no other modality needs; `own_ratio` compares with them alone, as if the gate
           and the fusion, which every request goes through, took no time
    """
    served = rates["served"]
    models = {name: values for name, values in rates.items() if name != "served"}
    branch = one_after_another(list(models.values()))
    lean = one_after_another([models[name] for name in own])
    return {
        "served_hz": spread(served),
        "branch_hz": spread(branch),
        "own_hz": spread(lean),
        "models_hz": {name: spread(values) for name, values in models.items()},
        "ratio": spread([one / other for one, other in zip(served, branch, strict=True)]),
        "own_ratio": spread([one / other for one, other in zip(served, lean, strict=True)]),
    }


def one_after_another(rates: Sequence[Sequence[float]]) -> list[float]:
    """Answers a second of every repeat, of models each of which has the whole machine in its turn."""
    return [1.0 / sum(1.0 / rate for rate in together) for together in zip(*rates, strict=True)]


def mixed_batches(
    url: str, workload: Workload, payloads: Sequence[Mapping[str, Any]], plan: Plan, modalities: Sequence[str]
) -> dict[str, Any]:
    """Mean batch of every model with all modalities in every request, and with some in each."""
    kinds: dict[str, Subject] = {
        "uniform": subject(url, workload, payloads),
        "mixed": subject(url, workload, mixture([*payloads] * 3, plan.seed, modalities)),
    }
    sizes: dict[str, dict[str, float]] = {}
    for name, one in kinds.items():

        def work(one: Subject = one) -> None:
            for _ in range(plan.repeats):
                offline.burst(one, plan.requests)

        sizes[name] = offline.batches_of(one, work)
    means = {name: float(np.mean(list(found.values()))) for name, found in sizes.items()}
    return {"models": sizes, "mean": means, "ratio": round(means["mixed"] / means["uniform"], 4)}


def goals(rows: Mapping[str, Any], batches: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be reached, and whether it is."""
    worst = min(one["ratio"]["median"] for one in rows.values())
    return {
        "least_of_branch": {"least": LEAST_OF_BRANCH, "found": worst, "reached": worst >= LEAST_OF_BRANCH},
        "batch": {
            "least": LEAST_BATCH,
            "found": batches["ratio"],
            "reached": batches["ratio"] >= LEAST_BATCH,
        },
    }


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal."""
    rows = [
        f"{modality}: {said(one['served_hz'], ' answers/s')}, its branch alone "
        f"{said(one['branch_hz'], ' answers/s')}: ratio {said(one['ratio'])}; without gate and fusion "
        f"{said(one['own_hz'], ' answers/s')}: {said(one['own_ratio'])}"
        for modality, one in result["modalities"].items()
    ]
    batches = result["batches"]
    means = batches["mean"]
    return "\n".join(
        [
            *rows,
            f"mean batch: uniform {means['uniform']:.2f}, mixed {means['mixed']:.2f}: {batches['ratio']:.2f}",
        ]
    )
