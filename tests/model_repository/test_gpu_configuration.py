"""What the GPU configurations say to TensorRT's backend, parsed with Triton's own protobuf."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from model_repository import describe
from model_repository.configuration import MAX_BATCH, WARM_UP_ROWS

ROOT = Path(describe.__file__).parent


def parsed(path: Path) -> ModelConfig:
    return text_format.Parse(path.read_text(), ModelConfig())


CONFIGS = {path.parent.name: parsed(path) for path in sorted(ROOT.glob("*/config.pbtxt"))}
ENGINES = {name: config for name, config in CONFIGS.items() if config.platform == "tensorrt_plan"}


def test_most_models_are_engines():
    assert len(ENGINES) > 25


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_has_one_instance_with_a_context_for_every_profile(name):
    (group,) = ENGINES[name].instance_group
    assert (group.kind, group.count) == (ModelInstanceGroup.KIND_GPU, 1)
    assert list(group.profile) == ["0", "1"]
    strategy = ENGINES[name].parameters["execution_context_allocation_strategy"]
    assert strategy.string_value == "ON_PROFILE_CHANGE"


@pytest.mark.parametrize("name", ENGINES)
def test_every_profile_is_warmed_up_at_the_rows_it_is_tuned_for(name):
    config = ENGINES[name]
    assert [request.batch_size for request in config.model_warmup] == [1, config.max_batch_size]
    assert len(config.model_warmup) == len(config.instance_group[0].profile)
    assert [request.name for request in config.model_warmup] == list(WARM_UP_ROWS)
    declared = {one.name: (one.data_type, list(one.dims), one.name) for one in config.input}
    for request in config.model_warmup:
        sent = {
            key: (one.data_type, list(one.dims), one.input_data_file) for key, one in request.inputs.items()
        }
        assert sent == declared


@pytest.mark.parametrize("name", ENGINES)
def test_batches_are_preferred_at_the_size_the_larger_profile_is_tuned_for(name):
    batching = ENGINES[name].dynamic_batching
    assert list(batching.preferred_batch_size) == [MAX_BATCH] == [ENGINES[name].max_batch_size]
    before = CONFIGS[f"{preset_of(name)}_preprocess"].dynamic_batching
    waits_on_gpu = before.max_queue_delay_microseconds
    assert batching.max_queue_delay_microseconds == 500
    assert waits_on_gpu in (0, 2000)  # 0 where PyAV decodes on the CPU


@pytest.mark.parametrize("name", ENGINES)
def test_graphs_are_captured_only_of_engines_whose_shapes_are_fixed_but_for_the_rows(name):
    config = ENGINES[name]
    assert config.optimization.cuda.graphs
    assert all(size > 0 for one in (*config.input, *config.output) for size in one.dims)


def test_what_decodes_on_the_gpu_reads_files_on_the_cpu_and_waits_for_a_whole_batch():
    on_gpu = [
        one
        for one in CONFIGS.values()
        if one.backend == "dali" and one.instance_group[0].kind == ModelInstanceGroup.KIND_GPU
    ]
    assert len(on_gpu) >= 5
    for one in on_gpu:
        assert one.parameters["FORCE_CPU_ONLY_INPUT_TENSORS"].string_value == "yes"
        assert list(one.dynamic_batching.preferred_batch_size) == [MAX_BATCH]


def test_no_step_has_a_queue_limit_which_makes_triton_wait_between_batches():
    policies = [one.dynamic_batching.default_queue_policy for one in CONFIGS.values()]
    assert not any(policy.max_queue_size for policy in policies)


def preset_of(model: str) -> str:
    return next(
        name.removesuffix("_preprocess")
        for name in CONFIGS
        if name.endswith("_preprocess") and model.startswith(name.removesuffix("preprocess"))
    )
