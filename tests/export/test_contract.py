import numpy as np
import onnx
import pytest
import torch

from export.contract import Tensor, load, parse

TEXT = """
name: "nose"  max_batch_size: 4  backend: "onnxruntime"
input { name: "air"  data_type: TYPE_FP32  dims: [ 3, -1 ] }
input { name: "there"  data_type: TYPE_BOOL  dims: [ 1 ] }
output { name: "smell"  data_type: TYPE_INT64  dims: [ 2 ] }
parameters { key: "unit"  value { string_value: "ppm" } }
"""


def test_a_configuration_becomes_tensors_batch_engine_and_parameters():
    contract = parse(TEXT)
    assert contract.inputs == (Tensor("air", "FP32", (3, -1)), Tensor("there", "BOOL", (1,)))
    assert contract.outputs == (Tensor("smell", "INT64", (2,)),)
    assert (contract.name, contract.max_batch, contract.engine) == ("nose", 4, "onnxruntime")
    assert contract.parameters == {"unit": "ppm"}
    assert contract.steps == ()


@pytest.mark.parametrize(
    ("triton", "numpy", "torch_dtype", "onnx_dtype"),
    [
        ("BOOL", np.bool_, torch.bool, onnx.TensorProto.BOOL),
        ("UINT8", np.uint8, torch.uint8, onnx.TensorProto.UINT8),
        ("INT8", np.int8, torch.int8, onnx.TensorProto.INT8),
        ("INT16", np.int16, torch.int16, onnx.TensorProto.INT16),
        ("INT32", np.int32, torch.int32, onnx.TensorProto.INT32),
        ("INT64", np.int64, torch.int64, onnx.TensorProto.INT64),
        ("FP16", np.float16, torch.float16, onnx.TensorProto.FLOAT16),
        ("FP32", np.float32, torch.float32, onnx.TensorProto.FLOAT),
        ("FP64", np.float64, torch.float64, onnx.TensorProto.DOUBLE),
    ],
)
def test_a_dtype_has_one_name_in_each_of_four_worlds(triton, numpy, torch_dtype, onnx_dtype):
    tensor = Tensor("x", triton, (1,))
    assert (tensor.numpy, tensor.torch, tensor.onnx) == (np.dtype(numpy), torch_dtype, onnx_dtype)


def test_the_cpu_target_reads_its_own_file_and_falls_back_to_the_other(repository):
    assert load(repository, "tiny_fusion", "cpu").engine == "onnxruntime"
    assert load(repository, "tiny_fusion", "gpu").engine == "tensorrt_plan"
    (repository / "tiny_fusion" / "configs" / "cpu.pbtxt").unlink()
    assert load(repository, "tiny_fusion", "cpu").engine == "tensorrt_plan"


def test_an_ensemble_keeps_its_steps_in_order():
    step = 'step [ {{ model_name: "{0}"  model_version: 3  input_map {{ key: "a" value: "b" }} }} ]'
    text = (
        'name: "e" platform: "ensemble" ensemble_scheduling { '
        + step.format("one")
        + step.format("two")
        + " }"
    )
    steps = parse(text).steps
    assert [(step.model, step.version, step.inputs) for step in steps] == [
        ("one", 3, {"a": "b"}),
        ("two", 3, {"a": "b"}),
    ]


def test_the_digest_follows_the_interface_and_not_the_engine():
    contract = parse(TEXT)
    assert parse(TEXT.replace("onnxruntime", "openvino")).digest == contract.digest
    assert parse(TEXT.replace("dims: [ 2 ]", "dims: [ 3 ]")).digest != contract.digest
    assert parse(TEXT.replace("size: 4", "size: 8")).digest != contract.digest


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("naem: 3", r"config.pbtxt: expected a Triton model configuration, got: .*naem"),
        ('input { name: "x" data_type: TYPE_BF16 }', "x: expected a dtype of BOOL, .*, got BF16"),
        ('input { name: "x" data_type: TYPE_F32 }', "expected a Triton model configuration, got: .*TYPE_F32"),
    ],
)
def test_nonsense_is_refused_with_what_was_wrong(broken, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse(broken)


def test_a_missing_or_misnamed_model_and_an_unknown_target_are_refused(repository):
    with pytest.raises(FileNotFoundError, match=r"nobody: expected .*config\.pbtxt, found none"):
        load(repository, "nobody")
    with pytest.raises(ValueError, match="target: expected one of cpu, gpu, got tpu"):
        load(repository, "tiny_fusion", "tpu")
    (repository / "tiny_fusion").rename(repository / "tiny_fission")
    with pytest.raises(ValueError, match='expected name: "tiny_fission" like its folder, got "tiny_fusion"'):
        load(repository, "tiny_fission")


def test_asking_for_an_unknown_tensor_lists_the_known_ones():
    with pytest.raises(LookupError, match="nose: input: expected one of air, there, got water"):
        parse(TEXT).input("water")
    assert parse(TEXT).output("smell").dims == (2,)


def test_texts_have_a_place_in_a_contract_but_no_network_computes_them():
    told = parse('name: "m" output { name: "answer" data_type: TYPE_STRING dims: [ 1 ] }').outputs[0]
    assert (str(told), told.numpy) == ("answer STRING[1]", np.dtype(object))
    with pytest.raises(ValueError, match=r"answer STRING\[1\]: expected numbers, got texts"):
        _ = told.torch
