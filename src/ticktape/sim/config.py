"""What a simulated venue shall be: one frozen object, checked before anything opens."""

from collections.abc import Mapping

import msgspec

from ticktape.errors import ConfigError
from ticktape.sim.families import V1_PATH
from ticktape.sim.faults import Fault
from ticktape.sim.tape import Tape

DEFAULT_PATHS = ("/v2/iex", "/v2/sip", V1_PATH)
BATCH_MAX = 10_000


class Program(msgspec.Struct, frozen=True):
    """What is played on one path; None means as the `SimConfig` says."""

    tape: Tape
    speed: float | None = None
    passes: int | None = None


class SimConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's rules and the way the tape is played.

    `speed` is a multiple of real time, 0 as fast as the clients take it; `rate` in rows per second
    wins over it. `batch` is rows per frame. `wait_for` connections must listen before the tape
    starts. With `hold` it pauses while nobody can hear it. `passes` 0 repeats for ever. `linger_s`
    is how long to stay after the tape's end, None until closed. `buffer_bytes` may wait for a slow
    client.
    """

    host: str = "127.0.0.1"
    port: int = 0
    keys: Mapping[str, str] = msgspec.field(default_factory=lambda: {"demo-key": "demo-secret"})
    tokens: frozenset[str] = frozenset()

    speed: float = 1.0
    rate: float = 0.0
    batch: int = 1
    jitter_ms: float = 0.0
    seed: int = 0
    wait_for: int = 1
    hold: bool = False
    passes: int = 1
    linger_s: float | None = None

    ack_style: str = "live"
    strict_docs: bool = False
    max_symbols: int = 0
    connection_limit: int = 1
    reap_s: float = 0.0
    auth_s: float = 10.0
    ping_s: float = 54.0
    pong_s: float = 6.0
    proper_close: bool = False
    buffer_bytes: int = 64 << 20
    v1_binary: bool = False
    v1_text_ids: bool = False
    faults: tuple[Fault, ...] = ()

    def check(self) -> None:
        """Look for every mistake.

        Raises:
            ConfigError: lists them all.
        """
        wrong = {
            f"speed {self.speed} is below 0": self.speed < 0,
            f"rate {self.rate} is below 0": self.rate < 0,
            f"batch {self.batch} is not within 1 and {BATCH_MAX}": not (
                1 <= self.batch <= BATCH_MAX
            ),
            f"jitter_ms {self.jitter_ms} is below 0": self.jitter_ms < 0,
            f"wait_for {self.wait_for} is below 1": self.wait_for < 1,
            f"passes {self.passes} is below 0": self.passes < 0,
            f"ack_style {self.ack_style!r} is neither live nor docs": self.ack_style
            not in ("live", "docs"),
            f"connection_limit {self.connection_limit} is below 1": self.connection_limit < 1,
            "auth_s, ping_s and pong_s must be above 0": min(self.auth_s, self.ping_s, self.pong_s)
            <= 0,
            f"buffer_bytes {self.buffer_bytes} is below 1": self.buffer_bytes < 1,
        }
        faults = [text for text, is_wrong in wrong.items() if is_wrong]
        if faults:
            raise ConfigError(faults, hint="See `ticktape sim alpaca --help`.")
