"""Named places where a test can make a process die; without the variables set they cost one check.

`TICKTAPE_FAILPOINT=journal.write:120` kills this process by SIGKILL at the 120th pass of that
place (`os._exit` where there is no SIGKILL), and every process that inherits the variable.

`TICKTAPE_FAILPOINT_FOLDER=/some/folder` is for one child of a recorder, once: at its start a child
takes the file of its own name there (`capture-sip`, `table`, …), removes it, and has the failpoint
that it holds. The start after that finds no file and lives.

Never set either outside a test.
"""

import contextlib
import os
import signal
from pathlib import Path

_ENV = "TICKTAPE_FAILPOINT"
_FOLDER = "TICKTAPE_FAILPOINT_FOLDER"


class Failpoints:
    """The failpoints of one process, read once from a text like `name:count`."""

    __slots__ = ("_left", "name")

    def __init__(self, text: str = "") -> None:
        self.name, _, count = text.partition(":")
        self._left = int(count or 1)

    def hit(self, name: str) -> bool:
        """Whether this pass of `name` is the one that must die."""
        if name != self.name:
            return False
        self._left -= 1
        return self._left == 0

    def die(self) -> None:
        """End this process as `kill -9` would."""
        if hasattr(signal, "SIGKILL"):
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(137)

    def pass_by(self, name: str) -> None:
        """Die here if it is this place's turn."""
        if self.hit(name):
            self.die()


def from_environment() -> Failpoints | None:
    """The failpoints that the environment asks for; None, as always outside tests, when none."""
    text = os.environ.get(_ENV, "")
    return Failpoints(text) if text else None


_shared: dict[str, Failpoints] = {}


def pass_by(name: str) -> None:
    """Die at a place that all parts of a process pass seldom, and count together."""
    text = os.environ.get(_ENV, "")
    if text:
        _shared.setdefault(text, Failpoints(text)).pass_by(name)


def claim(child: str) -> None:
    """Take what is laid out for the next start of `child` into this process's environment."""
    folder = os.environ.get(_FOLDER, "")
    if not folder:
        return
    path = Path(folder) / child
    with contextlib.suppress(FileNotFoundError):
        os.environ[_ENV] = path.read_text(encoding="ascii").strip()
        path.unlink()
