"""Items of the golden set of `video_quality`: the videos that are sent, and what PyTorch answers to them."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.golden_network import Network
from multimodal.quality_presets import QUALITY_PRESETS
from training.clip_decoding import DecodedClip, decode_clip

Arrays = dict[str, np.ndarray]

# of the fusion, in the order of its configuration; what else an answer has comes from the decoder
ANSWERS = (
    "quality_score",
    "frame_scores",
    "frame_weights",
    "fusion_weights",
    "fusion_shape",
    "fusion_index",
)
CONTENTS = 3
STRENGTHS = (0.0, 0.35, 0.7, 1.0)  # of the compression: every content as a ladder
SIZE = (320, 240)
SMALL_SIZE = (40, 24)  # a side below the 32 px of a fragment's patch
PER_RUNG = 8  # labelled clips at most, for each distortion of a labelled set


@dataclass(frozen=True)
class VideoItem:
    """One request.

    target: the quality that a reference metric or people gave it, None where nobody did
    damage: `video` for a file that ends half way, empty for a whole one
    """

    id: str
    video: bytes
    target: float | None = None
    damage: str = ""

    def describe(self) -> dict[str, object]:
        """Its line in golden.json; complete: whole and with a known quality, so the answer can be judged."""
        return {
            "id": self.id,
            "label": None,
            "target": self.target,
            "modalities": ["video"],
            "damage": self.damage,
            "complete": self.target is not None and not self.damage,
        }

    @classmethod
    def from_inputs(cls, line: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> VideoItem:
        """The inverse of `describe` and `inputs`."""
        return cls(line["id"], tensors["video"].tobytes(), line["target"], line["damage"])

    def inputs(self) -> Arrays:
        """Request tensors by ensemble input, no batch axis: the file's bytes as uint8."""
        return {"video": np.frombuffer(self.video, np.uint8)}


@dataclass(frozen=True)
class VideoSet:
    """Entry of `export.golden.GOLDEN`."""

    preset: str = "video_quality_small"

    def options(self, parser: argparse.ArgumentParser) -> None:
        """Where the videos come from."""
        parser.add_argument(
            "--videos",
            type=Path,
            metavar="FOLDER",
            help="a labelled set with its manifest.csv: its held-out clips are taken; default: drawn ladders "
            "without labels",
        )
        parser.add_argument("--fusion", metavar="NAME", help="that answers; default: the preset's own")

    def made_from(self, typed: argparse.Namespace, known: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the items, beside the seed: typed, else as in the set that is there."""
        return {"videos": str(typed.videos.resolve()) if typed.videos else known.get("videos", "")}

    def facts(self) -> dict[str, Any]:
        """What stands beside the items: quality has no classes."""
        return {"class_names": [], "normal": None}

    def choose(self, made_from: Mapping[str, Any], work: Path) -> list[VideoItem]:
        """Labelled held-out clips, or drawn ladders; one of them cut off, and one very small.

        errors: ValueError for a folder that is no labelled set
        """
        rng = np.random.default_rng([made_from["seed"], CONTENTS])
        items = labelled(Path(made_from["videos"]), rng) if made_from["videos"] else ladders(work, rng)
        return [*items, *broken(work, rng)]

    def item(self, line: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> VideoItem:
        """An item from its files."""
        return VideoItem.from_inputs(line, tensors)

    def answers(self, items: Sequence[VideoItem], network: Network) -> Iterator[Arrays]:
        """What PyTorch answers to each item on the reference decoder's tensors, by ensemble output name."""
        import torch

        from multimodal.quality_build import build_quality
        from multimodal.quality_served import ServedQualityFusion

        spec = QUALITY_PRESETS[network.preset]
        model = build_quality(spec, network.weights, network.fusion or None)
        fuse = ServedQualityFusion(model).eval()
        for item in items:
            clip = decode_clip(item.video, spec.sampling)
            with torch.no_grad():
                wires = model.encode(
                    {name: torch.from_numpy(view)[None] for name, view in views(clip).items()}
                )
                said = fuse(*wires, torch.tensor([[clip.status.usable]]))
            yield {name: answer[0].numpy() for name, answer in zip(ANSWERS, said, strict=True)} | {
                "frame_numbers": clip.numbers,
                "frame_times": clip.times,
                "modality_status": np.asarray([clip.status], np.int32),
            }


def views(clip: DecodedClip) -> Arrays:
    """The tensors that models see of a clip, by name."""
    fragments = {} if clip.fragments is None else {"video_fragments": clip.fragments}
    return {"video_frames": clip.frames} | fragments


def labelled(root: Path, rng: np.random.Generator) -> list[VideoItem]:
    """Held-out clips of a set that `training.quality_clips` wrote: some of every distortion, with scores."""
    path = root / "manifest.csv"
    if not path.is_file():
        raise ValueError(f"{path}: expected the manifest of a labelled set, found none; check --videos")
    with path.open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "held_out"]
    items: list[VideoItem] = []
    for kind in sorted({row["distortion"] for row in rows}):
        of_kind = [row for row in rows if row["distortion"] == kind]
        for pick in sorted(rng.permutation(len(of_kind))[:PER_RUNG].tolist()):
            row = of_kind[pick]
            name = f"{len(items):03d}-{Path(row['file']).stem}"
            items.append(VideoItem(name, (root / row["file"]).read_bytes(), float(row["score"])))
    if not items:
        raise ValueError(f"{path}: expected clips of the split held_out, found none; write the set again")
    return items


def ladders(work: Path, rng: np.random.Generator) -> list[VideoItem]:
    """Flights over drawn pictures, each at rising compression."""
    from training.quality_clips.distortions import h264
    from training.quality_clips.scenes import dead_leaves, fly_over
    from training.quality_clips.writing import write_film

    items: list[VideoItem] = []
    for content in range(CONTENTS):
        film = fly_over(dead_leaves(rng), SIZE, rng)
        for rung, strength in enumerate(STRENGTHS):
            path = write_film(work / f"{content}-{rung}.mp4", film, h264(strength))
            items.append(VideoItem(f"{len(items):03d}-leaves{content}-crf{rung}", path.read_bytes()))
    return items


def broken(work: Path, rng: np.random.Generator) -> list[VideoItem]:
    """A file that ends half way, one with pictures smaller than a patch, and one that is no video."""
    from training.quality_clips.distortions import Coding, mpeg4
    from training.quality_clips.scenes import dead_leaves, fly_over
    from training.quality_clips.writing import write_film

    picture = dead_leaves(rng)
    # Matroska, for what lies before the cut can be read, as MP4's index does not allow; and a key frame every
    # four, or half of the file would be the first picture.
    stream = Coding("libx264", "matroska", {"crf": "28", "preset": "veryfast", "g": "4"})
    whole = write_film(work / "whole.mkv", fly_over(picture, SIZE, rng), stream).read_bytes()
    small = write_film(work / "small.avi", fly_over(picture, SMALL_SIZE, rng), mpeg4(0.2)).read_bytes()
    return [
        VideoItem("900-cut-off", whole[: len(whole) // 2], damage="video"),
        VideoItem("901-very-small", small),
        VideoItem("902-no-video", whole[:4] + b"\0" * 400, damage="video"),
    ]
