"""`python -m bench [QUESTION …]`: answer the questions, print tables, leave the figures as JSON.

Only ratios within one run mean something: the machine drifts. Every floor runs between our runs.
"""

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path

from bench import options
from bench.machine import machine
from bench.page import page

QUESTIONS = (
    *("capture", "hop", "decide", "send", "attached", "through", "table", "sql", "bytes", "ledger"),
    *("stuck", "idle", "memory", "steady", "poll", "beside", "bridge"),
)


def main() -> int:
    """Run the questions that are asked for, or all."""
    arguments = _arguments()
    options.give(vars(arguments))
    kept = arguments.json or (arguments.write and arguments.write.with_suffix(".json"))
    answers = json.loads(kept.read_text()) if kept and kept.exists() else {}
    for question in arguments.questions or QUESTIONS:
        module = importlib.import_module(f"bench.{question}")
        facts = machine()
        print(f"\n{question}: {_first_line(module.__doc__)}\n{json.dumps(facts)}", flush=True)
        began = time.perf_counter()
        rows = module.answer(arguments.rounds)
        answers[question] = {
            "question": module.__doc__,
            "machine": facts,
            "conditions": {"rounds": arguments.rounds, **options.given()},
            "took_s": round(time.perf_counter() - began, 1),
            "rows": rows,
        }
        # After each question: one that fails costs none of the others.
        if kept is not None:
            kept.write_text(json.dumps(answers, indent=1) + "\n")
        if arguments.write is not None:
            arguments.write.write_text(page({q: answers[q] for q in QUESTIONS if q in answers}))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=", ".join(QUESTIONS))
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side, in turn")
    parser.add_argument("--seconds", type=float, help="how long a run takes, once it runs")
    parser.add_argument("--rate", type=int, help="trades a second, where they are paced")
    parser.add_argument("--batch", type=int, help="trades in a frame: memory, steady")
    parser.add_argument("--rows", type=int, help="rows or messages of a run that has a size")
    parser.add_argument("--json", type=Path, help="keep the figures there, beside those of others")
    parser.add_argument("--write", type=Path, help="make a page of them; they are kept beside it")
    arguments = parser.parse_args()
    unknown = set(arguments.questions) - set(QUESTIONS)
    if unknown:
        parser.error(f"no question {', '.join(sorted(unknown))}; there are {', '.join(QUESTIONS)}")
    return arguments


def _first_line(text: str | None) -> str:
    return (text or "").splitlines()[0]


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # As in the recorder's children: deltalake's threads now and then abort an ordinary exit.
    os._exit(code)
