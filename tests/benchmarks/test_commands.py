"""The table of verbs: each declares itself under its own name, says what is wrong, ends with a status."""

import argparse
import subprocess
import sys

import pytest

from benchmarks.__main__ import main, make_parser
from benchmarks.commands import COMMANDS
from benchmarks.commands.arguments import Done, above_zero, times_of
from benchmarks.goodput import QUICK

LOADS = ("goodput", "curve", "offline", "floor", "absent", "corrupt", "coldstart", "tune")


def test_every_verb_of_the_table_is_one_of_the_command_line_and_no_other():
    (verbs,) = (one for one in make_parser()._actions if isinstance(one, argparse._SubParsersAction))
    assert list(verbs.choices) == list(COMMANDS)


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0 and "%%" not in said and "%(" not in said


@pytest.mark.parametrize("verb", LOADS)
def test_every_load_takes_a_pipeline_a_seed_a_quick_form_and_a_place(verb):
    chosen = make_parser().parse_args([verb, "vision_language", "--quick", "--seed", "3", "--out", "x.json"])
    assert (chosen.pipeline, chosen.seed, chosen.quick, str(chosen.out)) == (
        "vision_language",
        3,
        True,
        "x.json",
    )
    assert make_parser().parse_args([verb]).pipeline == "weld_inspection"


@pytest.mark.parametrize("verb", ["goodput", "curve", "floor", "corrupt", "tune"])
def test_a_shorter_run_is_said_on_the_command_line(verb):
    said = make_parser().parse_args([verb, "--point-s", "20", "--repeats", "2"])
    assert times_of(said, QUICK) == {"point_s": 20.0, "repeats": 2}
    quick = make_parser().parse_args([verb, "--quick", "--repeats", "3"])
    assert times_of(quick, QUICK) == {**QUICK, "repeats": 3}


def test_the_status_is_that_of_the_faults_unless_a_command_says_more(tmp_path):
    assert Done(tmp_path).status == 0 and Done(tmp_path, ["broken"]).status == 1
    assert Done(tmp_path, exit_status=2).status == 2


def test_an_interrupted_measurement_says_that_it_wrote_nothing(monkeypatch, capsys):
    def interrupted(chosen):
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMANDS["goodput"], "run", interrupted)
    assert main(["goodput"]) == 130
    assert capsys.readouterr().err == "benchmarks goodput: interrupted; no result was written\n"


STOPPED = """
import runpy, sys, time
from benchmarks.commands import COMMANDS

def run(chosen):
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("servers stopped", flush=True)

COMMANDS["goodput"].run = run
sys.argv = ["benchmarks", "goodput"]
runpy.run_module("benchmarks", run_name="__main__")
"""


def test_a_terminated_measurement_stops_what_it_started():
    with subprocess.Popen([sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        process.terminate()
        assert process.stdout.read() == "servers stopped\n"
    assert process.returncode == 143


@pytest.mark.parametrize("text", ["0", "-1", "many"])
def test_a_number_above_zero_is_one(text):
    assert above_zero(float)("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError, match=f"expected a number above 0, got {text}"):
        above_zero(int)(text)


def test_where_no_server_is_a_load_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["goodput", "vision_language", "--quick", "--url", "127.0.0.1:1"]) == 1
    assert "benchmarks goodput: server: expected an answer, got UNAVAILABLE" in capsys.readouterr().err
