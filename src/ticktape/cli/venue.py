"""The simulated venue as a child process of the demo; it leaves when its standard input closes."""

import os
import subprocess
import sys
from typing import Any

import msgspec

from ticktape import clock
from ticktape.errors import ConfigError
from ticktape.recorder.supervisor import Supervisor

_SETTLE_NS = 500_000_000  # for what was sent last to arrive
_LEAVE_S = 5.0


class Venue:
    """`ticktape sim alpaca` playing the shipped tape `speed` times as fast as it was."""

    def __init__(self, speed: float) -> None:
        command = ["-m", "ticktape", "sim", "alpaca", "--path", "/v2/sip"]
        command += ["--speed", f"{speed:g}", "--until-stdin-closes"]
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._ended_ns = 0

    def url(self) -> str:
        """Wait for the venue to listen; where it does.

        Raises:
            ConfigError: it did not start.
        """
        said = self._line()
        if said.get("event") != "ready":
            raise ConfigError(
                ["the simulated venue did not start"], hint="Run: ticktape sim alpaca"
            )
        os.set_blocking(self._stdout().fileno(), False)
        return str(said["url"])

    def is_over(self, _: Supervisor) -> bool:
        """Whether the tape is through, and what was sent has had a moment to arrive."""
        now_ns = clock.monotonic_ns()
        ended = self._line().get("event") == "tape_end" or self._process.poll() is not None
        if ended and not self._ended_ns:
            self._ended_ns = now_ns
        return bool(self._ended_ns) and now_ns - self._ended_ns > _SETTLE_NS

    def _stdout(self) -> Any:  # noqa: ANN401 - Popen's own type is a union
        assert self._process.stdout is not None
        return self._process.stdout

    def _line(self) -> dict[str, Any]:
        line = self._stdout().readline()
        return msgspec.json.decode(line, type=dict[str, Any]) if line else {}

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
