"""The thin seam to the disk: every byte of a journal goes through here, so that tests can break it.

Nothing here retries, and nothing here hides an error.
"""

import errno
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from ticktape import failpoints
from ticktape.errors import Full, JournalError, SyncFailed, WriteFailed

# What a disk says when it has no room: no space, over the quota, file too large (ulimit -f).
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BINARY = getattr(os, "O_BINARY", 0)  # Windows only


def _write_joined(descriptor: int, pieces: Sequence[bytes]) -> int:
    return os.write(descriptor, b"".join(pieces))


class Disk:
    """Plain calls to the operating system, named by what the journal means by them."""

    def create(self, path: Path) -> int:
        """A descriptor of a new file; FileExistsError when it exists."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | _BINARY, 0o640)

    # Append bytes with one call; returns how many the system took. The bare built-in, since every
    # block goes through it and a method around it would be a tenth of the journal's own cost.
    write = staticmethod(os.write)

    # The same for bytes in pieces, as if they were joined.
    write_pieces = staticmethod(getattr(os, "writev", _write_joined))

    def duplicate(self, descriptor: int) -> int:
        """Another descriptor of the same open file."""
        return os.dup(descriptor)

    def size(self, descriptor: int) -> int:
        """Bytes that the file has now."""
        return os.fstat(descriptor).st_size

    def sync(self, descriptor: int) -> None:
        """Wait until what was written is on the disk itself."""
        if hasattr(os, "fdatasync"):
            os.fdatasync(descriptor)
        else:
            os.fsync(descriptor)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a folder durable; a no-op where folders cannot be opened (Windows)."""
        if os.name == "nt":
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""
        os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def sync_file(self, path: Path) -> None:
        """Wait until a file that nobody writes any more is on the disk itself."""
        descriptor = os.open(path, os.O_RDWR | _BINARY)  # Windows syncs no file opened to read
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def create_anew(self, path: Path) -> int:
        """A descriptor of an empty file, whatever was at `path`."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o640)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in place of whatever has it."""
        os.replace(old, new)

    def replace(self, path: Path, content: bytes) -> None:
        """Put `content` at `path` so that a crash leaves the old or the new, never a part."""
        fresh = path.with_name(path.name + ".new")
        descriptor = self.create_anew(fresh)
        try:
            failpoints.pass_by("disk.replace-begun")
            view = memoryview(content)
            while view:
                taken = self.write(descriptor, bytes(view))
                if not taken:  # asking again might never end
                    raise OSError(errno.ENOSPC, f"took nothing of {len(view)} bytes")
                view = view[taken:]
            # Before the rename: a name may become durable earlier than what it stands for.
            self.sync(descriptor)
        finally:
            self.close(descriptor)
        failpoints.pass_by("disk.before-replace")
        self.rename(fresh, path)
        failpoints.pass_by("disk.after-replace")
        self.sync_directory(path.parent)

    def sync_parents(self, path: Path) -> None:
        """Make the name of a folder and of all folders above it durable, as far as we may read."""
        for parent in path.absolute().parents:
            try:
                self.sync_directory(parent)
            except PermissionError:
                return  # not ours, so that we cannot have made what is in it
            if os.path.ismount(parent):
                return

    def random_bytes(self, count: int) -> bytes:
        """Bytes that nobody can foresee, for nonces and ids."""
        return secrets.token_bytes(count)


def _read_after_seek(descriptor: int, count_bytes: int, file_offset: int) -> bytes:
    os.lseek(descriptor, file_offset, os.SEEK_SET)
    return os.read(descriptor, count_bytes)


# `read_at(descriptor, count_bytes, file_offset)`: up to so many bytes from a place of a file, fewer
# at its end. The bare built-in where there is one, since every block comes through it.
read_at: Callable[[int, int, int], bytes] = getattr(os, "pread", _read_after_seek)


def write_error(error: OSError, what: str) -> JournalError:
    """`error` of a write in our own words."""
    if error.errno in _FULL:
        return Full(
            f"{what}: the disk has no room ({error.strerror})",
            hint="Free space on this disk; recording goes on from memory until its bound.",
        )
    return WriteFailed(
        f"{what}: the disk refused a write ({error.strerror})",
        hint="Look at the disk and its mount (read-only? failing?); the run goes on from memory.",
    )


def sync_error(error: OSError, what: str) -> SyncFailed:
    """`error` of a sync in our own words."""
    return SyncFailed(
        f"{what}: the disk refused a sync ({error.strerror}); what was not yet synced is suspect",
        hint="Replace the disk: a failed sync means that it lost bytes it had taken.",
    )
