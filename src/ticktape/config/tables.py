"""The tables of the config: each key with its type, range, default and reason.

The template and docs/reference/config.md are written from here; a key without a reason must not
exist.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ticktape.config.reading import fields_of

MIB = 1_048_576
DAY_S = 86_400

KINDS = ("alpaca", "alpaca_v1", "mt5")
"""Kinds of feed that this version knows by itself; `packages` finds those of others."""

CHANNELS = (
    "trades",
    "quotes",
    "bars",
    "updated_bars",
    "daily_bars",
    "statuses",
    "lulds",
    "imbalances",
    "orderbooks",
    "news",
)
"""Keys of a feed that list symbols, in Alpaca's words; corrections and cancels come with trades."""

POLLED = ("books", "ticks")
"""Keys that list symbols of a MetaTrader 5 terminal."""

LEG_B = ".b"
"""Ends the name of the journal that a feed's second leg writes."""

REST = ".rest"
"""Ends the name of the journal of what REST said of a feed, by which its gaps are healed."""


def _why(text: str, low: float | None = None, high: float | None = None) -> Meta:
    return Meta(description=text, ge=low, le=high)


class FeedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription to one venue. `keys` and `ca_file` hold absolute paths once parsed."""

    name: Annotated[str, _why("Names the feed in every row and its folder in the run.")]
    kind: Annotated[
        str,
        _why(
            "The venue's protocol: alpaca, alpaca_v1 (retired in 2021), mt5 (MetaTrader 5), or one"
            " that an installed package brings."
        ),
    ]
    url: Annotated[
        str,
        _why("Where the venue listens: wss://… or, on this machine, ws://…. Not for mt5."),
    ] = ""
    keys: Annotated[
        str,
        _why(
            "Where key and secret stand: env (APCA_API_KEY_ID, APCA_API_SECRET_KEY), file:PATH"
            " (mode 0600, two lines), credential:NAME (of a systemd unit) or keyring:SERVICE. Never"
            " the keys themselves. For mt5 env is MT5_LOGIN and MT5_PASSWORD, and neither is needed"
            " where the terminal is logged in; for a kind of a package env is no keys at all."
        ),
    ] = "env"
    encoding: Annotated[
        Literal["json", "msgpack"],
        _why(
            "What the venue sends: msgpack is some 40 % shorter, json can be read with one's eyes;"
            " the tables are the same. Options come in msgpack only."
        ),
    ] = "json"
    auth: Annotated[
        Literal["message", "headers"],
        _why(
            "How the keys are shown: in a message, or with the request to connect. A token takes"
            " oauth or access_token as its key, and itself as the secret."
        ),
    ] = "message"
    trades: Annotated[
        tuple[str, ...],
        _why("Symbols whose trades to record, with corrections and cancels; * is all of them."),
    ] = ()
    quotes: Annotated[tuple[str, ...], _why("Symbols whose best bid and ask to record.")] = ()
    bars: Annotated[tuple[str, ...], _why("Symbols whose minute bars to record.")] = ()
    updated_bars: Annotated[
        tuple[str, ...],
        _why("Symbols whose minute bars to record again when late trades alter them."),
    ] = ()
    daily_bars: Annotated[tuple[str, ...], _why("Symbols whose bar of the day to record.")] = ()
    statuses: Annotated[tuple[str, ...], _why("Symbols whose trading halts to record.")] = ()
    lulds: Annotated[
        tuple[str, ...], _why("Symbols whose limit-up limit-down bands to record.")
    ] = ()
    imbalances: Annotated[
        tuple[str, ...],
        _why("Symbols whose order imbalances to record; they come while a band stops trading."),
    ] = ()
    orderbooks: Annotated[
        tuple[str, ...],
        _why("crypto: pairs, like BTC/USD, whose order book to record with all of its changes."),
    ] = ()
    news: Annotated[
        tuple[str, ...], _why("news: symbols whose news to record; * is all, also without one.")
    ] = ()
    terminal: Annotated[
        str,
        _why(
            "mt5: module takes the MetaTrader5 package and the terminal that it finds; a path is"
            " that of terminal64.exe; rpyc://127.0.0.1:18812 is a bridge to one under Wine."
        ),
    ] = "module"
    server: Annotated[
        str, _why("mt5: the trade server that the terminal must be logged in at; empty: any.")
    ] = ""
    books: Annotated[tuple[str, ...], _why("mt5: symbols whose order book to poll.")] = ()
    ticks: Annotated[tuple[str, ...], _why("mt5: symbols whose ticks to record, each once.")] = ()
    poll_ms: Annotated[
        Annotated[float, Meta(ge=0, le=60_000)] | Literal["auto"],
        _why(
            "mt5: time from one poll of the books to the next. 0 polls as fast as possible and"
            " takes a CPU; auto steers to where one poll in five sees a change."
        ),
    ] = "auto"
    tick_ms: Annotated[
        float, _why("mt5: time between two looks for ticks; none is lost by waiting.", 1, 60_000)
    ] = 100.0
    legs: Annotated[
        int, _why("mt5: 2 polls the terminal twice, in two processes, merged in the tables.", 1, 2)
    ] = 1
    push: Annotated[
        bool,
        _why("mt5: let a bridge poll by itself and send what changed, where it can connect back."),
    ] = True
    hang_s: Annotated[
        float,
        _why(
            "mt5: a terminal that does not answer for so long is left, and opened again.", 1, 3600
        ),
    ] = 30.0
    proxy: Annotated[
        str,
        _why(
            "Proxy to go through: http://host:port or socks5://host:port; env takes HTTPS_PROXY,"
            " which may hold a password; empty goes straight."
        ),
    ] = ""
    ca_file: Annotated[
        str,
        _why("PEM file of the authority that signed the venue's certificate; empty: the system's."),
    ] = ""
    connect_timeout_s: Annotated[
        float,
        _why("Longest wait for the connection and for each reply while logging in.", 0.1, 300),
    ] = 5.0
    ping_s: Annotated[
        float,
        _why("Silence after which we ping: TCP does not tell when a peer is gone.", 0.1, 3600),
    ] = 10.0
    pong_timeout_s: Annotated[
        float, _why("Longest wait for the answer to our ping; at most ping_s.", 0.1, 3600)
    ] = 10.0
    quiet_s: Annotated[
        float, _why("No data for so long is written down as quiet; 0: never.", 0, DAY_S)
    ] = 60.0
    stale_s: Annotated[
        float,
        _why("No data for so long opens a new session; 0: never, for nights are quiet.", 0, DAY_S),
    ] = 0.0
    backoff_max_s: Annotated[
        float,
        _why("Longest pause before the next try to connect; it doubles up to here.", 0.01, 3600),
    ] = 30.0
    stagger_s: Annotated[
        float,
        _why(
            "Pause before the first connection of each further feed to the same host: several at"
            " once are answered with HTTP 429.",
            0,
            300,
        ),
    ] = 0.5
    max_frame_bytes: Annotated[
        int, _why("A longer frame is an attack or a fault, and ends the session.", MIB, 128 * MIB)
    ] = 64 * MIB
    heal: Annotated[
        str,
        _why(
            "alpaca: where to ask for what was missed. auto: Alpaca's own REST interface, when the"
            " stream is Alpaca's; off; or its address, like http://127.0.0.1:8080, without version."
        ),
    ] = "auto"
    heal_feed: Annotated[
        str,
        _why(
            "What to ask for, as REST calls it: iex, sip, boats, otc; empty: what the stream is."
            " Another one than the stream's would heal with trades that it never has."
        ),
    ] = ""
    heal_delay_s: Annotated[
        float,
        _why(
            "How long after a gap's end to ask, for a venue's history is late; a plan without"
            " recent SIP data waits until it is 15 minutes old.",
            0,
            DAY_S,
        ),
    ] = 60.0
    heal_per_minute: Annotated[
        int,
        _why(
            "Most requests a minute; Alpaca's free plan allows 200 for all of an account.",
            1,
            10_000,
        ),
    ] = 150
    hours: Annotated[
        Literal["auto", "us stocks", "fx", "always"],
        _why(
            "When silence means something: New York's regular hours, Sunday to Friday, or always;"
            " auto goes by the venue. A hint for alarms; what comes is recorded at any hour."
        ),
    ] = "auto"
    pin_cpu: Annotated[
        int,
        _why("CPU on which the capture process stays; -1: wherever the system likes.", -1, 1023),
    ] = -1

    def channels(self) -> dict[str, tuple[str, ...]]:
        """Channel -> its symbols, for the channels that have any."""
        names = (*CHANNELS, *POLLED)
        symbols: dict[str, tuple[str, ...]] = {name: getattr(self, name) for name in names}
        return {name: listed for name, listed in symbols.items() if listed}

    def journals(self) -> tuple[str, ...]:
        """Names of the journals that it writes: its own, and its second leg's."""
        return (self.name, self.name + LEG_B) if self.legs > 1 else (self.name,)


class JournalConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How safe, how long, how much: the same for the journal of every feed."""

    sync: Annotated[
        Literal["group", "each", "os"],
        _why(
            "group: power loss costs at most commit_ms. each: nothing, and every block waits for"
            " the disk. os: unsafe, power loss costs what the system had not yet written."
        ),
    ] = "group"
    commit_ms: Annotated[
        int, _why("Longest time from written to synced, with sync = group.", 1, 10_000)
    ] = 50
    segment_bytes: Annotated[
        int, _why("A segment of this size is closed and the next begun.", 65_536, 16_384 * MIB)
    ] = 256 * MIB
    memory_bytes: Annotated[
        int,
        _why(
            "What capture holds while the disk refuses; beyond it every drop is counted.",
            MIB,
            1_048_576 * MIB,
        ),
    ] = 256 * MIB
    reserve_bytes: Annotated[
        int,
        _why(
            "Free disk below which the run warns, and sealing, table and decisions wait: the"
            " journal comes first.",
            0,
            1_048_576 * MIB,
        ),
    ] = 1024 * MIB
    ballast_bytes: Annotated[
        int,
        _why(
            "A file that is removed when the disk is full, to make room for the last entries; 0:"
            " none.",
            0,
            1_048_576 * MIB,
        ),
    ] = 64 * MIB
    keep_days: Annotated[
        float,
        _why(
            "Segments older than this are deleted, once they are in the tables; 0: never.",
            0,
            36_500,
        ),
    ] = 0.0
    keep_bytes: Annotated[
        int,
        _why(
            "What all feeds' segments may take on the disk; the oldest that are in the tables are"
            " deleted beyond it. 0: no bound.",
            0,
            1_073_741_824 * MIB,
        ),
    ] = 0
    keep_latency_days: Annotated[
        float,
        _why(
            "Rows of latency and pauses older than this are deleted: a busy feed's are larger than"
            " its sealed journal. 0: never.",
            0,
            36_500,
        ),
    ] = 30.0


class DecideConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One file of decisions, run in a process of its own. `file` is absolute once parsed."""

    file: Annotated[Path, _why("The strategy's Python file.")]
    name: Annotated[str, _why("Names the decisions; empty: the file's name without .py.")] = ""
    class_name: Annotated[str, _why("The class to take; empty: the only one in the file.")] = ""
    gate: Annotated[
        Literal["written", "synced"],
        _why("How safe an entry is before the strategy sees it: synced survives power loss."),
    ] = "written"
    wait: Annotated[
        Literal["block", "spin"],
        _why(
            "spin answers some 30 µs earlier and takes what others leave of a CPU; of two or"
            " three CPUs it shares one with the captures."
        ),
    ] = "block"
    on_restart: Annotated[
        Literal["replay", "resume"],
        _why("replay rebuilds the strategy's state, muted; resume goes on with an empty one."),
    ] = "replay"
    on_error: Annotated[
        Literal["stop", "detach"],
        _why("When a callback raises: stop ends the strategy, detach that callback alone."),
    ] = "stop"


class AlertConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What to call when something goes wrong."""

    command: Annotated[
        tuple[str, ...],
        _why("Program and arguments, run with the alert's text added; empty: none."),
    ] = ()


class TableConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How often rows reach the table: whichever comes first."""

    commit_s: Annotated[float, _why("Longest time between two commits.", 0.05, 3600)] = 5.0
    commit_rows: Annotated[
        int,
        _why(
            "Rows that make a commit due after a quarter of `commit_s`, or four times as many "
            "that make it due at once.",
            1,
            10_000_000,
        ),
    ] = 100_000


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All of a run's settings. `directory` is absolute once parsed."""

    directory: Annotated[
        Path, _why("The run's directory; relative paths count from the config file's folder.")
    ] = Path("tape")
    feed: tuple[FeedConfig, ...] = ()
    journal: JournalConfig = JournalConfig()
    decide: tuple[DecideConfig, ...] = ()
    alert: AlertConfig = AlertConfig()
    table: TableConfig = TableConfig()


TABLES: dict[str, type[msgspec.Struct]] = {
    "": Config,
    "[[feed]]": FeedConfig,
    "[journal]": JournalConfig,
    "[[decide]]": DecideConfig,
    "[table]": TableConfig,
    "[alert]": AlertConfig,
}
"""Every table of the file, by the way its head is written; the top has none."""

HOMES = {
    field.name: f"in {head}" if head else "at the top, before the first table"
    for head, kind in reversed(TABLES.items())
    for field in fields_of(kind)
}
"""Key -> where it stands, for who wrote it somewhere else."""
