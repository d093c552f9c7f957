"""What travels for what was passed."""

import io
from pathlib import Path

import numpy as np
import pytest
from crossfuse import InvalidInput, PayloadTooLarge
from crossfuse._payloads import InputTensor, infer_request, weld_tensors


def by_name(**payloads) -> dict[str, InputTensor]:
    return {tensor.name: tensor for tensor in weld_tensors(payloads)}


def test_a_path_and_its_bytes_travel_alike(tmp_path: Path) -> None:
    file = tmp_path / "weld.avi"
    file.write_bytes(b"RIFF....")
    forms = [file, str(file), b"RIFF....", bytearray(b"RIFF...."), memoryview(b"RIFF....")]
    assert {by_name(video=form)["video"] for form in forms} == {
        InputTensor("video", "UINT8", (1, 8), b"RIFF....")
    }


def test_photos_travel_one_after_another_with_their_sizes() -> None:
    tensors = by_name(image=[b"abc", b"d", b"ef"])
    assert tensors["image"] == InputTensor("image", "UINT8", (1, 6), b"abcdef")
    assert tensors["image_sizes"].shape == (1, 3)
    assert np.frombuffer(tensors["image_sizes"].data, np.int64).tolist() == [3, 1, 2]


def test_one_photo_need_not_be_a_list() -> None:
    assert by_name(image=b"abc") == by_name(image=[b"abc"])


def test_what_is_left_out_travels_as_zero_bytes() -> None:
    tensors = by_name(audio=b"fLaC", image=[])
    assert [tensors[name].shape for name in ("video", "image", "image_sizes", "sensor")] == [(1, 0)] * 4
    assert not any(tensors[name].data for name in ("video", "image", "image_sizes", "sensor"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_sensor_rows_travel_as_a_npy_file_of_float32(dtype) -> None:
    rows = np.arange(12, dtype=dtype).reshape(2, 6)
    arrived = np.load(io.BytesIO(by_name(sensor=rows)["sensor"].data), allow_pickle=False)
    assert arrived.dtype == np.float32 and arrived.flags.c_contiguous
    np.testing.assert_array_equal(arrived, rows)


@pytest.mark.parametrize("rows", [np.zeros((6, 7)), np.zeros(6), np.zeros((0, 6)), np.array([["a"] * 6])])
def test_sensor_rows_of_another_shape_are_refused(rows) -> None:
    with pytest.raises(InvalidInput, match=r"^sensor: expected numbers of shape \(rows, 6\), got .*; select"):
        weld_tensors({"sensor": rows})


def test_a_missing_file_is_named() -> None:
    with pytest.raises(
        InvalidInput, match=r"^audio: expected a readable file, got gone\.flac \(no such file"
    ):
        weld_tensors({"audio": "gone.flac"})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a directory"):
        weld_tensors({"video": tmp_path})


def test_an_empty_file_is_refused_because_zero_bytes_mean_absent(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(
        InvalidInput, match=r"^image 2: expected a recording, got the empty file .*empty\.jpg; record"
    ):
        weld_tensors({"image": [b"abc", tmp_path / "empty.jpg"]})


def test_nothing_at_all_cannot_be_sent() -> None:
    with pytest.raises(InvalidInput, match="expected at least one of video, image, audio, sensor, got none"):
        weld_tensors({"video": None, "image": []})


@pytest.mark.parametrize("name", ["video", "image", "audio", "sensor"])
def test_a_payload_of_a_foreign_type_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{name}: expected a .*, got int; pass "):
        weld_tensors({name: 7})


def test_the_request_keeps_order_shape_and_bytes() -> None:
    request = infer_request("weld_inspection", weld_tensors({"video": b"abc"}))
    assert request.model_name == "weld_inspection"
    assert request.inputs[0].name == "video" and list(request.inputs[0].shape) == [1, 3]
    assert list(request.raw_input_contents) == [b"abc", b"", b"", b"", b""]


def test_more_than_a_message_can_hold_is_refused_before_it_is_copied() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 1 << 31

    with pytest.raises(
        PayloadTooLarge, match="expected payloads below 2 GiB together, got 2,147,483,648 bytes"
    ):
        infer_request("weld_inspection", [InputTensor("video", "UINT8", (1, 1 << 31), Huge())])
