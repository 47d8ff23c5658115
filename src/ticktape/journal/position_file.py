"""Where a reader stands, on the disk; saved only after what it made is itself durable there."""

import json
from collections.abc import Mapping
from pathlib import Path

from ticktape.checksum import crc32
from ticktape.journal.disk import Disk
from ticktape.records import Position


def save_positions(
    path: Path,
    positions: Mapping[str, Position],
    counts: Mapping[str, object] | None = None,
    *,
    disk: Disk | None = None,
) -> None:
    """Replace the file at `path` atomically: {feed: position}, and counts that belong to them.

    Raises:
        OSError: the disk refused; the file is the old or the new one.
    """
    disk = disk or Disk()
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
        disk.sync_parents(path.parent)
    content: dict[str, object] = {
        "positions": {feed: list(position) for feed, position in positions.items()},
        "counts": dict(counts or {}),
    }
    content["crc"] = _checksum(content)
    disk.replace(path, json.dumps(content, indent=1).encode() + b"\n")


def load_positions(path: Path) -> tuple[dict[str, Position], dict[str, object]]:
    """What `save_positions` kept; both empty when there is no file or it cannot be read.

    An unreadable file is no fault: its reader then begins at the start, and what it makes
    carries positions of its own. A flipped digit must not send it past what it never read.
    """
    try:
        content = json.loads(path.read_bytes())
        if content.pop("crc") != _checksum(content):
            return {}, {}
        positions = {
            feed: Position(int(epoch), int(offset))
            for feed, (epoch, offset) in content["positions"].items()
        }
        return positions, dict(content["counts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, {}


def _checksum(content: Mapping[str, object]) -> int:
    return crc32(json.dumps(content, sort_keys=True).encode())
