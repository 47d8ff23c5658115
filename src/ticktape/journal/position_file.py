"""Where a reader stands, on the disk; saved only after what it made is itself durable there."""

import json
from collections.abc import Mapping
from pathlib import Path

from ticktape.journal.disk import Disk
from ticktape.records import Position


def save_positions(
    path: Path, positions: Mapping[str, Position], counts: Mapping[str, object] | None = None
) -> None:
    """Replace the file at `path` atomically: {feed: position}, and counts that belong to them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "positions": {feed: list(position) for feed, position in positions.items()},
        "counts": dict(counts or {}),
    }
    Disk().replace(path, json.dumps(content, indent=1).encode() + b"\n")


def load_positions(path: Path) -> tuple[dict[str, Position], dict[str, object]]:
    """What `save_positions` kept; both empty when there is no file or it cannot be read.

    An unreadable file is no fault: its reader then begins at the start, and what it makes
    carries positions of its own.
    """
    try:
        content = json.loads(path.read_bytes())
        positions = {
            feed: Position(int(epoch), int(offset))
            for feed, (epoch, offset) in content["positions"].items()
        }
        return positions, dict(content["counts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, {}
