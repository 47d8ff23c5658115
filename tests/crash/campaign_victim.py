"""The process that a campaign kills: a journal's real writer, fed as fast as it takes blocks.

Run as a script it is the warm process: it has imported everything and forks one victim for each
start, which takes milliseconds where a new interpreter takes half a second. It reads lines: a task
as JSON, which it answers with the victim's pid, or `wait`, which it answers with how the victim
ended. What a victim claims it appends to a file with plain writes, which outlive it.
"""

import json
import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ticktape.journal import writer as writing
from ticktape.journal.disk import Disk
from ticktape.journal.position_file import save_positions
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.records import Position

SAVE_EVERY = 40  # blocks between two saves of a reader's position
LARGE_BYTES = 700_000  # a write of many pages, which a kill can cut in two by itself
POOL_BYTES = 1 << 20


class Task(NamedTuple):
    """One start of a victim; `blocks_max` blocks, then a clean end.

    `tries_at_end`: a disk that refused is tried again at the end alone, however long that takes.
    """

    folder: str
    seed: int
    sync: str
    commit_ms: int
    segment_bytes: int
    failpoint: str = ""
    blocks_max: int = 1 << 40
    file_bytes_max: int = 0  # `ulimit -f`, 0 for none
    memory_bytes: int = 1 << 28
    tries_at_end: bool = False


class Fed(NamedTuple):
    """A block as it is handed to `append`."""

    payloads: list[bytes]
    recv_ns: int
    recv_mono_ns: int
    session: int
    kind: int


class Places(NamedTuple):
    """Where everything of a journal run lies."""

    root: Path

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def positions(self) -> Path:
        return self.root / "live" / "positions"

    @property
    def claims(self) -> Path:
        return self.root / "claims"

    @property
    def saved(self) -> Path:
        return self.root / "readers" / "reader.pos"


def make_pool(seed: int) -> bytes:
    """Bytes from which all payloads of a run are cut."""
    return random.Random(seed).randbytes(POOL_BYTES)


def fed_blocks(seed: int, epoch: int, seq: int, pool: bytes) -> Iterator[Fed]:
    """What the victim of an epoch is fed, without end: the same for whoever looks it over.

    Each payload begins with its epoch and number, so that none is like another.
    """
    rng = random.Random(f"{seed}/{epoch}")
    while True:
        count = rng.choice((1, 1, 1, 1, 2, 3, 30))
        large = rng.random() < 0.003
        payloads = []
        for index in range(count):
            size = rng.randrange(LARGE_BYTES if large and index == 0 else 300)
            at = rng.randrange(POOL_BYTES - size)
            payloads.append(b"%d:%d:" % (epoch, seq + index) + pool[at : at + size])
        yield Fed(payloads, 10**18 + seq, 10**12 + seq, epoch + 1, rng.randrange(3))
        seq += count


class Claims:
    """What the victim says of itself, a line each, with the system before the next step."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def say(self, *words: object) -> None:
        os.write(self._descriptor, (" ".join(map(str, words)) + "\n").encode())

    def synced(self, start: int, end: int, _mono_ns: int) -> None:
        self.say("synced", start, end)


class WatchedDisk(Disk):
    """The real disk, which says what it has made durable as soon as it has, and not before."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._newest = 0

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self._newest = os.fstat(descriptor).st_ino
        return descriptor

    def sync(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        super().sync(descriptor)
        self._claims.say("durable", status.st_ino, status.st_size)

    def sync_directory(self, path: Path) -> None:
        newest = self._newest
        super().sync_directory(path)
        self._claims.say("named", newest)


def live(task: Task) -> None:
    """Write until killed, or `blocks_max` blocks and a clean end."""
    places = Places(Path(task.folder))
    claims = Claims(places.claims)
    warm = os.getppid()
    config = WriterConfig(task.sync, task.commit_ms, task.segment_bytes, task.memory_bytes)
    disk = WatchedDisk(claims)
    if task.tries_at_end:
        writing._RETRY_NS = 1 << 62
    writer = Writer(places.journal, places.positions, config, disk=disk, on_synced=claims.synced)
    claims.say("open", writer.epoch, writer.next_seq)
    if task.file_bytes_max:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (task.file_bytes_max, hard))
    fed = fed_blocks(task.seed, writer.epoch, writer.next_seq, make_pool(task.seed))
    for number, block in zip(range(1, task.blocks_max + 1), fed, strict=False):
        seq = writer.append(*block)
        claims.say("accepted", number, seq, writer.state())
        if number % SAVE_EVERY == 0:
            claims.say("saving", writer.epoch, writer.offset)
            save_positions(places.saved, {"journal": Position(writer.epoch, writer.offset)})
            claims.say("saved", writer.epoch, writer.offset)
        if os.getppid() != warm:
            os._exit(1)  # the campaign is gone
    lost = writer.close()
    claims.say("closed", writer.dropped_frames, lost)


def start(line: str) -> int:
    """Fork a victim; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(0)
        task = Task(**json.loads(line))
        if task.failpoint:
            os.environ["TICKTAPE_FAILPOINT"] = task.failpoint
        live(task)
    except BaseException:  # noqa: BLE001 - nothing of the warm process may run on in a victim
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
    """Be the warm process until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the campaign ends us by closing stdin
    pid = 0
    for line in sys.stdin:
        if line == "wait\n":
            answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        else:
            answer = pid = start(line)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
