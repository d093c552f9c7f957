"""The house rules that a machine can keep: one direction of imports, the tree, names, sizes."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGES = ("multimodal", "training", "export", "model_repository", "serving", "client", "benchmarks")


def tracked(pattern: str = "*") -> list[Path]:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in names.stdout.splitlines() if (ROOT / name).exists()]


def imported_packages(file: Path) -> set[str]:
    packages = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            packages.add(node.module.split(".")[0])
    return packages


@pytest.mark.parametrize("stage", STAGES)
def test_imports_never_turn_back(stage):
    later = set(STAGES[STAGES.index(stage) + 1 :])
    forbidden = set(STAGES) | {"torch"} if stage == "client" else later
    for file in tracked(f"{stage}/*.py"):
        turned = imported_packages(file) & forbidden
        assert not turned, f"{file.relative_to(ROOT)} imports {sorted(turned)}"


def test_no_drawer_without_a_noun():
    for file in tracked():
        assert not re.search(
            r"(^|/)(utils?|helpers?|common|misc|manager)(\.py$|/)", str(file.relative_to(ROOT))
        )


def test_no_machine_path_or_large_file_in_git():
    for file in tracked():
        assert file.suffix == ".safetensors" or file.stat().st_size <= 500_000, f"{file} is large"
        if file.suffix in {".py", ".md", ".toml", ".pbtxt", ".txt", ""}:
            assert not re.search(r"(?<![\w.])/(home|work|root|Users)/\w", file.read_text()), file


def test_the_tree_in_the_readme_is_the_tree_on_disk():
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"<!-- tree -->\n```\n(.*?)```", readme, re.DOTALL)
    assert block, "README.md lost its tree"
    lines = [line for line in block[1].splitlines() if line and not line.startswith(" ")]
    named = {line.split()[0].rstrip("/") for line in lines}
    on_disk = {file.relative_to(ROOT).parts[0] for file in tracked()} - {".gitignore"}
    assert named == on_disk


def test_pins_agree_with_the_constraints():
    constraints = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    pins = re.findall(r'"([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)"', (ROOT / "pyproject.toml").read_text())
    assert len(pins) > 10
    for name, version in pins:
        assert constraints.get(name, version) == version, name
