"""The readers of the simulation: each at its own pace, none of them ever waited for."""

import json

from ticktape.journal.position_file import load_positions, save_positions
from ticktape.journal.reader import Reader
from ticktape.journal.wakeup import Sleeper
from ticktape.records import Position

FEED = "sip"
BEGIN = Position(0, 0)


def place_of(block):
    return [block.epoch, block.offset, block.end_offset]


class HotReader:
    """Reads what is written, at once, and goes on where it was when it had to begin anew."""

    pauses_s = (0.01, 0.1, 0.5, 2.0)

    def __init__(self, world, rng):
        self.world = world
        self.rng = rng
        self.found = []  # blocks in the order in which they came
        self._reader = None
        self._position = BEGIN

    def step(self):
        if self._reader is None:
            self._reader = Reader(self.world.journal, self.world.positions_path, self._position)
        self.found += self._reader.read(self.rng.choice([100, 1000, 1 << 20]))
        self._position = self._reader.position

    def die(self):
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def catch_up(self):
        """Read all that there is, for the end."""
        self.die()
        with Reader(self.world.journal, None, self._position) as reader:
            while blocks := reader.read():
                self.found += blocks


class DurableReader:
    """Reads what is synced and makes something durable of it, as the table does.

    What it makes carries the position behind it; the saved position comes after.
    """

    pauses_s = (0.1, 0.5, 2.0)

    def __init__(self, world, rng, name, clumsiness):
        self.world = world
        self.rng = rng
        self.name = name
        self._clumsiness = clumsiness  # how often it dies between making and saving
        self._reader = None

    @property
    def folder(self):
        return self.world.root / "readers" / self.name

    def made(self):
        """What it made, in order; each part with the position behind it."""
        paths = sorted(self.folder.glob("*.made")) if self.folder.exists() else []
        return [json.loads(path.read_bytes()) for path in paths]

    def _start(self):
        saved = load_positions(self.folder / "position")[0].get(FEED, BEGIN)
        made = self.made()
        behind = Position(*made[-1]["end"]) if made else BEGIN
        self._count = len(made)
        return max(saved, behind)

    def step(self):
        try:
            if self._reader is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.world.disk.sync_directory(self.world.root)
                self.world.disk.sync_directory(self.folder.parent)
                start = self._start()
                self._reader = Reader(
                    self.world.journal, self.world.positions_path, start, synced=True
                )
            blocks = self._reader.read(self.rng.choice([1000, 1 << 20]))
            if blocks:
                self.keep(blocks)
        except OSError:
            self.die()  # the disk refuses: begin again from what it has

    def keep(self, blocks):
        end = self._reader.position
        self._make(blocks, end)
        if self.rng.random() < self._clumsiness:
            self.die()
        else:
            self._save(end)

    def _make(self, blocks, end):
        made = {
            "end": list(end),
            "blocks": [[*place_of(each), each.seq, each.body.hex()] for each in blocks],
        }
        path = self.folder / f"{self._count:08d}.made"
        self.world.disk.replace(path, json.dumps(made).encode())
        self._count += 1

    def _save(self, end):
        save_positions(self.folder / "position", {FEED: end}, disk=self.world.disk)

    def die(self):
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def catch_up(self):
        self.die()
        self.folder.mkdir(parents=True, exist_ok=True)
        with Reader(self.world.journal, None, self._start()) as self._reader:
            while blocks := self._reader.read():
                self._make(blocks, self._reader.position)
        self._reader = None


class StuckReader:
    """Asked to be woken, and never reads again."""

    pauses_s = (0.5, 2.0)

    def __init__(self, world):
        self.world = world
        self._sleeper = None
        self._reader = None

    def step(self):
        if self._reader is None:
            self._reader = Reader(self.world.journal, self.world.positions_path)
            self._sleeper = Sleeper()
        self._reader.read(1)
        seen = self._reader.seen()
        if seen is not None:
            self._sleeper.watch(seen[0])
            for positions, index in self._sleeper._slots.values():
                positions.set_asleep(index)

    def die(self):
        if self._reader is not None:
            self._sleeper.close()
            self._reader.close()
            self._reader = None

    catch_up = die
