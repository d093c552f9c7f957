import pytest

from export.tensorrt.device import Device, find, parse


def test_a_gpu_is_what_nvidia_smi_says():
    device = parse("NVIDIA H200, 570.124.06, 9.0, 143771")
    assert device == Device("NVIDIA H200", "570.124.06", "9.0", 143771)
    assert str(device) == "NVIDIA H200, driver 570.124.06"
    assert device.capability == "SM90"


@pytest.mark.parametrize("line", ["", "NVIDIA H200", "a, b, c, much"])
def test_another_answer_is_refused(line):
    with pytest.raises(
        ValueError, match=r"nvidia-smi: expected name,driver_version,compute_cap,memory.total, got"
    ):
        parse(line)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (
            "echo 'NVIDIA L4, 580.1, 8.9, 23034'; echo 'NVIDIA L4, 580.1, 8.9, 23034'",
            "NVIDIA L4, driver 580.1",
        ),
        ("exit 9", "None"),
        ("true", "None"),
        ("sleep 5", "None"),
    ],
)
def test_the_first_gpu_is_found_if_there_is_one(tmp_path, script, found):
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    assert str(find(str(command), timeout_s=1)) == found


def test_a_machine_without_a_driver_has_no_gpu(tmp_path):
    assert find(str(tmp_path / "nvidia-smi")) is None
