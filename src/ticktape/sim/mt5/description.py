"""What a simulated terminal is: its symbols, its account, its clock, and how it answers.

Kept as JSON in the file `terminal64.exe` of a world's directory. The file stands for the real
executable, whose path clients give to `initialize`.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ticktape.errors import ConfigError

EXECUTABLE = "terminal64.exe"
SHIPPED = "shipped"
RECORDED, GENERATED, NONE, EMPTY = "recorded", "generated", "none", "empty"
ANOMALIES = (
    "crossed",
    "unsorted",
    "duplicate",
    "one_level",
    "empty",
    "one_sided",
    "market_rows",
    "fraction",
    "identical",
    "depth",
    "overfull",
)
"""What real brokers' books do: prices crossed, out of order, or twice on one side; a single row, no
row, one side only; rows of the types 3 and 4; volume 0 with a fraction of 0.37; the same book
twice; a depth between 4 and `levels`; more rows than the symbol's depth allows."""

SYMBOL_UNITS_MAX = 30
LEVELS_MAX = 1000

# The real module waits 60 s for a terminal to start, and as long for it to log in.
WAIT_SCALE = 1 / 300


@dataclass(frozen=True)
class BookDescription:
    """Where one symbol's book comes from.

    A recorded book has a `file`, or `shipped`; a generated one `levels` a side and `rate` changes a
    second, at random moments if `poisson`. `share` of its states have one of the `anomalies`. A
    symbol of the kind `none` has no book, one of the kind `empty` has one that never fills.
    `exchange` gives it deals and real volumes in its ticks.
    """

    kind: str = RECORDED
    file: str = SHIPPED
    levels: int = 10
    rate: float = 100.0
    poisson: bool = False
    anomalies: tuple[str, ...] = ()
    share: float = 0.05
    exchange: bool = False

    def faults(self) -> list[str]:
        """What is wrong with it, in words."""
        wrong = []
        if not 1 <= self.levels <= LEVELS_MAX:
            wrong.append(f"levels {self.levels} is not between 1 and {LEVELS_MAX}")
        if not 0 < self.rate <= 1e6:
            wrong.append(f"rate {self.rate:g} is not between 0 and 1,000,000")
        if not 0 <= self.share <= 1:
            wrong.append(f"share {self.share:g} is not between 0 and 1")
        wrong += [
            f"{name!r} is no anomaly; known: {', '.join(ANOMALIES)}"
            for name in self.anomalies
            if name not in ANOMALIES
        ]
        if self.kind == RECORDED and self.file != SHIPPED and not Path(self.file).is_file():
            wrong.append(f"{self.file}: there is no such file")
        return wrong


def _default_books() -> dict[str, BookDescription]:
    return {"BTCUSDT": BookDescription()}


@dataclass(frozen=True)
class Description:
    """A terminal and its market; every field has a default.

    `speed` 0 moves a recorded book on by one state with each call that reads it. `passes` 0 plays
    it for ever. `tick_rate` and `same_ms` shape generated ticks: how many a second, and up to how
    many share a millisecond. The broker's clock is UTC plus `broker_hours`, from `switch_wall_ns`
    (if not 0) on plus `switch_hours`. `wait_scale` shortens the module's waits of 60 s.
    """

    books: dict[str, BookDescription] = field(default_factory=_default_books)
    seed: int = 0
    speed: float = 1.0
    passes: int = 1
    warm_s: float = 0.0
    tick_rate: float = 5.0
    same_ms: int = 4
    broker_hours: float = 2.0
    switch_wall_ns: int = 0
    switch_hours: float = 0.0
    login: int = 5_000_001
    password: str = "demo"
    server: str = "Demo-Server"
    company: str = "ticktape simulation"
    build: int = 6231
    latency_us: int = 0
    spike_ppm: int = 0
    spike_low_ms: int = 50
    spike_high_ms: int = 500
    hold_gil: bool = True
    wait_scale: float = WAIT_SCALE

    def check(self) -> None:
        """Refuse what cannot be played.

        Raises:
            ConfigError: with all faults.
        """
        wrong = []
        for symbol, book in self.books.items():
            units = len(symbol.encode("utf-16-le", "surrogatepass")) // 2
            if not 1 <= units <= SYMBOL_UNITS_MAX:
                wrong.append(f"--book {symbol}: a symbol has 1 to {SYMBOL_UNITS_MAX} characters")
            wrong += [f"--book {symbol}: {fault}" for fault in book.faults()]
        if self.speed < 0 or self.speed != self.speed:
            wrong.append(f"--speed {self.speed:g} is below 0")
        if self.passes < 0 or (self.passes == 0 and self.speed == 0):
            wrong.append(f"--passes {self.passes} has no end that --speed max could reach")
        for name in ("latency_us", "tick_rate", "warm_s", "same_ms"):
            if getattr(self, name) < 0:
                wrong.append(f"--{name.replace('_', '-')} {getattr(self, name)} is below 0")
        if wrong:
            raise ConfigError(wrong, hint="See `ticktape sim mt5 --help`.")

    def to_json(self) -> str:
        """The text of `terminal64.exe`."""
        return json.dumps(asdict(self), indent=1)

    def same_ticks(self, other: "Description") -> bool:
        """Whether both make the same ticks, so that a history may go on."""
        return all(getattr(self, name) == getattr(other, name) for name in _TICK_FIELDS)


_TICK_FIELDS = (
    *("books", "seed", "tick_rate", "same_ms", "speed", "passes"),
    *("broker_hours", "switch_wall_ns", "switch_hours"),
)


def from_json(text: str) -> Description:
    """Read what `to_json` wrote.

    Raises:
        ValueError: it is something else.
    """
    values = json.loads(text)
    books = {
        symbol: BookDescription(**{**book, "anomalies": tuple(book["anomalies"])})
        for symbol, book in values.pop("books").items()
    }
    return Description(books=books, **values)


def parse_book(text: str) -> tuple[str, BookDescription]:
    """Symbol and book of `NAME=SOURCE`.

    A source is `shipped`, `generated` or `generated:levels=20,rate=100,…`, `none`, `empty`, or a
    Parquet file.

    Raises:
        ConfigError: the text is none of these.
    """
    symbol, equals, source = text.partition("=")
    if not (symbol and equals and source):
        raise ConfigError([f"--book {text!r} is not NAME=SOURCE"], hint="Say --book EURUSD=shipped")
    kind, _, options = source.partition(":")
    if kind in (NONE, EMPTY):
        return symbol, BookDescription(kind=kind)
    if kind != GENERATED:
        return symbol, BookDescription(file=source)
    book = BookDescription(kind=GENERATED)
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        try:
            book = _with_option(book, name, value)
        except ValueError as error:
            raise ConfigError(
                [f"--book {text!r}: {option!r}: {error}"],
                hint="Options: levels=10 rate=100 share=0.05 poisson exchange anomalies=crossed+…",
            ) from error
    return symbol, book


def _with_option(book: BookDescription, name: str, value: str) -> BookDescription:
    match name:
        case "levels":
            return replace(book, levels=int(value))
        case "rate":
            return replace(book, rate=float(value))
        case "share":
            return replace(book, share=float(value))
        case "poisson":
            return replace(book, poisson=value != "0")
        case "exchange":
            return replace(book, exchange=value != "0")
        case "anomalies":
            names = ANOMALIES if value == "all" else tuple(value.split("+"))
            return replace(book, anomalies=names)
    raise ValueError("there is no such option")
