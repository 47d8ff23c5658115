"""`python -m bench [QUESTION …]`: answer the questions, print a table, leave the figures as JSON.

Only ratios within one run mean something: the machine drifts. Every floor runs between our runs.
"""

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path

QUESTIONS = ("capture", "decide", "through", "poll", "beside", "bridge", "stuck")


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    model = ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        model = platform.processor()
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1m": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def main() -> int:
    """Run the questions that are asked for, or all."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=", ".join(QUESTIONS))
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side, in turn")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    unknown = set(arguments.questions) - set(QUESTIONS)
    if unknown:
        parser.error(f"no question {', '.join(sorted(unknown))}; there are {', '.join(QUESTIONS)}")
    facts = machine()
    print(json.dumps(facts))
    answers: dict[str, object] = {"machine": facts}
    for question in arguments.questions or QUESTIONS:
        module = importlib.import_module(f"bench.{question}")
        first_line = (module.__doc__ or "").splitlines()[0]
        print(f"\n{question}: {first_line}", flush=True)
        answers[question] = module.answer(arguments.rounds)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(answers, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
