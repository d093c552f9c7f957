"""Every size of every visual question answering model: complete, frozen, and refusing nonsense.

`visual_question_answering_base` has the published sizes of BLIP base, `visual_question_answering_small` is
trained here and runs on two CPU cores, `visual_question_answering_tiny` is for tests.
"""

from __future__ import annotations

from dataclasses import dataclass

from multimodal.visual_question.vocabulary import (
    BERT_TOKENS,
    BERT_VOCABULARY,
    OWN_TOKENS,
    TOKENS,
    SpecialTokens,
)


@dataclass(frozen=True)
class VisionSizes:
    """A ViT on square images: both BLIP models that look at an image have one of these sizes."""

    image_px: int
    patch_px: int
    width: int
    layers: int
    heads: int

    def __post_init__(self) -> None:
        if self.image_px % self.patch_px or self.width % self.heads:
            raise ValueError(
                f"vision: expected whole patches and heads, got {self.image_px} px in {self.patch_px} px "
                f"patches and width {self.width} for {self.heads} heads"
            )


@dataclass(frozen=True)
class TextSizes:
    """Text encoders and decoders with cross-attention to an image, or to an encoded question.

    length:          tokens of a question, the special ones included
    relevance_layer: the cross-attention of the matching encoder that the relevance map reads, from 0 on; it
                     cannot be the last one
    """

    width: int
    layers: int
    heads: int
    length: int
    relevance_layer: int
    vocabulary: int = len(TOKENS)
    tokens: SpecialTokens = OWN_TOKENS

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"text: expected a width that {self.heads} heads divide, got {self.width}")
        if not 0 <= self.relevance_layer < self.layers - 1:
            raise ValueError(
                f"text: expected a relevance layer from 0 to {self.layers - 2}, got {self.relevance_layer}; "
                "nothing but the first token of the last layer reaches the matching score"
            )


@dataclass(frozen=True)
class FusionSizes:
    """`DualStreamFusionEncoder`; head_width need not be width / heads."""

    width: int
    layers: int
    fuse_layer: int
    iterations: int
    heads: int
    head_width: int
    feed_forward: int
    dropout: float = 0.1


@dataclass(frozen=True)
class ReaderSizes:
    """The T5 that answers from question and captions alone.

    length: tokens of a question with the captions of one context
    """

    width: int
    layers: int
    heads: int
    head_width: int
    feed_forward: int
    length: int


@dataclass(frozen=True)
class GenerationSizes:
    """How captions are sampled and answers decoded; lengths are in tokens behind the prompt.

    captions: that every request is given; patches: drawn for each of them; rounds: at most, until enough
    captions differ; captions_per_context: that the reader encodes together
    """

    captions: int
    patches: int
    top_k: int
    caption_min: int
    caption_max: int
    answer_max: int
    captions_per_context: int
    prompt: str = "a picture of"
    rounds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("captions", "patches", "top_k", "answer_max", "captions_per_context", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"generation: expected {name} of at least 1, got {getattr(self, name)}")
        if not 0 <= self.caption_min <= self.caption_max:
            raise ValueError(
                f"generation: expected caption_min from 0 to caption_max, got {self.caption_min} and "
                f"{self.caption_max}"
            )


@dataclass(frozen=True)
class VisualQuestionPreset:
    """One complete set of sizes for the question answering pipeline.

    The sizes of its tensors: image_px (S), patches (P = G * G), grid (G), vision_width (W), fused_width (U),
    question_length (L), state_width (H), captions (K).
    """

    name: str
    vision: VisionSizes
    text: TextSizes
    fusion: FusionSizes
    reader: ReaderSizes
    generation: GenerationSizes

    def __post_init__(self) -> None:
        if self.generation.patches > self.patches:
            raise ValueError(
                f"{self.name}: expected at most the {self.patches} patches of an image to be drawn, got "
                f"{self.generation.patches}"
            )

    @property
    def image_px(self) -> int:
        """S: side of the square image."""
        return self.vision.image_px

    @property
    def grid(self) -> int:
        """G: patches along a side."""
        return self.vision.image_px // self.vision.patch_px

    @property
    def patches(self) -> int:
        """P: patches of an image, without the class token."""
        return self.grid**2

    @property
    def vision_width(self) -> int:
        """W: of the tokens of both vision models."""
        return self.vision.width

    @property
    def fused_width(self) -> int:
        """U: of the fused tokens; the decoders read them instead of the captioner's own, so as wide."""
        return self.vision.width

    @property
    def question_length(self) -> int:
        """L: tokens of a question."""
        return self.text.length

    @property
    def state_width(self) -> int:
        """H: of the states of an encoded question."""
        return self.text.width

    @property
    def captions(self) -> int:
        """K: captions of an answer."""
        return self.generation.captions


VISUAL_QUESTION_PRESETS: dict[str, VisualQuestionPreset] = {
    preset.name: preset
    for preset in (
        VisualQuestionPreset(
            "visual_question_answering_base",
            VisionSizes(image_px=384, patch_px=16, width=768, layers=12, heads=12),
            TextSizes(
                width=768,
                layers=12,
                heads=12,
                length=35,
                relevance_layer=7,
                vocabulary=BERT_VOCABULARY,
                tokens=BERT_TOKENS,
            ),
            FusionSizes(
                width=768, layers=3, fuse_layer=1, iterations=2, heads=8, head_width=64, feed_forward=2048
            ),
            ReaderSizes(width=768, layers=12, heads=12, head_width=64, feed_forward=3072, length=256),
            # 10 captions instead of the published 50: a request is to be answered in a second.
            GenerationSizes(
                captions=10,
                patches=50,
                top_k=50,
                caption_min=10,
                caption_max=20,
                answer_max=10,
                captions_per_context=1,
            ),
        ),
        VisualQuestionPreset(
            "visual_question_answering_small",
            VisionSizes(image_px=64, patch_px=8, width=64, layers=3, heads=4),
            TextSizes(width=64, layers=2, heads=4, length=24, relevance_layer=0),
            FusionSizes(
                width=64, layers=3, fuse_layer=1, iterations=2, heads=4, head_width=16, feed_forward=256
            ),
            ReaderSizes(width=64, layers=2, heads=4, head_width=16, feed_forward=256, length=32),
            GenerationSizes(
                captions=5,
                patches=24,
                top_k=5,
                caption_min=2,
                caption_max=12,
                answer_max=2,
                captions_per_context=1,
            ),
        ),
        VisualQuestionPreset(
            "visual_question_answering_tiny",
            VisionSizes(image_px=64, patch_px=16, width=16, layers=2, heads=2),
            TextSizes(width=16, layers=2, heads=2, length=12, relevance_layer=0),
            FusionSizes(
                width=16, layers=2, fuse_layer=1, iterations=1, heads=2, head_width=8, feed_forward=32
            ),
            ReaderSizes(width=16, layers=1, heads=2, head_width=8, feed_forward=32, length=32),
            GenerationSizes(
                captions=2,
                patches=6,
                top_k=3,
                caption_min=1,
                caption_max=4,
                answer_max=2,
                captions_per_context=1,
            ),
        ),
    )
}
