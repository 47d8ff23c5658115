"""The ledger's process: what every feed brought, whether the tables have it, what is missing.

It reads what is synced in the feeds' journals and writes a journal of its own. Its position is
saved only when what it wrote is itself on the disk; the entries carry positions of their own, so
that no row is counted twice whenever it is killed. Nothing waits for it.
"""

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ticktape import clock
from ticktape.directory import LEDGER, RunDirectory
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, JournalError
from ticktape.failpoints import from_environment
from ticktape.journal.blocks import Block
from ticktape.journal.disk import Disk, write_error
from ticktape.journal.position_file import load_positions
from ticktape.journal.positions import JournalState
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.latency import PauseLog, RunId
from ticktape.ledger.alarms import Alarm
from ticktape.ledger.entries import LedgerEntry, encode_entry, kind_of
from ticktape.ledger.identity import identity_words
from ticktape.ledger.memory import Memory, load_memory
from ticktape.ledger.sessions import Hours
from ticktape.ledger.suspects import Suspects
from ticktape.ledger.watchdog import Watchdog
from ticktape.recorder.following import Following, is_alive
from ticktape.recorder.ledger_feed import LedgerFeed
from ticktape.recorder.parent import Parent
from ticktape.recorder.priority import OBSERVER, take_place
from ticktape.recorder.task import LedgerTask
from ticktape.recorder.turn import has_successor, turn
from ticktape.records import Position

_READ_BYTES = 1 << 20  # what is watched within one read is told late by as much
_POLL_S = 0.25  # a silence takes seconds to be one
_DRAIN_POLL_S = 0.02
_REPORT_NS = 300_000_000
_COMPARE_NS = clock.NS_PER_S  # the table commits every few seconds
_LEARNED_NS = 60 * clock.NS_PER_S  # what is learned and lost costs minutes of watching, no data
# From a socket read to its block in the journal; what came before that is there to be read.
_ON_ITS_WAY_NS = 250_000_000
_FAREWELL_TRIES = 10  # of a disk that refuses, when it is time to leave
_RETRY_S = 0.5
_DRIFT_NS = 1_000_000  # the clock was set: what the ledger writes has the new one's time
_READER = "ledger"
_TABLE = "table"


class LedgerChild:
    """Follows all feeds; one process at a time may write the ledger's journal."""

    def __init__(self, task: LedgerTask, parent: Parent) -> None:
        self._parent = parent
        self._directory = RunDirectory(Path(task.directory))
        self._failpoints = from_environment()
        process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
        self._pauses = PauseLog(self._directory.pauses, _READER, process)
        self._pauses.watch_gc()
        self._wall = clock.WallClock()
        self._trouble = ""
        journal = task.journal
        self._writer = Writer(
            self._directory.journal(LEDGER),
            self._directory.positions(LEDGER),
            WriterConfig("group", journal.commit_ms, journal.segment_bytes, journal.memory_bytes),
            on_trouble=self._on_trouble,
            wall=self._wall,
        )
        # After the writer: it has made durable what the one before it had written.
        self._memory = load_memory(self._directory.reader_file(_READER), self._open_own)
        self._learned = self._directory.live / "watchdog.json"
        self._watchdog = _watchdog(task, self._learned)
        self._suspects = Suspects()
        self._feeds = {
            each.name: LedgerFeed(each, self._memory, self._watchdog, self._suspects)
            for each in task.feeds
        }
        self._following = Following(
            self._directory,
            {name: feed.counter.position for name, feed in self._feeds.items()},
            self._pauses,
            synced=True,
        )
        left_over, self._memory.suspects = self._memory.suspects, []
        self._write(self._suspects.end_left_over(left_over, self._memory.last_ns))
        self._saved: bytes = b""
        self._report_at_ns = self._compare_at_ns = 0
        self._learned_at_ns = clock.monotonic_ns() + _LEARNED_NS

    def _open_own(self, start: Position) -> Reader:
        return Reader(self._directory.journal(LEDGER), None, start)

    def _on_trouble(self, error: JournalError) -> None:
        words = str(error.args[0])
        if words != self._trouble:
            self._trouble = words
            self._parent.tell("trouble", words=words, hint=error.hint)

    def run(self) -> int:
        """Count and watch until the parent says leave and all is read."""
        tries = _FAREWELL_TRIES
        while True:
            refused = self._is_refused()
            idle = refused or not self._read()
            self._between(refused)
            if not idle:
                continue
            if self._parent.leave.is_set():
                tries -= refused
                if tries < 0 or has_successor(self._directory, self._parent):
                    break
                if not refused and self._following.is_drained():
                    break
            self._pause(refused)
        self._finish()
        return EXIT_INCOMPLETE if self._trouble else EXIT_COMPLETE

    def _is_refused(self) -> bool:
        """Whether the disk refuses: then nothing more is read, so that memory stays bounded."""
        self._writer.tick()
        if self._writer.state() is not JournalState.OK:
            return True
        if self._trouble:
            self._trouble = ""
            self._parent.tell("mended", words="the ledger's disk takes writes again")
        return False

    def _read(self) -> bool:
        """Take what is new; whether there was something."""
        found = False
        for name, blocks in self._following.read(_READ_BYTES):
            found = True
            for same_epoch in _by_epoch(blocks):
                self._tell(*self._feeds[name].take(same_epoch))
        return found

    def _between(self, refused: bool) -> None:
        """What is due between two reads."""
        now_ns = clock.monotonic_ns()
        if not refused:
            for feed in self._feeds.values():
                self._pass_time(feed)
            if now_ns > self._compare_at_ns:
                self._compare_at_ns = now_ns + _COMPARE_NS
                self._compare()
                self._save()
        if now_ns > self._learned_at_ns:
            self._learned_at_ns = now_ns + _LEARNED_NS
            self._save_learned()
        if min(abs(self._wall.drift_ns()) for _ in range(3)) > _DRIFT_NS:
            self._wall.reanchor()
        if now_ns > self._report_at_ns:
            self._report_at_ns = now_ns + _REPORT_NS
            self.report()

    def _pass_time(self, feed: LedgerFeed) -> None:
        """Let time pass for a feed of which everything is read; else its own blocks are the time.

        Asked is what the writer has written, not what is synced: a slow disk is no silent feed. One
        that is dead writes nothing, and hears nothing: the next one's first entry says since when.
        """
        now_ns = feed.wall.wall_ns() - _ON_ITS_WAY_NS
        known = self._following.readers[feed.name].seen()
        if known is None:
            return
        said = known[0].statistics()
        at = feed.counter.position
        is_read = at.epoch == said.epoch and at.offset >= said.written
        if said.state is JournalState.OK and is_read and is_alive(said.pid):
            self._tell(feed.counter.pass_time(now_ns), feed.watch.pass_time(now_ns))

    def _pause(self, refused: bool) -> None:
        if refused:
            clock.sleep_s(_RETRY_S)
        else:
            clock.sleep_s(_DRAIN_POLL_S if self._parent.leave.is_set() else _POLL_S)

    # What is found.

    def _tell(self, entries: Sequence[LedgerEntry], alarms: Iterable[Alarm]) -> None:
        found = list(entries)
        for alarm in alarms:
            entry = self._suspects.take(alarm)
            if entry is not None:
                found.append(entry)
            self._parent.tell(
                "alarm",
                words=_words(alarm),
                hint=alarm.hint,
                open=alarm.until_ns is None,
                kind=alarm.kind,
                feed=alarm.feed,
                channel=alarm.channel,
                symbol=alarm.symbol,
            )
        self._write(found)

    def _write(self, entries: Sequence[LedgerEntry]) -> None:
        """Write entries in one block: a crash leaves all of them or none."""
        if not entries:
            return
        mono_ns = clock.monotonic_ns()
        self._writer.append(
            [encode_entry(entry) for entry in entries],
            self._wall.wall_at(mono_ns),
            mono_ns,
            kinds=[kind_of(entry) for entry in entries],
        )
        self._pass_by("written")

    def _compare(self, *, at_end: bool = False) -> None:
        """Ask how far the table is, and what it was given up to there."""
        positions, counts = load_positions(self._directory.reader_file(_TABLE))
        try:
            received = msgspec.convert(counts, dict[str, dict[str, int]])
        except msgspec.ValidationError:
            return  # of another version: it says nothing of rows
        for name, feed in self._feeds.items():
            if name not in positions or name not in received:
                continue
            if at_end:
                entry = feed.stored.judge_end(
                    feed.counter.position, positions[name], received[name]
                )
            else:
                feed.stored.hear(positions[name], received[name])
                entry = feed.stored.judge(feed.counter.position)
            if entry is not None:
                self._write([entry])
                hint = "`ticktape check` names the rows; `ticktape rebuild` makes the table again."
                self._parent.tell("trouble", words=identity_words(entry), hint=hint)

    # What is kept.

    def _save(self) -> None:
        """Save where the ledger stands, if that changed, once it is on the disk in its journal."""
        settled = {name: feed.counter.settled for name, feed in self._feeds.items()}
        memory = Memory(
            {name: position for name, (position, _) in settled.items()},
            Position(self._writer.epoch, self._writer.offset),
            {name: totals for name, (_, totals) in settled.items()},
            self._suspects.standing(),
            {name: feed.watch.state for name, feed in self._feeds.items()},
            {n: end for n, f in self._feeds.items() if (end := f.counter.settled_end) is not None},
            self._memory.last_ns | {name: feed.last_ns for name, feed in self._feeds.items()},
            self._memory.damaged | {n: f.damaged for n, f in self._feeds.items() if f.damaged},
        )
        # Feeds that are not watched any more keep their places.
        memory.positions = self._memory.positions | memory.positions
        memory.totals = self._memory.totals | memory.totals
        said = msgspec.json.encode(memory)
        if said == self._saved:
            return
        self._writer.sync()
        if self._writer.state() is not JournalState.OK:
            return
        path = self._directory.reader_file(_READER)
        self._pass_by("before-save")
        try:
            memory.save(path)
        except OSError as error:
            self._on_trouble(write_error(error, str(path)))
            return
        self._saved = said
        self._pass_by("after-save")

    def _save_learned(self) -> None:
        # A cache: a disk that refuses it costs the first minutes after the next start.
        with contextlib.suppress(OSError):
            Disk().replace(self._learned, msgspec.json.encode(self._watchdog.saved()))

    def _pass_by(self, name: str) -> None:
        if self._failpoints is not None:
            self._failpoints.pass_by(f"ledger.{name}")

    def _finish(self) -> None:
        """Write what is left to say: the last minutes, and the ends of what stands."""
        self._compare(at_end=True)
        now_ns = self._wall.wall_ns()
        entries: list[LedgerEntry] = []
        for feed in self._feeds.values():
            entries += feed.counter.finish()
        ends = {name: feed.last_ns or now_ns for name, feed in self._feeds.items()}
        entries += self._suspects.end_all(ends)
        self._write(entries)
        self._save()
        self._save_learned()

    def report(self) -> None:
        """Tell the parent the counters."""
        self._pauses.flush()
        feeds = self._feeds.values()
        self._parent.tell(
            "statistics",
            behind_bytes=self._following.behind_bytes(),
            rows={feed.name: feed.counter.rows for feed in feeds},
            dropped={feed.name: feed.counter.dropped for feed in feeds},
            alarms={name: len(self._watchdog.health(name).alarms) for name in self._feeds},
            compared={feed.name: feed.stored.compared for feed in feeds},
            differences={feed.name: feed.stored.differences for feed in feeds},
        )

    def close(self) -> None:
        """Close the readers and the journal; may be called twice."""
        self._following.close()
        self._writer.close()
        lost = self._writer.untold_frames
        if lost:
            words = f"{lost} entries of the ledger are lost: the disk refused to the end"
            self._parent.tell("trouble", words=words, hint="")
        self._pauses.close()


def _watchdog(task: LedgerTask, learned: Path) -> Watchdog:
    hours = {feed.name: Hours(feed.hours) for feed in task.feeds}
    watchdog = Watchdog(hours)
    try:
        watchdog.restore(msgspec.json.decode(learned.read_bytes()))
    except (OSError, ValueError):
        return Watchdog(hours)  # what could not be read may have been taken in half
    return watchdog


def _words(alarm: Alarm) -> str:
    """An alarm in words that say whose it is; its end does not say that by itself."""
    if alarm.until_ns is None or alarm.kind == "lag":
        return f"{alarm.feed}: {alarm.words}"
    what = " ".join(each for each in (alarm.feed, alarm.channel, alarm.symbol) if each)
    return f"{what}: alarm over: {alarm.words}"


def _by_epoch(blocks: list[Block]) -> list[list[Block]]:
    """Blocks cut where the epoch changes: numbers of entries are compared within one."""
    if blocks[0].epoch == blocks[-1].epoch:
        return [blocks]
    groups: dict[int, list[Block]] = {}
    for block in blocks:
        groups.setdefault(block.epoch, []).append(block)
    return list(groups.values())


def main(task: LedgerTask, parent: Parent) -> int:
    """Run the ledger's child; its exit code."""
    take_place(OBSERVER)
    parent.listen()
    with turn(RunDirectory(Path(task.directory)), _READER, parent) as ours:
        if not ours:
            return EXIT_COMPLETE
        child = LedgerChild(task, parent)
        try:
            return child.run()
        finally:
            child.report()
            child.close()
