"""A simulated venue beside one's own code: `with ticktape.simulate_alpaca() as venue:`.

It is `ticktape sim alpaca` in a process of its own, which leaves when this process does.
"""

import json
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import IO, Any, Self

from ticktape.errors import EXIT_CONFIG, ConfigError, TickTapeError

_LEAVE_S = 5.0


class SimulatedVenue:
    """A running venue; close it, or use it in a `with`.

    `url` is where a feed finds it, `urls` has every path that it plays, and `keys` are the key and
    the secret that it takes.
    """

    keys = ("demo-key", "demo-secret")

    def __init__(self, *options: str) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._ended = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ticktape", "sim", *options, "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            # The interrupt of a terminal or of a notebook's cell is not for the venue.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        try:
            ready = self._ready()
        except BaseException:
            self.close()
            raise
        self.url: str = ready["url"]
        self.urls: dict[str, str] = ready["urls"]
        threading.Thread(target=self._hear, name="venue", daemon=True).start()

    def _ready(self) -> dict[str, Any]:
        line = self._lines().readline()
        if line:
            ready: dict[str, Any] = json.loads(line)
            return ready
        code = self._process.wait()
        self._said.seek(0)
        words = self._said.read().decode(errors="replace").strip()
        if code == EXIT_CONFIG:
            words, _, hint = words.removeprefix("ticktape: ").partition("\n  → ")
            raise ConfigError([words], hint=hint)
        raise TickTapeError(f"the simulated venue ended with code {code}: {words}")

    def _hear(self) -> None:
        """Hear it to its end, in a thread of its own: a full pipe would stop it."""
        with self._lines() as lines:
            for line in lines:
                if b'"tape_end"' in line:
                    self._ended.set()
        self._ended.set()

    def _lines(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def tape_ended(self) -> bool:
        """Whether the tape is through, or the venue gone."""
        return self._ended.is_set()

    def wait_tape_end(self, timeout_s: float | None = None) -> bool:
        """Wait until the tape is through; False when `timeout_s` was over first."""
        return self._ended.wait(timeout_s)

    def close(self) -> None:
        """End it; may be called twice."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def __repr__(self) -> str:
        return f"SimulatedVenue({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def simulate_alpaca(
    *options: str, path: str = "/v2/sip", tape: str = "shipped", speed: float | str = 1.0
) -> SimulatedVenue:
    """Start Alpaca's data stream on this machine; it plays a tape to who subscribes.

    Args:
        options: more of `ticktape sim alpaca`, like "--fault", "disconnect@5000".
        path: where the tape is played.
        tape: shipped (36,234 real rows around a close), generated, or a Parquet file.
        speed: multiple of real time, or max: as fast as it is read.

    Raises:
        ConfigError: an option or the tape is wrong.
    """
    pace = speed if isinstance(speed, str) else f"{speed:g}"
    return SimulatedVenue("alpaca", "--path", path, "--tape", tape, "--speed", pace, *options)
