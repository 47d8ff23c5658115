"""What may change of a feed while it runs, and what a change is in words; pure."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ticktape.config import CHANNELS, POLLED, Config, FeedConfig, dump, parse_config
from ticktape.errors import ConfigError

_TERMINAL = "the symbols of a terminal are read at its start"
_RESTART = "Edit the config, stop the recorder, and start it again."
_SHOWN = 5  # symbols that are named; of more the number says enough
_SINGLES = ("journal", "table", "alert")


class Difference(NamedTuple):
    """What another config would change: feeds that can take it now, and what needs a restart."""

    feeds: list[FeedConfig]
    restarts: list[str]


def with_channels(feed: FeedConfig, channels: Mapping[str, Sequence[str]]) -> FeedConfig:
    """The feed with these symbols, and no others."""
    symbols: dict[str, Any] = dict.fromkeys((*CHANNELS, *POLLED), ())
    symbols |= {channel: tuple(listed) for channel, listed in channels.items()}
    return msgspec.structs.replace(feed, **symbols)


# What a command asks for.


def edited(
    feed: FeedConfig, add: Mapping[str, Sequence[str]], remove: Mapping[str, Sequence[str]]
) -> FeedConfig:
    """The feed with symbols added behind those that it has, and others removed.

    Raises:
        ConfigError: the feed cannot take it; all faults together.
    """
    if feed.kind == "mt5":
        raise ConfigError([f"feed {feed.name!r}: {_TERMINAL}"], hint=_RESTART)
    faults = [
        f"feed {feed.name!r} has no channel {channel!r}"
        for channel in dict.fromkeys((*add, *remove))
        if channel not in CHANNELS
    ]
    if faults:
        raise ConfigError(faults, hint=f"Channels: {', '.join(CHANNELS)}.")
    faults = [
        f"{symbol} of {channel} stands in both --add and --remove"
        for channel, symbols in add.items()
        for symbol in sorted({*symbols} & {*remove.get(channel, ())})
    ]
    if faults:
        raise ConfigError(faults, hint="Say one of them.")
    _check(feed, add)
    return _applied(feed, add, remove)


def _applied(
    feed: FeedConfig, add: Mapping[str, Sequence[str]], remove: Mapping[str, Sequence[str]]
) -> FeedConfig:
    present = feed.channels()
    channels = {}
    for channel in CHANNELS:
        gone = set(remove.get(channel, ()))
        listed = dict.fromkeys((*present.get(channel, ()), *add.get(channel, ())))
        channels[channel] = [symbol for symbol in listed if symbol not in gone]
    made = with_channels(feed, channels)
    if made == feed:
        raise ConfigError(
            [f"feed {feed.name!r}: nothing to do; {'; '.join(_idle(add, remove))}"],
            hint="Without --add and --remove it says what is subscribed.",
        )
    if not made.channels():
        raise ConfigError(
            [f"feed {feed.name!r}: nothing would be left of its subscription"],
            hint="Leave it a symbol, or stop the recorder and take the feed out of the config.",
        )
    return made


def _idle(add: Mapping[str, Sequence[str]], remove: Mapping[str, Sequence[str]]) -> Iterable[str]:
    for channel, symbols in add.items():
        yield f"{channel} has {_listed(symbols)} already"
    for channel, symbols in remove.items():
        yield f"{channel} has no {_listed(symbols)}"


def _check(feed: FeedConfig, add: Mapping[str, Sequence[str]]) -> None:
    """Look at what is added as if it stood in a config."""
    added = {channel: dict.fromkeys(symbols) for channel, symbols in add.items()}
    if not any(added.values()):
        return
    alone = with_channels(feed, {channel: tuple(symbols) for channel, symbols in added.items()})
    try:
        parse_config(dump(Config(feed=(alone,))), "--add", Path())
    except ConfigError as error:
        place = f'feed[1] "{feed.name}".'
        faults = [fault.replace(place, "", 1) for fault in error.faults]
        raise ConfigError(faults, hint="Nothing was changed.") from error


# What another config asks for.


def difference(config: Config, present: Mapping[str, FeedConfig], wanted: Config) -> Difference:
    """What `wanted` has otherwise than the run of `config`, whose feeds stand as `present`."""
    feeds, restarts = [], []
    for feed in wanted.feed:
        ours = present.get(feed.name)
        if ours is None:
            restarts.append(f"feed {feed.name!r} is new")
        elif keys := _fixed_keys(ours, feed):
            words = f" ({_TERMINAL})" if set(keys) & set(POLLED) else ""
            restarts.append(f"feed {feed.name!r}: {', '.join(keys)}{words}")
        elif feed != ours:
            feeds.append(feed)
    listed = {feed.name for feed in wanted.feed}
    restarts += [f"feed {name!r} is no longer there" for name in present if name not in listed]
    restarts += ["directory"] if config.directory != wanted.directory else []
    restarts += ["[[decide]]"] if config.decide != wanted.decide else []
    for name in _SINGLES:
        keys = _differing(getattr(config, name), getattr(wanted, name))
        restarts += [f"[{name}] {', '.join(keys)}"] if keys else []
    return Difference(feeds, restarts)


def _fixed_keys(ours: FeedConfig, wanted: FeedConfig) -> list[str]:
    """The keys that differ and cannot be changed while the feed runs."""
    return [key for key in _differing(ours, wanted) if key not in CHANNELS]


def _differing(one: msgspec.Struct, other: msgspec.Struct) -> list[str]:
    return [name for name in one.__struct_fields__ if getattr(one, name) != getattr(other, name)]


# Words.


def change_words(before: FeedConfig, after: FeedConfig) -> str:
    """What is new and what is gone, by channel: `trades + MSFT, NVDA; quotes - AAPL`."""
    old, new = before.channels(), after.channels()
    parts = []
    for channel in CHANNELS:
        was, now = dict.fromkeys(old.get(channel, ())), dict.fromkeys(new.get(channel, ()))
        added = [symbol for symbol in now if symbol not in was]
        gone = [symbol for symbol in was if symbol not in now]
        parts += [f"{channel} + {_listed(added)}"] if added else []
        parts += [f"{channel} - {_listed(gone)}"] if gone else []
    return "; ".join(parts) or "the same symbols in another order"


def _listed(symbols: Sequence[str]) -> str:
    if len(symbols) <= _SHOWN:
        return ", ".join(symbols)
    return f"{', '.join(symbols[:_SHOWN])} and {len(symbols) - _SHOWN:,} more"
