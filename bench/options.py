"""How long and how much: what the command line says beyond the defaults, for every question.

They travel in the environment, so that a question that starts processes has them there, too.
"""

import os
from collections.abc import Mapping

NAMES = {
    "seconds": "TICKTAPE_BENCH_S",
    "rate": "TICKTAPE_BENCH_RATE",
    "batch": "TICKTAPE_BENCH_BATCH",
    "rows": "TICKTAPE_BENCH_ROWS",
}


def seconds(default: float) -> float:
    """How long one run of one side takes, once it runs."""
    return float(os.environ.get(NAMES["seconds"], default))


def rate(default: int) -> int:
    """Trades a second."""
    return int(os.environ.get(NAMES["rate"], default))


def batch(default: int) -> int:
    """Trades in a frame."""
    return int(os.environ.get(NAMES["batch"], default))


def rows(default: int) -> int:
    """Rows, messages or trades of a run that has a size and no duration."""
    return int(os.environ.get(NAMES["rows"], default))


def given() -> dict[str, str]:
    """What was said, by name."""
    return {
        name: os.environ[variable] for name, variable in NAMES.items() if variable in os.environ
    }


def give(values: Mapping[str, object]) -> None:
    """Take over what the command line says; None says nothing."""
    for name, variable in NAMES.items():
        if values.get(name) is not None:
            os.environ[variable] = str(values[name])
