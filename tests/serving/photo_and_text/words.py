"""A BERT-like tokenizer of two dozen entries, and texts of every kind with what it makes of them."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = (
    *SPECIAL,
    "what",
    "color",
    "is",
    "the",
    "circle",
    "red",
    "?",
    "a",
    "cafe",
    "##s",
    "م",
    "##ر",
    "[",
    "]",
)
PAD, UNKNOWN, START, END = range(4)
IDS = {word: number for number, word in enumerate(WORDS)}


def tokenizer() -> Tokenizer:
    """Lower case, no accents, pieces of words; the settings of BERT, without cutting and padding."""
    made = Tokenizer(models.WordPiece(IDS, unk_token="[UNK]"))
    made.add_special_tokens(list(SPECIAL))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", START), ("[SEP]", END)]
    )
    return made


def write(path: Path, length: int, padding: int | None = None) -> Path:
    """A tokenizer.json as export writes it: it cuts and pads to `length`."""
    made = tokenizer()
    made.enable_truncation(length)
    made.enable_padding(length=padding or length, pad_id=PAD, pad_token="[PAD]")
    path.write_text(made.to_str())
    return path


def encoded(text: str | bytes) -> np.ndarray:
    """One request's payload."""
    return np.frombuffer(text.encode() if isinstance(text, str) else text, np.uint8)


def row(*words: str | int, length: int = 8) -> list[int]:
    """Ids of the words between the marks, zeros behind."""
    ids = [START, *(IDS[word] if isinstance(word, str) else word for word in words), END]
    return ids + [PAD] * (length - len(ids))


TEXTS: dict[str, str | bytes] = {
    "a question": "What color is the circle?",
    "one word": "red",
    "capitals": "RED",
    "accents": "Cafés",
    "accents as marks of their own": "Cafe\u0301s",
    "emoji": "red \N{GRINNING FACE}",
    "right to left": "مر",
    "a word that nobody knows": "xyz",
    "a quoted mark": "[SEP] red [PAD]",
    "a byte order mark": b"\xef\xbb\xbfred",
    "a null": "re\0d",
    "line breaks": "red\r\n\tcircle",
    "just as long as there is room": "red " * 6,
    "one token too long": "red " * 7,
    "four kilobytes": "circle " * 585,
    "four kilobytes without a space": "x" * 4096,
    "cut within a word": "the the the the the cafés",
    "blanks": "  \n ",
    "a lone accent": "\u0301",
    "nothing but replacement characters": "\ufffd\ufffd",
    "invalid UTF-8": b"red \xff",
    "UTF-8 that ends early": "é".encode()[:1],
    "UTF-16": "red circle".encode("utf-16"),
    "nothing": "",
}
