"""Items of the golden set of `weld_inspection`: what is sent of each weld, and what PyTorch answers to it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from export.golden_network import Network
from multimodal.presets import PRESETS
from multimodal.weld_classes import CLASS_NAMES, GOOD, MODALITIES
from training import decoding
from training.weld_folder import WeldRun, find_runs

Arrays = dict[str, np.ndarray]

PER_CLASS = 4  # and 12 Good ones: of 56 items 40 are complete, and a check takes half a minute
EVERY = 4  # one item in four goes out with one or two of its modalities: what a mask breaks shows only there
NORMAL_TIMES = 3  # as many Good welds as of any defect: with three complete ones an AUROC says little
SUBSETS = [subset for size in (1, 2) for subset in combinations(MODALITIES, size)]


@dataclass(frozen=True)
class Item:
    """One request: a weld, the modalities that are sent of it, the bytes of their files.

    damage: the modality whose file ends half way, empty where none does
    """

    id: str
    label: int
    modalities: tuple[str, ...]
    video: bytes
    photos: tuple[bytes, ...]
    audio: bytes
    sensor: bytes
    damage: str = ""

    @property
    def complete(self) -> bool:
        """Whether everything is sent whole: only then the answer has to name the right class."""
        return self.modalities == MODALITIES and not self.damage

    def describe(self) -> dict[str, object]:
        """Its line in golden.json."""
        return {
            "id": self.id,
            "label": self.label,
            "modalities": list(self.modalities),
            "damage": self.damage,
            "complete": self.complete,
        }

    @classmethod
    def from_inputs(cls, line: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Item:
        """The inverse of `describe` and `inputs`."""
        ends = np.cumsum(tensors["image_sizes"])
        photos = tuple(part.tobytes() for part in np.split(tensors["image"], ends)[:-1])
        files = {name: tensors[name].tobytes() for name in ("video", "audio", "sensor")}
        return cls(
            line["id"],
            line["label"],
            tuple(line["modalities"]),
            photos=photos,
            damage=line["damage"],
            **files,
        )

    def inputs(self) -> Arrays:
        """Request tensors by ensemble input, no batch axis: payloads (bytes,) uint8, image_sizes (photos,)"""
        sizes = np.asarray([len(photo) for photo in self.photos], np.int64)
        payloads = {
            "video": self.video,
            "image": b"".join(self.photos),
            "audio": self.audio,
            "sensor": self.sensor,
        }
        return {name: np.frombuffer(data, np.uint8) for name, data in payloads.items()} | {
            "image_sizes": sizes
        }


@dataclass(frozen=True)
class WeldSet:
    """Class names, the class that is no anomaly, and how items are chosen and answered."""

    class_names: tuple[str, ...] = CLASS_NAMES
    normal: int = GOOD
    preset: str = "weld_small"

    def options(self, parser: argparse.ArgumentParser) -> None:
        """Where the welds come from, and how many."""
        parser.add_argument(
            "--welds", type=Path, metavar="FOLDER", help="labelled recordings; default: simulated ones"
        )
        parser.add_argument(
            "--per-class", type=int, metavar="N", help=f"default: what the set in --out has, else {PER_CLASS}"
        )

    def made_from(self, typed: argparse.Namespace, known: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the items, beside the seed: typed, else as in the set that is there."""
        count = typed.per_class if typed.per_class is not None else known.get("per_class", PER_CLASS)
        if count < 1:
            raise ValueError(f"--per-class: expected at least 1, got {count}")
        welds = str(typed.welds.resolve()) if typed.welds else known.get("welds", "")
        return {"welds": welds, "per_class": count}

    def facts(self) -> dict[str, Any]:
        """Names of the classes, and the one that is no anomaly."""
        return {"class_names": list(self.class_names), "normal": self.normal}

    def choose(self, made_from: Mapping[str, Any], work: Path) -> list[Item]:
        """Items of the recordings that were named, else of simulated ones."""
        per_class, seed = made_from["per_class"], made_from["seed"]
        welds = Path(made_from["welds"] or self.simulate(work / "welds", per_class, seed))
        return self.items(welds, per_class, seed)

    def item(self, line: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Item:
        """An item from its files."""
        return Item.from_inputs(line, tensors)

    def simulate(self, root: Path, per_class: int, seed: int) -> Path:
        """Write welds that no training has seen; ValueError for the seed of a training set."""
        from training.recipe import RECIPES
        from training.weld_runs import generate

        taken = sorted({recipe.data_seed for recipe in RECIPES.values()})
        if seed in taken:
            raise ValueError(
                f"--seed: expected another than {taken}, got {seed}: those welds were trained on"
            )
        return generate(
            root, {index: self.wanted(index, per_class) for index in range(len(CLASS_NAMES))}, seed
        )

    def wanted(self, index: int, per_class: int) -> int:
        """How many welds of a class."""
        return per_class * (NORMAL_TIMES if index == self.normal else 1)

    def items(self, welds: Path, per_class: int, seed: int) -> list[Item]:
        """Welds of each class as items, as far as there are; one in EVERY in part, two damaged."""
        rng = np.random.default_rng([seed, len(MODALITIES)])
        runs = find_runs(welds)
        chosen: list[WeldRun] = []
        for index in range(len(CLASS_NAMES)):
            of_class = [run for run in runs if run.class_index == index]
            picks = rng.permutation(len(of_class))[: self.wanted(index, per_class)]
            chosen += [of_class[int(pick)] for pick in sorted(picks)]
        whole = [_whole(f"{index:03d}-{run.id}", run) for index, run in enumerate(chosen)]
        items = [
            _only(item, SUBSETS[int(rng.integers(len(SUBSETS)))]) if index % EVERY == EVERY - 1 else item
            for index, item in enumerate(whole)
        ]
        return self._with_damage(items)

    def answers(self, items: Sequence[Item], network: Network) -> Iterator[Arrays]:
        """What PyTorch answers to each item on the reference decoder's tensors, by ensemble output name."""
        import torch

        from multimodal.build import build

        preset = network.preset
        model = build(PRESETS[preset], network.weights)
        for item in items:
            raw, valid, statuses = _decoded(item, preset)
            with torch.no_grad():
                answer = model(
                    {name: torch.from_numpy(array)[None] for name, array in raw.items()},
                    {name: torch.from_numpy(array)[None] for name, array in valid.items()},
                )
            yield statuses | {
                "probabilities": answer.probabilities[0].numpy(),
                "anomaly_score": answer.anomaly_score.numpy(),
                "embedding": answer.features[0].numpy(),
                **{f"{name}_attention": answer.attention[name][0].numpy() for name in MODALITIES},
            }

    def _with_damage(self, items: list[Item]) -> list[Item]:
        """Cut one photo of the first complete defect in half, and the sound of the second."""
        whole = [index for index, item in enumerate(items) if item.complete and item.label != self.normal]
        for index, kind in zip(whole, ("image", "audio"), strict=False):
            item = items[index]
            first, *others = item.photos
            cut = (first[: len(first) // 2], *others) if kind == "image" else item.photos
            sound = item.audio[: len(item.audio) // 2] if kind == "audio" else item.audio
            items[index] = replace(item, damage=kind, photos=cut, audio=sound)
        return items


def _whole(name: str, run: WeldRun) -> Item:
    video, audio, sensor = (path.read_bytes() if path else b"" for path in (run.video, run.audio, run.sensor))
    photos = tuple(photo.read_bytes() for photo in run.photos)
    sent = {"video": video, "image": photos, "audio": audio, "sensor": sensor}
    return Item(
        name, run.class_index, tuple(kind for kind in MODALITIES if sent[kind]), video, photos, audio, sensor
    )


def _only(item: Item, wanted: Sequence[str]) -> Item:
    """Leave out what is not wanted; all stays where nothing would be left."""
    kept = tuple(name for name in item.modalities if name in wanted) or item.modalities
    return replace(
        item,
        modalities=kept,
        video=item.video if "video" in kept else b"",
        photos=item.photos if "image" in kept else (),
        audio=item.audio if "audio" in kept else b"",
        sensor=item.sensor if "sensor" in kept else b"",
    )


def _decoded(item: Item, preset: str) -> tuple[Arrays, Arrays, Arrays]:
    """The networks' inputs, their masks, and the statuses that the pipeline reports; no batch axis."""
    spec = PRESETS[preset]
    video, video_status = decoding.decode_video(item.video, spec.video)
    pixels, photos, photo_statuses, image_status = decoding.decode_photos(list(item.photos), spec.image)
    sound, samples, audio_status = decoding.decode_audio(item.audio, spec.audio)
    series, sensor_status = decoding.read_sensor(item.sensor, spec.sensor)
    statuses = (video_status, image_status, audio_status, sensor_status)
    valid = {name: np.asarray([one.usable]) for name, one in zip(MODALITIES, statuses, strict=True)}
    raw: Arrays = {
        "video": video,
        "image": pixels,
        "audio": sound,
        "audio_samples": np.asarray([samples], np.int32),
        "sensor": series,
    }
    reported = {
        "modality_status": np.asarray(statuses, np.int32),
        "image_status": np.asarray(photo_statuses, np.int32),
    }
    return raw, valid | {"image": photos}, reported
