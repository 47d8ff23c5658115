"""The page of a run in a process of its own, for record and demo: `with PageProcess(…) as page:`.

`python -m ticktape.cli.dashboard_child` reads one line of JSON, which is how no token is ever an
argument that others can read, and answers with one; it ends when its input does.
"""

import contextlib
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from ticktape.cli.dashboard import PORT, open_page
from ticktape.cli.sim_child import end_with_stdin, say
from ticktape.cli.terminal import errors
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError
from ticktape.recorder.process import child_environment

_LEAVE_S = 5.0


class _Task(msgspec.Struct):
    directory: str
    host: str
    port: int
    any_port: bool


class _Answer(msgspec.Struct):
    url: str = ""
    words: str = ""
    hint: str = ""


class PageProcess:
    """The page of a run, served by a process that ends with this one.

    Args:
        directory: the run's; the recorder may make it later.
        host: where to listen.
        port: at which port; None is 8321, or a free one where that is taken.

    Raises:
        ConfigError: the web server is not installed, or the address cannot be had.
    """

    def __init__(self, directory: Path, host: str = "127.0.0.1", port: int | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ticktape.cli.dashboard_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
        )
        task = _Task(str(directory), host, PORT if port is None else port, port is None)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(msgspec.json.encode(task) + b"\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer = msgspec.json.decode(line, type=_Answer) if line else _Answer()
        if not answer.url:
            self.close()
            raise ConfigError([answer.words or "the page could not be started"], hint=answer.hint)
        self.url = answer.url
        """What opens the page; beyond loopback it holds the token: print it, write it nowhere."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def stay(self) -> None:
        """Serve on until Ctrl-C, or until the page ends by itself; from the main thread only."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            self._process.wait()

    def close(self) -> None:
        """End the page; may be called twice."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def page_of(directory: Path, *, browser: bool = False) -> Iterator[PageProcess | None]:
    """The page of a run while the block lasts, with its address on the terminal; None without one.

    A page that cannot be had is said and costs no recording. `browser`: open it in one.
    """
    try:
        page = PageProcess(directory)
    except ConfigError as error:
        errors.print(f"no page: {error.faults[0]}\n  → {error.hint}", markup=False)
        yield None
        return
    with page:
        errors.print(f"the page: {page.url}", markup=False)
        if browser:
            with contextlib.suppress(webbrowser.Error):
                webbrowser.open(page.url)
        yield page


def main() -> None:
    """Serve until the input ends."""
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=_Task)
    directory = RunDirectory(Path(task.directory))
    try:
        try:
            opened = open_page(directory, task.host, task.port)
        except ConfigError:
            if not task.any_port:
                raise
            opened = open_page(directory, task.host, 0)
    except ConfigError as error:
        say({"words": str(error.args[0]), "hint": error.hint})
        return
    say({"url": opened.url})
    # Ctrl-C reaches the whole group: the page stays while the recorder drains, and ends with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    opened.server.takes_signals = False
    end_with_stdin(opened.server.stop)
    opened.server.run()


if __name__ == "__main__":
    main()
