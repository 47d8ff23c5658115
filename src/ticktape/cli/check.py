"""`ticktape check`: read everything, prove it."""

from pathlib import Path

from ticktape.cli.certificate import print_verdict
from ticktape.cli.checking import check_with_progress
from ticktape.cli.terminal import print_json
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE
from ticktape.replay.places import open_run


def check(directory: Path, /, *, json: bool = False) -> int:
    """Read everything that a run wrote and prove it: COMPLETE, or INCOMPLETE and why.

    Every byte of every journal is read and checked, every message decoded again, and every row of
    the tables compared with what the journal holds. No counter is believed.

    Parameters
    ----------
    directory
        The run's directory, e.g. runs/demo.
    json
        Print one JSON object instead.
    """
    verdict = check_with_progress(open_run(directory))
    if json:
        print_json(verdict.to_json())
    else:
        print_verdict(verdict)
    return EXIT_COMPLETE if verdict.complete else EXIT_INCOMPLETE
