"""A TOML file -> one frozen Config, or one ConfigError that lists all of its faults.

Nothing is opened before the whole file is right, and no secret ever stands in it, in a fault, or in
what is written from it.
"""

from ticktape.config.keys import Keys, read_keys
from ticktape.config.parse import load_config, parse_config
from ticktape.config.tables import (
    CHANNELS,
    KINDS,
    AlertConfig,
    Config,
    DecideConfig,
    FeedConfig,
    JournalConfig,
    TableConfig,
)
from ticktape.config.text import default_toml, dump, reference

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
    "default_toml",
    "dump",
    "load_config",
    "parse_config",
    "read_keys",
    "reference",
]
