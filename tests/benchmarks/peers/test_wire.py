"""What travels to and from a peer, read back by parsers that are not ours."""

import email

import numpy as np
import pytest
from tritonclient.grpc import InferResult, service_pb2
from tritonclient.utils import deserialize_bytes_tensor

from benchmarks.peers import wire

WELD = {"image": [b"\xff\xd8one", b"--two"], "sensor": b"a,b\r\n1,2"}


def answer(seed=1):
    draw = np.random.default_rng(seed)
    return {
        name: draw.integers(0, 4, shape) if name.endswith("_status") else draw.random(shape)
        for name, shape in wire.LAYOUT.items()
    }


def test_a_form_holds_every_file_under_its_modality():
    body = wire.form(wire.files_of(WELD))
    message = email.message_from_bytes(f"Content-Type: {wire.FORM}\r\n\r\n".encode() + body)
    parts = [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True))
        for part in message.get_payload()
    ]
    assert parts == [("image", WELD["image"][0]), ("image", WELD["image"][1]), ("sensor", WELD["sensor"])]


def test_a_message_holds_every_input_and_merged_ones_fall_apart_again():
    request = service_pb2.ModelInferRequest.FromString(wire.infer_message(wire.files_of(WELD)))
    assert [(one.name, list(one.shape)) for one in request.inputs] == [
        ("video", [1, 1]),
        ("image", [1, 5]),
        ("audio", [1, 1]),
        ("sensor", [1, 1]),
    ]
    columns = {
        one.name: deserialize_bytes_tensor(raw).tolist()
        for one, raw in zip(request.inputs, request.raw_input_contents, strict=True)
    }
    merged = {name: [*column, *column] for name, column in columns.items()}
    assert wire.rows_of(merged) == [wire.files_of(WELD)] * 2


def test_an_answer_comes_back_as_it_was():
    sent = answer()
    came = wire.unpacked(wire.packed(sent))
    assert tuple(came) == tuple(wire.LAYOUT)
    for name, tensor in sent.items():
        assert np.array_equal(came[name], tensor.astype(wire.dtype_of(name))), name
    with pytest.raises(ValueError, match=r"^answer: expected \d+ bytes, got 3"):
        wire.unpacked(b"no!")


def test_the_text_in_a_v2_response_is_the_answer():
    packed = wire.packed(answer())
    response = service_pb2.ModelInferResponse(model_name=wire.MODEL)
    response.outputs.add(name=wire.ANSWER, datatype="BYTES", shape=[1, 1])
    response.raw_output_contents.append(len(packed).to_bytes(4, "little") + packed)
    assert InferResult(response).as_numpy(wire.ANSWER).item() == packed
    assert wire.infer_answer(response.SerializeToString()) == packed
    response.outputs[0].name = "logits"
    with pytest.raises(ValueError, match="expected the output answer, got logits"):
        wire.infer_answer(response.SerializeToString())
