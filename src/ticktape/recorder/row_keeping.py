"""Deletes rows of latency and pauses that are older than the config keeps.

Nothing is proved by them. The newest file of a stage and feed stays, for a process may append to it
that has been quiet for long.
"""

import contextlib
from collections import defaultdict
from pathlib import Path

from ticktape.directory import RunDirectory
from ticktape.latency.rowfile import SUFFIX


def delete_rows(directory: RunDirectory, before_ns: int) -> int:
    """Delete full files whose last row was written before `before_ns`; how many went.

    Raises:
        OSError: the disk refused.
    """
    deleted = 0
    for folder in (*directory.stages.glob("*"), directory.pauses):
        for paths in _by_name(folder).values():
            for written_ns, path in sorted(paths)[:-1]:
                if written_ns < before_ns:
                    path.unlink(missing_ok=True)
                    deleted += 1
    return deleted


def _by_name(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    """What of each feed or process is there, and when it was written to last."""
    found: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            name = path.name.rsplit("-", 2)[0]
            found[name].append((path.stat().st_mtime_ns, path))
    return found
