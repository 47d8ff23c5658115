"""What every offline verb needs to open a run's directory: its feeds, its readers, its tail."""

import contextlib
import itertools
import tomllib
from pathlib import Path

from filelock import FileLock, Timeout

from ticktape.config import LEG_B, REST
from ticktape.decisions.tables import DecisionTables
from ticktape.decoders import decoder_for
from ticktape.decoders.ledger import LedgerTables
from ticktape.directory import DECISION, LEDGER, RunDirectory
from ticktape.errors import ConfigError, Corrupt
from ticktape.journal.reader import Reader
from ticktape.journal.segments import list_segments
from ticktape.records import Position
from ticktape.table.builder import BlockDecoder

BEGINNING = Position(0, 0)
REST_KIND = "alpaca_rest"  # of the journals that hold what REST said


def open_run(root: Path) -> RunDirectory:
    """The run in the folder `root`.

    Raises:
        ConfigError: there is no run.
    """
    directory = RunDirectory(root)
    if not directory.config.is_file() or not (root / "feeds").is_dir():
        near = _runs_near(root)
        raise ConfigError(
            [f"{root}: no ticktape run here"],
            hint=f"There is one in {', '.join(map(str, near))}."
            if near
            else "Name the directory of a run, e.g. runs/demo; `make demo` makes that one.",
        )
    return directory


def _runs_near(root: Path) -> list[Path]:
    """Up to three runs one or two folders further down: `.` and `runs` are easily said."""
    try:
        found = [
            path.parent
            for pattern in ("*/run.toml", "*/*/run.toml")
            for path in itertools.islice(root.glob(pattern), 3)
            if (path.parent / "feeds").is_dir()
        ]
    except OSError:
        return []
    return sorted(found)[:3]


def feed_kinds(directory: RunDirectory) -> dict[str, str]:
    """Feed -> kind, for every feed that has a journal; `feed.rest` is what healed it.

    Raises:
        ConfigError: run.toml cannot be read, or a journal's feed is not in it.
    """
    try:
        document = tomllib.loads(directory.config.read_text())
        kinds = {
            name: REST_KIND if name.endswith(REST) else str(feed["kind"])
            for feed in document["feed"]
            for name in _journals(str(feed["name"]), int(feed.get("legs", 1)))
        }
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError(
            [f"{directory.config}: cannot be read: {error}"],
            hint="It is written by the recorder; start the recorder on this directory again.",
        ) from error
    unknown = [feed for feed in directory.feeds() if feed not in kinds]
    if unknown:
        raise ConfigError(
            [f"{directory.config}: feed {feed!r} has a journal and no entry" for feed in unknown],
            hint="Put the feed back into the config that recorded it; run.toml is its copy.",
        )
    return {feed: kinds[feed] for feed in directory.feeds()}


def _journals(feed: str, legs: int) -> list[str]:
    return [feed, feed + LEG_B] if legs > 1 else [feed, feed + REST]


def stream_kinds(directory: RunDirectory) -> dict[str, str]:
    """Feed -> kind, for every feed that hears a venue: those that healed them are left out.

    Raises:
        ConfigError: as `feed_kinds`.
    """
    return {name: kind for name, kind in feed_kinds(directory).items() if not name.endswith(REST)}


def sources(directory: RunDirectory) -> list[str]:
    """Names of all journals of a run: feeds, strategies, and the ledger's own if there is one."""
    found = [*directory.feeds(), *(f"{DECISION}:{name}" for name in directory.decisions())]
    return [*found, LEDGER] if directory.journal(LEDGER).is_dir() else found


def decoders_of(directory: RunDirectory) -> dict[str, BlockDecoder]:
    """A new decoder for every journal of a run, by its name.

    Raises:
        ConfigError: as `feed_kinds`.
    """
    kinds = feed_kinds(directory)
    return {name: decoder_of(name, kinds.get(name, "")) for name in sources(directory)}


def decoder_of(name: str, kind: str) -> BlockDecoder:
    """The decoder of a journal; `kind` is that of a feed, for others it says nothing.

    Raises:
        ConfigError: no decoder has this kind.
    """
    if name == LEDGER:
        return LedgerTables()
    head, colon, strategy = name.partition(":")
    if colon and head == DECISION:
        return DecisionTables(strategy)
    return decoder_for(kind, name)


def reader_of(
    directory: RunDirectory,
    name: str,
    start: Position = BEGINNING,
    *,
    live: bool,
) -> Reader:
    """A reader of a feed's or strategy's journal.

    Args:
        directory: the run's.
        name: a feed, or `decision:` and a strategy's name.
        start: where to begin.
        live: a writer is at work; read what it has written. Otherwise read the files to their end.
    """
    positions = directory.positions(name) if live else None
    return Reader(directory.journal(name), positions, start)


def is_live(directory: RunDirectory) -> bool:
    """Whether a recorder is at work in this directory now."""
    if not directory.lock.exists():
        return False
    lock = FileLock(directory.lock, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:
        return False  # a read-only copy: nobody records into it
    lock.release()
    return False


def boots_of(directory: RunDirectory, name: str) -> dict[int, bytes]:
    """Epoch -> boot id, from the headers of a journal's segments; damaged headers are left out."""
    boots: dict[int, bytes] = {}
    for segment in list_segments(directory.journal(name)):
        with contextlib.suppress(Corrupt):
            boots.setdefault(segment.epoch, segment.header().boot_id)
    return boots
