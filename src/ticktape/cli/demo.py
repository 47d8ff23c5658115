"""`ticktape demo`: a simulated venue plays a real tape on loopback; record it, decide, prove it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from ticktape import clock
from ticktape.cli.running import run_to_end
from ticktape.cli.terminal import console, errors, print_json, print_verdict
from ticktape.config import Keys, parse_config
from ticktape.errors import ConfigError
from ticktape.recorder.supervisor import Supervisor

_SECONDS = 15.0
_TAPE_S = 360.0  # the shipped tape: 15:56 to 16:02 New York time
_SETTLE_S = 0.5
_CONFIG = """
directory = {directory!r}
[[feed]]
name = "sip"
kind = "alpaca"
url = {url!r}
trades = ["*"]
quotes = ["*"]
bars = ["*"]
[table]
commit_s = 2.0
[[decide]]
file = {strategy!r}
name = "bursts"
"""


class _Venue:
    """The simulator as a child process; it leaves when its standard input closes."""

    def __init__(self, speed: float) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ticktape",
                "sim",
                "alpaca",
                "--speed",
                f"{speed:g}",
                "--until-stdin-closes",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.ended_ns = 0
        self.messages = 0

    def ready(self) -> dict[str, Any]:
        """Wait for the venue to listen; what it says of itself."""
        said = self._line()
        if said.get("event") != "ready":
            raise ConfigError(
                ["the simulated venue did not start"], hint="Run: ticktape sim alpaca"
            )
        os.set_blocking(self._stdout().fileno(), False)
        return said

    def is_over(self, _: Supervisor) -> bool:
        """Whether the tape is through, and what was sent has had a moment to arrive."""
        if not self.ended_ns:
            said = self._line()
            if said.get("event") == "tape_end":
                self.ended_ns = clock.monotonic_ns()
                self.messages = int(said["messages"])
            elif self._process.poll() is not None:
                self.ended_ns = clock.monotonic_ns()
        waited_s = (clock.monotonic_ns() - self.ended_ns) / clock.NS_PER_S
        return bool(self.ended_ns) and waited_s > _SETTLE_S

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
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def demo(
    *, seconds: float = _SECONDS, directory: Path = Path("runs/demo"), json: bool = False
) -> int:
    """Record six real minutes around a close from a simulated venue, decide on them, prove it.

    No key and no network: `ticktape sim alpaca` plays the tape that ships in the package over a
    WebSocket on loopback. Afterwards everything works on runs/demo: sql, last, trace, latency,
    check, replay.

    Parameters
    ----------
    seconds
        How long the tape shall take; its six minutes are played faster.
    directory
        Where the run goes; an earlier demo there is replaced.
    json
        Print one JSON object at the end instead of the certificate.
    """
    if seconds <= 0:
        raise ConfigError([f"--seconds {seconds:g} is no length of time"], hint="Say 15.")
    _clear(directory)
    venue = _Venue(_TAPE_S / seconds)
    try:
        url = venue.ready()["url"]
        errors.print(f"a simulated venue plays the close of 2013-10-08 at {url}", markup=False)
        text = _CONFIG.format(
            directory=str(directory.resolve()),
            url=url,
            strategy=str(Path(__file__).with_name("sample_strategy.py")),
        )
        config = parse_config(text, "the demo's config", Path())
        keys = {"sip": Keys("demo-key", "demo-secret")}
        finished = run_to_end(config, keys, venue.is_over)
    finally:
        venue.close()
    if json:
        print_json(finished.verdict.to_json())
        return finished.exit_code
    print_verdict(finished.verdict)
    if finished.verdict.complete:
        shown = os.path.relpath(directory)
        console.print(
            f'\nTry:  ticktape sql {shown} "select symbol, count(*) from trades group by 1"\n'
            f"      ticktape last {shown} · trace {shown} IBM 20000 · latency {shown} --worst 5 · "
            f"check {shown} · replay {shown}",
            markup=False,
        )
    return finished.exit_code


def _clear(directory: Path) -> None:
    """Remove an earlier demo; never anything that is not a run."""
    if not directory.exists():
        return
    if any(directory.iterdir()) and not (directory / "run.toml").is_file():
        raise ConfigError(
            [f"{directory} exists and is not a run of ticktape; it is left alone"],
            hint="Name another: ticktape demo --directory …",
        )
    shutil.rmtree(directory)
