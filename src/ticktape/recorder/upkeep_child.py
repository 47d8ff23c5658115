"""The upkeep process: seals closed segments, deletes what the config does not keep, certifies days.

A process of its own, of low priority: sealing a trade costs more than storing it, and the table
must not wait for it. It can be killed at any moment; the next one goes on where it ended.
"""

from pathlib import Path

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.errors import EXIT_COMPLETE, Corrupt, Locked
from ticktape.journal.disk import write_error
from ticktape.journal.sealing import Sealer
from ticktape.recorder.certifying import CertificateRoll
from ticktape.recorder.keeping import DAY_NS, Keeper
from ticktape.recorder.parent import Parent
from ticktape.recorder.priority import UPKEEP, take_place
from ticktape.recorder.room import HINT, Room
from ticktape.recorder.row_keeping import delete_rows
from ticktape.recorder.task import UpkeepTask
from ticktape.recorder.turn import turn

_LOOK_S = 5.0
_ROWS_NS = 3600 * clock.NS_PER_S  # how often rows of latency are looked through
_TROUBLE_NS = 60 * clock.NS_PER_S  # how long a journal whose disk refused is left alone


class _Leaving(Exception):
    """The word to leave came within a segment: it is begun anew another time."""


class UpkeepChild:
    """Looks at all journals of a run, again and again."""

    def __init__(self, task: UpkeepTask, parent: Parent) -> None:
        self._parent = parent
        directory = RunDirectory(Path(task.directory))
        self._room = Room(directory.root, task.journal.reserve_bytes)
        self._sealers = {
            name: Sealer(directory.journal(name), directory.positions(name))
            for name in task.journals
        }
        self._keeper = Keeper(directory, task.deleted, task.healed, task.journal)
        self._roll = CertificateRoll(directory, task.deleted, task.healed)
        self._directory = directory
        self._keep_rows_ns = int(task.journal.keep_latency_days * DAY_NS)
        self._rows_at_ns = clock.monotonic_ns()
        self._again_at_ns: dict[str, int] = {}
        self._trouble = ""
        self._counts = {
            "sealed_segments": 0,
            "sealed_from_bytes": 0,
            "sealed_to_bytes": 0,
            "deleted_segments": 0,
            "deleted_bytes": 0,
            "deleted_row_files": 0,
        }

    def run(self) -> int:
        """Look after the journals until the parent says leave."""
        while not self._parent.leave.is_set():
            self._certify()
            self._delete()
            self._seal()
            self._parent.tell("statistics", **self._counts)
            self._parent.leave.wait(_LOOK_S)
        return EXIT_COMPLETE

    def close(self) -> None:
        """End what is at work for it; may be called twice."""
        self._roll.close()

    def _certify(self) -> None:
        try:
            for each in self._roll.look(clock.wall_now_ns()):
                self._parent.tell("certified", words=f"{each.day}: {each.words}", day=each.day)
        except OSError as error:
            self._tell_trouble(str(write_error(error, "the day's certificate").args[0]), "")

    def _delete(self) -> None:
        try:
            for name, gone in self._keeper.delete(clock.wall_now_ns(), self._roll.pin):
                self._counts["deleted_segments"] += 1
                self._counts["deleted_bytes"] += gone.bytes
                words = (
                    f"{name}: {gone.segment} deleted, {gone.why} "
                    f"(entries {gone.first_seq} to {gone.next_seq - 1})"
                )
                self._parent.tell("deleted", words=words, feed=name, segment=gone.segment)
                if self._parent.leave.is_set():
                    return
            self._delete_rows()
        except OSError as error:
            self._tell_trouble(str(write_error(error, "deleting what is old").args[0]), "")

    def _delete_rows(self) -> None:
        if self._keep_rows_ns and clock.monotonic_ns() >= self._rows_at_ns:
            self._rows_at_ns = clock.monotonic_ns() + _ROWS_NS
            before_ns = clock.wall_now_ns() - self._keep_rows_ns
            self._counts["deleted_row_files"] += delete_rows(self._directory, before_ns)

    def _seal(self) -> None:
        """Seal all that waits, the journals in turn."""
        found = True
        while found and not self._parent.leave.is_set():
            found = False
            for name, sealer in self._sealers.items():
                found = self._seal_one(name, sealer) or found

    def _seal_one(self, name: str, sealer: Sealer) -> bool:
        """Seal a journal's next segment; whether there may be another."""
        if clock.monotonic_ns() < self._again_at_ns.get(name, 0):
            return False
        if not sealer.waiting():
            return False
        if self._room.is_short():
            self._tell_trouble(self._room.words("sealing waits"), HINT)
            return False
        try:
            done = sealer.seal_next(self._go_on)
        except (_Leaving, Locked):
            return False
        except (OSError, Corrupt) as error:
            self._again_at_ns[name] = clock.monotonic_ns() + _TROUBLE_NS
            failure = write_error(error, f"sealing {name}") if isinstance(error, OSError) else error
            self._tell_trouble(str(failure.args[0]), failure.hint)
            return False
        if done is None:
            return False
        self._counts["sealed_segments"] += 1
        self._counts["sealed_from_bytes"] += done.plain_bytes
        self._counts["sealed_to_bytes"] += done.sealed_bytes
        if self._trouble:
            self._trouble = ""
            self._parent.tell("mended", words="segments are sealed again")
        return True

    def _go_on(self, _: int) -> None:
        if self._parent.leave.is_set():
            raise _Leaving

    def _tell_trouble(self, words: str, hint: str) -> None:
        if words != self._trouble:
            self._trouble = words
            self._parent.tell("trouble", words=words, hint=hint)


def main(task: UpkeepTask, parent: Parent) -> int:
    """Run the upkeep child; its exit code."""
    take_place(UPKEEP)
    parent.listen()
    with turn(RunDirectory(Path(task.directory)), "upkeep", parent) as ours:
        if not ours:
            return EXIT_COMPLETE
        child = UpkeepChild(task, parent)
        try:
            return child.run()
        finally:
            child.close()
