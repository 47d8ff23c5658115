"""The verbs; nothing else reads the environment, prints, or turns errors into exit codes."""

import os
import sys
import traceback

from ticktape.cli.application import app
from ticktape.errors import EXIT_BUG, TickTapeError


def main() -> None:
    """Run one verb and leave with its code."""
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # deltalake's threads end a process in SIGABRT now and then at interpreter exit (measured 1 in
    # 23); everything is closed by now.
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run one verb; its exit code (DESIGN §8)."""
    try:
        code = app(arguments, result_action="return_value", exit_on_error=False)
        return int(code or 0)
    except TickTapeError as error:
        sys.stderr.write(f"ticktape: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\nticktape: interrupted\n")
        return 130
    except BrokenPipeError:
        return 0  # the reader of our output has seen enough
    except SystemExit as leave:
        return int(leave.code or 0) if not isinstance(leave.code, str) else EXIT_BUG
    except Exception as error:  # noqa: BLE001 - the last frame: say it, then leave with 70
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    if type(error).__module__.startswith("cyclopts"):
        return 2  # cyclopts has said what was wrong with the command line
    traceback.print_exc()
    sys.stderr.write(
        "ticktape: this is a bug of ours; what is recorded is safe, the next start recovers.\n"
    )
    return EXIT_BUG
