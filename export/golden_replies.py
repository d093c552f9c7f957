"""What PyTorch answers to photos and texts, on the tensors of the reference decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from export.golden_network import Network
from export.golden_questions import Arrays, QuestionItem
from export.pipelines import PRESETS
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS

if TYPE_CHECKING:
    from torch import Tensor

    from training.photo_text_decoding import DecodedPair

ANSWERS = ("answer_probabilities", "image_embedding", "text_embedding", "fused_embedding", "modality_status")


def vision_language(items: Sequence[QuestionItem], network: Network) -> Iterator[Arrays]:
    """Probabilities and embeddings of each item, by the modules that the engines are made from."""
    import torch

    from export.engines import served_module

    preset = VISION_LANGUAGE_PRESETS[network.preset]
    see, read, fuse = (
        served_module(network.preset, f"{network.preset}_{part}", network.weights, network.fusion)
        for part in ("image_encoder", "text_encoder", "fusion")
    )
    for pair in _decoded(items, network, preset.photo.size_px, preset.words.tokens):
        pixels, ids, mask, image_valid, text_valid = _tensors(pair)
        image_status, text_status = torch.from_numpy(pair.statuses)[:, None, None]
        with torch.no_grad():
            features = see(pixels, image_valid), read(ids, mask, text_valid)
            said = fuse(*features, image_valid, text_valid, image_status, text_status)
        yield {name: one[0].numpy() for name, one in zip(ANSWERS, said, strict=True)}


def visual_question(items: Sequence[QuestionItem], network: Network) -> Iterator[Arrays]:
    """Answer, captions and map of each item, by the whole model; its map comes from autograd."""
    import torch
    from tokenizers import Tokenizer

    from multimodal.visual_question.blip import BlipPixels
    from multimodal.visual_question.build import build_visual_question, settings_of
    from multimodal.visual_question.tokenizer import load_tokenizer

    preset = VISUAL_QUESTION_PRESETS[network.preset]
    model = build_visual_question(preset, network.weights)
    words: Tokenizer = load_tokenizer(preset, network.weights)
    settings, scaled = settings_of(preset, model, words), BlipPixels()
    nothing = {
        "answer": np.asarray([""]),
        "answer_probability": np.zeros(1, np.float32),
        "captions": np.asarray([""] * settings.captions),
        "caption_answer": np.asarray([""]),
        "relevance": np.zeros((preset.grid, preset.grid), np.float32),
        "matching_score": np.zeros(1, np.float32),
    }
    for pair in _decoded(items, network, preset.image_px, preset.question_length):
        pixels, ids, mask, *valid = _tensors(pair)
        status = {"modality_status": pair.statuses}
        if not all(one.all() for one in valid):
            yield nothing | status
            continue
        with torch.no_grad():
            seen = model.fuse_visual_features(scaled(pixels))
        heat, score = model.relevance_of(seen["itm_features"], ids, mask)
        captions = model.caption(seen["fused"], heat, ids, settings, words)
        answers, chances = model.answer_visually(seen["fused"], ids, mask, settings.answer, words)
        question = words.decode(ids[0][mask[0].bool()].tolist(), skip_special_tokens=True)
        read_out, _ = model.answer_from_text([question], captions, settings, words)
        yield status | {
            "answer": np.asarray(answers),
            "answer_probability": chances,
            "captions": np.asarray(captions[0]),
            "caption_answer": np.asarray(read_out),
            "relevance": heat[0].detach().numpy(),
            "matching_score": score[0].detach().numpy(),
        }


def _decoded(
    items: Sequence[QuestionItem], network: Network, size_px: int, length: int
) -> Iterator[DecodedPair]:
    """The tensors of each item, as the reference decoder makes them."""
    from tokenizers import Tokenizer

    from export.artefacts import Worded
    from training.photo_text_decoding import TextReader, decode_pair

    pipeline = PRESETS[network.preset]
    if not isinstance(pipeline, Worded):
        raise ValueError(f"{network.preset}: expected a preset that reads words, got one without a tokenizer")
    reader = TextReader(Tokenizer.from_str(pipeline.tokenizer(network.preset, network.weights)), length)
    for item in items:
        yield decode_pair(item.image, item.question, size_px, reader)


def _tensors(pair: DecodedPair) -> tuple[Tensor, ...]:
    """image_pixels, input_ids, attention_mask, and what is valid, as a batch of one."""
    import torch

    arrays = (pair.pixels.copy(), pair.text.input_ids, pair.text.attention_mask)  # Pillow's is read-only
    valid = (pair.photo.usable, pair.text.status.usable)
    return (*(torch.from_numpy(one)[None] for one in arrays), *(torch.tensor([[one]]) for one in valid))
