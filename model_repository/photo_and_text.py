"""The first steps of every pipeline whose request is one photo and one text: gate, preprocess, tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

from model_repository.configuration import (
    PREPROCESS_SECTION,
    TARGETS,
    TOKENIZER_SECTION,
    Model,
    Tensor,
    gate_section,
)

IMAGE = Tensor("image", "UINT8", (-1,))
PRESENT = Tensor("present", "BOOL", (2,))
IMAGE_VALID = Tensor("image_valid", "BOOL", (1,))
IMAGE_STATUS = Tensor("image_status", "INT32", (1,))
STATUS = Tensor("modality_status", "INT32", (2,))
TEXT_BYTES = 4096  # many times what the longest row of tokens holds, and the tokenizer reads it in 2 ms


@dataclass(frozen=True)
class PhotoAndText:
    """What the steps of one pipeline share.

    pipeline: its name, of which the gate is named; text: what it calls the text, `text` or `question`
    """

    pipeline: str
    text: str

    @property
    def payloads(self) -> tuple[Tensor, Tensor]:
        """What a client sends: the file of a photo, and UTF-8."""
        return IMAGE, Tensor(self.text, "UINT8", (-1,))

    @property
    def modalities(self) -> str:
        """Their names in the order of `present` and of `modality_status`."""
        return ",".join(payload.name for payload in self.payloads)

    @property
    def text_valid(self) -> Tensor:
        """Whether there is a text to use."""
        return Tensor(f"{self.text}_valid", "BOOL", (1,))

    @property
    def text_status(self) -> Tensor:
        """What became of the text."""
        return Tensor(f"{self.text}_status", "INT32", (1,))

    def gate(self, under_way: int, reason: str, required: bool = False) -> Model:
        """What may come in; so many requests at most, for a reason. required: both, always."""
        limits = {
            "modalities": self.modalities,
            "image_max_bytes": str(16 << 20),
            "image_max_pixels": "50000000",
            f"{self.text}_max_bytes": str(TEXT_BYTES),
        }
        return Model(
            f"{self.pipeline}_gate",
            self.payloads,
            (PRESENT,),
            dict.fromkeys(TARGETS, gate_section(under_way, reason)),
            "The only step that may refuse a request: size, magic number, header, UTF-8; admission control.",
            limits | ({"required": self.modalities} if required else {}),
        )

    def preprocess(self, preset: str, size_px: int) -> Model:
        """The file of a photo to a square."""
        return Model(
            f"{preset}_preprocess",
            (IMAGE, PRESENT),
            (pixels(size_px), IMAGE_VALID, IMAGE_STATUS),
            PREPROCESS_SECTION,
            "Decode and stretch the photo; a broken one becomes zeros and a status, never an error.",
            {"modalities": IMAGE.name, "present": self.modalities},
        )

    def tokenizer(self, preset: str, length: int) -> Model:
        """A text to the ids of its tokens."""
        return Model(
            f"{preset}_tokenizer",
            (self.payloads[1], PRESENT),
            (*tokens(length), self.text_valid, self.text_status),
            dict.fromkeys(TARGETS, TOKENIZER_SECTION),
            f"Tokens of the {self.text}; one that is too long is cut (partial), one without any is corrupt.",
            {"present": self.modalities},
        )


def pixels(size_px: int) -> Tensor:
    """The photo, stretched to a square; a row of one, as other pipelines have several."""
    return Tensor("image_pixels", "UINT8", (1, size_px, size_px, 3))


def tokens(length: int) -> tuple[Tensor, Tensor]:
    """Ids of the tokens, special ones among them, and which places are no padding."""
    return Tensor("input_ids", "INT64", (length,)), Tensor("attention_mask", "INT64", (length,))
