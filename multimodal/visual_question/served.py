"""The dense graphs of the question answering models: positional tensors, in their configurations' order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import T5ForConditionalGeneration

from multimodal.absent import zero_absent
from multimodal.visual_question.blip import BlipPixels
from multimodal.visual_question.grids import side_of
from multimodal.visual_question.plug_and_play import PNPVQAFusion
from multimodal.visual_question.relevance_graph import RelevanceGraph


class ServedVision(nn.Module):
    """One of the two vision models."""

    def __init__(self, vision: nn.Module) -> None:
        super().__init__()
        self.pixels, self.vision = BlipPixels(), vision

    def forward(self, image_pixels: Tensor, image_valid: Tensor) -> Tensor:
        """(batch, 1, side, side, 3) uint8 -> (batch, 1 + patches, width); zeros where not valid."""
        return zero_absent(self.vision(self.pixels(image_pixels)).last_hidden_state, image_valid)


class ServedDualStream(nn.Module):
    """The fusion with its projections and its gate."""

    def __init__(self, model: PNPVQAFusion) -> None:
        super().__init__()
        self.model = model

    def forward(self, matching_tokens: Tensor, caption_tokens: Tensor, image_valid: Tensor) -> Tensor:
        """Two of (batch, 1 + patches, width) -> (batch, 1 + patches, fused width); zeros where not valid."""
        return zero_absent(self.model.fuse(matching_tokens, caption_tokens)[0], image_valid)


class ServedRelevance(nn.Module):
    """The map and the match, from the matching model's own tokens."""

    def __init__(self, model: PNPVQAFusion) -> None:
        super().__init__()
        # Not `graph`: the exporter's own modules have an attribute of that name.
        self.model, self.reading = model, RelevanceGraph(model.itm, model.relevance_layer)

    def forward(
        self,
        matching_tokens: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        image_valid: Tensor,
        question_valid: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """relevance (batch, grid, grid) >= 0, matching_score (batch, 1); zeros unless both are valid."""
        asked = self.model.encoded_with_image(input_ids)
        heat, score = self.reading(matching_tokens, asked, attention_mask)
        grid, both = side_of(matching_tokens), image_valid & question_valid
        return zero_absent(heat.unflatten(1, (grid, grid)), both), zero_absent(score, both)


class ServedQuestionEncoder(nn.Module):
    """The question, read with the image before one's eyes."""

    def __init__(self, model: PNPVQAFusion) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        fused_tokens: Tensor,
        image_valid: Tensor,
        question_valid: Tensor,
    ) -> Tensor:
        """question_states (batch, length, width of text); zeros unless both are valid."""
        states = self.model.question_states(fused_tokens, input_ids, attention_mask)
        return zero_absent(states, image_valid & question_valid)


class ServedDecoder(nn.Module):
    """A BLIP text decoder without a cache."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self, input_ids: Tensor, encoder_hidden_states: Tensor, encoder_attention_mask: Tensor
    ) -> Tensor:
        """(batch, length), (batch, source, width), (batch, source) -> logits (batch, length, vocabulary)."""
        said = self.decoder(
            input_ids=input_ids,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            use_cache=False,
        )
        return said.logits


class ServedReaderEncoder(nn.Module):
    """Encoder of the text reader: one context a row."""

    def __init__(self, reader: T5ForConditionalGeneration) -> None:
        super().__init__()
        self.encoder = reader.encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(batch, length) int64 each -> states (batch, length, width)."""
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class ServedReaderDecoder(nn.Module):
    """Decoder of the text reader: the states of all contexts, one behind the other, are its source."""

    def __init__(self, reader: T5ForConditionalGeneration) -> None:
        super().__init__()
        self.reader = reader

    def forward(
        self, input_ids: Tensor, encoder_hidden_states: Tensor, encoder_attention_mask: Tensor
    ) -> Tensor:
        """As `ServedDecoder`."""
        said = self.reader(
            encoder_outputs=(encoder_hidden_states,),
            attention_mask=encoder_attention_mask,
            decoder_input_ids=input_ids,
            use_cache=False,
        )
        return said.logits


# Part of a model -> its module; decoders are files in the version folder of `answers`, the others models.
_PARTS: dict[str, Any] = {
    "matching_encoder": lambda model: ServedVision(model.itm.vision_model),
    "caption_encoder": lambda model: ServedVision(model.captioner.vision_model),
    "fusion": ServedDualStream,
    "relevance": ServedRelevance,
    "question_encoder": ServedQuestionEncoder,
    "answer_decoder": lambda model: ServedDecoder(model.qa.text_decoder),
    "caption_decoder": lambda model: ServedDecoder(model.captioner.text_decoder),
    "reader_encoder": lambda model: ServedReaderEncoder(model.reader),
    "reader_decoder": lambda model: ServedReaderDecoder(model.reader),
}
PARTS = tuple(_PARTS)


def served_part(model: PNPVQAFusion, part: str) -> nn.Module:
    """The module of one served model or decoder, in eval mode: its name behind the preset's.

    ValueError for a part that there is not.
    """
    if part not in _PARTS:
        raise ValueError(f"visual question answering: expected one of {', '.join(PARTS)}, got '{part}'")
    with torch.no_grad():
        return _PARTS[part](model).eval()
