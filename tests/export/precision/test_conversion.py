"""fp16 and bf16 written into graphs: what is low, what is not, and how far the answers move."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.example_inputs import draw
from export.precision import conversion

LOW = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


def session(graph):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    made = onnxruntime.InferenceSession(graph.SerializeToString(), options, ["CPUExecutionProvider"])
    return lambda inputs: made.run(None, inputs)


def small(*nodes, constants, result="out"):
    """x (batch, 4) -> nodes -> `result` (batch, 4)."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", result)]
    named = [
        numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in constants.items()
    ]
    graph = helper.make_graph(list(nodes), "small", value[:1], value[1:], named)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def node(kind, *inputs, out, **attributes):
    return helper.make_node(kind, list(inputs), [out], name=f"{kind.lower()}_{out}", **attributes)


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("file", ["dense.onnx", "model.onnx"])
def test_types_at_the_borders_stay_and_weights_are_stored_low(exported, file, precision):
    made = exported("tiny_audio_encoder")
    whole = onnx.load(made.folder / file)
    low = conversion.lowered(whole, precision)
    onnx.checker.check_model(low, full_check=True)
    for side in ("input", "output"):
        before = [(v.name, v.type.tensor_type.elem_type) for v in getattr(whole.graph, side)]
        assert [(v.name, v.type.tensor_type.elem_type) for v in getattr(low.graph, side)] == before
    stored = [tensor for graph in conversion.graphs_of(low.graph) for tensor in graph.initializer]
    matrices = {t.data_type for t in stored if len(t.dims) == 2 and "front_end" not in t.name}
    assert matrices == {LOW[precision]}
    assert low.ByteSize() < whole.ByteSize()


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("file", ["dense.onnx", "model.onnx"])
def test_answers_of_a_real_encoder_move_by_its_rounding_and_no_more(exported, file, precision):
    made = exported("tiny_image_encoder")
    whole = onnx.load(made.folder / file)
    inputs = draw(made.contract, 2, seed=4, absent=True)
    (wanted,) = session(whole)(inputs)
    (rounded,) = session(conversion.emulated(conversion.lowered(whole, precision)))(inputs)
    error = np.abs(rounded - wanted).max() / np.abs(wanted).max()
    unit = {"fp16": 2**-11, "bf16": 2**-8}[precision]
    assert 0 < error < 16 * unit
    if precision == "fp16":
        (run,) = session(conversion.lowered(whole, precision))(inputs)
        assert np.abs(run - wanted).max() / np.abs(wanted).max() < 16 * unit


def test_norms_softmax_and_the_input_arithmetic_stay_in_fp32(exported):
    whole = onnx.load(exported("tiny_audio_encoder").folder / "dense.onnx")
    low = set(conversion.low_nodes(conversion.lowered(whole, "fp16")))
    kinds = {n.op_type for n in whole.graph.node if n.name in low}
    assert "MatMul" in kinds and "Gelu" in kinds
    assert not kinds & {"LayerNormalization", "Softmax", "Log", "Clip"}
    spectrum = [n for n in whole.graph.node if "front_end.spectrum" in n.input]
    assert spectrum and not low & {n.name for n in spectrum}, "powers of a spectrum are beyond fp16"


def test_a_named_module_stays_in_fp32(exported):
    whole = onnx.load(exported("tiny_audio_encoder").folder / "dense.onnx")
    layer = "encoder.backbone.layers.0"
    low = set(conversion.low_nodes(conversion.lowered(whole, "bf16", keep=(layer,))))
    inside = {n.name for n in whole.graph.node if layer in conversion.names_of(n)}
    assert len(inside) > 20
    assert not low & inside
    assert low


def test_a_name_that_nobody_has_is_refused(exported):
    whole = onnx.load(exported("tiny_audio_encoder").folder / "dense.onnx")
    with pytest.raises(ValueError, match="names of nodes or modules of the graph, got layer9"):
        conversion.lowered(whole, "fp16", keep=("layer9",))


def test_a_mask_beyond_fp16_is_added_in_fp32_and_forgotten_after_the_softmax():
    graph = small(
        node("MatMul", "x", "w", out="scores"),
        node("Add", "scores", "mask", out="masked"),
        node("Softmax", "masked", out="shares"),
        node("MatMul", "shares", "w", out="mixed"),
        node("Relu", "mixed", out="out"),
        constants={"w": np.eye(4), "mask": [0, 0, 0, np.finfo(np.float32).min]},
    )
    low = conversion.lowered(graph, "fp16")
    assert conversion.low_nodes(low) == ["matmul_scores", "matmul_mixed", "relu_out"]
    (answer,) = session(low)({"x": np.ones((1, 4), np.float32)})
    assert np.allclose(answer, [[1 / 3, 1 / 3, 1 / 3, 0]], atol=1e-3)


def test_weights_beyond_fp16_keep_their_product_in_fp32():
    graph = small(
        node("MatMul", "x", "large", out="grown"),
        node("MatMul", "grown", "w", out="shrunk"),
        node("Tanh", "shrunk", out="bounded"),
        node("MatMul", "bounded", "w", out="out"),
        constants={"w": np.eye(4) * 1e-6, "large": np.eye(4) * 1e6},
    )
    assert conversion.low_nodes(conversion.lowered(graph, "fp16")) == ["matmul_out"]
