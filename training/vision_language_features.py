"""What frozen trunks see in photos and texts, computed once and kept."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from multimodal.vision_language.model import VisualLanguageModel
from multimodal.vision_language.presets import VisionLanguagePreset
from multimodal.vision_language.tokenizer import tokenise, tokenizer_json
from training.easy_vqa import EasyVqa
from training.easy_vqa_captions import describe_all

ROWS = 64  # photos or texts of one pass


@dataclass(frozen=True)
class Pooled:
    """A split of easy-VQA as the frozen trunks see it.

    photos:   (copies, photos, visual pooled width); copy 0 is the photo itself
    texts:    (texts, text pooled width), each text once; names: these texts
    question: (questions,) which text is asked; photo: (questions,) of which photo; answer: (questions,) class
    captions: (photos, wordings) which text says so of the photo; wording 0 says everything
    """

    photos: Tensor
    texts: Tensor
    names: tuple[str, ...]
    question: Tensor
    photo: Tensor
    answer: Tensor
    captions: Tensor


def pixels_of(images: Sequence[NDArray[np.uint8]], size_px: int) -> NDArray[np.uint8]:
    """Photos stretched to squares as the server does: (photos, size_px, size_px, 3) uint8."""
    side = (size_px, size_px)
    return np.stack(
        [np.asarray(Pillow.fromarray(image).resize(side, Pillow.Resampling.BILINEAR)) for image in images]
    )


def changed(image: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """The photo as another decoder might hand it over: resized there and back, as JPEG, a few levels off."""
    height, width = image.shape[:2]
    picture = Pillow.fromarray(image)
    if generator.random() < 0.5:
        scale = generator.uniform(0.8, 2.0)
        picture = picture.resize((round(width * scale), round(height * scale)), Pillow.Resampling.BILINEAR)
        picture = picture.resize((width, height), Pillow.Resampling.BILINEAR)
    if generator.random() < 0.5:
        coded = io.BytesIO()
        picture.save(coded, "JPEG", quality=int(generator.integers(75, 96)))
        picture = Pillow.open(coded).convert("RGB")
    levels = np.asarray(picture, np.float64) * generator.uniform(0.98, 1.02) + generator.normal(
        generator.uniform(-2, 2), generator.uniform(0, 2), image.shape
    )
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def pool_split(
    model: VisualLanguageModel,
    preset: VisionLanguagePreset,
    data: EasyVqa,
    cache: Path,
    copies: int = 0,
    seed: int = 0,
) -> Pooled:
    """Run the trunks over a split, or read what an earlier call kept.

    cache: folder; a file in it is named after all that its tensors depend on
    copies: changed ones beside the photos themselves
    """
    said = describe_all(data.images)
    names = tuple(sorted({*data.questions, *(caption for one in said for caption in one.captions)}))
    place = {name: index for index, name in enumerate(names)}
    path = cache / f"{_key(model, preset, data, names, copies, seed)}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        photos = torch.stack(
            [
                pool_photos(model, preset, images, title)
                for title, images in _copies(data.images, copies, seed)
            ]
        )
        save_file({"photos": photos, "texts": pool_texts(model, preset, names)}, path)
    kept = load_file(path)
    return Pooled(
        kept["photos"],
        kept["texts"],
        names,
        torch.tensor([place[question] for question in data.questions]),
        torch.from_numpy(data.rows),
        torch.from_numpy(data.answers),
        torch.tensor([[place[caption] for caption in one.captions] for one in said]),
    )


def _copies(
    images: NDArray[np.uint8], copies: int, seed: int
) -> Iterator[tuple[str, list[NDArray[np.uint8]]]]:
    yield "photos", list(images)
    generator = np.random.default_rng(seed)
    for copy in range(copies):
        yield f"photos, changed {copy + 1} of {copies}", [changed(image, generator) for image in images]


@torch.no_grad()
def pool_photos(
    model: VisualLanguageModel,
    preset: VisionLanguagePreset,
    images: Sequence[NDArray[np.uint8]],
    title: str = "photos",
) -> Tensor:
    """(photos, visual pooled width) of the trunk in eval mode; images: (height, width, 3) uint8 each."""
    trunk, found = model.visual.eval(), []
    with tqdm(total=len(images), desc=title, unit="photo", mininterval=1) as bar:
        for start in range(0, len(images), ROWS):
            pixels = torch.from_numpy(pixels_of(images[start : start + ROWS], preset.photo.size_px))
            found.append(trunk.pool(pixels.permute(0, 3, 1, 2).float() / 255))
            bar.update(len(pixels))
    return torch.cat(found)


@torch.no_grad()
def pool_texts(model: VisualLanguageModel, preset: VisionLanguagePreset, texts: Sequence[str]) -> Tensor:
    """(texts, text pooled width) of the trunk in eval mode."""
    trunk, tokenizer = model.text.eval(), Tokenizer.from_str(tokenizer_json(preset))
    ids, mask = tokenise(texts, tokenizer)
    return torch.cat(
        [
            trunk.pool(ids[start : start + ROWS], mask[start : start + ROWS])
            for start in range(0, len(ids), ROWS)
        ]
    )


def _key(
    model: VisualLanguageModel,
    preset: VisionLanguagePreset,
    data: EasyVqa,
    names: Sequence[str],
    copies: int,
    seed: int,
) -> str:
    """Sixteen hexadecimal digits that change with the trunks, the photos, the texts or the copies."""
    digest = hashlib.sha256(repr((preset.photo, preset.words, copies, seed, tuple(names))).encode())
    digest.update(data.images.tobytes())
    for trunk in (model.visual.backbone, model.text.backbone):
        for tensor in trunk.state_dict().values():
            digest.update(tensor.double().sum().numpy().tobytes())
    return digest.hexdigest()[:16]
