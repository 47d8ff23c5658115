"""Kinds of feed that installed packages bring: named by entry points, loaded when they are needed.

Under a kind of its own a package names its protocol in the group `ticktape.feeds`, and what decodes
its bytes in `ticktape.decoders`. To know the names, nothing of a package is imported.
"""

import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ticktape.config.reading import did_you_mean
from ticktape.config.tables import KINDS
from ticktape.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

FEEDS = "ticktape.feeds"
DECODERS = "ticktape.decoders"
PAGE = "docs/how-to/own-feed.md"

_OURS = {*KINDS, "alpaca_rest"}  # a package cannot stand for what decodes our own journals


@cache
def _named(group: str) -> dict[str, list["EntryPoint"]]:
    """Kind -> the entry points of this name; two are of two packages."""
    # Imported where it is needed: it brings readers of mail and archives along.
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=group), key=lambda each: each.name):
        if entry.name not in _OURS:
            found.setdefault(entry.name, []).append(entry)
    return found


def is_packaged(kind: str) -> bool:
    """Whether an installed package brings this kind of feed."""
    return kind not in _OURS and kind in _named(FEEDS)


def kind_fault(kind: str) -> str:
    """Why a feed cannot be of this kind, or nothing."""
    if kind in KINDS:
        return ""
    if not is_packaged(kind):
        known = [*KINDS, *_named(FEEDS)]
        words = " or ".join(f'"{each}"' for each in known)
        return f"must be {words}{did_you_mean(kind, known)} (packages bring others, see {PAGE})"
    for group in (FEEDS, DECODERS):
        entries = _named(group).get(kind, [])
        if not entries:
            owner = _package_of(_named(FEEDS)[kind][0])
            return f"is of the {owner}, which names no decoder in the group {group}, see {PAGE}"
        if len(entries) > 1:
            owners = " and ".join(map(_package_of, entries))
            return f"is in the group {group} of the {owners}; uninstall one of them"
    return ""


def load(group: str, kind: str) -> Callable[..., Any]:
    """What an installed package names for this kind, imported now.

    Raises:
        ConfigError: no package names it, or it cannot be imported.
    """
    entries = [] if kind in _OURS else _named(group).get(kind, [])
    if not entries:
        known = ", ".join([*KINDS, *_named(group)])
        raise ConfigError(
            [f"kind {kind!r} is not known: no installed package names it in the group {group}"],
            hint=f"Known kinds: {known}. Others come as packages, see {PAGE}.",
        )
    try:
        named: object = entries[0].load()
    except Exception as error:
        raise unusable(group, kind, error) from error
    if not callable(named):
        raise unusable(group, kind, TypeError("it is no class"))
    return named


def unusable(group: str, kind: str, error: Exception) -> ConfigError:
    """What to raise when what a package names for this kind cannot be imported or made."""
    entry = _named(group)[kind][0]
    said = f"{entry.value} cannot be used ({type(error).__name__}: {error})"
    return ConfigError(
        [f"kind {kind!r} is of the {_package_of(entry)}, whose {said}"],
        hint=f"Mend it, or install a version that runs here, for {sys.executable}; see {PAGE}.",
    )


def owner_of(kind: str) -> str:
    """The package that brings a kind: `package acme-ticktape 1.0`."""
    return _package_of(_named(FEEDS)[kind][0])


def _package_of(entry: "EntryPoint") -> str:
    if entry.dist is None:
        return f"module {entry.module}"
    return f"package {entry.dist.name} {entry.dist.version}"
