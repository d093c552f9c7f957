"""Plug-and-play question answering: match, look, caption, answer, with two visual streams fused.

Source: Tiong et al., "Plug-and-Play VQA: Zero-shot VQA by Conjoining Large Pretrained Models with Zero
Training" (arXiv 2210.08773).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import (
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
    T5ForConditionalGeneration,
)

from multimodal.visual_question.blip import heed_cross_masks, require_same_pixels
from multimodal.visual_question.dual_stream import DualStreamFusionEncoder
from multimodal.visual_question.generation import (
    Decoding,
    GenerationSettings,
    Step,
    greedy,
    padded,
    reader_contexts,
    sample_captions,
)
from multimodal.visual_question.grids import resize_grid, side_of
from multimodal.visual_question.relevance import relevance_by_autograd, require_layer
from multimodal.visual_question.vocabulary import SpecialTokens


class BlipFamily(NamedTuple):
    """The pretrained parts: what answers from the image, and what answers from text, may be left out."""

    matching: BlipForImageTextRetrieval
    captioning: BlipForConditionalGeneration
    answering: BlipForQuestionAnswering | None = None
    reader: T5ForConditionalGeneration | None = None


class PNPVQAFusion(nn.Module):
    """Both vision models, their fusion, and the decoders that read it.

    fusion:          its width may differ from the vision models'; projections are added where it does
    tokens:          ids of the special tokens of the BLIP models
    relevance_layer: the matching encoder's cross-attention that the map reads
    use_enc_token:   put [ENC] in the place of a text's first token where it is encoded with an image, as
                     BLIP was trained
    The fused tokens are `captioner's + tanh(gate) * fusion`, gate 0 at first: untrained, it changes nothing.
    Raises ValueError for parts that do not fit each other.
    """

    def __init__(
        self,
        family: BlipFamily,
        fusion: DualStreamFusionEncoder,
        tokens: SpecialTokens,
        relevance_layer: int = 7,
        use_enc_token: bool = True,
    ) -> None:
        super().__init__()
        self.itm, self.captioner, self.qa, self.reader = family
        for part in (self.itm, self.captioner, self.qa):
            if part is not None:
                heed_cross_masks(part)
        require_same_pixels(self.itm.config, self.captioner.config)
        require_layer(relevance_layer, len(self.itm.text_encoder.encoder.layer))
        self.tokens, self.relevance_layer, self.use_enc_token = tokens, relevance_layer, use_enc_token
        matching, captioning = (_config(part) for part in (self.itm, self.captioner))
        self.fused_width = captioning.text_config.encoder_hidden_size
        if self.qa is not None and _config(self.qa).text_config.encoder_hidden_size != self.fused_width:
            raise ValueError(
                f"question answering: expected cross-attention to tokens of width {self.fused_width} as the "
                f"captioner has, got {_config(self.qa).text_config.encoder_hidden_size}; take one size"
            )
        self.itm_in = _projection(matching.vision_config.hidden_size, fusion.width)
        self.cap_in = _projection(captioning.vision_config.hidden_size, fusion.width)
        self.fusion = fusion
        self.out = _projection(fusion.width, self.fused_width)
        self.gate = nn.Parameter(torch.zeros(1))

    def freeze_pretrained(self, decoders_too: bool = False) -> None:
        """Stop training the vision models and the matching model; decoders_too: everything but the fusion."""
        self.itm.requires_grad_(False)
        self.captioner.vision_model.requires_grad_(False)
        if decoders_too:
            for part in (self.captioner, self.qa, self.reader):
                if part is not None:
                    part.requires_grad_(False)

    def fuse_visual_features(self, pixel_values: Tensor, drop_cls: bool = False) -> dict[str, Tensor]:
        """Encode an image with both vision models and fuse what they see.

        pixel_values: (batch, 3, side, side), normalised as BLIP's
        drop_cls:     leave the class token out of the fused tokens
        returns: fused (batch, 1 + patches, fused width), itm_features (batch, 1 + patches, matching width),
                 captioner_features, valid (batch, 1 + patches) bool
        The patches are those of the matching model; the captioner's are resized where its grid differs.
        """
        matching = self.itm.vision_model(pixel_values).last_hidden_state
        captioning = self.captioner.vision_model(pixel_values).last_hidden_state
        fused, valid = self.fuse(matching, captioning)
        first = int(drop_cls)
        return {
            "fused": fused[:, first:],
            "itm_features": matching,
            "captioner_features": captioning,
            "valid": valid[:, first:],
        }

    def fuse(self, matching_tokens: Tensor, caption_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of both models -> fused (batch, 1 + patches, fused width), valid (batch, 1 + patches).

        The fused width is the captioner's, whose features come first in the sum.
        """
        caption_tokens = resize_grid(caption_tokens, side_of(matching_tokens))
        fused, valid = self.fusion(self.itm_in(matching_tokens), self.cap_in(caption_tokens))
        return caption_tokens + torch.tanh(self.gate) * self.out(fused), valid

    def relevance_map(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, layer: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Where the image has what the text says, by the matching model's own features, never by fused ones.

        input_ids, attention_mask: (batch, length) int64; layer: another cross-attention than the model's
        returns: (batch, grid, grid) >= 0, (batch, 1) probability of the match
        After the fusion's self-attention a token no longer stands for its patch, so that its weights must not
        matter here.
        """
        with torch.no_grad():
            seen = self.itm.vision_model(pixel_values).last_hidden_state
        return self.relevance_of(seen, input_ids, attention_mask, layer)

    def relevance_of(
        self, matching_tokens: Tensor, input_ids: Tensor, attention_mask: Tensor, layer: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """`relevance_map` of tokens (batch, 1 + patches, width) that the matching vision model has made."""
        heat, score = relevance_by_autograd(
            self.itm,
            matching_tokens,
            self.encoded_with_image(input_ids),
            attention_mask,
            self.relevance_layer if layer is None else layer,
        )
        grid = side_of(matching_tokens)
        return heat.unflatten(1, (grid, grid)), score

    def encoded_with_image(self, input_ids: Tensor) -> Tensor:
        """Texts as the encoders that look at the image have learnt them: [ENC] first, where wanted."""
        if not self.use_enc_token:
            return input_ids
        return torch.cat([torch.full_like(input_ids[:, :1], self.tokens.encode), input_ids[:, 1:]], dim=1)

    @torch.no_grad()
    def caption(
        self,
        fused: Tensor,
        relevance: Tensor,
        input_ids: Tensor,
        settings: GenerationSettings,
        tokenizer: Tokenizer,
    ) -> list[list[str]]:
        """Captions of the patches that matter, some for every row, each from its own draw of them.

        fused: (batch, 1 + patches, fused width); relevance: (batch, grid, grid); input_ids: (batch, length)
        With `settings.patches` as many as there are, no patch is left out.
        """

        def step_of(rows: np.ndarray, places: np.ndarray) -> Step:
            seen = fused[torch.from_numpy(rows)[:, None], torch.from_numpy(places)]
            return self._step(self.captioner.text_decoder, seen, None)

        heat = relevance.flatten(1).cpu().numpy()
        return sample_captions(step_of, heat, input_ids.cpu().numpy(), settings, _words_of(tokenizer))

    @torch.no_grad()
    def answer_visually(
        self, fused: Tensor, input_ids: Tensor, attention_mask: Tensor, answer: Decoding, tokenizer: Tokenizer
    ) -> tuple[list[str], np.ndarray]:
        """Answers from the fused tokens, and the probability of each (batch,)."""
        states = self.question_states(fused, input_ids, attention_mask)
        step = self._step(self._answering().text_decoder, states, attention_mask)
        tokens, probabilities = greedy(step, len(states), answer)
        return _texts(tokens, answer.pad, tokenizer), probabilities

    def question_states(self, fused: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The question, read with the image before one's eyes: (batch, length, width of text)."""
        return (
            self._answering()
            .text_encoder(
                input_ids=self.encoded_with_image(input_ids),
                attention_mask=attention_mask,
                encoder_hidden_states=fused,
            )
            .last_hidden_state
        )

    @torch.no_grad()
    def answer_from_text(
        self,
        questions: Sequence[str],
        captions: Sequence[Sequence[str]],
        settings: GenerationSettings,
        tokenizer: Tokenizer,
    ) -> tuple[list[str], np.ndarray]:
        """Answers from questions and captions alone, and the probability of each (batch,).

        Every few captions make a context, each is encoded by itself, all are read together
        (Fusion-in-Decoder, Izacard and Grave, arXiv 2007.01282). The image counts through the captions only.
        tokenizer: the reader's own; a published T5 has another than BLIP
        """
        if self.reader is None:
            raise ValueError("text mode: expected a text reader, got none; build the model with a T5")
        contexts = [
            reader_contexts(question, lines, settings.captions_per_context)
            for question, lines in zip(questions, captions, strict=True)
        ]
        rows = [tokenizer.encode(context).ids for group in contexts for context in group]
        ids, mask = (
            torch.from_numpy(array) for array in padded(rows, settings.reader.pad, settings.reader_length)
        )
        states = self.reader.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        states = states.reshape(len(contexts), -1, states.shape[-1])  # (batch, contexts * length, width)
        step = self._reader_step(states, mask.reshape(len(contexts), -1))
        tokens, probabilities = greedy(step, len(contexts), settings.reader)
        return _texts(tokens, settings.reader.pad, tokenizer), probabilities

    def answer(
        self,
        samples: Mapping[str, Any],
        settings: GenerationSettings,
        tokenizer: Tokenizer,
        mode: str = "visual",
        reader_tokenizer: Tokenizer | None = None,
    ) -> dict[str, Any]:
        """From image and question to the answer and everything on the way.

        samples: image (batch, 3, side, side) and text_input, a list of questions
        mode:    "visual" answers from the fused tokens, "text" from question and captions
        returns: samples with gradcams (batch, grid, grid), match (batch, 1), fused_visual_features, captions
                 (a list of lists), answers and probabilities (batch,)
        Raises ValueError for another mode.
        """
        if mode not in ("visual", "text"):
            raise ValueError(f"answer: expected mode visual or text, got {mode!r}")
        questions = list(samples["text_input"])
        rows = [tokenizer.encode(question).ids for question in questions]
        length = _config(self.itm).text_config.max_position_embeddings
        input_ids, mask = (torch.from_numpy(array) for array in padded(rows, self.tokens.pad, length))
        with torch.no_grad():
            seen = self.fuse_visual_features(samples["image"])
        heat, score = self.relevance_of(seen["itm_features"], input_ids, mask)
        captions = self.caption(seen["fused"], heat, input_ids, settings, tokenizer)
        if mode == "visual":
            said = self.answer_visually(seen["fused"], input_ids, mask, settings.answer, tokenizer)
        else:
            said = self.answer_from_text(questions, captions, settings, reader_tokenizer or tokenizer)
        return {
            **samples,
            "gradcams": heat,
            "match": score,
            "fused_visual_features": seen["fused"],
            "captions": captions,
            "answers": said[0],
            "probabilities": said[1],
        }

    def _answering(self) -> BlipForQuestionAnswering:
        if self.qa is None:
            raise ValueError(
                "visual mode: expected a question answering model, got none; build with a BLIP-VQA"
            )
        return self.qa

    @staticmethod
    def _step(decoder: nn.Module, states: Tensor, mask: Tensor | None) -> Step:
        def step(tokens: np.ndarray) -> np.ndarray:
            said = decoder(
                input_ids=torch.from_numpy(tokens),
                encoder_hidden_states=states,
                encoder_attention_mask=mask,
                use_cache=False,
            )
            return said.logits[:, -1].float().cpu().numpy()

        return step

    def _reader_step(self, states: Tensor, mask: Tensor) -> Step:
        def step(tokens: np.ndarray) -> np.ndarray:
            said = self.reader(  # type: ignore[misc]  # checked by whoever asks for the step
                encoder_outputs=(states,),
                attention_mask=mask,
                decoder_input_ids=torch.from_numpy(tokens),
                use_cache=False,
            )
            return said.logits[:, -1].float().cpu().numpy()

        return step


def _config(model: nn.Module) -> Any:
    """With its parts as configurations; their types allow dicts."""
    return model.config


def _projection(given: int, wanted: int) -> nn.Module:
    return nn.Identity() if given == wanted else nn.Linear(given, wanted)


def _words_of(tokenizer: Tokenizer) -> Any:
    return lambda tokens: tokenizer.decode(list(tokens), skip_special_tokens=True).strip()


def _texts(tokens: np.ndarray, pad: int, tokenizer: Tokenizer) -> list[str]:
    decode = _words_of(tokenizer)
    return [decode([int(token) for token in row if token != pad]) for row in tokens]
