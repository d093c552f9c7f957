"""`vision_language` on easy-VQA: answers, and retrieval by requests that carry an image or a text alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from benchmarks.accuracy import Infer, ask_all, batches, judged, other_pictures
from multimodal.vision_language.build import build_vision_language
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS, VisionLanguagePreset
from multimodal.vision_language.served import PARTS, served_part
from multimodal.vision_language.tokenizer import tokenizer_json
from training.easy_vqa import EasyVqa
from training.easy_vqa_captions import describe_all
from training.photo_text_decoding import TextReader, decode_pair

BATCH = 32

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class VisionLanguageReference:
    """The served graphs in PyTorch, and how their inputs are read."""

    preset: VisionLanguagePreset
    parts: dict[str, nn.Module]
    reader: TextReader

    @classmethod
    def load(cls, preset: str, weights: Path | None) -> VisionLanguageReference:
        """The network of a preset; None leaves it random."""
        sizes = VISION_LANGUAGE_PRESETS[preset]
        model = build_vision_language(sizes, weights)
        reader = TextReader(Tokenizer.from_str(tokenizer_json(sizes)), sizes.words.tokens)
        return cls(sizes, {part: served_part(model, part).eval() for part in PARTS}, reader)

    def measure(self, infer: Infer, asked: EasyVqa) -> dict[str, Any]:
        """Answers and retrieval of server and PyTorch, their differences, the control with other pictures."""
        files = [path.read_bytes() for path in asked.pictures]
        names = np.array(self.preset.class_names)
        images = self.images(files)
        texts = self.texts(asked.questions)
        own = self.probabilities(images[asked.rows], texts, "PyTorch")
        other = self.probabilities(images[other_pictures(asked)], texts, "other pictures")
        requests = [
            {"image": files[row], "text": text} for row, text in zip(asked.rows, asked.questions, strict=True)
        ]
        answers = ask_all(infer, requests, "questions")
        served = np.array([[one.probabilities[name] for name in names] for one in answers], np.float32)
        said, pytorch = (names[table.argmax(1)].tolist() for table in (served, own))
        retrieval = self.retrieval(infer, asked, files, images)
        return {
            "server": judged(asked, said),
            "pytorch": judged(asked, pytorch),
            "differences": {
                "answers": int(np.sum(np.array(said) != np.array(pytorch))),
                "largest_of_a_probability": float(np.abs(served - own).max()),
            },
            "controls": {"shuffled_images": judged(asked, names[other.argmax(1)].tolist())},
            "retrieval": retrieval,
            "remarks": [remark(retrieval)],
        }

    @torch.no_grad()
    def images(self, files: Sequence[bytes]) -> Tensor:
        """Features of photos, (photos, V)."""
        found = []
        for rows in batches(len(files), BATCH, "PyTorch, images"):
            pixels = [
                decode_pair(file, b"", self.preset.photo.size_px, self.reader).pixels for file in files[rows]
            ]
            valid = torch.ones(len(pixels), 1, dtype=torch.bool)
            found.append(self.parts["image_encoder"](torch.from_numpy(np.stack(pixels)), valid))
        return torch.cat(found)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Features of texts, (texts, T); one that occurs again is not read again."""
        different = list(dict.fromkeys(texts))
        read = [self.reader(text.encode()) for text in different]
        ids, mask = (
            torch.from_numpy(np.stack([getattr(one, name) for one in read]))
            for name in ("input_ids", "attention_mask")
        )
        valid = torch.ones(len(different), 1, dtype=torch.bool)
        features = torch.cat(
            [
                self.parts["text_encoder"](ids[rows], mask[rows], valid[rows])
                for rows in batches(len(different), BATCH, "PyTorch, texts")
            ]
        )
        place = {text: index for index, text in enumerate(different)}
        return features[[place[text] for text in texts]]

    def probabilities(self, images: Tensor, texts: Tensor, title: str) -> Matrix:
        """Of every answer for pairs of features, (pairs, classes)."""
        return self._fused(images, texts, title)[0]

    @torch.no_grad()
    def _fused(self, images: Tensor, texts: Tensor, title: str) -> list[Matrix]:
        """Probabilities, image and text embeddings of pairs of features."""
        found = []
        for rows in batches(len(images), 8 * BATCH, title):
            valid = torch.ones(len(images[rows]), 1, dtype=torch.bool)
            status = torch.zeros(len(valid), 1, dtype=torch.int32)
            found.append(self.parts["fusion"](images[rows], texts[rows], valid, valid, status, status)[:3])
        return [torch.cat(column).numpy() for column in zip(*found, strict=True)]

    def retrieval(
        self, infer: Infer, asked: EasyVqa, files: Sequence[bytes], images: Tensor
    ) -> dict[str, Any]:
        """Pictures against the different captions that fit at least one of them, by server and PyTorch."""
        captions = [one.caption for one in describe_all(asked.images)]
        different = sorted(set(captions))
        fits = np.array([[caption == one for one in different] for caption in captions])
        seen = ask_all(infer, [{"image": file} for file in files], "images alone")
        read = ask_all(infer, [{"text": text} for text in different], "captions alone")
        served = (
            np.stack([one.image_embedding for one in seen]),
            np.stack([one.text_embedding for one in read]),
        )
        texts = self.texts(different)
        own = (
            self._fused(images, texts[np.zeros(len(images), int)], "PyTorch, image embeddings")[1],
            self._fused(images[np.zeros(len(texts), int)], texts, "PyTorch, text embeddings")[2],
        )
        return {
            "pictures": len(files),
            "captions": len(different),
            "chance": 1 / len(different),
            "server": recall_at_1(*served, fits),
            "pytorch": recall_at_1(*own, fits),
            "smallest_cosine_of_both": float(
                min((mine * theirs).sum(1).min() for mine, theirs in zip(served, own, strict=True))
            ),
        }


def recall_at_1(images: Matrix, texts: Matrix, fits: NDArray[np.bool_]) -> dict[str, float]:
    """Share of images whose nearest text fits, and of texts whose nearest image does.

    images: (images, width); texts: (texts, width); fits: (images, texts), every text fits some image
    Chance is the same both ways where every image has one text: 1 / texts.
    """
    closeness = images @ texts.T
    return {
        "image_to_text": float(fits[np.arange(len(images)), closeness.argmax(1)].mean()),
        "text_to_image": float(fits[closeness.argmax(0), np.arange(len(texts))].mean()),
    }


def remark(retrieval: dict[str, Any]) -> str:
    """Retrieval in one line."""
    found = retrieval["server"]
    return (
        f"retrieval R@1 among {retrieval['captions']} captions of {retrieval['pictures']} pictures: "
        f"image to text {found['image_to_text']:.1%}, text to image {found['text_to_image']:.1%}, "
        f"chance {retrieval['chance']:.2%}"
    )
