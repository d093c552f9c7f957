"""The verb: it runs wherever Python does, says what it left out, and its exit status means something."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.gpu_check import command, installed, picture
from benchmarks.gpu_check.findings import Finding, Plan, Skip

ROOT = Path(__file__).parents[3]
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is an NVIDIA GPU here")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and torch with CUDA")
ROW = {"model": "fusion", "runner": "torch", "precision": "fp32", "batch": 1, "items_per_s": 10.0}


def test_nothing_heavy_is_imported_before_a_part_asks_for_it():
    code = (
        "import sys; from benchmarks.__main__ import make_parser; make_parser(); "
        "heavy = {'torch', 'onnx', 'tritonclient', 'crossfuse', 'matplotlib', 'tensorrt_rtx', 'tqdm', 'av'}; "
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@NO_GPU
def test_without_a_gpu_every_part_says_why_it_did_nothing(tmp_path, capsys):
    out = tmp_path / "gpu.json"
    assert main(["gpu-check", "--quick", "--work", str(tmp_path), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out.strip() == str(out)
    assert "nothing was checked: no NVIDIA GPU" in printed.err.splitlines()[-1]
    written = json.loads(out.read_text())
    assert written["schema"] == command.SCHEMA
    assert written["exit_status"] == 2
    assert {"command", "commit", "machine", "versions", "seed", "gpu", "presets"} <= set(written)
    assert list(written["parts"]) == list(command.PARTS)
    for name, part in written["parts"].items():
        assert set(part) == {"rows", "skipped", "faults", "facts"}, name
        assert part["skipped"], name
        assert part["faults"] == [], name
    assert "sees no NVIDIA GPU" in written["parts"]["engines"]["skipped"][0]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ({"machine": Finding(rows=[{"name": "GPU"}])}, 2),
        ({"machine": Finding(), "peak": Finding(skipped=["all of it"])}, 2),
        ({"peak": Finding(rows=[{"tflops": 1.0}])}, 0),
        ({"peak": Finding(rows=[{"tflops": 1.0}]), "engines": Finding(faults=["fusion: outside"])}, 1),
        ({"engines": Finding(faults=["fusion: does not build"])}, 1),
    ],
)
def test_the_exit_status_is_of_what_ran(found, status):
    assert command.status(found) == status
    assert command.verdict(found).startswith("\ngpu-check: ")


def test_a_part_that_breaks_is_a_fault_and_takes_nothing_with_it():
    broken = command.checked("unknown", Plan(), {})
    assert broken.faults == ["KeyError: 'unknown'"]


def test_a_part_shows_its_table_then_what_it_left_out():
    finding = Finding([{"precision": "bf16", "size": 4096, "tflops": 700.0}], ["int8: no product"], ["wrong"])
    assert command.text("peak", finding, 2.4).splitlines() == [
        "",
        "== peak (2 s)",
        "precision  size  tflops",
        "bf16       4096  700.0",
        "skipped  int8: no product",
        "FAILED   wrong",
    ]


@pytest.mark.parametrize(
    "wrong", [["--preset", "weld_tiny"], ["--precision", "fp8"], ["--only", "everything"], ["--seed", "x"]]
)
def test_what_is_mistyped_is_refused(wrong):
    with pytest.raises(SystemExit) as stopped:
        main(["gpu-check", *wrong])
    assert stopped.value.code == 2


def test_a_missing_package_is_a_reason_that_names_what_to_install():
    with pytest.raises(Skip, match=r"no_such_package does not load \(No module named 'no_such_package'\)"):
        installed.module("no_such_package")


def test_the_picture_has_a_panel_per_model_and_names_what_is_nearest_to_the_peak(tmp_path):
    rows = [
        ROW | {"batch": batch, "runner": runner, "items_per_s": batch * 10.0, "share_of_measured": share}
        for runner, share in (("torch", 0.1), ("tensorrt", 0.4))
        for batch in (1, 8)
    ]
    assert picture.headline(rows) == "fusion\n40% of peak: tensorrt fp32"
    assert picture.headline([ROW]) == "fusion"
    path = picture.draw([*rows, ROW | {"model": "encoder"}], "Engines on GPU", tmp_path / "gpu.png")
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24])[0] > 900


def test_without_figures_there_is_no_picture(tmp_path):
    with pytest.raises(Skip, match="no engine was measured"):
        picture.draw([], "Engines", tmp_path / "gpu.png")


@GPU
def test_the_peak_of_this_gpu_is_measured(tmp_path):
    out = tmp_path / "gpu.json"
    assert main(["gpu-check", "--quick", "--only", "machine", "peak", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["parts"]["peak"]["facts"]["best"]["fp32"] > 1
