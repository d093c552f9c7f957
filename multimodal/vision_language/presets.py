"""Every size of every vision-language model: a preset is complete, frozen and refuses nonsense.

`vision_language_base` has the published sizes, `vision_language_small` runs on two CPU cores and stands on
pretrained parts that Python packages ship, `vision_language_tiny` is for tests.
"""

from __future__ import annotations

from dataclasses import dataclass

# The answers of easy-VQA in its package's order: the classes of every preset.
CLASS_NAMES = (
    "circle",
    "green",
    "red",
    "gray",
    "yes",
    "teal",
    "black",
    "rectangle",
    "yellow",
    "triangle",
    "brown",
    "blue",
    "no",
)
POOLINGS = ("pooler", "cls", "mean")


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


@dataclass(frozen=True)
class Photo:
    """What looks at a photo.

    trunk:   a name in VISUAL_TRUNKS
    size_px: photos are stretched to a square of this size
    grid:    0: the features are the trunk's own vector. Above: they pool all four of its stages, and its map
             at stride 8 by as many rows and columns too, which says where things are
    """

    trunk: str
    size_px: int
    grid: int = 0

    def __post_init__(self) -> None:
        _require(
            self.size_px >= 32 and self.size_px % 32 == 0,
            f"photo: expected a side of whole 32 px, got {self.size_px}",
        )
        _require(
            self.grid == 0 or self.size_px % (8 * self.grid) == 0,
            f"photo: expected a side of whole cells at stride 8, got {self.size_px} px for {self.grid}",
        )


@dataclass(frozen=True)
class Words:
    """What reads a text: a BERT of these sizes.

    trunk:   a name in TEXT_TRUNKS
    tokens:  length that every text is cut or padded to, special tokens among them
    pooling: "pooler" (BERT's own, over [CLS]), "cls", or "mean" over the tokens that are no padding
    """

    trunk: str
    tokens: int
    pooling: str
    vocabulary: int = 30522
    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072

    def __post_init__(self) -> None:
        _require(self.tokens >= 3, f"words: expected room for one token and two marks, got {self.tokens}")
        _require(
            self.pooling in POOLINGS,
            f"words: expected pooling by {', '.join(POOLINGS)}, got {self.pooling}",
        )
        _require(
            self.width % self.heads == 0,
            f"words: expected a width that {self.heads} heads divide, got {self.width}",
        )


@dataclass(frozen=True)
class VisionLanguagePreset:
    """One complete set of sizes for the vision-language pipeline.

    feature_width:   of image_features and of text_features
    embedding_width: of image_embedding and text_embedding, in which a photo and its text lie close
    fused_width:     of fused_embedding, what a fusion makes of both
    heads:           of fusions that attend
    default_fusion:  a name in VISION_LANGUAGE_FUSIONS
    class_names:     what answer_probabilities are of
    """

    name: str
    photo: Photo
    words: Words
    feature_width: int
    embedding_width: int
    fused_width: int
    heads: int = 8
    default_fusion: str = "mlp"
    dropout: float = 0.1
    class_names: tuple[str, ...] = CLASS_NAMES

    def __post_init__(self) -> None:
        _require(
            self.feature_width % self.heads == 0 and self.fused_width % self.heads == 0,
            f"{self.name}: expected widths that {self.heads} heads divide, got {self.feature_width} and "
            f"{self.fused_width}",
        )
        _require(len(set(self.class_names)) == len(self.class_names) > 1, f"{self.name}: classes repeat")

    @property
    def classes(self) -> int:
        """How many answers there are."""
        return len(self.class_names)


VISION_LANGUAGE_PRESETS: dict[str, VisionLanguagePreset] = {
    preset.name: preset
    for preset in (
        VisionLanguagePreset(
            "vision_language_base",
            Photo("resnet-50", size_px=224),
            Words("bert-base", tokens=64, pooling="pooler"),
            feature_width=512,
            embedding_width=512,
            fused_width=512,
        ),
        VisionLanguagePreset(
            "vision_language_small",
            Photo("efficientnet-lite0", size_px=64, grid=4),
            Words("minilm-l6", tokens=32, pooling="mean", width=384, layers=6, inner=1536),
            feature_width=256,
            embedding_width=256,
            fused_width=256,
        ),
        VisionLanguagePreset(
            "vision_language_tiny",
            Photo("efficientnet-tiny", size_px=64, grid=4),
            Words(
                "bert-tiny", tokens=16, pooling="mean", vocabulary=64, width=16, layers=1, heads=2, inner=32
            ),
            feature_width=16,
            embedding_width=16,
            fused_width=16,
            heads=2,
        ),
    )
}
