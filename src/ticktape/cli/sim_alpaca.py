"""The verb `sim alpaca`: Alpaca's data stream on this machine, speaking the real protocol."""

import asyncio
import signal
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from ticktape.cli.sim_child import collect, end_with_stdin, joined, say
from ticktape.cli.sim_rest import RestOptions, rest_beside, rest_config
from ticktape.errors import EXIT_COMPLETE, ConfigError
from ticktape.sim import (
    AlpacaSim,
    Program,
    SimConfig,
    Tape,
    generate_family,
    parse_faults,
    read_tape,
    shipped_tape,
)
from ticktape.sim.config import DEFAULT_PATHS
from ticktape.sim.families import PATHS, STOCKS, TEST_PATH, V1_PATH, Family
from ticktape.sim.faults import menu_text
from ticktape.sim.pace import parse_speed
from ticktape.sim.rest import RestConfig
from ticktape.sim.server import programs_of, server_context
from ticktape.sim.stream import Stream
from ticktape.sim.tape import TAPE_KINDS

TAPE = Group.create_ordered("What is played")
PACE = Group.create_ordered("How it is played")
VENUE = Group.create_ordered("The venue's rules")
WIRE = Group.create_ordered("The connection")


@Parameter(name="*", group=TAPE)
@dataclass(frozen=True)
class TapeOptions:
    """What is played."""

    tape: str = "shipped"
    """`shipped` (36,234 real rows of stocks around a close), `generated` (what each path carries),
    or a Parquet file; several files are joined by commas. A file has the columns ts_ns symbol price
    size exchange cond_flags, or those of one of ticktape's own tables."""

    kinds: tuple[str, ...] = ()
    """Play only these kinds, by the names of their tables: trades, quotes, crypto_books, …"""

    seed: int = 0
    """Of the generated tape, the nanoseconds of a recorded one, and the jitter."""

    symbols: int = 5
    """How many symbols a generated tape has."""

    events: int = 100_000
    """How many events a generated tape has, its bars not counted; of news a thousandth of it."""

    events_per_s: float = 1000.0
    """How dense a generated tape is, in its own time."""

    long_ids: bool = False
    """Give a generated tape trade ids of 19 digits."""


@Parameter(name="*", group=PACE)
@dataclass(frozen=True)
class PaceOptions:
    """How it is played."""

    speed: str = "1x"
    """Multiple of real time (`10x`), or `max`: as fast as the clients take it."""

    rate: float = 0.0
    """Rows per second instead of the tape's own times."""

    batch: int = 1
    """Rows per frame, 1 to 10,000; v1 has one per frame always, then it is rows per write."""

    jitter_ms: float = 0.0
    """Send up to so much late, from the seed; never out of order."""

    wait_for: int = 1
    """Start when so many connections listen."""

    hold: bool = False
    """Pause the tape while nobody listens; the real venue would not."""

    passes: int = 1
    """Play the tape so often, 0 for ever; each pass later and with other ids."""

    linger_s: float | None = None
    """End so long after the tape; without it, stay until stopped."""


@Parameter(name="*", group=VENUE)
@dataclass(frozen=True)
class VenueOptions:
    """The venue's rules."""

    path: tuple[str, ...] = DEFAULT_PATHS
    """Where the tape is played, each path with its own cursor: stocks, crypto, options or news, as
    at the venue; /stream speaks the v1 protocol. /v2/test always has the test stream with
    FAKEPACA."""

    key: Annotated[str, Parameter(env_var="SIM_KEY")] = "demo-key"
    """The key that is right."""

    secret: Annotated[str, Parameter(env_var="SIM_SECRET")] = "demo-secret"
    """Its secret."""

    token: tuple[str, ...] = ()
    """OAuth tokens that are right."""

    ack_style: Literal["live", "docs"] = "live"
    """Acknowledge as measured (only what is not empty) or as documented (every channel)."""

    strict_docs: bool = False
    """Answer a foreign channel with 410 as documented, instead of 400 as measured."""

    max_symbols: int = 0
    """Symbols in trades and quotes together before 405; 0 has no limit, the free plan has 30."""

    connection_limit: int = 1
    """Connections of one key on one path before 406."""

    reap_s: float = 0.0
    """How long the slot of a client that died stays taken; up to 90 s at the venue."""

    auth_s: float = 10.0
    """Time to log in before 404."""

    ping_s: float = 54.0
    """Time between pings."""

    pong_s: float = 6.0
    """Time for the answer to a ping."""

    proper_close: bool = False
    """Send Close frames; the real venue just drops the connection."""

    fault: tuple[str, ...] = ()
    """What shall go wrong, as often as you like; see the menu below."""


@Parameter(name="*", group=WIRE)
@dataclass(frozen=True)
class WireOptions:
    """The connection."""

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: int = 0
    """Port to listen on; 0 takes a free one and says which."""

    cert: Path | None = None
    """PEM file of a certificate: speak TLS (wss://)."""

    cert_key: Path | None = None
    """PEM file of its key."""

    buffer_bytes: int = 64 << 20
    """What may wait for a slow client before 407; at --speed max the tape waits instead."""

    v1_binary: bool = False
    """Send v1 messages in binary frames, as the service did at times."""

    v1_text_ids: bool = False
    """Send v1 trade ids as text, as the service did at times."""

    truth: Path | None = None
    """Folder for the private record of every message sent, as Parquet."""

    until_stdin_closes: bool = False
    """End when stdin closes: for a parent that may die."""


HELP = """Play a tape as Alpaca's market-data stream, on this machine.

Any client of Alpaca's stream works against it, in JSON or MessagePack as it asks, with the key
`demo-key` and the secret `demo-secret`. The first line printed is `{"event":"ready","url":...}`; at
the end of a tape comes `{"event":"tape_end",...}`.
"""

EXAMPLES = f"""
Examples:

```text
    ticktape sim alpaca --speed 10x
    ticktape sim alpaca --tape generated --events 1000000 --speed max --batch 50
    ticktape sim alpaca --tape trades.parquet --speed max --hold --truth truth/
    ticktape sim alpaca --tape generated --path /v1beta3/crypto/us --path /v1beta1/news
    ticktape sim alpaca --fault disconnect@5000 --fault huge@9000 --hold
    ticktape sim alpaca --speed 10x --rest --rest-fault 429x3

{menu_text()}
```

A place N is a row of the tape (disconnect@5000), or a time since its start (mute@2.5s); add a path
to strike only there (disconnect@5000@/v2/sip).
"""

_DEFAULTS = (TapeOptions(), PaceOptions(), VenueOptions(), WireOptions(), RestOptions())


def alpaca(
    *,
    tape: TapeOptions = _DEFAULTS[0],
    pace: PaceOptions = _DEFAULTS[1],
    venue: VenueOptions = _DEFAULTS[2],
    wire: WireOptions = _DEFAULTS[3],
    rest: RestOptions = _DEFAULTS[4],
) -> int:
    """Run the venue; return the exit code. The help is `HELP`."""
    wrong: list[ConfigError] = []
    config = collect(wrong, lambda: _config(tape, pace, venue, wire))
    played = collect(wrong, lambda: _programs(tape, venue.path))
    context = collect(wrong, lambda: _context(wire))
    beside = collect(wrong, lambda: rest_config(rest, config or SimConfig()))
    if wrong or config is None or played is None:
        raise joined(wrong)
    sim = AlpacaSim(
        played,
        config,
        ssl_context=context,
        truth_directory=wire.truth,
        on_tape_end=_say_tape_end,
    )
    return asyncio.run(_serve(sim, beside, until_stdin_closes=wire.until_stdin_closes))


def _context(wire: WireOptions) -> ssl.SSLContext | None:
    if wire.cert is None:
        return None
    return server_context(wire.cert, wire.cert_key or wire.cert)


def _config(
    tape: TapeOptions, pace: PaceOptions, venue: VenueOptions, wire: WireOptions
) -> SimConfig:
    wrong: list[ConfigError] = []
    speed = collect(wrong, lambda: parse_speed(pace.speed))
    faults = collect(wrong, lambda: parse_faults(venue.fault))
    config = SimConfig(
        host=wire.host,
        port=wire.port,
        keys={venue.key: venue.secret},
        tokens=frozenset(venue.token),
        speed=speed or 0.0,
        rate=pace.rate,
        batch=pace.batch,
        jitter_ms=pace.jitter_ms,
        seed=tape.seed,
        wait_for=pace.wait_for,
        hold=pace.hold,
        passes=pace.passes,
        linger_s=pace.linger_s,
        ack_style=venue.ack_style,
        strict_docs=venue.strict_docs,
        max_symbols=venue.max_symbols,
        connection_limit=venue.connection_limit,
        reap_s=venue.reap_s,
        auth_s=venue.auth_s,
        ping_s=venue.ping_s,
        pong_s=venue.pong_s,
        proper_close=venue.proper_close,
        buffer_bytes=wire.buffer_bytes,
        v1_binary=wire.v1_binary,
        v1_text_ids=wire.v1_text_ids,
        faults=faults or (),
    )
    collect(wrong, config.check)
    if wrong:
        raise joined(wrong)
    return config


def _programs(options: TapeOptions, paths: tuple[str, ...]) -> dict[str, Program]:
    families = {PATHS[path].name: PATHS[path] for path in paths if path in PATHS}
    if len(families) > 1 and options.tape != "generated":
        raise ConfigError(
            [f"--tape {options.tape} cannot be {' and '.join(families)} at once"],
            hint="Play paths that carry the same, or say --tape generated.",
        )
    tapes = {name: _tape(options, family) for name, family in families.items()}
    return programs_of(tapes, paths)


def _tape(options: TapeOptions, family: Family) -> Tape:
    if unknown := sorted(set(options.kinds) - set(TAPE_KINDS)):
        raise ConfigError(
            [f"--kinds {kind!r} is no kind" for kind in unknown],
            hint=f"Known: {', '.join(TAPE_KINDS)}",
        )
    if options.tape == "shipped":
        if family is not STOCKS:
            raise ConfigError(
                [f"the shipped tape is of stocks, not of {family.name}"],
                hint="Say --tape generated, or give Parquet files.",
            )
        tape = shipped_tape(options.seed)
    elif options.tape == "generated":
        tape = generate_family(
            family,
            seed=options.seed,
            symbols=options.symbols,
            events=options.events,
            events_per_s=options.events_per_s,
            long_ids=options.long_ids,
        )
    else:
        files = [Path(name) for name in options.tape.split(",")]
        tape = read_tape(files, options.seed, family.name)
    return tape.only(frozenset(options.kinds)) if options.kinds else tape


async def _serve(sim: AlpacaSim, beside: RestConfig | None, *, until_stdin_closes: bool) -> int:
    loop = asyncio.get_running_loop()
    stop = sim.finished.set
    _on_signals(loop, stop)
    if until_stdin_closes:
        end_with_stdin(lambda: loop.call_soon_threadsafe(stop))
    try:
        await sim.start()
    except OSError as error:
        config = sim.config
        raise ConfigError(
            [f"cannot listen on {config.host}:{config.port}: {error}"],
            hint="Give another --port, or 0 for a free one.",
        ) from error
    async with sim, rest_beside(sim, beside) as rest_url:
        ready: dict[str, object] = {"event": "ready", "port": sim.port}
        v2 = [path for path in sim.streams if path != V1_PATH]
        ready["url"] = sim.url(next((path for path in v2 if path != TEST_PATH), v2[0]))
        ready["urls"] = {path: sim.url(path) for path in sim.streams}
        ready["v1_url"] = sim.url(V1_PATH) if V1_PATH in sim.streams else None
        ready["rows"] = {path: stream.rows for path, stream in sim.streams.items()}
        ready["rest_url"] = rest_url
        say(ready)
        await sim.finished.wait()
    return EXIT_COMPLETE


def _on_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows' loops have no signal handlers of their own
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))


def _say_tape_end(stream: Stream) -> None:
    say(
        {
            "event": "tape_end",
            "path": stream.path,
            "messages": stream.messages,
            "frames": stream.frames,
        }
    )
