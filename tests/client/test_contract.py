"""What the client sends and reads is what the committed configuration of each pipeline says."""

from pathlib import Path
from typing import Any

import pytest
from crossfuse import PIPELINES
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tests.client.image_text_outputs import VISION_LANGUAGE, VISUAL_QUESTION, pair_outputs, told_outputs
from tests.client.stand_ins import response_of

REPOSITORY = Path(__file__).parents[2] / "model_repository"
PAYLOADS: dict[str, dict[str, Any]] = {
    "weld_inspection": {"video": b"v"},
    "video_quality": {"video": b"v"},
    "vision_language": {"text": "red"},
    "visual_question_answering": {"image": b"i", "question": "red?"},
}
RECORDED = {
    "vision_language": (pair_outputs(), VISION_LANGUAGE),
    "visual_question_answering": (told_outputs(), VISUAL_QUESTION),
}
both_profiles = pytest.mark.parametrize("profile", ["config.pbtxt", "configs/cpu.pbtxt"])


def described(pipeline: str, profile: str) -> Any:
    text = (REPOSITORY / pipeline / profile).read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_every_pipeline_is_looked_at() -> None:
    assert set(PAYLOADS) == set(PIPELINES)


@both_profiles
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_request_has_the_inputs_that_the_pipeline_takes(pipeline: str, profile: str) -> None:
    sent = {tensor.name: tensor.datatype for tensor in PIPELINES[pipeline].tensors(PAYLOADS[pipeline])}
    config = described(pipeline, profile)
    assert sent == {
        tensor.name: model_config_pb2.DataType.Name(tensor.data_type)[5:] for tensor in config.input
    }


@both_profiles
@pytest.mark.parametrize("pipeline", RECORDED)
def test_recorded_answers_have_the_outputs_that_the_pipeline_gives(pipeline: str, profile: str) -> None:
    outputs, parameters = RECORDED[pipeline]
    config = described(pipeline, profile)
    kinds = {"STRING": "BYTES"}  # as a configuration calls texts, and as they travel
    names = {tensor.name: model_config_pb2.DataType.Name(tensor.data_type)[5:] for tensor in config.output}
    recorded = {output.name: output.datatype for output in response_of(outputs).outputs}
    assert recorded == {name: kinds.get(kind, kind) for name, kind in names.items()}
    assert set(parameters) <= set(config.parameters)
    assert parameters["modalities"] == config.parameters["modalities"].string_value
