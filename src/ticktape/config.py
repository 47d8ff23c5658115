"""A TOML file -> one frozen Config, or one ConfigError that lists all of its faults.

Nothing is opened before the whole file is right, and no fault repeats a text from the file: it may
be a secret that stands in the wrong place. Each key has its unit in its name, a range, and a reason,
from which the template and docs/reference/config.md are written (`ticktape.config_text`).
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ticktape.config_faults import Faults, Table
from ticktape.errors import ConfigError
from ticktape.keys import FORMS, Keys, is_keys_spec, read_keys

__all__ = [
    "CHANNELS",
    "KINDS",
    "AlertConfig",
    "Config",
    "DecideConfig",
    "FeedConfig",
    "JournalConfig",
    "Keys",
    "TableConfig",
    "load_config",
    "parse_config",
    "read_keys",
]

MIB = 1_048_576

KINDS = ("alpaca", "alpaca_v1")
"""Kinds of feed that this version knows."""

CHANNELS = ("trades", "quotes", "bars", "updated_bars", "daily_bars", "statuses", "lulds")
"""Keys of a feed that list symbols, in Alpaca's words; corrections and cancels come with trades."""

_CHANNELS_V1 = ("trades", "quotes", "bars")

type_ = msgspec.Struct  # placeholder
