"""The models of `vision_language`: gate, ensemble, and per preset preprocess, tokenizer, encoders, fusion."""

from __future__ import annotations

from collections.abc import Mapping

from model_repository.configuration import Model, Tensor, engine_sections, ensemble_section, telling
from model_repository.photo_and_text import (
    IMAGE_STATUS,
    IMAGE_VALID,
    STATUS,
    PhotoAndText,
    pixels,
    tokens,
)
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS, VisionLanguagePreset

PRESET_OF_TARGET = {"gpu": "vision_language_base", "cpu": "vision_language_small"}
REQUESTS = PhotoAndText("vision_language", "text")

UNDER_WAY = "256 requests are about three seconds of work on two cores, most of it the image encoder's."


def models(presets: Mapping[str, VisionLanguagePreset] = VISION_LANGUAGE_PRESETS) -> list[Model]:
    """Every model of the pipeline, in the order in which a request meets them."""
    described = [ensemble(), gate()]
    for name in PRESET_OF_TARGET.values():
        described += preset_models(presets[name])
    return described


def preset_models(preset: VisionLanguagePreset) -> list[Model]:
    """Preprocess, tokenizer, two encoders and the fusion of one preset."""
    described = [
        REQUESTS.preprocess(preset.name, preset.photo.size_px),
        REQUESTS.tokenizer(preset.name, preset.words.tokens),
        *encoders(preset),
        fusion(preset),
    ]
    return telling(described, gate())


def gate() -> Model:
    """What may come in: a photo, a text or both."""
    return REQUESTS.gate(256, UNDER_WAY)


def feature_tensors(preset: VisionLanguagePreset) -> tuple[Tensor, Tensor]:
    """What the encoders say of a photo and of a text."""
    image, text = (Tensor(f"{name}_features", "FP32", (preset.feature_width,)) for name in ("image", "text"))
    return image, text


def encoders(preset: VisionLanguagePreset) -> list[Model]:
    """One engine for photos, one for texts: a request without a photo does not wait for the first."""
    image, text = feature_tensors(preset)
    purpose = "features of the {}; rows that are not valid give zeros."
    return [
        Model(
            f"{preset.name}_image_encoder",
            (pixels(preset.photo.size_px), IMAGE_VALID),
            (image,),
            engine_sections(f"{preset.name}_image_encoder", IMAGE_VALID.name),
            f"Pixels -> {purpose.format('photo')}",
        ),
        Model(
            f"{preset.name}_text_encoder",
            (*tokens(preset.words.tokens), REQUESTS.text_valid),
            (text,),
            engine_sections(f"{preset.name}_text_encoder", REQUESTS.text_valid.name),
            f"Tokens -> {purpose.format('text')}",
        ),
    ]


def fusion(preset: VisionLanguagePreset) -> Model:
    """The engine that answers, with embeddings of what there is."""
    valid, statuses = (IMAGE_VALID, REQUESTS.text_valid), (IMAGE_STATUS, REQUESTS.text_status)
    return Model(
        f"{preset.name}_fusion",
        (*feature_tensors(preset), *valid, *statuses),
        (*answer_tensors(preset), STATUS),
        engine_sections(f"{preset.name}_fusion"),
        "Features of photo and text -> answers, and embeddings to find one by the other.",
    )


def answer_tensors(preset: VisionLanguagePreset) -> tuple[Tensor, ...]:
    """What a request learns; answers and the fused embedding are zeros unless photo and text are there."""
    return (
        Tensor("answer_probabilities", "FP32", (preset.classes,)),
        Tensor("image_embedding", "FP32", (preset.embedding_width,)),
        Tensor("text_embedding", "FP32", (preset.embedding_width,)),
        Tensor("fused_embedding", "FP32", (preset.fused_width,)),
    )


def ensemble() -> Model:
    """The stable name that clients call: one outside for every preset; widths are the preset's."""
    reference = VISION_LANGUAGE_PRESETS[PRESET_OF_TARGET["cpu"]]
    probabilities, *embeddings = answer_tensors(reference)
    outputs = (probabilities, *(Tensor(one.name, one.dtype, (-1,)) for one in embeddings), STATUS)
    return Model(
        REQUESTS.pipeline,
        REQUESTS.payloads,
        outputs,
        {
            target: ensemble_section((gate(), *preset_models(VISION_LANGUAGE_PRESETS[name])))
            for target, name in PRESET_OF_TARGET.items()
        },
        "A photo and a text in, answers and embeddings out; one of them alone gets its embedding.",
        {"modalities": REQUESTS.modalities, "class_names": ",".join(reference.class_names)},
        ensemble=True,
    )
