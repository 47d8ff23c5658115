"""`ticktape watch`: a run live in the terminal, also over ssh."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from ticktape import clock
from ticktape.cli.terminal import console as plain
from ticktape.cli.terminal import print_json
from ticktape.cli.watch_keys import Keyboard
from ticktape.cli.watch_state import WatchState
from ticktape.cli.watch_view import view
from ticktape.replay.places import open_run

if TYPE_CHECKING:
    from ticktape.replay.dashboard import RunSource

SAMPLE_S: Final = 1.0  # reading and drawing once takes some 12 ms of a CPU
_SAMPLE_S_MAX: Final = 5.0
_REST: Final = 50  # of a run that takes longer to read: a fiftieth of one CPU all the same
_ROWS_MAX: Final = 1_000  # last values of one snapshot
_PLAIN_WIDTH: Final = 120
_PLAIN_ROWS: Final = 40
_PAGE: Final = 10
_SCROLLS: Final = {"up": -1, "down": 1, "page up": -_PAGE, "page down": _PAGE}


def watch(directory: Path, /, *symbols: str, json: bool = False) -> int:
    """Show a run live in the terminal: feeds, last values, stages, what changed, the disk.

    It shows what the page shows and reads it the same way, from files alone: the recorder does not
    notice. The run may be over, or its recorder gone: then that is said. Where standard output is
    no terminal, the present state is printed once.

    Keys: q ends it; s sorts by busiest, newest or symbol; arrows and page keys scroll.

    Parameters
    ----------
    directory
        The run's directory.
    symbols
        Show only these, in this order; else all, the busiest first.
    json
        Print one JSON object of the present state, and end.
    """
    from ticktape.replay.dashboard import RunSource

    with contextlib.closing(RunSource(open_run(directory))) as source:
        state = WatchState(symbols)
        state.take(source.sample(()))
        if json:
            print_json(state.to_json(_ROWS_MAX))
        elif sys.stdout.isatty():
            with contextlib.suppress(KeyboardInterrupt):
                _watch(source, state)
        else:
            for line in view(state, _PLAIN_WIDTH, None, rows_max=_PLAIN_ROWS):
                plain.print(line.plain, markup=False)
    return 0


def _watch(source: "RunSource", state: WatchState) -> None:
    """Draw the run until a key or a signal ends it."""
    console = Console(highlight=False)
    skip, due_ns = 0, clock.monotonic_ns() + int(SAMPLE_S * clock.NS_PER_S)
    with _restoring(), console.screen(hide_cursor=True) as screen, Keyboard() as keys:
        while True:
            width, height = console.size
            skip = min(skip, max(0, len(state.rows()) - 1))
            lines = view(state, width, height, skip=skip)
            screen.update(Text("\n", no_wrap=True, overflow="crop", end="").join(lines))
            key = keys.wait(max(0.0, (due_ns - clock.monotonic_ns()) / clock.NS_PER_S))
            if key == "q":
                return
            if key == "s":
                state.next_order()
                skip = 0
            skip = 0 if key == "home" else max(0, skip + _SCROLLS.get(key, 0))
            if not key:
                began_ns = clock.cpu_ns()
                state.take(source.sample(()))
                rest_s = _REST * (clock.cpu_ns() - began_ns) / clock.NS_PER_S
                wait_s = min(max(SAMPLE_S, rest_s), _SAMPLE_S_MAX)
                due_ns = clock.monotonic_ns() + int(wait_s * clock.NS_PER_S)


@contextlib.contextmanager
def _restoring() -> Iterator[None]:
    """Whatever ends us, the terminal is left as it was."""

    def asked(*_: object) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP", "SIGTSTP") if hasattr(signal, name)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    for name in names:
        # To be stopped in the middle would leave a terminal that shows neither us nor the shell.
        signal.signal(getattr(signal, name), signal.SIG_IGN if name == "SIGTSTP" else asked)
    try:
        yield
    finally:
        for name, action in before.items():
            signal.signal(getattr(signal, name), action)
