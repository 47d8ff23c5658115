"""The layouts: which process does what, and how captures go from one to the next.

Each is a small program that begins its processes, those at the end of the way first. `takes` and
`gives` are the two ends of a process; see `ways`. Between processes captures travel as pickled
objects through `Connection.send` and `multiprocessing.Queue`, as in the notebook, for it is that
which is compared.
"""

import heapq
import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ticktape import clock
from ticktape.journal import Reader, Writer
from ticktape.journal.reader import wait_any
from ticktape.journal.wakeup import Sleeper
from ticktape.lab.packing import before_of, plain, sequence_of
from ticktape.lab.stages import Stage
from ticktape.lab.ways import AnyPipe, AnyQueue, Pipe, Queue, Turns
from ticktape.records import EntryKind

LEGS = {"acquirer": 0, "acquirer-A": 0, "acquirer-B": 1}
_LOOK_S = 0.25


class Start(Protocol):
    """What a layout's program is given: it begins processes and makes ways."""

    def __call__(self, role: str, body: "Body", takes: Any = None, gives: Any = None) -> None:  # noqa: ANN401
        """Begin a process."""

    def pipe(self) -> Pipe:
        """A pipe."""

    def queue(self, *, writers: int = 1, readers: int = 1) -> Queue:
        """A queue without a bound."""


Body = Callable[[Stage, Any, Any], None]


# What a process does.


def do_all(stage: Stage, takes: None, gives: None) -> None:
    """Acquire, pack and save, one after the other."""
    stage.prepare_files()
    for capture in stage.captures():
        stage.hold(stage.pack(capture))
    stage.save()


def acquire(stage: Stage, takes: None, gives: Any) -> None:  # noqa: ANN401
    """Acquire and give on."""
    for capture in stage.captures():
        gives.put(plain(capture))
    gives.end()


def pack(stage: Stage, takes: Any, gives: Any) -> None:  # noqa: ANN401
    """Take captures, pack them, give them on."""
    stage.ready()
    _pack(stage, takes, gives)


def _pack(stage: Stage, takes: Any, gives: Any) -> None:  # noqa: ANN401
    while (capture := takes.get()) is not None:
        gives.put(stage.pack(capture))
    gives.end()


def save(stage: Stage, takes: Any, gives: None) -> None:  # noqa: ANN401
    """Take packed captures as they come, and save them."""
    stage.prepare_files()
    stage.ready()
    _save(stage, takes)


def _save(stage: Stage, takes: Any) -> None:  # noqa: ANN401
    while (packed := takes.get()) is not None:
        stage.hold(packed)
    stage.save()


def save_in_order(stage: Stage, takes: Any, gives: None) -> None:  # noqa: ANN401
    """The same, but a capture waits until all before it are there, or nothing more comes."""
    stage.prepare_files()
    stage.ready()
    early: list[tuple[int, bytes]] = []
    wanted = 0
    while (packed := takes.get()) is not None:
        heapq.heappush(early, (sequence_of(packed), packed))
        while early and early[0][0] <= wanted:
            stage.hold(heapq.heappop(early)[1])
            wanted += 1
    while early:
        stage.hold(heapq.heappop(early)[1])
    stage.save()


def pack_and_save(stage: Stage, takes: Any, gives: None) -> None:  # noqa: ANN401
    """Take captures, pack and save them."""
    stage.prepare_files()
    stage.ready()
    while (capture := takes.get()) is not None:
        stage.hold(stage.pack(capture))
    stage.save()


def do_all_in_threads(stage: Stage, takes: None, gives: None) -> None:
    """Acquire, pack and save in a thread each, with queues between them."""
    stage.prepare_files()
    raw, packed = Queue(queue.Queue()), Queue(queue.Queue())
    with ThreadPoolExecutor(2) as others:
        saving = others.submit(_save, stage, packed)
        packing = others.submit(_pack, stage, raw, packed)
        try:
            for capture in stage.captures():
                raw.put(capture)
        finally:
            raw.end()
        packing.result()
        saving.result()


def acquire_into_journal(stage: Stage, takes: None, gives: None) -> None:
    """Acquire, pack, and append each capture to a journal of this process, as a block of its own.

    A journal holds bytes, so that packing has its place here.
    """
    wall = clock.WallClock()
    folder, positions = journal_paths(stage.task.folder, stage.role)
    with Writer(folder, positions, wall=wall, on_trouble=stage.fail_journal) as journal:
        for capture in stage.captures(LEGS[stage.role]):
            packed, after_ns = stage.pack(capture), capture[3]
            journal.append([packed], wall.wall_at(after_ns), after_ns, kind=EntryKind.BINARY)


def save_from_journals(stage: Stage, takes: Sequence[str], gives: None) -> None:
    """Follow the journals of these acquirers, save what they hold, by time where there are two."""
    stage.prepare_files()
    stage.ready()
    readers = {role: Reader(*journal_paths(stage.task.folder, role)) for role in takes}
    found = follow(stage, readers)
    for packed in by_time(found, takes) if len(takes) > 1 else (each.packed for each in found):
        if packed:
            stage.hold(packed)
    stage.save()
    for reader in readers.values():
        reader.close()


# How journals are followed.


class Followed(NamedTuple):
    """A capture of the journal of `role`.

    Without one: that journal is read to its end, or (`role` "") all have been looked at once more.
    """

    role: str
    packed: bytes = b""


def journal_paths(folder: Path, role: str) -> tuple[Path, Path]:
    """Where the journal of an acquirer lies, and its positions."""
    return folder / f"{role}.journal", folder / f"{role}.positions"


def follow(stage: Stage, readers: dict[str, Reader]) -> Iterator[Followed]:
    """Every capture of the journals as it comes, until all is read of writers that are over."""
    sleeper = Sleeper()
    live, left = dict(readers), set[str]()
    while live:
        # Asked before the journals are read, so that nothing can come after the last look.
        over = {role for role in live if stage.is_over(role)}
        idle = True
        for role, reader in list(live.items()):
            if role in over and role not in left:
                reader.read_files()  # a killed writer may have told nobody of its last block
                left.add(role)
            blocks = reader.read()
            for block in blocks:
                for _, packed in block.entries():
                    yield Followed(role, packed)
            if blocks:
                idle = False
            elif role in left:
                del live[role]
                yield Followed(role)
        yield Followed("")
        if idle and not over:
            wait_any(list(live.values()), sleeper, _LOOK_S)
    sleeper.close()


def by_time(found: Iterator[Followed], roles: Sequence[str]) -> Iterator[bytes]:
    """The captures of two journals, merged by when their polls began.

    One waits until the other leg has come further, or is at its end.
    """
    waiting: dict[str, deque[bytes]] = {role: deque() for role in roles}
    live = set(roles)
    for role, packed in found:
        if packed:
            waiting[role].append(packed)
        live -= set() if packed else {role}
        if role:
            continue
        while all(waiting[each] for each in live):
            heads = [(before_of(held[0]), leg) for leg, held in waiting.items() if held]
            if not heads:
                break
            yield waiting[min(heads)[1]].popleft()


# The layouts.


def sequential(start: Start) -> None:
    """One process: while it saves, it does not acquire."""
    start("process", do_all)


def pipe_2(start: Start) -> None:
    """An acquirer, and a process that packs and saves; a pipe between them."""
    raw = start.pipe()
    start("saver", pack_and_save, takes=raw)
    start("acquirer", acquire, gives=raw)


def queue_2(start: Start) -> None:
    """An acquirer, and a process that packs and saves; a queue between them."""
    raw = start.queue()
    start("saver", pack_and_save, takes=raw)
    start("acquirer", acquire, gives=raw)


def pipe_4(start: Start) -> None:
    """An acquirer deals to two packers by turns; the saver takes from whoever has something."""
    raw, packed = (start.pipe(), start.pipe()), (start.pipe(), start.pipe())
    start("saver", save, takes=AnyPipe(*packed))
    start("packer-1", pack, takes=raw[0], gives=packed[0])
    start("packer-2", pack, takes=raw[1], gives=packed[1])
    start("acquirer", acquire, gives=Turns(*raw))


def queue_4(start: Start, saving: Body = save) -> None:
    """Two packers compete for what one queue brings, and give to one queue."""
    raw, packed = start.queue(readers=2), start.queue(writers=2)
    start("saver", saving, takes=packed)
    start("packer-1", pack, takes=raw, gives=packed)
    start("packer-2", pack, takes=raw, gives=packed)
    start("acquirer", acquire, gives=raw)


def queue_4_ordered(start: Start) -> None:
    """The same, but the saver puts captures in order before it saves them."""
    queue_4(start, save_in_order)


def queue_4x2(start: Start) -> None:
    """A queue for each packer before it and behind it; the saver takes from either."""
    raw, packed = (start.queue(), start.queue()), (start.queue(), start.queue())
    start("saver", save, takes=AnyQueue(*packed))
    start("packer-1", pack, takes=raw[0], gives=packed[0])
    start("packer-2", pack, takes=raw[1], gives=packed[1])
    start("acquirer", acquire, gives=Turns(*raw))


def queue_4x2to1(start: Start) -> None:
    """A queue for each packer before it, one queue behind them both."""
    raw, packed = (start.queue(), start.queue()), start.queue(writers=2)
    start("saver", save, takes=packed)
    start("packer-1", pack, takes=raw[0], gives=packed)
    start("packer-2", pack, takes=raw[1], gives=packed)
    start("acquirer", acquire, gives=Turns(*raw))


def threads(start: Start) -> None:
    """One process with three threads."""
    start("process", do_all_in_threads)


def journal(start: Start) -> None:
    """The acquirer appends to a journal; a second process follows it and saves."""
    start("saver", save_from_journals, takes=("acquirer",))
    start("acquirer", acquire_into_journal)


def journal_x2(start: Start) -> None:
    """Two acquirers with a journal each, which know nothing of each other; one process merges."""
    start("saver", save_from_journals, takes=("acquirer-A", "acquirer-B"))
    start("acquirer-A", acquire_into_journal)
    start("acquirer-B", acquire_into_journal)


class Layout(NamedTuple):
    """A program and the processes that it begins; `victims` are those of which none is alike."""

    program: Callable[[Start], None]
    roles: tuple[str, ...]
    victims: tuple[str, ...]

    @property
    def acquirers(self) -> tuple[str, ...]:
        """Those that acquire, leg by leg."""
        return tuple(role for role in self.roles if role in LEGS or role == "process")


_ONE = ("process",)
_TWO = ("saver", "acquirer")
_FOUR = ("saver", "packer-1", "packer-2", "acquirer")
_FOUR_VICTIMS = ("saver", "packer-1", "acquirer")

LAYOUTS = {
    "sequential": Layout(sequential, _ONE, _ONE),
    "pipe-2": Layout(pipe_2, _TWO, _TWO),
    "queue-2": Layout(queue_2, _TWO, _TWO),
    "pipe-4": Layout(pipe_4, _FOUR, _FOUR_VICTIMS),
    "queue-4": Layout(queue_4, _FOUR, _FOUR_VICTIMS),
    "queue-4-ordered": Layout(queue_4_ordered, _FOUR, _FOUR_VICTIMS),
    "queue-4x2": Layout(queue_4x2, _FOUR, _FOUR_VICTIMS),
    "queue-4x2to1": Layout(queue_4x2to1, _FOUR, _FOUR_VICTIMS),
    "threads": Layout(threads, _ONE, _ONE),
    "journal": Layout(journal, _TWO, _TWO),
    "journal-x2": Layout(
        journal_x2, ("saver", "acquirer-A", "acquirer-B"), ("saver", "acquirer-A")
    ),
}
"""All layouts by name."""
