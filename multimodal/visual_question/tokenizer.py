"""Texts to token ids: words of our own, or BERT's pieces with the two tokens that BLIP adds."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from multimodal.pretrained import minilm_folder
from multimodal.visual_question.presets import VisualQuestionPreset
from multimodal.visual_question.vocabulary import OWN_TOKENS, SEPARATOR, SPECIAL, TOKENS, SpecialTokens
from multimodal.weights import require_file

METADATA_KEY = "tokenizer"  # of the metadata in a file of weights
# Questions are asked without the mark at their end, whether or not it was typed.
NO_QUESTION_MARK = normalizers.Replace(Regex(r"\s*\?+\s*$"), "")


def words_tokenizer() -> Tokenizer:
    """One token a word, lower case, punctuation by itself; what it does not know is [UNK]."""
    tokenizer = Tokenizer(models.WordLevel({token: place for place, token in enumerate(TOKENS)}, "[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [NO_QUESTION_MARK, normalizers.NFC(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens([AddedToken(SEPARATOR, normalized=False)])
    tokenizer.post_processor = _around(OWN_TOKENS)
    return tokenizer


def pieces_tokenizer(vocabulary: Path) -> Tokenizer:
    """BERT's uncased pieces from a `tokenizer.json`, with [DEC] and [ENC] behind them as BLIP has them."""
    tokenizer = Tokenizer.from_file(str(vocabulary))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.add_special_tokens(["[DEC]", "[ENC]"])
    tokenizer.normalizer = normalizers.Sequence([NO_QUESTION_MARK, tokenizer.normalizer])
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _around(tokens: SpecialTokens) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", tokens.start), ("[SEP]", tokens.end)]
    )


def build_tokenizer(preset: VisualQuestionPreset) -> Tokenizer:
    """The tokenizer of a preset's texts; neither cuts nor pads.

    Raises ImportError in one sentence where the package with BERT's pieces is not installed.
    """
    if preset.text.tokens == OWN_TOKENS:
        return words_tokenizer()
    return pieces_tokenizer(minilm_folder() / "tokenizer.json")


def tokenizer_json(preset: VisualQuestionPreset, weights: Path | None = None) -> str:
    """The `tokenizer.json` that goes with weights: the one that they were saved with, else the preset's.

    Raises FileNotFoundError for weights that are not there, ValueError for some without a tokenizer.
    """
    if weights is None:
        return build_tokenizer(preset).to_str(pretty=True)
    require_file(weights)
    with safe_open(weights, "pt") as file:
        saved = (file.metadata() or {}).get(METADATA_KEY)
    if saved is None:
        raise ValueError(
            f"weights {weights.name}: expected a tokenizer in their metadata, found none; train them again"
        )
    return json.dumps(json.loads(saved), indent=2, ensure_ascii=False)


def load_tokenizer(preset: VisualQuestionPreset, weights: Path | None = None) -> Tokenizer:
    """`tokenizer_json` as a tokenizer."""
    return Tokenizer.from_str(tokenizer_json(preset, weights))
