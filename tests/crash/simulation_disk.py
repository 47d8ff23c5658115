"""The disk of the simulation, and what was written on it: it refuses, dies within a call, loses.

It is a `PowerDisk` for a whole machine. The group commit has no thread here: it has its turns when
the thread would have them, also in the middle of the writer's calls, and the writer has some in
the middle of its syncs.
"""

import os
import random
import shutil
import threading
from typing import NamedTuple

import power_states
from power_disk import PowerDisk

from ticktape.journal.blocks import Block
from ticktape.journal.format import (
    BLOCK_HEADER,
    BLOCK_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    parse_segment_name,
)
from ticktape.journal.sync import GroupCommit
from ticktape.records import Position

FOR_EVER = 1 << 60
_LOUD = {"create", "write", "open", "sync", "sync_directory", "rename"}


class Violation(AssertionError):
    """A line of the contract that does not hold."""


class Killed(SystemExit):
    """The process ends here, as `kill -9` or a power cut ends it; asyncio lets it through."""

    def __init__(self, *, power):
        super().__init__("killed")
        self.power = power


class Death(NamedTuple):
    """Die at the capture's call number `calls` of a kind from now; of a write `taken` is taken."""

    kind: str  # "": of any
    calls: int
    power: bool
    taken: float | None  # None: before the call


class Written(NamedTuple):
    """A block as the disk took it, and when; `refused`: it took all, and said that it did not."""

    content: bytes
    at_ns: int
    refused: bool
    boot_ns: int


def block_of(position, content):
    """The block that the disk was given."""
    fields = BLOCK_HEADER.unpack_from(content)
    _, _, seq, recv_ns, mono_ns, _, count, session, _, _, _ = fields
    end = position.offset + len(content)
    body = content[BLOCK_HEADER_BYTES:]
    return Block(*position, end, seq, count, recv_ns, mono_ns, session, body)


class Book:
    """Every whole block that the system ever took of the journal, whatever became of it."""

    def __init__(self):
        self.blocks = {}  # Position -> Written
        self._segments = {}  # number of the file -> (epoch, base)
        self._ends = {}  # epoch -> where the bytes end that it ever had

    def block(self, position):
        """The block that was written there."""
        return block_of(position, self.blocks[position].content)

    def made(self, number, path):
        parsed = parse_segment_name(path.name)
        if parsed is not None:
            self._segments[number] = parsed

    def is_segment(self, number):
        return number in self._segments

    def removed(self, path):
        """A half made segment that held no block: its place is free again."""
        epoch, base = parse_segment_name(path.name) or (-1, 0)
        if self._ends.get(epoch, 0) <= base + SEGMENT_HEADER_BYTES:
            self._ends[epoch] = min(self._ends.get(epoch, 0), base)

    def forget_all_but(self, epochs):
        """A cut took the starts that did not come so far as to tell anyone of their epoch."""
        self._ends = {epoch: end for epoch, end in self._ends.items() if epoch in epochs}

    def took(self, number, at, content, now_ns, boot_ns, *, whole, refused):
        if number not in self._segments or not content:
            return
        epoch, base = self._segments[number]
        start, end = base + at, base + at + len(content)
        if start < self._ends.get(epoch, 0):
            raise Violation(f"line 4: a position is used twice: epoch {epoch} offset {start}")
        self._ends[epoch] = end
        if at and whole:
            self.blocks[Position(epoch, start)] = Written(bytes(content), now_ns, refused, boot_ns)


class SimDisk(PowerDisk):
    """A `PowerDisk` whose calls the simulation knows by who makes them."""

    def __init__(self, world, root, seed):
        super().__init__(root, seed=seed)
        self.world = world
        self.death = None
        self.is_dead = False  # of a process that is gone nothing is done any more
        self.paths = {number: path for path, number in self.start_numbers.items()}
        self._dies = False
        self._open = set()

    def _ask(self, kind):
        world = self.world
        if world.actor != "capture":
            return self._ask_for_reader(kind)
        if self.is_dead:
            return None
        world.commit_in_between()
        death = self.death
        if death is not None and death.kind in ("", kind):
            self.death = death._replace(calls=death.calls - 1)
            if death.calls <= 0:
                if kind == "write" and death.taken is not None:
                    self._dies = True
                    return self.fault._replace(error=0, taken=death.taken)
                self.die(power=death.power)
        try:
            return super()._ask(kind)
        except OSError:
            self._refused(kind)
            raise

    def _ask_for_reader(self, kind):
        """Refuse a reader, too, but count no call of it: the capture must not feel it."""
        fault = self.fault
        if kind not in fault.kinds or fault.healed < FOR_EVER:
            return None
        if kind != "write" and fault.error:
            raise OSError(fault.error, f"{kind} refused by the test")
        return fault

    def _refused(self, kind):
        if kind in _LOUD:
            self.world.refused()

    def die(self, *, power):
        self.death = None
        raise Killed(power=power)

    def create(self, path):
        descriptor = super().create(path)
        self._open.add(descriptor)
        return descriptor

    def _create(self, path):
        descriptor = super()._create(path)
        self._made(descriptor, path)
        return descriptor

    def create_anew(self, path):
        descriptor = super().create_anew(path)
        self._open.add(descriptor)
        self._made(descriptor, path)
        return descriptor

    def _made(self, descriptor, path):
        number = self._number(os.fstat(descriptor))
        self.paths[number] = self._relative(path)
        self.world.book.made(number, path)

    def duplicate(self, descriptor):
        made = super().duplicate(descriptor)
        self._open.add(made)
        return made

    def close(self, descriptor):
        self._open.discard(descriptor)
        super().close(descriptor)

    def write(self, descriptor, chunk):
        status = os.fstat(descriptor)
        number, before = self._number(status), status.st_size
        refusals = self.refused
        if any(secret in chunk for secret in self.world.secrets):
            raise Violation("line 10: a secret is written")
        try:
            taken = super().write(descriptor, chunk)
        finally:
            refused = refusals != self.refused
            # Of any other file the rest is written again at once, or its maker is refused.
            is_loud = self.world.actor == "capture" and self.world.book.is_segment(number)
            if refused and is_loud:
                self._refused("write")
            size = os.fstat(descriptor).st_size - before
            clocks, whole = self.world.clocks, size == len(chunk)
            now = clocks.now_ns, clocks.boot_ns
            self.world.book.took(number, before, chunk[:size], *now, whole=whole, refused=refused)
        if self._dies:
            self._dies = False
            self.die(power=self.death.power)
        return taken

    def sync(self, descriptor):
        super().sync(descriptor)
        self.world.write_in_between()

    def remove(self, path):
        super().remove(path)
        self.world.book.removed(path)

    def give_back(self):
        """What the system gives back of a process that is gone."""
        for descriptor in self._open:
            os.close(descriptor)
        self._open.clear()

    def cut(self, number, seed):
        """Put in place of all files what one power cut leaves of them.

        Which it is hangs on each file's own name alone, and not on what else there is.
        """
        volume = power_states.Volume(self)
        for call in self.calls:
            volume.apply(call)
        tree = _surviving(volume, self.paths, f"{seed}:{number}")
        for path in self.root.iterdir():
            shutil.rmtree(path)
        power_states.put(tree, self.root)


def _surviving(volume, paths, seed):
    way = random.Random(seed).choice(["least", "most", "any", "any", "any"])

    def source(path):
        return random.Random(f"{seed}:{path}")

    files = {}
    for number, file in volume.files.items():
        if file.sectors():
            rng = source(paths[number])
            choices = file.choices(rng)
            files[number] = {"least": choices[0], "most": choices[1]}.get(way) or rng.choice(
                choices
            )
    shares = {"least": 0.0, "most": 1.0, "any": 0.5}
    names = [
        call
        for call in volume._pending
        if source(f"{call.kind} {call.path}").random() < shares[way]
    ]
    return volume._tree(names, files)


class SimCommit(GroupCommit):
    """The group commit, with turns in place of its thread."""

    def __init__(self, world, *given):
        super().__init__(*given)
        self._world = world
        self._has_turns = self._is_due = False
        self._in_turn = self._is_alone = False
        self.pending = _Pending(self._ask_for_turn)
        world.commit = self

    @property
    def is_syncing(self):
        """Whether a turn is being taken, and the writer may go on meanwhile."""
        return self._in_turn and self._is_alone and not self.failing

    def start(self):
        self._has_turns = True

    def stop(self):
        self._has_turns = False
        super().stop()

    def _ask_for_turn(self):
        if self._has_turns and not self._is_due:
            self._is_due = True
            self._world.later(self._commit_s, self._turn_when_due)

    def _turn_when_due(self):
        self._is_due = False
        if self.pending.is_set():
            self.turn(alone=True)

    def turn(self, *, alone):
        """What the thread does each time that it wakes; `alone`: not within the writer's call."""
        if not self._has_turns or self._in_turn or self._guard.locked():
            return
        self._in_turn, self._is_alone = True, alone
        try:
            self.pending.clear()
            with self._guard:
                statistics = self._positions.statistics()
                self._commit(statistics.written, statistics.written_seq)
        finally:
            self._in_turn = False
            if self.pending.is_set():
                self._ask_for_turn()


class _Pending(threading.Event):
    """Asks for a turn when it is set."""

    def __init__(self, on_set):
        super().__init__()
        self._on_set = on_set

    def set(self):
        super().set()
        self._on_set()
