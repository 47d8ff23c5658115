"""The benches answer: each question says what it asks, and those that need no recorder are run."""

import json
from importlib import import_module

import pytest
from bench import options
from bench.__main__ import QUESTIONS
from bench.figures import paired
from bench.page import page

# Small enough for seconds; what they find is not looked at, for speed is no test.
SMALL = {
    "hop": {"rows": 300, "rate": 200, "seconds": 0.2},
    "table": {"rows": 2_000},
    "sql": {"rows": 20_000},
    "bytes": {},
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_bench_says_its_question_its_workload_and_what_would_change_our_mind(question):
    text = import_module(f"bench.{question}").__doc__
    assert text.splitlines()[0].endswith("?")
    assert "Workload: " in text and "What would change our mind: " in text


@pytest.mark.parametrize("question", SMALL)
def test_a_bench_gives_rows_that_a_page_can_show(question, monkeypatch, capsys):
    for name, value in SMALL[question].items():
        monkeypatch.setenv(options.NAMES[name], str(value))
    module = import_module(f"bench.{question}")
    rows = module.answer(1)
    assert rows and json.loads(json.dumps(rows)) == rows
    shown = page({question: answered(module.__doc__, rows)})
    assert all(f" {name} |" in shown for row in rows for name in row)
    assert next(iter(rows[0])) in capsys.readouterr().out


def answered(question, rows):
    facts = {"cpus": 2, "cpu": "a CPU", "python": "3.11", "packages": {}, "commit": "abc"}
    facts |= {"at": "2026-11-26T01:02:03+00:00", "load_1m": 0.5}
    return {"question": question, "machine": facts, "conditions": {"rounds": 3}, "rows": rows}


def test_a_ratio_is_the_median_of_the_pairs_and_not_a_pair_of_medians():
    assert paired([2.0, 30.0, 4.0], [1.0, 10.0, 8.0]) == 2.0


def test_a_page_says_on_what_machine_and_under_what_conditions_its_figures_were_taken():
    shown = page({"x": answered("Is it fast?\n\nWorkload: none.", [{"a": 1.5}, {"b": "c"}])})
    assert "**Is it fast?**" in shown
    assert "commit abc, 2026-11-26, load before it 0.5, rounds 3" in shown
    assert shown.index("| a |") < shown.index("| b |")
