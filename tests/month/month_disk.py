"""The month's disk: small, and looked at all the time by a thread that knows what may be on it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from month_recorder import FEED

from ticktape.config import REST
from ticktape.directory import RunDirectory
from ticktape.journal.position_file import load_positions
from ticktape.journal.retention import DELETED

LOOK_S = 0.2
PINNING = {FEED: ("table", "ledger"), FEED + REST: ("table",)}
"""Journal -> the readers that make something durable of it: nothing they need may be deleted."""


class SmallDisk:
    """A disk of its own for the run; where none may be mounted, a folder that is measured."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.size_bytes = folder, size_bytes
        self.is_mounted = False
        if sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount"):
            options = ["-t", "tmpfs", "-o", f"size={size_bytes}", "ticktape-month"]
            done = subprocess.run(
                ["mount", *options, folder], check=False, capture_output=True, timeout=240
            )
            self.is_mounted = done.returncode == 0
        self._filler = folder / "filler"
        self._is_filled = False
        self._refused: tuple[int, int] | None = None

    def used_bytes(self) -> int:
        """What is on it; nothing can be said while it is filled, and 0 is."""
        if self.is_mounted:
            before = self._is_filled
            room = os.statvfs(self.folder)
            is_known = not (before or self._is_filled or self._filler.exists())
            return (room.f_blocks - room.f_bfree) * room.f_frsize if is_known else 0
        found = 0
        for root, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    found += os.stat(os.path.join(root, name)).st_blocks * 512
        return found

    def fill(self, pid: int) -> None:
        """Let it be full; where it is a folder, for the process `pid` alone."""
        self._is_filled = True
        if self.is_mounted:
            with open(self._filler, "wb", buffering=0) as filler, contextlib.suppress(OSError):
                while filler.write(bytes(65_536)):
                    pass
            return
        import resource

        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
        self._refused = pid, hard

    def free(self) -> None:
        """Let it have room again."""
        self._filler.unlink(missing_ok=True)
        self._is_filled = False
        if self._refused is not None:
            import resource

            pid, hard = self._refused
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
            self._refused = None

    def close(self) -> None:
        """Give it back; what was on a mounted one is gone."""
        if self.is_mounted:
            subprocess.run(["umount", "-l", self.folder], check=False, capture_output=True)
            self.is_mounted = False


class Watch:
    """Looks at the disk again and again: how much is used, and that nothing went too early.

    `violations` are in words; `used_bytes_max` and `segments_bytes_max` are the most that was seen.
    """

    def __init__(self, tape: Path, disk: SmallDisk, segments_bytes: int) -> None:
        self._directory = RunDirectory(tape)
        self._disk, self._segments_bytes = disk, segments_bytes
        self.violations: list[str] = []
        self.used_bytes_max = 0
        self.segments_bytes_max = 0
        self.deleted: dict[tuple[str, int, int], dict] = {}
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> "Watch":
        self._thread.start()
        return self

    def stop(self) -> None:
        """Look once more, and no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self.look()

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """One look."""
        self.looks += 1
        self._look_at_room()
        self._look_at_deleted()

    def _look_at_room(self) -> None:
        used = self._disk.used_bytes()
        self.used_bytes_max = max(self.used_bytes_max, used)
        if used > self._disk.size_bytes:
            self.violations.append(f"{used:,} bytes are on a disk of {self._disk.size_bytes:,}")
        segments = 0
        for journal in PINNING:
            with contextlib.suppress(FileNotFoundError):
                for entry in os.scandir(self._directory.feed_journal(journal)):
                    with contextlib.suppress(FileNotFoundError):
                        segments += entry.stat().st_size
        self.segments_bytes_max = max(self.segments_bytes_max, segments)
        if segments > self._segments_bytes:
            self.violations.append(f"segments took {segments:,} of {self._segments_bytes:,} bytes")

    def _look_at_deleted(self) -> None:
        """What went must lie before where its readers had saved that they stand."""
        for journal, readers in PINNING.items():
            lines = []
            with contextlib.suppress(FileNotFoundError):
                path = self._directory.feed_journal(journal) / DELETED
                lines = path.read_bytes().splitlines()
            fresh = {}
            for line in lines:
                with contextlib.suppress(ValueError):
                    each = json.loads(line)
                    key = (journal, each["epoch"], each["base"])
                    if key not in self.deleted:
                        fresh[key] = each
            # Looked at behind what went, so that a place is never older than what was asked of it.
            for reader in readers if fresh else ():
                saved = load_positions(self._directory.reader_file(reader))[0].get(journal)
                for each in fresh.values():
                    end = (each["epoch"], each["end_offset"])
                    if saved is None or (saved.epoch, saved.offset) < end:
                        self.violations.append(
                            f"{each['segment']} of {journal} went before {reader} had read it: "
                            f"{saved} is not behind {end}"
                        )
            self.deleted |= fresh
