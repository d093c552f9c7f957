"""Which tokenizer a preset reads texts with, as the text of a tokenizer.json that the server loads too."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from multimodal.encoders.feature_extractor import unknown_name
from multimodal.pretrained import minilm_folder
from multimodal.vision_language.presets import VisionLanguagePreset

PADDING, UNKNOWN, FIRST, LAST = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
# What is asked of one coloured shape, and what is said of it.
TINY_WORDS = (
    "a at black blue bottom brown circle color contain does gray green image in is large left lower medium "
    "middle no not of on present rectangle red right shape small teal the there top triangle upper what yes "
    "yellow ? . ,"
)


def _tiny() -> Tokenizer:
    names = (PADDING, UNKNOWN, FIRST, LAST, *TINY_WORDS.split())
    tokenizer = Tokenizer(WordPiece({name: index for index, name in enumerate(names)}, unk_token=UNKNOWN))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single=f"{FIRST} $A {LAST}", special_tokens=[(FIRST, names.index(FIRST)), (LAST, names.index(LAST))]
    )
    return tokenizer


def _of_folder(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"tokenizer: expected tokenizer.json in {folder}, found none; save a fast tokenizer there"
        )
    return Tokenizer.from_file(str(path))


# Text trunk -> its tokenizer. MiniLM kept the vocabulary of BERT-base (uncased), so its package serves both.
TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "bert-base": lambda: _of_folder(minilm_folder()),
    "minilm-l6": lambda: _of_folder(minilm_folder()),
    "bert-tiny": _tiny,
}


def tokenizer_json(preset: VisionLanguagePreset, folder: Path | None = None) -> str:
    """The text of tokenizer.json, cutting and padding to the preset's length by itself.

    folder: with another tokenizer.json, such as that of a fine-tuned BERT
    FileNotFoundError where neither a package nor the folder has one; ValueError for a trunk without a
    tokenizer, or one with more tokens than the preset's trunk knows.
    """
    trunk = preset.words.trunk
    if trunk not in TOKENIZERS:
        raise unknown_name("text trunk", trunk, TOKENIZERS)
    tokenizer = _of_folder(folder) if folder else TOKENIZERS[trunk]()
    if tokenizer.get_vocab_size() > preset.words.vocabulary:
        raise ValueError(
            f"{preset.name}: expected a tokenizer of at most {preset.words.vocabulary} tokens, got "
            f"{tokenizer.get_vocab_size()}; use the trunk's own"
        )
    length = preset.words.tokens
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(
        length=length, pad_id=tokenizer.token_to_id(PADDING), pad_token=PADDING, pad_type_id=0
    )
    return json.dumps(json.loads(tokenizer.to_str()), indent=1, ensure_ascii=False)


def tokenise(texts: Sequence[str], tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """input_ids and attention_mask, both (texts, length) int64, of a tokenizer with fixed length."""
    encoded = tokenizer.encode_batch(list(texts))
    ids, mask = ([getattr(one, name) for one in encoded] for name in ("ids", "attention_mask"))
    return torch.tensor(ids, dtype=torch.int64), torch.tensor(mask, dtype=torch.int64)
