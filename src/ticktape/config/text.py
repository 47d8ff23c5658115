"""A Config -> text: the template of `ticktape init`, a run's run.toml, and the reference page.

All three are written from the tables themselves; none may hold a secret or a key of its own.
"""

import json
import textwrap
from pathlib import Path

import msgspec
from msgspec import inspect

from ticktape.config.reading import bare, expected, fields_of
from ticktape.config.streams import STREAMS
from ticktape.config.tables import CHANNELS, POLLED, TABLES, Config

_COLUMNS = 96

_FEED = {
    "name": "iex",
    "kind": "alpaca",
    "url": "wss://stream.data.alpaca.markets/v2/iex",
    "keys": "env",
    "trades": ["AAPL", "TSLA"],
    "quotes": ["AAPL", "TSLA"],
    "bars": ["AAPL", "TSLA"],
}

# Alpaca's stream of made-up prices, open day and night to any account.
_FEED_TEST = _FEED | {
    "name": "test",
    "url": "wss://stream.data.alpaca.markets/v2/test",
    "trades": ["FAKEPACA"],
    "quotes": ["FAKEPACA"],
    "bars": ["FAKEPACA"],
}

# The symbols are examples: every broker has its own names.
_FEED_MT5 = {
    "name": "mt5",
    "kind": "mt5",
    "terminal": "module",
    "books": ["EURUSD"],
    "ticks": ["EURUSD"],
    "poll_ms": "auto",
}

_KEYS = "# Keys stand in the environment, not here: APCA_API_KEY_ID and APCA_API_SECRET_KEY."
_LOGIN = """\
# The terminal is best logged in by hand; else MT5_LOGIN and MT5_PASSWORD stand in the environment.
# Put your symbols in as Market Watch shows them; `ticktape probe mt5` says which have a book."""


def default_toml(*, directory: str = "tape", test: bool = False, mt5: bool = False) -> str:
    """Write a config that works as it is: what must be set, and every other key as a comment.

    With `test` it records Alpaca's test stream, with `mt5` the MetaTrader 5 terminal of this
    machine, else Alpaca's free IEX feed.
    """
    lines = [
        "# What ticktape records, and how. A line that begins with # shows a default.",
        _LOGIN if mt5 else _KEYS,
        "",
    ]
    shown: dict[str, dict[str, object]] = {
        "": {"directory": directory},
        "[[feed]]": dict(_FEED_MT5 if mt5 else _FEED_TEST if test else _FEED),
    }
    for head, kind in TABLES.items():
        given = shown.get(head, {})
        # A table of which every line is a comment is one itself: [[decide]] would need its file.
        if head:
            lines += ["", head if given else f"# {head}"]
        for field in fields_of(kind):
            value = given.get(field.name, "strategy.py" if field.required else field.default)
            lines += textwrap.wrap(
                f"{_reason(field)}{_range(field)}",
                _COLUMNS,
                initial_indent="# ",
                subsequent_indent="# ",
            )
            mark = "" if field.name in given else "# "
            lines.append(f"{mark}{field.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def dump(config: Config) -> str:
    """Write `config` as TOML for a run's run.toml: what ran, without what may hold a secret.

    Arguments of the alert command are left out, for they often are addresses with a token.
    """
    lines = ["# The config of this run, with all defaults. No secret stands here.", ""]
    lines += _lines(config)
    for head, parts in (
        ("[[feed]]", config.feed),
        ("[journal]", (config.journal,)),
        ("[[decide]]", config.decide),
        ("[table]", (config.table,)),
    ):
        for part in parts:
            lines += ["", head, *_lines(part)]
    command = config.alert.command
    lines += ["", "[alert]"]
    if len(command) > 1:
        lines.append(f"# and {len(command) - 1} arguments, which may hold secrets")
    lines.append(f"command = {_toml(command[:1])}")
    return "\n".join(lines) + "\n"


def reference() -> str:
    """Write docs/reference/config.md: every key, what it takes, its default and its reason."""
    lines = [
        "# Config",
        "",
        "One TOML file describes a run; `ticktape init` writes one with every key in it. Faults",
        "are all reported together, before anything is opened. Relative paths count from the",
        "folder of the file. Keys and secrets never stand in it.",
        "",
        "This page is written from the code; `tests/config/test_text.py` compares them.",
    ]
    for head, kind in TABLES.items():
        lines += ["", f"## {f'`{head}`' if head else 'At the top'}", ""]
        if head.startswith("[["):
            lines += ["May stand there several times.", ""]
        lines += ["| key | takes | default | what for |", "|---|---|---|---|"]
        for field in fields_of(kind):
            default = "must be given" if field.required else f"`{_toml(field.default)}`"
            lines.append(
                f"| `{field.name}` | {expected(field.type)} | {default} | {_reason(field)} |"
            )
    channels = ", ".join(f"`{name}`" for name in (*CHANNELS, *POLLED))
    lines += [
        "",
        "One channel of a feed at least must list a symbol. The channels are",
        f"{channels}.",
        "",
        "Of Alpaca's, a stream has these; the path of its url says which one it is:",
        "",
    ]
    for stream in STREAMS:
        has = ", ".join(f"`{name}`" for name in stream.channels)
        lines.append(f"- {stream.words}: {has}")
    lines += ["", "Feeds, and `[[decide]]` tables, have names of 1 to 16 of `a-z 0-9 . _ -`.", ""]
    return "\n".join(lines)


def _lines(table: msgspec.Struct) -> list[str]:
    fields = fields_of(type(table))
    return [f"{field.name} = {_toml(getattr(table, field.name))}" for field in fields]


def _reason(field: inspect.Field) -> str:
    assert isinstance(field.type, inspect.Metadata), field.name
    return str((field.type.extra_json_schema or {})["description"])


def _range(field: inspect.Field) -> str:
    """For the keys that have one, ` A number from 0 to 60.`."""
    kind = bare(field.type)
    if not isinstance(kind, inspect.IntType | inspect.FloatType | inspect.LiteralType):
        return ""
    text = expected(field.type)
    return f" {text[0].upper()}{text[1:]}."


def _toml(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str | Path):
        # JSON's quoting is TOML's but for DEL.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
