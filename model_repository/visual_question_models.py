"""The models of `visual_question_answering`: gate, ensemble, and per preset everything between them."""

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
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS, VisualQuestionPreset

PRESET_OF_TARGET = {"gpu": "visual_question_answering_base", "cpu": "visual_question_answering_small"}
REQUESTS = PhotoAndText("visual_question_answering", "question")

UNDER_WAY = "128 questions are about three seconds of work on two cores, with five captions each."

GENERATOR_SECTION = {
    "gpu": """\
backend: "generator"
default_model_filename: "answer_decoder.onnx"
# On the CPU here too, in ONNX Runtime: a token is little work and the next waits for it. One process: its
# decoders are large, and the captions of a batch are one batch that fills all cores.
instance_group [ { count: 1  kind: KIND_CPU } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ]  max_queue_delay_microseconds: 2000 }
""",
    "cpu": """\
backend: "generator"
default_model_filename: "answer_decoder.onnx"
instance_group [ { count: 1  kind: KIND_CPU } ]
dynamic_batching { }
""",
}


def models(presets: Mapping[str, VisualQuestionPreset] = VISUAL_QUESTION_PRESETS) -> list[Model]:
    """Every model of the pipeline, in the order in which a request meets them."""
    described = [ensemble(), gate()]
    for name in PRESET_OF_TARGET.values():
        described += preset_models(presets[name])
    return described


def preset_models(preset: VisualQuestionPreset) -> list[Model]:
    """Preprocess, tokenizer, five engines and the generator of one preset."""
    described = [
        REQUESTS.preprocess(preset.name, preset.image_px),
        REQUESTS.tokenizer(preset.name, preset.question_length),
        vision_model(preset, "matching"),
        vision_model(preset, "caption"),
        fusion(preset),
        relevance(preset),
        question_encoder(preset),
        answers(preset),
    ]
    return telling(described, gate())


def gate() -> Model:
    """What may come in: a photo with a question."""
    return REQUESTS.gate(128, UNDER_WAY, required=True)


def image_tokens(preset: VisualQuestionPreset, name: str, width: int) -> Tensor:
    """Tokens of an image: the class token, then one per patch, row by row."""
    return Tensor(f"{name}_tokens", "FP32", (1 + preset.patches, width))


def matching_tokens(preset: VisualQuestionPreset) -> Tensor:
    """What the vision model of the image-text matching sees."""
    return image_tokens(preset, "matching", preset.vision_width)


def fused_tokens(preset: VisualQuestionPreset) -> Tensor:
    """What both vision models see."""
    return image_tokens(preset, "fused", preset.fused_width)


def relevance_map(preset: VisualQuestionPreset) -> Tensor:
    """How much each patch has to do with the question, as the grid of the patches."""
    return Tensor("relevance", "FP32", (preset.grid, preset.grid))


def vision_model(preset: VisualQuestionPreset, name: str) -> Model:
    """The engine of one of the two visual streams."""
    return Model(
        f"{preset.name}_{name}_encoder",
        (pixels(preset.image_px), IMAGE_VALID),
        (image_tokens(preset, name, preset.vision_width),),
        engine_sections(f"{preset.name}_{name}_encoder"),
        f"Pixels -> tokens of the {name} model; rows that are not valid give zeros.",
    )


def fusion(preset: VisualQuestionPreset) -> Model:
    """The engine that makes one stream of two."""
    return Model(
        f"{preset.name}_fusion",
        (matching_tokens(preset), image_tokens(preset, "caption", preset.vision_width), IMAGE_VALID),
        (fused_tokens(preset),),
        engine_sections(f"{preset.name}_fusion"),
        "Both visual streams -> one, which captions and answers are told from.",
    )


def relevance(preset: VisualQuestionPreset) -> Model:
    """The engine of the heat map; it never sees the fused stream, in which patches have lost their place."""
    return Model(
        f"{preset.name}_relevance",
        (matching_tokens(preset), *tokens(preset.question_length), IMAGE_VALID, REQUESTS.text_valid),
        (relevance_map(preset), Tensor("matching_score", "FP32", (1,))),
        engine_sections(f"{preset.name}_relevance"),
        "The matching stream and a question -> what the question looks at, and whether it fits the photo.",
    )


def states_tensor(preset: VisualQuestionPreset) -> Tensor:
    """A question that has seen the photo."""
    return Tensor("question_states", "FP32", (preset.question_length, preset.state_width))


def question_encoder(preset: VisualQuestionPreset) -> Model:
    """The engine that reads the question with the photo before its eyes."""
    return Model(
        f"{preset.name}_question_encoder",
        (*tokens(preset.question_length), fused_tokens(preset), IMAGE_VALID, REQUESTS.text_valid),
        (states_tensor(preset),),
        engine_sections(f"{preset.name}_question_encoder"),
        "A question and the fused stream -> states that the answer is decoded from.",
    )


def answers(preset: VisualQuestionPreset) -> Model:
    """The generator: an answer, captions of what the question looks at, and the answer that they give."""
    input_ids, attention_mask = tokens(preset.question_length)
    valid, statuses = (IMAGE_VALID, REQUESTS.text_valid), (IMAGE_STATUS, REQUESTS.text_status)
    seen = (states_tensor(preset), attention_mask, fused_tokens(preset), relevance_map(preset))
    return Model(
        f"{preset.name}_answers",
        (*seen, *valid, *statuses, input_ids),
        (*text_tensors(preset.captions), STATUS),
        GENERATOR_SECTION,
        "Decode the answer, sample captions, answer from those alone; a failure is a status, never an error.",
    )


def text_tensors(captions: int) -> tuple[Tensor, ...]:
    """What is said in words; empty strings where there is no answer."""
    return (
        Tensor("answer", "STRING", (1,)),
        Tensor("answer_probability", "FP32", (1,)),
        Tensor("captions", "STRING", (captions,)),
        Tensor("caption_answer", "STRING", (1,)),
    )


def ensemble() -> Model:
    """The stable name that clients call: one outside for every preset; grid and captions are the preset's."""
    outputs = (
        *text_tensors(-1),
        Tensor("relevance", "FP32", (-1, -1)),
        Tensor("matching_score", "FP32", (1,)),
        STATUS,
    )
    return Model(
        REQUESTS.pipeline,
        REQUESTS.payloads,
        outputs,
        {
            target: ensemble_section((gate(), *preset_models(VISUAL_QUESTION_PRESETS[name])))
            for target, name in PRESET_OF_TARGET.items()
        },
        "A photo and a question in; the answer, the captions and the heat map that explain it out.",
        {"modalities": REQUESTS.modalities},
        ensemble=True,
    )
