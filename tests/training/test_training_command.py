"""`python -m training`: exit codes, and where the result goes."""

from pathlib import Path

import pytest

from training.__main__ import main


def test_generate_prints_the_root_and_nothing_else_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "runs"
    assert main(["generate", str(root), "--runs-per-class", "1", "--workers", "1"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{root}\n"
    assert "weld runs" in shown.err
    assert main(["generate", str(root), "--runs-per-class", "1"]) == 1
    assert "choose another folder" in capsys.readouterr().err


def test_a_mistyped_command_exits_with_2() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["generate"])
    assert stop.value.code == 2
