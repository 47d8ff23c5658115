"""A TOML text -> a Config; what one table's types cannot say is checked here.

A check looks only at keys that are right by themselves, so that one mistake makes one fault; and no
fault repeats a text from the file, for it may be a secret that stands in the wrong place.
"""

import re
import tomllib
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import msgspec

from ticktape.config.healing import check_healing
from ticktape.config.keys import FORMS, is_keys_spec
from ticktape.config.packages import is_packaged, kind_fault
from ticktape.config.reading import SECRET_CURE, Faults, Shape, read_table
from ticktape.config.streams import check_wire, stream_channel_fault, stream_symbol_fault
from ticktape.config.tables import (
    CHANNELS,
    HOMES,
    KINDS,
    LEG_B,
    POLLED,
    REST,
    AlertConfig,
    Config,
    DecideConfig,
    FeedConfig,
    JournalConfig,
    TableConfig,
)
from ticktape.config.terminal import (
    check_terminal,
    polled_symbol_fault,
    with_absolute_terminal,
)
from ticktape.errors import ConfigError

_LISTS = ("feed", "decide")
_SINGLES = ("journal", "alert", "table")
_CHANNELS_V1 = ("trades", "quotes", "bars")
_PROXY_SCHEMES = ("http", "https", "socks4", "socks5")
_NAME_MAX = 16
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,15}")
_NAME_RULE = "must be 1 to 16 of a-z 0-9 . _ - and begin with a letter or a digit"


def load_config(path: Path) -> Config:
    """Read the config in the file `path`; relative paths in it count from its folder.

    Raises:
        ConfigError: it cannot be read, or has faults; all of them are in `faults`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(
            [f"{path}: cannot be read: {error.strerror}"], hint="`ticktape init` writes a config."
        ) from error
    except UnicodeDecodeError:
        # `from None`: the decoding error would carry the file's bytes along.
        raise ConfigError([f"{path}: is not UTF-8 text"], hint="Save it as UTF-8.") from None
    return parse_config(text, str(path), path.resolve().parent)


def parse_config(text: str, source: str, directory_base: Path) -> Config:
    """Read the config in `text`; `source` names it in faults.

    Relative paths in it count from `directory_base`.

    Raises:
        ConfigError: it has faults; all of them are in `faults`, each with its place and its cure.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Also a number of thousands of digits, or lists in lists without end, which Python's reader
        # does not call a TOML error. `from None`: from 3.14 on it carries the whole text along.
        raise ConfigError(
            [f"{source}: is not TOML: {error}"],
            hint="Texts stand in quotes, lists in [ ], true and false are lower case.",
        ) from None
    faults = Faults(source)
    base = directory_base.absolute()
    top = {key: value for key, value in document.items() if key not in _LISTS + _SINGLES}
    config, _ = read_table(Config, top, "", faults, HOMES)
    config = msgspec.structs.replace(
        config,
        directory=base / config.directory,
        feed=_read_feeds(document, base, faults),
        journal=_read_single(JournalConfig, document, "journal", faults),
        decide=_read_decides(document, base, faults),
        alert=_read_single(AlertConfig, document, "alert", faults),
        table=_read_single(TableConfig, document, "table", faults),
    )
    if config.alert.command and not config.alert.command[0]:
        faults.add("alert.command", "begins with an empty text; it must begin with a program")
    if faults.found:
        raise ConfigError(
            faults.found, hint="Nothing was opened. docs/reference/config.md lists every key."
        )
    return config


def _read_single(kind: type[Shape], document: dict[str, object], key: str, faults: Faults) -> Shape:
    table = document.get(key, {})
    if isinstance(table, list):
        faults.add(key, f"is one table: write [{key}], with one bracket, and once")
        return kind()
    return read_table(kind, table, key, faults, HOMES)[0]


def _tables(document: dict[str, object], key: str, faults: Faults) -> list[tuple[str, object]]:
    """The tables [[key]], each with its place as in `feed[1] "sip"`, counted from 1."""
    tables = document.get(key, [])
    if not isinstance(tables, list):
        faults.add(key, f"is a list of tables: write [[{key}]], with two brackets")
        return []
    placed = []
    for number, table in enumerate(tables, 1):
        name = table.get("name") if isinstance(table, dict) else None
        shown = f' "{name}"' if isinstance(name, str) and _NAME.fullmatch(name) else ""
        placed.append((f"{key}[{number}]{shown}", table))
    return placed


def _read_feeds(document: dict[str, object], base: Path, faults: Faults) -> tuple[FeedConfig, ...]:
    feeds: list[FeedConfig] = []
    for place, table in _tables(document, "feed", faults):
        feed, wrong = read_table(FeedConfig, table, place, faults, HOMES)
        _check_feed_name(feed, wrong, place, faults, {other.name for other in feeds})
        _check_feed_venue(feed, wrong, place, faults)
        _check_symbols(feed, wrong, place, faults)
        if feed.kind != "mt5":  # a terminal has no connection of ours
            _check_connection(feed, wrong, place, faults, base)
        feeds.append(_with_absolute_paths(feed, base))
    if document.get("feed", []) == []:
        faults.add("feed", "is missing: there is nothing to record; begin a table [[feed]]")
    return tuple(feeds)


def _with_absolute_paths(feed: FeedConfig, base: Path) -> FeedConfig:
    keys, ca_file = feed.keys, feed.ca_file
    if keys.startswith("file:") and not keys.startswith("file:~"):
        keys = f"file:{base / keys.removeprefix('file:')}"
    if ca_file:
        ca_file = str(base / ca_file)
    terminal = with_absolute_terminal(feed.terminal, base)
    return msgspec.structs.replace(feed, keys=keys, ca_file=ca_file, terminal=terminal)


def _check_feed_name(
    feed: FeedConfig, wrong: frozenset[str], place: str, faults: Faults, taken: set[str]
) -> None:
    if "name" in wrong:
        return
    if not _NAME.fullmatch(feed.name):
        faults.add(f"{place}.name", _NAME_RULE)
    elif feed.name.endswith(REST):
        faults.add(f"{place}.name", f"must not end in {REST}: that is the journal of healed gaps")
    elif feed.name.endswith(LEG_B):
        faults.add(f"{place}.name", f"must not end in {LEG_B}: that is a second leg's journal")
    elif feed.legs > 1 and len(feed.name) > _NAME_MAX - len(LEG_B):
        faults.add(f"{place}.name", "must be at most 14 long with legs = 2")
    elif feed.name in taken:
        faults.add(f"{place}.name", "is the name of another feed; each needs its own")


def _check_feed_venue(feed: FeedConfig, wrong: frozenset[str], place: str, faults: Faults) -> None:
    if "kind" not in wrong and (fault := kind_fault(feed.kind)):
        faults.add(f"{place}.kind", fault)
    if feed.kind == "mt5":
        check_terminal(feed, wrong, place, faults)
    elif feed.legs > 1 and _is_known(feed):
        faults.add(f"{place}.legs", "is for kind mt5; make a second [[feed]] instead")
    if feed.kind != "mt5" and "url" not in wrong and (fault := _url_fault(feed.url, ("ws", "wss"))):
        faults.add(f"{place}.url", fault if feed.url else f"is missing; it {fault}")
    if "keys" not in wrong and not is_keys_spec(feed.keys):
        faults.add(f"{place}.keys", f"must be {FORMS}; {SECRET_CURE}")
    check_wire(feed, wrong, place, faults)
    check_healing(feed, wrong, place, faults)


def _is_known(feed: FeedConfig) -> bool:
    return feed.kind in KINDS or is_packaged(feed.kind)


def _check_symbols(feed: FeedConfig, wrong: frozenset[str], place: str, faults: Faults) -> None:
    for channel, symbols in feed.channels().items():
        if fault := _channel_fault(feed, channel, symbols):
            faults.add(f"{place}.{channel}", fault)
            continue
        seen: set[str] = set()
        for number, symbol in enumerate(symbols, 1):
            item = f"{place}.{channel}[{number}]"
            if channel in POLLED:
                fault = polled_symbol_fault(symbol)
            else:
                fault = stream_symbol_fault(feed, symbol)
            if fault:
                faults.add(item, fault)
            if symbol in seen:
                faults.add(item, "stands in the list twice; take one out")
            seen.add(symbol)
    if not feed.channels() and not wrong.intersection((*CHANNELS, *POLLED)):
        example = 'books = ["EURUSD"]' if feed.kind == "mt5" else 'trades = ["AAPL"]'
        faults.add(place, f"asks for nothing; give it symbols, like {example}")


def _channel_fault(feed: FeedConfig, channel: str, symbols: tuple[str, ...]) -> str:
    """Why a feed of this kind cannot have the channel, or not these symbols of it."""
    if (feed.kind == "mt5") != (channel in POLLED) and _is_known(feed):
        return f"is not for kind {feed.kind}; leave it out"
    if feed.kind == "alpaca_v1" and channel not in _CHANNELS_V1:
        return "is not in the protocol of alpaca_v1; leave it out"
    if feed.kind == "alpaca_v1" and channel != "bars" and "*" in symbols:
        return 'must name its symbols: alpaca_v1 has "*" for bars only'
    return stream_channel_fault(feed, channel, symbols)


def _check_connection(
    feed: FeedConfig, wrong: frozenset[str], place: str, faults: Faults, base: Path
) -> None:
    if feed.proxy not in ("", "env") and (fault := _url_fault(feed.proxy, _PROXY_SCHEMES)):
        faults.add(f"{place}.proxy", fault)
    if feed.ca_file and not (base / feed.ca_file).is_file():
        faults.add(
            f"{place}.ca_file", "is not there; name a PEM file, from the config file's folder"
        )
    elif feed.ca_file and feed.url.lower().startswith("ws:"):
        faults.add(f"{place}.ca_file", "has no use with ws://; write wss:// or leave it out")
    if not wrong & {"ping_s", "pong_timeout_s"} and feed.pong_timeout_s > feed.ping_s:
        faults.add(
            f"{place}.pong_timeout_s",
            f"is {feed.pong_timeout_s:g}; it must not be over ping_s, which is {feed.ping_s:g}",
        )


def _url_fault(url: str, schemes: tuple[str, ...]) -> str:
    """What is wrong with `url`, or nothing."""
    begins = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        return f"is not a URL; it must be like {schemes[-1]}://host:port"
    if parts.scheme not in schemes:
        return f"must begin with {begins}"
    if not parts.hostname or not port_fits or " " in url:
        return f"is not a URL; it must be like {schemes[-1]}://host:port"
    if _may_hold_secret(parts):
        return f"must hold no user, password, ? or #; {_secret_cure(schemes)}"
    return ""


def _may_hold_secret(parts: SplitResult) -> bool:
    return "@" in parts.netloc or bool(parts.query or parts.fragment)


def _secret_cure(schemes: tuple[str, ...]) -> str:
    if schemes is _PROXY_SCHEMES:
        return 'write proxy = "env" and set HTTPS_PROXY'
    return SECRET_CURE


def _read_decides(
    document: dict[str, object], base: Path, faults: Faults
) -> tuple[DecideConfig, ...]:
    decides: list[DecideConfig] = []
    for place, table in _tables(document, "decide", faults):
        decide, wrong = read_table(DecideConfig, table, place, faults, HOMES)
        file = base / decide.file
        if "file" not in wrong and not (file.is_file() and file.suffix == ".py"):
            faults.add(
                f"{place}.file", "is not there; name a .py file, from the config file's folder"
            )
        elif not wrong & {"file", "name"}:
            decide = msgspec.structs.replace(decide, file=file, name=decide.name or file.stem)
            _check_decide_name(decide, place, faults, {other.name for other in decides})
        if decide.class_name and not decide.class_name.isidentifier():
            faults.add(f"{place}.class_name", "must be the name of a class in the file")
        decides.append(decide)
    return tuple(decides)


def _check_decide_name(decide: DecideConfig, place: str, faults: Faults, taken: set[str]) -> None:
    if not _NAME.fullmatch(decide.name):
        faults.add(f"{place}.name", f"{_NAME_RULE}; left out, it is the file's name without .py")
    elif decide.name in taken:
        faults.add(f"{place}.name", "is the name of another [[decide]]; each needs its own")
