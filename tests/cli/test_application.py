"""The command as a whole: help, faults, exit codes, pipes."""

import json
import os
import re
import subprocess
import sys

import pytest

from ticktape.cli.application import VERBS

ALL = [verb for verbs in VERBS.values() for verb in verbs]
FRAMES = re.compile("[\u2500-\u257f\x1b]")


def test_ticktape_alone_prints_every_verb(said):
    code, out, _ = said()
    assert code == 0
    assert [verb for verb in ALL if not re.search(rf"^  {verb} +\w", out, re.M)] == []


def test_ticktape_alone_loads_nothing_heavy():
    ask = (
        "import sys; from ticktape.cli import run; run([]);"
        "print(sorted({'pyarrow', 'duckdb', 'deltalake', 'numpy'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", [*ALL, "sim alpaca"])
def test_help_of_each_verb_has_no_frames_in_a_pipe(said, verb):
    code, out, _ = said(*verb.split(), "--help")
    assert code == 0
    assert f"Usage: ticktape {verb}" in out
    assert FRAMES.search(out) is None
    assert "--no-json" not in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuch"],
        ["check"],
        ["check", "--nosuch", "x"],
        ["trace", "x", "IBM", "abc"],
        ["sql", "x", "select 1", "--format", "xml"],
    ],
)
def test_a_wrong_command_line_says_so_on_standard_error_and_ends_with_2(said, arguments):
    code, out, err = said(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("ticktape: ")
    assert "--help" in err.splitlines()[-1]
    assert FRAMES.search(err) is None


@pytest.mark.parametrize(
    "verb",
    [["check"], ["sql", "select 1"], ["last"], ["trace", "IBM", "1"], ["latency"], ["replay"]],
)
@pytest.mark.parametrize("place", ["nowhere", "."])
def test_a_directory_without_a_run_is_the_callers_mistake(said, verb, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = said(verb[0], place, *verb[1:])
    assert (code, out) == (2, "")
    assert f"{place}: no ticktape run here" in err


def test_a_misspelt_verb_is_told_which_one_is_near(said):
    _, _, err = said("chek", "runs/demo")
    assert err.splitlines()[0] == 'ticktape: Unknown command "chek"; did you mean "check"?'
    assert "did you mean" not in said("help")[2]


def test_a_run_further_down_is_named(said, demo):
    code, _, err = said("check", demo.parent)
    assert code == 2
    assert str(demo) in err


def test_a_fault_is_json_too(said):
    code, out, err = said("check", "nowhere", "--json")
    fault = json.loads(out.splitlines()[-1])
    assert (code, fault["exit"]) == (2, 2)
    assert "no ticktape run" in fault["error"]
    assert fault["hint"]
    assert "no ticktape run" in err


def test_a_reader_that_leaves_early_changes_neither_words_nor_code(demo):
    read_end, write_end = os.pipe()
    os.close(read_end)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "ticktape", "check", str(demo)]
    ran = subprocess.run(
        command, stdout=write_end, stderr=subprocess.PIPE, text=True, env=environment, check=False
    )
    os.close(write_end)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_bug_of_ours_ends_with_70_and_says_that_the_data_is_safe(said, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("ticktape.cli.check.open_run", broken)
    code, _, err = said("check", "x")
    assert code == 70
    assert "planted" in err
    assert "what is recorded is safe" in err
