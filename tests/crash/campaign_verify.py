"""What must hold of a journal after every kill, looked over start by start.

The bytes are judged by `campaign_bytes`; then the real readers must say the same of them. What was
found once must stay as it is: new epochs are read whole, older files by their size and times, and
by their hash now and then. Old epochs are removed when they were looked over, so that the folder
stays small.
"""

import hashlib
import json
import random
import shutil
import zlib
from collections import deque
from pathlib import Path

from campaign_bytes import HEADER_BYTES, Epoch, File, Lies, Violation, Walk, demand
from campaign_victim import Places, Task, fed_blocks, make_pool

from ticktape.journal import Reader
from ticktape.journal.positions import Positions
from ticktape.records import Position

KEEP_EPOCHS = 6
HASH_EVERY = 40  # starts
FLIP_EVERY = 8


# What the victim said.


class Said:
    """The claims of one start."""

    def __init__(self, path: Path) -> None:
        self.opened: tuple[int, int] | None = None
        self.accepted = 0
        self.synced = 0
        self.durable: dict[int, int] = {}
        self.named: list[int] = []
        self.saving: list[tuple[int, int]] = []
        self.saved = 0
        self.closed = False
        # Each line was one write, and a kill may cut off the last; a victim that was killed before
        # the first has made no file.
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        for line in whole.splitlines():
            word, *numbers = line.split()
            getattr(self, f"_{word}")(*map(int, numbers))

    def _open(self, epoch: int, seq: int) -> None:
        self.opened = (epoch, seq)

    def _accepted(self, number: int, seq: int, state: int) -> None:
        demand(seq >= 0 and state == 1, f"block {number}: seq {seq} in state {state}")
        self.accepted = number

    def _synced(self, start: int, end: int) -> None:
        demand(self.synced <= start <= end, f"synced {start} to {end} after {self.synced}")
        self.synced = end

    def _durable(self, inode: int, size: int) -> None:
        self.durable[inode] = max(size, self.durable.get(inode, 0))

    def _named(self, inode: int) -> None:
        self.named.append(inode)

    def _saving(self, *position: int) -> None:
        self.saving.append(position)

    def _saved(self, *_position: int) -> None:
        self.saved = len(self.saving)

    def _closed(self, dropped: int, lost: int) -> None:
        demand((dropped, lost) == (0, 0), f"{dropped} dropped, {lost} lost at the close")
        self.closed = True

    def durable_end(self, files: list[File]) -> int:
        """Up to where the disk has confirmed all bytes and names of an epoch."""
        inodes = [file.inode for file in files]
        named = max((inodes.index(each) + 1 for each in self.named if each in inodes), default=0)
        end = 0
        for file in files[:named]:
            end = file.base + min(self.durable.get(file.inode, 0), file.size)
            if end < file.base + file.size:
                break
        return end


class Verifier:
    """Looks over one journal after every start of its victim.

    Args:
        places: of the run.
        seed: of the run; payloads and flips come from it.
    """

    def __init__(self, places: Places, seed: int) -> None:
        self._places, self._seed = places, seed
        self._pool = make_pool(seed)
        self._rng = random.Random(f"{seed} looks")
        self._known: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._epochs: list[Epoch] = []
        self._nonces: set[bytes] = set()
        self._expected: deque[Lies] = deque()
        self._saved: tuple[int, int] | None = None
        self._starts = 0
        self._synced_follower = seed % 2 == 0
        self._follower = Reader(places.journal, places.positions, synced=self._synced_follower)

    @property
    def next_seq(self) -> int:
        """What the next start must begin with."""
        return self._epochs[-1].next_seq if self._epochs else 0

    def positions_made_anew(self) -> None:
        """The mapped file is gone: who has it mapped must come again."""
        self._follower.close()
        at = self._follower.position
        self._follower = Reader(
            self._places.journal, self._places.positions, at, synced=self._synced_follower
        )

    def look(self, task: Task) -> None:
        """Look over what a start left.

        Raises:
            Violation: with what is wrong.
        """
        self._starts += 1
        said = Said(self._places.claims)
        files = self._find_files()
        epoch = self._read_epoch(files, task) if files else None
        demand(epoch is not None or said.opened is None, "an epoch was opened and left no file")
        self._prove_manifest(made=bool(files))
        if epoch is not None:
            self._prove_claims(epoch, said, task)
            self._epochs.append(epoch)
            self._expected += epoch.blocks
            self._prove_reader()
        self._prove_saved(said)
        self._follow()
        self._note_files()
        if self._starts % HASH_EVERY == 0:
            self.prove_hashes()
        if self._starts % FLIP_EVERY == 0:
            self._prove_flip()
        self._prune()

    def _find_files(self) -> list[File]:
        """Segments that are new; all that was there before is as it was."""
        there = {path.name: path for path in self._places.journal.glob("*-*")}
        for name, (stamp, _) in self._known.items():
            demand(name in there, f"{name} is gone")
            demand(stamp_of(there[name]) == stamp, f"{name} was touched")
        files = []
        for name in sorted(there.keys() - self._known.keys()):
            stem, _, suffix = name.partition(".")
            if suffix == "seg":
                epoch, base = map(int, stem.split("-"))
                status = there[name].stat()
                files.append(File(epoch, base, there[name], status.st_size, status.st_ino))
            else:
                demand(suffix in ("manifest.json", "manifest.json.new"), f"{name}: what is it?")
        return files

    def _read_epoch(self, files: list[File], task: Task) -> Epoch:
        number = self._epochs[-1].number + 1 if self._epochs else 0
        demand({file.epoch for file in files} == {number}, f"not all of epoch {number}: {files}")
        seq = self.next_seq
        fed = fed_blocks(self._seed, number, seq, self._pool)
        walk = Walk(files, fed, seq, task.segment_bytes)
        epoch = walk.read()
        demand(self._nonces.isdisjoint(walk.nonces), "a nonce was used again")
        self._nonces.update(walk.nonces)
        return epoch

    def _prove_manifest(self, *, made: bool) -> None:
        """The end before is written down, at the latest when there is a new epoch."""
        if not self._epochs:
            return
        wanted = self._epochs[-1].manifest()
        path = (self._places.journal / str(wanted["segment"])).with_suffix(".manifest.json")
        if made or path.exists():
            said = json.loads(path.read_bytes())
            demand(said == wanted, f"{path.name} says {said}, and not {wanted}")

    def _prove_claims(self, epoch: Epoch, said: Said, task: Task) -> None:
        """Nothing that was said of an entry is untrue (DESIGN §2, lines 1 to 3)."""
        blocks = len(epoch.blocks)
        if said.opened is not None:
            demand(said.opened == (epoch.number, self.next_seq), f"opened as {said.opened}")
        demand(
            said.accepted <= blocks <= said.accepted + 1,
            f"{said.accepted} blocks were written, and {blocks} are there",
        )
        stands = Positions.for_reader(self._places.positions)
        if stands is None:
            demand(said.opened is None, "no positions")
            return
        now = stands.statistics()
        stands.close()
        if now.epoch != epoch.number:
            demand(said.opened is None, f"the positions are those of epoch {now.epoch}")
            return
        ends = [(0, 0), *epoch.ends]
        words = f"{now} beside {ends[-3:]}, {said.accepted} accepted"
        demand(now.written in dict(ends) and now.synced in dict(ends), f"no block ends: {words}")
        if said.opened is not None:
            claimed = ends[said.accepted + 1][0]
            demand(now.written >= claimed, f"written is behind: {words}")
            demand(task.sync != "each" or now.synced >= claimed, f"synced is behind: {words}")
            place = [end for end, _ in ends].index(now.written)
            seqs = {seq for _, seq in ends[place : place + 2]}
            demand(now.written_seq in seqs, f"written_seq is not that of written: {words}")
        demand(said.synced <= now.synced <= now.written, f"synced moved wrongly: {words}")
        durable = said.durable_end(epoch.files)
        demand(now.synced <= durable, f"synced, and the disk had only {durable}: {words}")
        for file in self._epochs[-1].files if self._epochs else ():
            there = said.durable.get(file.inode, 0) == file.size
            demand(there, f"{file.path.name} was not synced before the next epoch")
        if said.closed:
            demand(
                now.synced == ends[-1][0] and epoch.torn is None,
                f"closed, and not all synced: {words}",
            )

    def _prove_reader(self) -> None:
        """The real reader sees each block as it was fed, and each torn end as long as it is."""
        last = self._epochs[-2:]
        with Reader(self._places.journal, None, Position(last[0].number, 0)) as reader:
            found = []
            while blocks := reader.read():
                found += map(as_lies, blocks)
            damage = reader.damage
        wanted = [block for epoch in last for block in epoch.blocks]
        demand(found == wanted, f"a reader sees other blocks: {differ(found, wanted)}")
        torn = [epoch.torn for epoch in last if epoch.torn]
        demand(damage == torn, f"a reader says {damage}, and not {torn}")

    def _prove_saved(self, said: Said) -> None:
        """The position file is whole: what was saved last, or what was being saved."""
        may = {self._saved} if not said.saved else set()
        may |= set(said.saving[max(said.saved - 1, 0) :])
        try:
            content = json.loads(self._places.saved.read_bytes())
            saved = tuple(content["positions"]["journal"])
        except FileNotFoundError:
            saved = None
        except ValueError as error:
            raise Violation(f"the position file is torn: {error}") from error
        demand(saved in may, f"the position file holds {saved}, and not one of {may}")
        self._saved = saved

    def _follow(self) -> None:
        """A reader that has lived through all kills misses nothing and sees nothing twice."""
        while blocks := self._follower.read():
            for block in map(as_lies, blocks):
                wanted = self._expected.popleft() if self._expected else None
                demand(block == wanted, f"a follower read {block}, and not {wanted}")
        stands = Positions.for_reader(self._places.positions)
        if stands is not None and self._expected:
            epoch, offset, _ = stands.limit(synced=self._synced_follower)
            stands.close()
            left = self._expected[0]
            demand(
                (left.epoch, left.end_offset) > (epoch, offset),
                f"a follower stops at {self._follower.position} before {left}",
            )

    def _note_files(self) -> None:
        for path in self._places.journal.glob("*-*"):
            if path.name not in self._known and path.suffix != ".new":
                self._known[path.name] = (stamp_of(path), digest_of(path))

    def prove_hashes(self) -> None:
        """No byte of any file has changed.

        Raises:
            Violation: one has.
        """
        for name, (_, digest) in self._known.items():
            path = self._places.journal / name
            demand(path.exists() and digest_of(path) == digest, f"{name} was altered")

    def _prove_flip(self) -> None:
        """A flipped byte costs the block that it is in, and shows no other entry (line 5)."""
        epoch = next((each for each in reversed(self._epochs) if each.blocks), None)
        if epoch is None:
            return
        file = next(file for file in epoch.files if file.base < epoch.blocks[0].end_offset)
        scratch = self._places.root / "flipped"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        content = bytearray(file.path.read_bytes())
        at = self._rng.randrange(HEADER_BYTES, len(content))
        content[at] ^= 1 << self._rng.randrange(8)
        (scratch / file.path.name).write_bytes(content)
        end = file.base + file.size
        wanted = [
            block
            for block in epoch.blocks
            if block.end_offset <= end and not block.offset <= file.base + at < block.end_offset
        ]
        found = []
        with Reader(scratch, None) as reader:
            while blocks := reader.read():
                found += map(as_lies, blocks)
        demand(found == wanted, f"byte {at} flipped: {differ(found, wanted)}")

    def _prune(self) -> None:
        """Remove old epochs; what recovery may look back to stays."""
        full = [epoch for epoch in self._epochs if epoch.blocks]
        if len(full) <= KEEP_EPOCHS:
            return
        first = full[-KEEP_EPOCHS].number
        for name in [name for name in self._known if int(name.partition("-")[0]) < first]:
            path = self._places.journal / name
            demand(digest_of(path) == self._known.pop(name)[1], f"{name} was altered")
            path.unlink()
        self._epochs = [epoch for epoch in self._epochs if epoch.number >= first]

    def finish(self) -> None:
        """The end of a run: every hash, and nothing that a follower did not get.

        Raises:
            Violation: with what is wrong.
        """
        self.prove_hashes()
        self._follower.read_files()
        self._follow()
        demand(not self._expected, f"a follower never got {list(self._expected)[:2]}")
        self.close()

    def close(self) -> None:
        self._follower.close()


def as_lies(block) -> Lies:
    """A block of the real reader, to compare."""
    return Lies(*(getattr(block, name) for name in Lies._fields[:-1]), zlib.crc32(block.body))


def differ(found: list[Lies], wanted: list[Lies]) -> str:
    """Where two lists of blocks part."""
    at = next(
        (at for at, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b),
        min(len(found), len(wanted)),
    )
    return f"{len(found)} of {len(wanted)}; {found[at : at + 1]} and not {wanted[at : at + 1]}"


def stamp_of(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written to or made again."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def digest_of(path: Path) -> str:
    """Hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
