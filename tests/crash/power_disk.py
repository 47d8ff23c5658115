"""A disk beneath the journal that remembers every call, and can refuse any of them.

It works on real files, so that writer, commit, recovery and readers run on it unchanged; what a
power cut would leave of them is made from its memory by `power_states`.
"""

import errno
import os
import random
from pathlib import Path
from typing import NamedTuple

from ticktape.journal.disk import Disk


class Call(NamedTuple):
    """One call that changes what is on the disk, or makes it durable.

    `path` is relative to the disk's root; `file` numbers the file itself, whatever its name. A
    write put `content` at `offset`; a folder that was synced had the folders `folders` in it.
    """

    kind: str  # create, write, truncate, sync, sync failed, sync_directory, rename, remove
    file: int = -1
    path: Path = Path()
    target: Path = Path()
    offset: int = 0
    content: bytes = b""
    folders: tuple[str, ...] = ()


class Fault(NamedTuple):
    """What the calls from number `first` to before `healed` meet, as far as they are of `kinds`.

    `taken` is the part of a write that is taken nevertheless; without an `error` it is all that
    happens, with one the call fails behind it.
    """

    kinds: frozenset[str]
    first: int
    healed: int
    error: int = 0
    taken: float = 0.0

    def meets(self, kind: str, number: int) -> bool:
        return kind in self.kinds and self.first <= number < self.healed


NO_FAULT = Fault(frozenset(), 0, 0)


class PowerDisk(Disk):
    """The real files below `root`, every call noted; what is there at the start is durable.

    Args:
        root: the folder whose power may be cut.
        watch: asked before every call; what it returns is in `seen` at the call's index.
        seed: of the nonces and ids.
    """

    def __init__(self, root, watch=lambda: None, seed=0):
        self.root = root
        self.watch = watch
        self.fault = NO_FAULT
        self.healing = False  # set: no fault is met any more
        self.names = []  # of all calls that can be refused, in order
        self.refused = 0
        self.calls = []
        self.seen = []
        self.start = {
            path.relative_to(root): None if path.is_dir() else path.read_bytes()
            for path in sorted(root.rglob("*"))
        }
        self._random = random.Random(seed)
        self._numbers = {}
        self._start_numbers = {}
        for path, content in self.start.items():
            if content is not None:
                self._start_numbers[path] = self._number(os.stat(root / path), new=True)

    @property
    def start_numbers(self):
        """Path -> number of the files that were there at the start."""
        return self._start_numbers

    def _number(self, status, *, new=False):
        if new or status.st_ino not in self._numbers:
            self._numbers[status.st_ino] = len(self._numbers) + 1000 * len(self.calls)
        return self._numbers[status.st_ino]

    def _note(self, call):
        self.calls.append(call)

    def _ask(self, kind):
        """Raise what this call must meet; the part of a write that is taken, or None for all."""
        self.seen.append((len(self.calls), self.watch()))
        self.names.append(kind)
        fault = self.fault
        if self.healing or not fault.meets(kind, len(self.names) - 1):
            return None
        self.refused += 1
        if kind != "write" and fault.error:
            raise OSError(fault.error, f"{kind} refused by the test")
        return fault

    def _relative(self, path):
        return path.absolute().relative_to(self.root)

    def create(self, path):
        try:
            self._ask("create")
        except OSError:
            if self.fault.taken == 1:
                super().close(self._create(path))
            raise
        return self._create(path)

    def _create(self, path):
        descriptor = super().create(path)
        number = self._number(os.fstat(descriptor), new=True)
        self._note(Call("create", number, self._relative(path)))
        return descriptor

    def create_anew(self, path):
        self._ask("create")
        there = path.exists()
        descriptor = super().create_anew(path)
        number = self._number(os.fstat(descriptor), new=not there)
        self._note(Call("truncate" if there else "create", number, self._relative(path)))
        return descriptor

    def write(self, descriptor, chunk):
        fault = self._ask("write")
        status = os.fstat(descriptor)
        part = chunk if fault is None else chunk[: int(len(chunk) * fault.taken)]
        if part:
            os.write(descriptor, part)
            self._note(
                Call("write", self._number(status), offset=status.st_size, content=bytes(part))
            )
        if fault is not None and fault.error:
            raise OSError(fault.error, "write refused by the test")
        return len(part)

    def write_pieces(self, descriptor, pieces):
        return self.write(descriptor, b"".join(pieces))

    def duplicate(self, descriptor):
        self._ask("duplicate")
        return super().duplicate(descriptor)

    def size(self, descriptor):
        self._ask("size")
        return super().size(descriptor)

    def sync(self, descriptor):
        number = self._number(os.fstat(descriptor))
        try:
            self._ask("sync")
        except OSError:
            self._note(Call("sync failed", number))
            raise
        self._note(Call("sync", number))

    def sync_file(self, path):
        self._ask("open")
        super().sync_file(path)

    def sync_directory(self, path):
        if not path.absolute().is_relative_to(self.root):
            return  # above what a test may lose
        self._ask("sync_directory")
        folders = tuple(sorted(each.name for each in path.iterdir() if each.is_dir()))
        self._note(Call("sync_directory", path=self._relative(path), folders=folders))

    def close(self, descriptor):
        # As Linux does it: the descriptor is gone, whatever the call says.
        super().close(descriptor)
        self._ask("close")

    def remove(self, path):
        self._ask("remove")
        super().remove(path)
        self._note(Call("remove", path=self._relative(path)))

    def rename(self, old, new):
        self._ask("rename")
        super().rename(old, new)
        self._note(Call("rename", path=self._relative(old), target=self._relative(new)))

    def random_bytes(self, count):
        return self._random.randbytes(count)


class QuickDisk(Disk):
    """A disk that does not wait: for what is opened only to be looked at."""

    def sync(self, descriptor):
        pass

    def sync_directory(self, path):
        pass


REFUSALS = {
    # name: (kinds of calls that can meet it, error, part of a write that is taken)
    "no room": ({"create", "write", "rename"}, errno.ENOSPC, 0.0),
    "no room for all": ({"create", "write"}, errno.ENOSPC, 0.6),
    "a write fails": ({"create", "write", "open", "rename"}, errno.EIO, 0.0),
    "a write fails that took all": ({"create", "write"}, errno.EIO, 1.0),
    "takes nothing": ({"write"}, 0, 0.0),
    "takes a part": ({"write"}, 0, 0.6),
    "a sync fails": ({"sync"}, errno.EIO, 0.0),
    "a folder's sync fails": ({"sync_directory"}, errno.EIO, 0.0),
    "any sync fails": ({"sync", "sync_directory"}, errno.EIO, 0.0),
    "the disk is gone": (
        {
            "create", "write", "open", "sync", "sync_directory",
            "rename", "remove", "duplicate", "size", "close",
        },
        errno.EIO,
        0.0,
    ),
}  # fmt: skip
