"""What a power cut may leave on a disk, from what `PowerDisk` remembers.

Of what was not synced anything may be missing: a file's bytes by sector, its size, its name. What
a failed sync was to make durable may be missing for good, whatever a later sync says.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
SUBSETS_ALL = 3  # up to so many sectors every subset is made, beyond it some
SAMPLES = 3


class File:
    """One file: as the system shows it, as it surely survives, and what lies between."""

    def __init__(self, durable=b""):
        self.content = bytearray(durable)
        self.durable = bytearray(durable)
        self._pending = []  # (start, end, a sync of it failed)

    def write(self, offset, content):
        self.content[offset : offset + len(content)] = content
        self._pending.append((offset, offset + len(content), False))

    def truncate(self):
        self.content.clear()
        self._pending = [(0, len(self.durable), False)]

    def sync(self):
        self._pending = [each for each in self._pending if each[2]]
        self.durable = bytearray(self.content)
        for start, end, _ in self._pending:
            self.durable[start:end] = bytes(end - start)

    def fail_sync(self):
        self._pending = [(start, end, True) for start, end, _ in self._pending]

    def sectors(self):
        """Numbers of the sectors that may be old or new."""
        return sorted(
            {
                sector
                for start, end, _ in self._pending
                for sector in range(start // SECTOR, -(-end // SECTOR))
            }
        )

    def sizes(self):
        """Sizes that the file may have: after each write, and at each sector between."""
        low, high = sorted((len(self.durable), len(self.content)))
        marks = {end for _, end, _ in self._pending} | {
            sector * SECTOR for sector in self.sectors()
        }
        return [low, *sorted(mark for mark in marks if low < mark < high), high]

    def surviving(self, size, kept):
        """Its bytes when it has `size` and of the pending sectors those in `kept` came."""
        found = bytearray(self.durable[:size].ljust(size, b"\0"))
        for sector in self.sectors():
            if sector in kept:
                start, end = sector * SECTOR, min((sector + 1) * SECTOR, size)
                new = self.content[start:end]
                found[start : start + len(new)] = new
        # What is new but not pending is durable already.
        return bytes(found)

    def choices(self, rng):
        """(size, sectors) that may survive; the first is the least, the second all."""
        sectors, sizes = self.sectors(), self.sizes()
        everything = frozenset(sectors)
        found = [(len(self.durable), frozenset()), (len(self.content), everything)]
        found += [(size, everything) for size in sizes]
        found.append((sizes[-1], frozenset()))  # the size came, and none of the bytes
        if len(sectors) <= SUBSETS_ALL:
            counts = range(1, len(sectors))
            subsets = [each for n in counts for each in itertools.combinations(sectors, n)]
        else:
            subsets = [
                [sector for sector in sectors if rng.random() < 0.5] for _ in range(SAMPLES * 2)
            ]
        found += [(sizes[-1], frozenset(each)) for each in subsets]
        return list(dict.fromkeys(found)) if sectors else found[:1]


class Volume:
    """A disk after some of its calls: files, names, and which of them are durable."""

    def __init__(self, disk):
        self.files = {}
        self._durable_names = {}
        self._pending = []  # name calls whose folder was not synced since
        self._durable_folders = {Path(), *(p for p, c in disk.start.items() if c is None)}
        self._folders = set(self._durable_folders)
        for path, content in disk.start.items():
            if content is not None:
                number = disk.start_numbers[path]
                self.files[number] = File(content)
                self._durable_names[path] = number

    def apply(self, call):
        """Go on by one call."""
        match call.kind:
            case "create":
                self.files[call.file] = File()
            case "truncate":
                self.files[call.file].truncate()
            case "write":
                self.files[call.file].write(call.offset, call.content)
            case "sync":
                self.files[call.file].sync()
            case "sync failed":
                self.files[call.file].fail_sync()
            case "sync_directory":
                self._sync_folder(call)
        if call.kind in ("create", "rename", "remove"):
            self._pending.append(call)
            self._folders.update(call.path.parents)

    def _sync_folder(self, call):
        mine = [each for each in self._pending if each.path.parent == call.path]
        self._durable_names = self._named(mine)
        self._pending = [each for each in self._pending if each.path.parent != call.path]
        self._durable_folders.update(call.path / name for name in call.folders)

    def _named(self, calls):
        """Path -> file with these name calls done."""
        names = dict(self._durable_names)
        numbers = {each.path: each.file for each in self._pending if each.kind == "create"}
        for each in calls:
            if each.kind == "create":
                names[each.path] = each.file
            elif each.kind == "remove":
                names.pop(each.path, None)
            else:
                # Where the old name never became durable, the new one alone appears.
                number = names.pop(each.path, numbers.get(each.path))
                if number is not None:
                    names[each.target] = number
        return names

    def states(self, rng, *, least_and_most=False):
        """Trees ({path: bytes}) that a cut now may leave; at first the least and the most."""
        pending = [number for number, file in self.files.items() if file.sectors()]
        choices = {number: self.files[number].choices(rng) for number in pending}
        least = {number: each[0] for number, each in choices.items()}
        most = {number: each[1] for number, each in choices.items()}
        nothing, everything = [], self._pending
        for names, files in itertools.product((nothing, everything), (least, most)):
            yield self._tree(names, files)
        if least_and_most:
            return
        for number, each in choices.items():
            for choice in each[2:]:
                yield self._tree(everything, {**least, number: choice})
                if len(choices) > 1:
                    yield self._tree(everything, {**most, number: choice})
        for missing in everything[-4:]:
            names = [call for call in everything if call is not missing]
            yield self._tree(names, most)
            yield self._tree(names, least)
        for _ in range(SAMPLES if choices or everything else 0):
            names = [call for call in everything if rng.random() < 0.5]
            yield self._tree(names, {number: rng.choice(each) for number, each in choices.items()})

    def _tree(self, calls, files):
        # A folder that holds something durable was itself made durable first, or is lost with it.
        folders = self._folders if calls else self._durable_folders
        tree = {}
        for path, number in self._named(calls).items():
            if all(parent in folders or parent in self._durable_folders for parent in path.parents):
                file = self.files[number]
                choice = files.get(number)
                tree[path] = bytes(file.durable) if choice is None else file.surviving(*choice)
        return tree


class Moment(NamedTuple):
    """A cut after `calls` calls, and one tree that it may leave."""

    calls: int
    tree: dict[Path, bytes]


def moments(disk, rng, *, first=0, least_and_most=False):
    """Every moment from call `first` on at which the power may fail, and what it may leave."""
    volume = Volume(disk)
    for index in range(len(disk.calls) + 1):
        seen = set()
        states = volume.states(rng, least_and_most=least_and_most) if index >= first else ()
        for tree in states:
            key = hash(tuple(sorted(tree.items())))
            if key not in seen:
                seen.add(key)
                yield Moment(index, tree)
        if index < len(disk.calls):
            volume.apply(disk.calls[index])


def put(tree, root):
    """Make the files of a tree below an empty folder."""
    for path, content in tree.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
