"""Turn a question answering preset, or published checkpoints, into a model; keep its weights in one file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import (
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
    T5ForConditionalGeneration,
)

from multimodal.encoders.backbone import load_backbone
from multimodal.visual_question.blip import build_blips, build_reader, require_blip_pixels
from multimodal.visual_question.dual_stream import DualStreamFusionEncoder
from multimodal.visual_question.generation import Decoding, GenerationSettings
from multimodal.visual_question.plug_and_play import BlipFamily, PNPVQAFusion
from multimodal.visual_question.presets import FusionSizes, VisualQuestionPreset
from multimodal.visual_question.tokenizer import METADATA_KEY, build_tokenizer, load_tokenizer
from multimodal.visual_question.vocabulary import BERT_TOKENS, SpecialTokens
from multimodal.weights import require_file, require_fit


@dataclass(frozen=True)
class Sources:
    """Hub ids or folders written by `save_pretrained`; what answers may be left out.

    Published: Salesforce/blip-itm-base-coco, Salesforce/blip-image-captioning-base, Salesforce/blip-vqa-base,
    and a UnifiedQA T5 such as allenai/unifiedqa-v2-t5-base-1363200.
    """

    matching: str | Path
    captioning: str | Path
    answering: str | Path | None = None
    reader: str | Path | None = None


def build_visual_question(preset: VisualQuestionPreset, weights: Path | None = None) -> PNPVQAFusion:
    """The whole model of a preset, in eval mode and float32.

    weights: safetensors as `save_visual_question` writes them; None leaves random weights
    Raises ValueError for weights that do not fit, FileNotFoundError for a missing file.
    """
    family = BlipFamily(*build_blips(preset), build_reader(preset))
    model = assembled(family, preset.fusion, preset.text.tokens, preset.text.relevance_layer)
    if weights is not None:
        load_visual_question(model, preset, weights)
    return model.eval()


def from_pretrained(
    sources: Sources,
    fusion: FusionSizes | None = None,
    tokens: SpecialTokens = BERT_TOKENS,
    relevance_layer: int = 7,
) -> PNPVQAFusion:
    """The same model around published checkpoints; its fusion is untrained, so it changes nothing yet.

    fusion: sizes; those of the published encoder when left out. Projections are added where its width is not
            the vision models'
    Raises OSError in one line for a source that can neither be found nor downloaded, ValueError for parts
    that do not fit each other.
    """
    answering = sources.answering and load_backbone(BlipForQuestionAnswering, sources.answering)
    reader = sources.reader and load_backbone(T5ForConditionalGeneration, sources.reader)
    family = BlipFamily(
        load_backbone(BlipForImageTextRetrieval, sources.matching),
        load_backbone(BlipForConditionalGeneration, sources.captioning),
        answering or None,
        reader or None,
    )
    for source in (sources.matching, sources.captioning):
        require_blip_pixels(source)
    return assembled(family, fusion or PUBLISHED_FUSION, tokens, relevance_layer).eval()


PUBLISHED_FUSION = FusionSizes(
    width=768, layers=3, fuse_layer=1, iterations=2, heads=8, head_width=64, feed_forward=2048
)


def assembled(
    family: BlipFamily, fusion: FusionSizes, tokens: SpecialTokens, relevance_layer: int
) -> PNPVQAFusion:
    """Parts of our own, put together; what would never run is taken out of them.

    A question is answered from the fused tokens, so that the answering model needs no vision model; a match
    is read off the matching head, so that the projections to a common space have no use.
    """
    if family.answering is not None:
        _take_out(family.answering, "vision_model")
    _take_out(family.matching, "vision_proj", "text_proj")
    return PNPVQAFusion(family, DualStreamFusionEncoder.of(fusion), tokens, relevance_layer)


def _take_out(model: nn.Module, *parts: str) -> None:
    for part in parts:
        setattr(model, part, None)


def generation_settings(preset: VisualQuestionPreset, model: PNPVQAFusion) -> dict[str, Any]:
    """What `generation.json` holds: prompts, special tokens and lengths of the decoders, and all sizes."""
    return asdict(settings_of(preset, model, build_tokenizer(preset)))


def settings_of(
    preset: VisualQuestionPreset, model: PNPVQAFusion, tokenizer: Tokenizer
) -> GenerationSettings:
    """The same for the loops here; ValueError for a model without a text reader."""
    if model.reader is None:
        raise ValueError(
            "generation settings: expected a model with a text reader, got none; build with a T5"
        )
    sizes, tokens = preset.generation, preset.text.tokens
    read: Any = model.reader.config
    prompt = tokenizer.encode(sizes.prompt, add_special_tokens=False).ids
    return GenerationSettings(
        caption=Decoding(
            (tokens.decode, *prompt), tokens.end, tokens.pad, sizes.caption_min, sizes.caption_max
        ),
        answer=Decoding((tokens.decode,), tokens.end, tokens.pad, 1, sizes.answer_max),
        reader=Decoding(
            (read.decoder_start_token_id,), read.eos_token_id, read.pad_token_id, 1, sizes.answer_max
        ),
        captions=sizes.captions,
        patches=sizes.patches,
        top_k=sizes.top_k,
        rounds=sizes.rounds,
        captions_per_context=sizes.captions_per_context,
        reader_length=preset.reader.length,
        seed=sizes.seed,
    )


def own_state(model: nn.Module) -> dict[str, Tensor]:
    """Every tensor once: decoders give their embeddings back as output weights, under a second name."""
    seen: set[int] = set()
    state = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            state[name] = tensor
    return state


def save_visual_question(
    model: PNPVQAFusion, preset: VisualQuestionPreset, path: Path, dtype: torch.dtype = torch.float16
) -> Path:
    """Write a preset's weights, numbers in `dtype`, with the tokenizer that they were trained with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, tensor in own_state(model).items()
    }
    save_file(state, path, {METADATA_KEY: build_tokenizer(preset).to_str()})
    return path


def load_visual_question(model: PNPVQAFusion, preset: VisualQuestionPreset, path: Path) -> None:
    """Load weights in place, converted to float32.

    Raises FileNotFoundError without the file, ValueError for tensors that are not the model's, or words that
    are not the preset's.
    """
    require_file(path)
    state = load_file(path)
    require_fit(state, own_state(model), path)
    saved, expected = load_tokenizer(preset, path).get_vocab(), build_tokenizer(preset).get_vocab()
    if saved != expected:
        raise ValueError(
            f"weights {path.name}: expected the {len(expected)} tokens of this preset, the file has "
            f"{len(saved)}, or others; train them again"
        )
    model.load_state_dict(state, strict=False)  # names that are missing share a tensor with one that is not
