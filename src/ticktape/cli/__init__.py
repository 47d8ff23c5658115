"""The verbs; nothing else reads the environment, prints, or turns errors into exit codes."""

import contextlib
import io
import os
import sys
import traceback

from cyclopts import CycloptsError

from ticktape.cli.application import app
from ticktape.cli.terminal import errors, fall_silent, print_json
from ticktape.errors import EXIT_BUG, EXIT_CONFIG, TickTapeError

_EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main() -> None:
    """Run one verb and leave with its code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has no µ must not cost the answer.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    code = run(sys.argv[1:])
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.flush()
    # deltalake's threads end a process in SIGABRT now and then at interpreter exit (measured 1 in
    # 23); everything is closed by now.
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run one verb; its exit code (DESIGN §8). Nothing is raised."""
    try:
        return int(app(arguments, result_action="return_value", exit_on_error=False) or 0)
    except CycloptsError:
        return EXIT_CONFIG  # what was wrong with the command line has been said
    except TickTapeError as error:
        return _fault(error, as_json="--json" in arguments)
    except KeyboardInterrupt:
        errors.print("ticktape: interrupted", markup=False)
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        fall_silent()
        return 0  # the reader of our output has seen enough
    except Exception:  # noqa: BLE001 - the last frame: say it, then leave with 70
        traceback.print_exc()
        errors.print(
            "ticktape: this is a bug of ours; what is recorded is safe, the next start recovers.",
            markup=False,
        )
        return EXIT_BUG


def _fault(error: TickTapeError, *, as_json: bool) -> int:
    errors.print(f"ticktape: {error}", markup=False)
    if as_json:
        words = str(error.args[0])
        print_json({"error": words, "hint": error.hint, "exit": error.exit_code})
    return error.exit_code
