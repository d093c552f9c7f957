import numpy as np
import pytest

from multimodal.weld_classes import SENSOR_COLUMNS
from serving.backends.dali.contract import Status
from tests.serving.preprocess.files import csv_log, npy_log, payloads, rows


def resampled(values: np.ndarray) -> np.ndarray:
    at = np.linspace(0, len(values) - 1, 256)
    return np.stack([np.interp(at, np.arange(len(values)), column) for column in values.T], axis=1)


@pytest.mark.parametrize("log", [csv_log, npy_log])
@pytest.mark.parametrize("count", [2, 50, 256, 700])
def test_a_log_is_stretched_over_the_steps(read, log, count):
    (answer,) = read(payloads(sensor=log(rows(count))))
    assert answer["modality_status"][3] == Status.OK
    assert np.allclose(answer["sensor_series"], resampled(rows(count)), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i4", "u1", "<f2"])
def test_every_number_type_of_npy_is_read(read, dtype):
    values = np.arange(60).reshape(10, 6).astype(dtype)
    (answer,) = read(payloads(sensor=npy_log(values)))
    assert np.allclose(answer["sensor_series"], resampled(values.astype(float)), rtol=1e-6)


def test_a_fortran_ordered_array_is_read(read):
    (answer,) = read(payloads(sensor=npy_log(np.asfortranarray(rows()))))
    assert np.allclose(answer["sensor_series"], resampled(rows()), rtol=1e-6)


def test_columns_are_found_by_name_and_others_ignored(read):
    values = rows()
    order = [5, 0, 3, 1, 4, 2]
    columns = ["Date", *(SENSOR_COLUMNS[place] for place in order), "Remark"]
    lines = [",".join(columns)] + [
        ",".join(["2024-01-02", *(str(row[place]) for place in order), '"a, b"']) for row in values
    ]
    (answer,) = read(payloads(sensor="\r\n".join(lines).encode()))
    assert answer["modality_status"][3] == Status.OK
    assert np.allclose(answer["sensor_series"], resampled(values), rtol=1e-6)


def test_a_byte_order_mark_blank_lines_and_spaces_do_no_harm(read):
    text = csv_log().decode().replace(",", " , ").replace("\n", "\n\n")
    (answer,) = read(payloads(sensor=b"\xef\xbb\xbf\n" + text.encode()))
    assert answer["modality_status"][3] == Status.OK
    assert np.allclose(answer["sensor_series"], resampled(rows()), rtol=1e-6)


@pytest.mark.parametrize("cell", ["", "n/a", "nan", "inf", "1e300"])
def test_a_row_without_a_number_is_dropped_and_told(read, cell):
    values = rows()
    lines = csv_log(values).decode().splitlines()
    lines.insert(11, ",".join(["1", "2", cell, "4", "5", "6"]))
    lines.insert(20, "1,2,3")
    (answer,) = read(payloads(sensor="\n".join(lines).encode()))
    assert answer["modality_status"][3] == Status.PARTIAL
    assert answer["sensor_valid"].tolist() == [True]
    assert np.allclose(answer["sensor_series"], resampled(values), rtol=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        csv_log(rows(1)),
        csv_log(np.full((5, 6), np.nan)),
        b"Pressure,Feed\n1,2\n3,4\n",
        b"\xff\xfe\x00",
        b"\n\n",
        npy_log(rows(1)),
        npy_log(np.zeros((4, 5))),
        npy_log(rows())[:-8],
        b"\x93NUMPY\x01\x00",
    ],
)
def test_fewer_than_two_good_rows_or_no_log_at_all_is_corrupt(read, data):
    (answer,) = read(payloads(sensor=data))
    assert answer["modality_status"][3] == Status.CORRUPT
    assert not answer["sensor_series"].any()
    assert not answer["sensor_valid"].any()


def test_a_pickled_array_is_never_unpickled(read):
    (answer,) = read(payloads(sensor=npy_log(np.full((3, 6), "x", dtype=object))))
    assert answer["modality_status"][3] == Status.CORRUPT
