"""A TOML file -> one frozen Config, or one ConfigError that lists all of its faults.

Nothing is opened before the whole file is right, and no secret ever stands in it, in a fault, or in
what is written from it.
"""

from ticktape.config.healing import heal_base, heal_feed_of
from ticktape.config.keys import Keys, read_keys, read_login
from ticktape.config.packages import is_packaged
from ticktape.config.parse import load_config, parse_config
from ticktape.config.streams import hours_of
from ticktape.config.tables import (
    CHANNELS,
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
from ticktape.config.terminal import bridge_of
from ticktape.config.text import default_toml, dump, reference

__all__ = [
    "CHANNELS",
    "KINDS",
    "LEG_B",
    "POLLED",
    "REST",
    "AlertConfig",
    "Config",
    "DecideConfig",
    "FeedConfig",
    "JournalConfig",
    "Keys",
    "TableConfig",
    "bridge_of",
    "default_toml",
    "dump",
    "heal_base",
    "heal_feed_of",
    "hours_of",
    "is_packaged",
    "load_config",
    "parse_config",
    "read_keys",
    "read_login",
    "reference",
]
