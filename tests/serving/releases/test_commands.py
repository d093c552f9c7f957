"""`python -m serving release`, as a person types it."""

import json
from pathlib import Path

import pytest

from serving.__main__ import main, parser
from serving.releases import commands
from serving.releases.store import Store
from tests.serving.releases import small_sets


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return small_sets.write_repository(tmp_path / "models")


@pytest.fixture
def release(repository, tmp_path, capsys):
    """Types one command about a repository without a server: exit status, stdout, stderr."""

    def type_it(verb: str, *more: object, pipeline: str = small_sets.PIPELINE) -> tuple[int, str, str]:
        where = ["--repository", str(repository), "--state", str(tmp_path / "state")]
        try:
            code = main(["release", verb, pipeline, *map(str, more), *where])
        except SystemExit as exit_:  # argparse
            code = exit_.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return type_it


@pytest.fixture
def source(repository, tmp_path) -> Path:
    return small_sets.write_set(tmp_path / "set", repository, 2.0)


def test_every_verb_is_explained(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["release", "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for verb, (_, explanation, _) in commands.VERBS.items():
        assert verb in text
        assert explanation.split()[0] in text


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (("chekc",), "invalid choice: 'chekc'"),
        (("prepare",), "the following arguments are required: --from"),
        (("flip", "two"), "expected the number of a release, such as 2, got two"),
        (("check", "0"), "expected the number of a release, such as 2, got 0"),
        (("watch", "--seconds", "-1"), "expected seconds, 0 or more, got -1"),
        (
            ("status", "--url", "localhost"),
            "expected HOST:PORT of gRPC, such as 127.0.0.1:8001, got",
        ),
        (("rollback", "--force", "x"), "unrecognized arguments: --force x"),
    ],
)
def test_a_typing_error_is_status_2_and_says_what_was_expected(release, typed, sentence):
    code, out, err = release(*typed)
    assert (code, out) == (2, "")
    assert sentence in err


def test_a_misspelt_pipeline_is_offered_the_right_one(release):
    code, out, err = release("status", pipeline="inspektion")
    assert (code, out) == (1, "")
    assert "inspektion: expected a pipeline of " in err
    assert err.endswith("did you mean inspection?\n")
    assert "it has inspection" in release("status", pipeline="gate")[2]


def test_preparing_prints_the_number_and_says_what_comes_next(release, source, repository, tmp_path):
    code, out, err = release("prepare", "--from", source, "--why", "retrained")
    assert (code, out) == (0, "2\n")
    assert "release 2: encoder 2, head 2; 1 models as they were" in err
    where = f"--repository {repository} --state {tmp_path / 'state'}"
    assert err.endswith(f"next: python -m serving release check inspection 2 {where}\n")
    again = release("prepare", "--from", source)
    assert again[:2] == (0, "2\n")
    assert "is that set already (prepared); nothing to do" in again[2]


def test_a_folder_that_is_not_there_is_told(release):
    code, out, err = release("prepare", "--from", "nowhere")
    assert (code, out) == (1, "")
    assert "release: nowhere: expected a folder of engines, found none; check the path\n" in err


def test_without_a_server_a_step_says_how_to_start_one(release, source):
    release("prepare", "--from", source)
    code, out, err = release("check")
    assert (code, out) == (1, "")
    assert "start it with `python -m serving start`, or say where one answers with --url HOST:PORT" in err


def test_a_number_that_is_not_there_is_told_with_those_that_are(release, source):
    release("prepare", "--from", source)
    code, _, err = release("flip", 9)
    assert code == 1
    assert "release: expected one of 1, 2, got 9; `release log` lists them\n" in err


def test_somebody_else_at_work_is_status_1(release, source, repository):
    with Store(repository).locked("flip"):
        code, out, err = release("prepare", "--from", source)
    assert (code, out) == (1, "")
    assert "`release flip` by " in err


def test_the_status_says_what_is_live_and_that_no_server_is_known(release, source):
    assert "nothing was released yet" in release("status")[1]
    release("prepare", "--from", source, "--why", "retrained")
    code, out, _ = release("status")
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[:2] for line in lines[1:3]] == [["1", "live"], ["2", "prepared"]]
    assert lines[2].endswith("retrained")
    assert lines[-1] == "release 1 is live according to the record; no server is known"


def test_status_and_log_speak_json(release, source):
    assert json.loads(release("log", "--json")[1]) == []
    release("prepare", "--from", source)
    status = json.loads(release("status", "--json")[1])
    assert (status["active"], status["next"], status["agrees"]) == (1, "check inspection 2", False)
    assert [event["verb"] for event in json.loads(release("log", "--json")[1])] == ["adopt", "prepare"]
    assert len(release("log")[1].splitlines()) == 2


def test_ctrl_c_is_status_130_and_says_what_happens_next(capsys, repository, tmp_path):
    def interrupted(releases, typed):
        raise KeyboardInterrupt

    where = ["--repository", str(repository), "--state", str(tmp_path / "state")]
    typed = parser().parse_args(["release", "restore", "inspection", *where])
    typed.step = interrupted
    assert commands.run_verb(typed) == 130
    assert "release: interrupted; the next step undoes what was under way" in capsys.readouterr().err
