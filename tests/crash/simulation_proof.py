"""What must hold in a simulation at every restart and at the end, line by line of the contract.

Nothing here asks the writer how it did: the files are parsed again, beside the program's reader,
and compared with what the disk was given.
"""

import hashlib
import itertools

import msgspec
from power_proof import notes, whole_blocks
from simulation_counting import CountingReader
from simulation_disk import Violation, block_of
from simulation_ledger import Ledger
from simulation_readers import BEGIN, DurableReader, HotReader
from simulation_time import SECOND_NS

from ticktape.errors import Corrupt
from ticktape.journal.positions import JournalState, Positions
from ticktape.journal.reader import Reader
from ticktape.records import EntryKind, Position

_SLACK_NS = SECOND_NS // 1000
_FLIPS = 3


def read_all(journal, start=BEGIN):
    """(blocks, damage) as the program's reader finds them."""
    with Reader(journal, None, start) as reader:
        return list(itertools.chain.from_iterable(iter(reader.read, []))), list(reader.damage)


def _is_in(position, damage):
    """Whether the reader tells that what lay there is lost."""
    return any(
        each.epoch == position.epoch
        and each.offset <= position.offset < each.offset + max(each.bytes, 1)
        for each in damage
    )


def hold(condition, words):
    if not condition:
        raise Violation(words)


class Proof:
    """Holds a world to the contract."""

    def __init__(self, world):
        self.world = world
        self.lost = set()  # positions of blocks that a power cut took, and might
        self.journaled = self.dropped = 0
        self.gaps = []
        self.blocks = []
        self._old = {}  # path -> bytes, of what no start may alter
        self._epochs = []
        self._claimed = BEGIN
        self._killed = 0
        self._positions = None

    def close(self):
        if self._positions is not None:
            self._positions.close()

    # At every restart.

    def before_start(self):
        """A process has ended in some way: all that was written is there (line 2)."""
        self._hold_old()
        found = {block.position: block for block in whole_blocks(self.world.journal)}
        self._hold_true(found)
        for position in self.world.book.blocks:
            hold(
                position in found or position in self.lost,
                f"line 2: {position} was written and is lost without a power cut",
            )
        self._old = self._files()

    def after_start(self):
        """A new epoch stands beside what was there, which nobody touched (line 4)."""
        epoch = self.world.life.epoch
        hold(epoch > max(self._epochs, default=-1), f"line 4: epoch {epoch} is used twice")
        self._epochs.append(epoch)
        self._hold_old()
        self._note_claim()

    def at_death(self, life):
        """A process was killed: what was not yet written is at most one read's (line 2)."""
        self._note_claim()
        if life is None or life.writer is None or life.is_closed:
            return
        writer = life.writer
        life.was_failing = writer._tail.commit.failing
        # The writer's own may be unmapped by now: it may have died while it closed.
        written_seq = self._positions.statistics().written_seq
        holding = writer.state() in (JournalState.HOLDING, JournalState.DROPPING)
        self._hold_written(life, written_seq)
        late = [each for each in life.turned if each.seq is None or each.seq >= written_seq]
        done = [each for each in late if each.seq is not None]
        hold(holding or not done, "line 2: accepted, not written, and not held either")
        # One read, or what the writer says of itself around it.
        data = [each for each in late if each.kinds[0] <= EntryKind.BINARY]
        hold(holding or len(data) <= 1, "line 2: a kill costs more than one read")

    def after_end(self, life):
        """A process has ended by itself: nothing is unaccounted for (lines 6 and 8)."""
        self._note_claim()
        writer = life.writer
        refused = life.refused_frames()
        hold(
            writer.dropped_frames == refused + life.lost,
            f"line 6: {refused} + {life.lost} were dropped, {writer.dropped_frames} are counted",
        )
        told = sum(
            msgspec.json.decode(payload)["frames"]
            for turned in life.turned
            for kind, payload in zip(turned.kinds, turned.payloads, strict=True)
            if kind == EntryKind.DROPPED and self._is_written(life, turned)
        )
        hold(
            told + writer.untold_frames == writer.dropped_frames,
            f"line 6: {told} told and {writer.untold_frames} not, of {writer.dropped_frames}",
        )
        self._hold_written(life, writer.next_seq - life.lost)
        taken = [
            payload
            for each in life.turned
            for kind, payload in zip(each.kinds, each.payloads, strict=True)
            if kind <= EntryKind.BINARY
        ]
        hold(taken == life.delivered, "line 8: a frame that came was not given to the journal")

    def _is_written(self, life, turned):
        return 0 <= turned.seq < life.writer.next_seq - life.lost

    def after_cut(self):
        """The power was cut: what was synced is there (1), and all but the last moment (3)."""
        found = {block.position: block for block in whole_blocks(self.world.journal)}
        self._hold_true(found)
        suspect = self._suspect(found.values())
        self.world.book.forget_all_but(self._epochs)
        lives = {life.epoch: life for life in self.world.lives}
        for position, written in self.world.book.blocks.items():
            if position not in found and position not in self.lost:
                life = lives.get(position.epoch)  # None: of a start that told nobody of itself
                if life is not None and not self._is_suspect(position, suspect):
                    self._hold_may_be_lost(position, written, life)
                self.lost.add(position)
        self._old = self._files()

    def _hold_may_be_lost(self, position, written, life):
        sync, commit_ms = self.world.plan.writer[:2]
        if sync == "os" or written.refused:
            return  # named as unsafe; or held in memory, and written again
        hold(position >= self._claimed, f"line 1: {position} was synced and is lost")
        if life.was_failing:
            return  # no window can be promised while the disk refuses, and that was loud
        window_ns = 0 if sync == "each" else commit_ms * 1_000_000 + _SLACK_NS
        hold(not life.is_closed, f"line 1: {position} of a closed journal is lost")
        hold(
            written.at_ns + window_ns >= life.over_ns,
            f"line 3: {position} is lost, written {life.over_ns - written.at_ns} ns before the end",
        )

    def _note_claim(self):
        """Remember what a reader of synced things was told so far."""
        if self._positions is not None:
            self._positions.close()
        self._positions = Positions.for_reader(self.world.positions_path)
        if self._positions is not None:
            epoch, offset, _ = self._positions.limit(synced=True)
            self._claimed = max(self._claimed, Position(epoch, offset))

    def _hold_written(self, life, written_seq):
        """All that the writer took for written was given to the disk, byte for byte."""
        given = {}
        for position, written in self.world.book.blocks.items():
            if position.epoch == life.epoch:
                block = block_of(position, written.content)
                for index, entry in enumerate(block.entries()):
                    seq = block.seq + index
                    hold(given.setdefault(seq, entry) == entry, f"entry {seq} has two contents")
        for turned in life.turned:
            if turned.seq is not None and 0 <= turned.seq < written_seq:
                for index, entry in enumerate(zip(turned.kinds, turned.payloads, strict=True)):
                    hold(
                        given.get(turned.seq + index) == entry,
                        f"line 2: entry {turned.seq + index} never came to the disk as it was",
                    )

    def _hold_true(self, found):
        book = self.world.book.blocks
        for position, block in found.items():
            written = book.get(position)
            hold(written is not None, f"{position} was never written")
            hold(block_of(position, written.content) == block, f"line 4: {position} is altered")

    def _files(self):
        """What is in the journal now and may never change."""
        paths = self.world.journal.glob("*.*")
        return {path: path.read_bytes() for path in paths if path.suffix not in (".lock", ".new")}

    def _hold_old(self):
        for path, content in self._old.items():
            same = path.exists() and path.read_bytes() == content
            hold(same, f"line 4: {path.name} is altered")
        for path in self.world.root.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                hold(
                    not any(secret in content for secret in self.world.secrets),
                    f"line 10: a secret is in {path.name}",
                )

    def _suspect(self, blocks):
        return [each["suspect"] for each in notes(blocks, EntryKind.NOTE)]

    def _is_suspect(self, position, suspect):
        return any(
            each["epoch"] == position.epoch
            and each["from_offset"] <= position.offset < each["to_offset"]
            for each in suspect
        )

    # At the end.

    def at_the_end(self):
        """All of the contract, on the files alone."""
        self.before_start()
        world = self.world
        self.blocks, damage = read_all(world.journal)
        self._hold_read(damage)
        self._hold_readers()
        self._flip()
        suspect = self._suspect(self.blocks)
        given_up = [
            block_of(position, written.content)
            for position, written in world.book.blocks.items()
            if self._is_suspect(position, suspect) or _is_in(position, damage)
        ]
        ledger = Ledger(world, self.blocks)
        ledger.prove(given_up)
        self.journaled, self.dropped, self.gaps = ledger.journaled, ledger.dropped, ledger.gaps

    def _hold_read(self, damage):
        """The reader finds all that is there, once and in order, and no damage that is none."""
        read = {}
        for block in self.blocks:
            for index, entry in enumerate(block.entries()):
                hold(block.seq + index not in read, f"entry {block.seq + index} stands twice")
                read[block.seq + index] = entry
        hold(list(read) == sorted(read), "line 8: entries are out of order")
        for block in whole_blocks(self.world.journal):
            for index, entry in enumerate(block.entries()):
                hold(read.get(block.seq + index) == entry, f"line 5: {block.position} is not read")
        if not self.lost and not self.world.cuts:
            missing = set(range(max(read) + 1)) - set(read)
            told = sum(each.entries or 0 for each in damage)
            hold(len(missing) <= told, f"line 8: {len(missing)} numbers lack, {told} are explained")

    def _hold_readers(self):
        places = [block.position for block in self.blocks]
        for reader in self.world.readers:
            reader.catch_up()
            if isinstance(reader, HotReader):
                found = [block.position for block in reader.found]
                for block in reader.found:
                    written = self.world.book.blocks.get(block.position)
                    same = written and block_of(block.position, written.content) == block
                    hold(same, "a hot reader read what was never written")
                # Of a block that the disk took although it said no there are two: it may have read
                # the one that a power cut took since.
                told = {(block.seq, *block.entries()) for block in reader.found}
                wanted = [
                    block.position
                    for block in self.blocks
                    if block.position in found or (block.seq, *block.entries()) not in told
                ]
                self._hold_once("hot", found, wanted)
            elif isinstance(reader, DurableReader):
                parts = reader.made()
                rows = [row for part in parts for row in part["blocks"]]
                self._hold_once(reader.name, [Position(*row[:2]) for row in rows], places)
                bodies = {block.position: block.body.hex() for block in self.blocks}
                same = all(bodies.get(Position(*row[:2]), row[4]) == row[4] for row in rows)
                hold(same, f"reader {reader.name} made something else of a block")
            if isinstance(reader, CountingReader):
                reader.prove(self.world.table)

    def _hold_once(self, name, found, places):
        hold(found == sorted(set(found)), f"line 8: reader {name} has a block twice or late")
        missing = sorted(set(places) - set(found))
        hold(not missing, f"line 8: reader {name} lacks {missing[:3]} of {len(missing)}")
        surplus = set(found) - set(places)
        if name != "hot" and self.world.plan.writer.sync != "os":
            suspect = self._suspect(self.blocks)
            odd = [each for each in sorted(surplus) if not self._is_suspect(each, suspect)]
            hold(not odd, f"line 1: reader {name} has {odd[:3]}, and the journal has not")

    def _flip(self):
        """A flipped bit costs its block, and is told with its place (line 5)."""
        rng = self.world._streams["plan"]
        whole = whole_blocks(self.world.journal)
        segments = sorted(self.world.journal.glob("*.seg"))
        for block in rng.sample(whole, min(_FLIPS, len(whole))):
            path = [
                each
                for each in segments
                if each.name <= f"{block.epoch:06d}-{block.offset:020d}.seg"
            ][-1]
            content = path.read_bytes()
            at = block.offset - int(path.stem[7:]) + rng.randrange(block.end_offset - block.offset)
            flipped = bytearray(content)
            flipped[at] ^= 1 << rng.randrange(8)
            path.write_bytes(flipped)
            try:
                self._hold_flipped(block)
            finally:
                path.write_bytes(content)

    def _hold_flipped(self, block):
        try:
            blocks, damage = read_all(self.world.journal)
        except (Corrupt, OSError, ValueError) as error:
            raise Violation(f"line 5: a flipped bit stops the reader: {error}") from error
        expected = [each for each in self.blocks if each.position != block.position]
        # Of a block that stands twice the other copy is there still.
        same = [each.seq for each in blocks if each.position != block.position]
        hold(
            set(same) >= {each.seq for each in expected},
            f"line 5: a flipped bit of {block.position} costs more than its block",
        )
        hold(_is_in(block.position, damage), f"line 5: the damage of {block.position} is not told")

    def digest(self):
        """Of all bytes of the journal."""
        found = hashlib.sha256()
        for path in sorted(self.world.journal.glob("*.seg")):
            found.update(path.name.encode() + path.read_bytes())
        return found.hexdigest()[:16]
