"""The simulated venues as child processes of the demo; they leave when their input closes."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ticktape import clock
from ticktape.errors import ConfigError
from ticktape.recorder.supervisor import Supervisor

if TYPE_CHECKING:
    from ticktape.ledger import FeedVerdict

_SETTLE_NS = 500_000_000  # for what was sent last to arrive
_OTHERS_NS = 30 * clock.NS_PER_S  # and for feeds that a busy machine has not begun yet
_LEAVE_S = 5.0
_PYTHONPATH = "PYTHONPATH"


class Simulator:
    """`ticktape sim …` with its lines of JSON."""

    def __init__(self, *options: str) -> None:
        self._options = options
        command = [sys.executable, "-m", "ticktape", "sim", *options, "--until-stdin-closes"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ready(self) -> dict[str, Any]:
        """Wait until it is there; what it says of itself.

        Raises:
            ConfigError: it did not start.
        """
        said = self.line()
        if said.get("event") != "ready":
            what = self._options[0]
            raise ConfigError(
                [f"the simulated {what} did not start"], hint=f"Run: ticktape sim {what}"
            )
        os.set_blocking(self._stdout().fileno(), False)
        return said

    def line(self) -> dict[str, Any]:
        """The next line, empty when there is none; waits only before `ready`."""
        line = self._stdout().readline()
        return msgspec.json.decode(line, type=dict[str, Any]) if line else {}

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def _stdout(self) -> Any:  # noqa: ANN401 - Popen's own type is a union
        assert self._process.stdout is not None
        return self._process.stdout

    def close(self) -> None:
        """Let it leave; end it if it does not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout().close()


class Venue(Simulator):
    """`ticktape sim alpaca` playing the shipped tape `speed` times as fast as it was."""

    def __init__(self, speed: float) -> None:
        super().__init__("alpaca", "--path", "/v2/sip", "--speed", f"{speed:g}")
        self._ended_ns = 0

    def url(self) -> str:
        """Wait for the venue to listen; where it does."""
        return str(self.ready()["url"])

    def is_over(self, supervisor: Supervisor) -> bool:
        """Whether the tape is through, what was sent has arrived, and no feed is yet to begin."""
        now_ns = clock.monotonic_ns()
        ended = self.line().get("event") == "tape_end" or self.has_ended()
        if ended and not self._ended_ns:
            self._ended_ns = now_ns
        waited_ns = now_ns - self._ended_ns if self._ended_ns else 0
        return waited_ns > (_SETTLE_NS if _all_heard(supervisor) else _OTHERS_NS)


def _all_heard(supervisor: Supervisor) -> bool:
    """Whether every feed has brought something."""
    said = supervisor.statistics()
    return all(said.get(each.name, {}).get("frames") for each in supervisor.captures)


class SimulatedTerminal(Simulator):
    """`ticktape sim mt5` with the shipped books, `speed` times as fast as they were."""

    def __init__(self, speed: float) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ticktape-terminal-")
        self._world = Path(self._folder.name)
        self._pythonpath = os.environ.get(_PYTHONPATH)
        super().__init__("mt5", str(self._world), "--speed", f"{speed:g}", "--passes", "0")

    def executable(self) -> str:
        """Wait for the terminal; its terminal64.exe. From now on children find its package."""
        said = self.ready()
        paths = [str(said["pythonpath"]), *filter(None, [self._pythonpath])]
        os.environ[_PYTHONPATH] = os.pathsep.join(paths)
        return str(said["path"])

    def missed(self, feed: "FeedVerdict", from_ns: int, to_ns: int) -> dict[str, int]:
        """States by symbol that came and went unseen between two moments of wall time.

        `from_ns` is where the first image was taken; that image was no change that we saw.
        """
        from ticktape.sim.mt5 import Truth, World

        world = World(self._world)
        found = {}
        for polls in feed.polls:
            wall_ns = Truth(world, polls.symbol).wall_ns
            changes = int(((wall_ns > from_ns) & (wall_ns <= to_ns)).sum())
            found[polls.symbol] = max(changes - (polls.changed - 1), 0)
        return found

    def close(self) -> None:
        """End it, and leave the environment as it was."""
        super().close()
        if self._pythonpath is None:
            os.environ.pop(_PYTHONPATH, None)
        else:
            os.environ[_PYTHONPATH] = self._pythonpath
        self._folder.cleanup()
