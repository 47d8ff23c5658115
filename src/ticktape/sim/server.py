"""The simulated venue: all its paths on one port, in one process and one event loop.

Everything that `start` opens is closed by `close`, however a client behaves. No client ever sees a
Close frame from the server, unless the config wants it.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
from picows import (
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from ticktape import clock
from ticktape.errors import ConfigError
from ticktape.sim.config import DEFAULT_PATHS, Program, SimConfig
from ticktape.sim.connection import Connection
from ticktape.sim.families import FAMILIES, PATHS, TEST_PATH, V1_PATH
from ticktape.sim.faults import Fault
from ticktape.sim.generate import fakepaca_tape
from ticktape.sim.lane import Wire
from ticktape.sim.slots import Slots
from ticktape.sim.states import Machine, Rules, StreamMachine
from ticktape.sim.states_v1 import LegacyMachine
from ticktape.sim.stream import Stream
from ticktape.sim.tape import Tape
from ticktape.sim.tricks import play_tricks
from ticktape.sim.truth import Truth
from ticktape.sim.wire_v1 import JsonV1
from ticktape.sim.wire_v2 import JsonV2, PackedV2

FLUSH_S = 1.0  # what the truth may lose if this process is killed
# At full speed writing would take half of the venue's speed, so it waits for a quieter second.
FLUSH_QUIET_MESSAGES = 50_000
FLUSH_LATE_MAX = 10


class SimStatistics(NamedTuple):
    """What the venue did so far: counts only grow."""

    connections: int
    refused_upgrades: int
    messages: int
    frames: int


def programs_of(
    tape: Tape | Mapping[str, Tape], paths: tuple[str, ...] = DEFAULT_PATHS
) -> dict[str, Program]:
    """Return `tape` on each of `paths`, and the venue's own test stream on /v2/test.

    Paths of several families need a tape for the name of each.

    Raises:
        ConfigError: a path does not exist.
    """
    _check_paths(paths)
    tapes = tape if isinstance(tape, Mapping) else dict.fromkeys(FAMILIES, tape)
    programs = {path: Program(tapes[PATHS[path].name]) for path in paths}
    return {TEST_PATH: Program(fakepaca_tape(), speed=1.0, passes=0)} | programs


class AlpacaSim:
    """A local Alpaca. `async with AlpacaSim(programs_of(tape), config) as sim:` then `sim.url()`.

    `on_event` gets a `Stream` when its tape is through. `truth` says what was put on the wire.

    Raises:
        ConfigError: on construction, the config or a path is wrong; nothing was opened.
    """

    def __init__(
        self,
        programs: Mapping[str, Program],
        config: SimConfig | None = None,
        *,
        ssl_context: ssl.SSLContext | None = None,
        truth_directory: Path | None = None,
        on_tape_end: Callable[[Stream], None] = lambda stream: None,
    ) -> None:
        self.config = config or SimConfig()
        self.config.check()
        _check_programs(programs)
        _check_faults(self.config.faults, programs)
        programs = _with_tricks(programs, self.config)
        self.truth = Truth(truth_directory)
        self.finished = asyncio.Event()
        self._ssl_context = ssl_context
        self._on_tape_end = on_tape_end
        self._wall = clock.WallClock()
        self._slots = Slots(self.config.connection_limit, self.config.reap_s)
        self.streams = {
            path: Stream(path, program, self.config, self.truth)
            for path, program in programs.items()
        }
        self._endless = {path for path, program in programs.items() if program.passes == 0}
        self._rules = {path: _rules(self.config, path) for path in programs}
        self._http = [fault for fault in self.config.faults if fault.name == "http"]
        self._http_answered = dict.fromkeys(range(len(self._http)), 0)
        self._connections: set[Connection] = set()
        self._count = 0
        self._refused = 0
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # Life.

    async def start(self) -> Self:
        """Listen; `port` is known afterwards.

        Raises:
            OSError: the port is taken.
        """
        self._server = await ws_create_server(
            self._accept,
            self.config.host,
            self.config.port,
            ssl=self._ssl_context,
            logger_name="ticktape.sim",
        )
        for stream in self.streams.values():
            self._start(stream.run(self._ended), f"tape of {stream.path}")
        self._start(self._keep_truth(), "truth")
        return self

    async def close(self) -> None:
        """Drop everybody, stop the tapes, write the truth; may be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for connection in list(self._connections):
            connection.abort()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        self.finished.set()
        self.truth.flush()
        failures = [error for error in results if isinstance(error, Exception)]
        if failures:
            raise failures[0]

    async def __aenter__(self) -> Self:
        return self if self._server is not None else await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # What others ask.

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "not started"
        return int(self._server.sockets[0].getsockname()[1])

    def url(self, path: str = "/v2/iex") -> str:
        """Return where a client finds `path`."""
        scheme = "wss" if self._ssl_context else "ws"
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"{scheme}://{host}:{self.port}{path}"

    async def wait_tape_end(self, path: str = "/v2/iex") -> None:
        """Wait until the tape of `path` is through."""
        await self.streams[path].ended.wait()

    def statistics(self) -> SimStatistics:
        """Return what was done so far."""
        streams = self.streams.values()
        return SimStatistics(
            connections=self._count,
            refused_upgrades=self._refused,
            messages=sum(stream.messages for stream in streams),
            frames=sum(stream.frames for stream in streams),
        )

    # The inside.

    def _accept(
        self, request: WSUpgradeRequest
    ) -> WSListener | WSUpgradeResponseWithListener | None:
        path = request.path.decode("latin-1").partition("?")[0]
        status = self._http_fault(path)
        if status:
            self._refused += 1
            answer = WSUpgradeResponse.create_error_response(status)
            return WSUpgradeResponseWithListener(answer, None)
        stream = self.streams.get(path)
        if stream is None:
            self._refused += 1
            return None  # picows answers 404
        number = self._count
        self._count += 1
        packed = "msgpack" in request.headers.get("Content-Type", "").lower()
        connection = Connection(
            number,
            self.config,
            stream,
            self._wire(path, packed=packed),
            self._machine(path, number, packed=packed),
            self.truth,
            self._wall,
            self._connections.discard,
        )
        self._connections.add(connection)
        return connection

    def _http_fault(self, path: str) -> int:
        for place, fault in enumerate(self._http):
            if fault.path in ("", path) and self._http_answered[place] < fault.amount:
                self._http_answered[place] += 1
                return fault.code
        return 0

    def _machine(self, path: str, number: int, *, packed: bool) -> Machine:
        if path == V1_PATH:
            return LegacyMachine(self._rules[path], self._slots, path, number)
        return StreamMachine(
            self._rules[path], self._slots, path, number, PATHS[path], packed=packed
        )

    def _wire(self, path: str, *, packed: bool) -> Wire:
        if path == V1_PATH:
            return JsonV1(binary=self.config.v1_binary, text_ids=self.config.v1_text_ids)
        return PackedV2() if packed else JsonV2()

    def _start(self, work: "asyncio._CoroutineLike[None]", name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._look_at)
        self._tasks.append(task)

    def _look_at(self, task: "asyncio.Task[None]") -> None:
        # A tape that fails is our bug: `close` raises it, and whoever waits must not wait for ever.
        if not task.cancelled() and task.exception() is not None:
            self.finished.set()

    async def _keep_truth(self) -> None:
        seen = late = 0
        while self.truth.directory is not None:
            await asyncio.sleep(FLUSH_S)
            busy = self.truth.messages - seen > FLUSH_QUIET_MESSAGES
            seen = self.truth.messages
            late = late + 1 if busy else 0
            if not busy or late > FLUSH_LATE_MAX:
                late = 0
                await asyncio.to_thread(self.truth.flush)

    def _ended(self, stream: Stream) -> None:
        self._on_tape_end(stream)
        linger_s = self.config.linger_s
        playing = [
            other
            for path, other in self.streams.items()
            if path not in self._endless and other.started.is_set() and not other.ended.is_set()
        ]
        if linger_s is not None and not playing:
            asyncio.get_running_loop().call_later(linger_s, self.finished.set)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS context of these PEM files.

    Raises:
        ConfigError: they cannot be read or do not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            [f"certificate {certificate} with key {key}: {error}"],
            hint="Give --cert and --key PEM files that belong together.",
        ) from error
    return context


def _check_paths(paths: Iterable[str]) -> None:
    if unknown := sorted(set(paths) - set(PATHS)):
        raise ConfigError(
            [f"path {path} is none of the venue's" for path in unknown],
            hint=f"Known: {', '.join(PATHS)}",
        )


def _check_programs(programs: Mapping[str, Program]) -> None:
    _check_paths(programs)
    wrong = {
        path: program.tape.family.name
        for path, program in programs.items()
        if program.tape.family is not PATHS[path]
    }
    if wrong:
        raise ConfigError(
            [
                f"path {path} carries {PATHS[path].name}, its tape has {has}"
                for path, has in wrong.items()
            ],
            hint="Give it another tape: --tape generated makes the right one for every path.",
        )


def _check_faults(faults: Iterable[Fault], paths: Iterable[str]) -> None:
    known = {"", *paths}
    if wrong := [fault for fault in faults if fault.path not in known]:
        raise ConfigError(
            [f"fault {fault.name}: nothing is played on {fault.path}" for fault in wrong],
            hint=f"Played are: {', '.join(sorted(paths))}",
        )


def _with_tricks(programs: Mapping[str, Program], config: SimConfig) -> dict[str, Program]:
    tapes = {path: program.tape for path, program in programs.items()}
    played = play_tricks(tapes, config.faults, config.seed)
    return {
        path: msgspec.structs.replace(program, tape=played[path])
        for path, program in programs.items()
    }


def _rules(config: SimConfig, path: str) -> Rules:
    def named(name: str) -> list[Fault]:
        mine = [fault for fault in config.faults if fault.path in ("", path)]
        return [fault for fault in mine if fault.name == name]

    missing = {symbol for fault in named("ack_missing") for symbol in fault.value.split(",")}
    return Rules(
        keys=config.keys,
        tokens=config.tokens,
        auth_s=config.auth_s,
        ack_style=config.ack_style,
        strict_docs=config.strict_docs,
        max_symbols=config.max_symbols,
        refused_paths=frozenset({path} if named("not_entitled") else ()),
        ack_missing=frozenset(missing),
    )
