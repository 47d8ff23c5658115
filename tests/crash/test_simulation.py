"""Some seeds of the simulation: the contract holds, a seed is the same twice, planted faults fall.

`python tests/crash/simulation.py --seeds 1000` tries many more.
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its modules, also under pytest

if not sys.platform.startswith("linux"):
    pytest.skip("a cut power is played with the file numbers of Linux", allow_module_level=True)

import simulation
from simulation import simulate
from simulation_disk import SimDisk, Violation
from simulation_readers import DurableReader

from ticktape.errors import Corrupt
from ticktape.feeds import gapkeeper as gapkeeper_module
from ticktape.feeds.capture import Capture
from ticktape.feeds.gapkeeper import GapKeeper
from ticktape.journal import reader as reader_module
from ticktape.journal import tail as tail_module
from ticktape.journal import writer as writer_module
from ticktape.journal.held import HeldBlocks
from ticktape.journal.reader import Reader
from ticktape.journal.sync import GroupCommit
from ticktape.journal.tail import Tail
from ticktape.journal.writer import Writer
from ticktape.ledger.counting import MINUTE_NS, FeedCounter
from ticktape.ledger.memory import Memory

SEEDS = range(1, 25)
MUTANT_SEEDS = 60  # every planted fault falls within so many


def test_contract_holds_whatever_goes_wrong_together():
    reports = [simulate(seed) for seed in SEEDS]

    # Nothing is shown by simulations in which nothing happens.
    assert sum(report.kills for report in reports) > 5
    assert sum(report.cuts for report in reports) > 5
    assert sum(report.refusals for report in reports) > 40
    assert sum(report.dropped for report in reports) > 10
    assert sum(report.gaps for report in reports) > 30
    assert sum(report.journaled for report in reports) > 1000


def test_seed_is_the_same_simulation_again():
    first, second = [], []

    assert simulate(7, log=first.append) == simulate(7, log=second.append)
    assert first == second
    assert simulate(8) != simulate(7)


@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_capture_makes_the_same_journal_whether_anyone_reads_or_not(seed):
    alone, read = simulate(seed, readers=False), simulate(seed)

    assert read.journal == alone.journal
    assert read.trace == alone.trace


# Faults that somebody might build in one day, each a line of the contract.


def _publishes_before_the_sync():
    original = GroupCommit._sync

    def sync(self, file, end, next_seq):
        if end > self._synced and not self.failing:
            self._positions.publish_synced(end, next_seq)
        original(self, file, end, next_seq)

    return mock.patch.object(GroupCommit, "_sync", sync)


def _publishes_what_came_during_the_sync():
    original = GroupCommit._sync

    def sync(self, file, end, next_seq):
        original(self, file, end, next_seq)
        if file.end is None and not self.failing:
            now = self._positions.statistics()
            self._positions.publish_synced(now.written, now.written_seq)

    return mock.patch.object(GroupCommit, "_sync", sync)


def _trusts_a_sync_that_is_tried_again():
    original = SimDisk.sync

    def sync(self, descriptor):
        try:
            original(self, descriptor)
        except OSError:
            if self.world.actor == "capture":
                return
            raise

    return mock.patch.object(SimDisk, "sync", sync)


def _saves_before_it_makes():
    def keep(self, blocks):
        end = self._reader.position
        self._save(end)
        if self.rng.random() < self._clumsiness:
            self.die()
        else:
            self._make(blocks, end)

    return mock.patch.object(DurableReader, "keep", keep)


def _counts_again_what_it_wrote_down_before():
    original = Memory.take

    def take(self, entry):
        before = dict(self.positions)
        original(self, entry)
        self.positions.update(before)

    return mock.patch.object(Memory, "take", take)


def _counts_what_comes_late_in_the_wrong_minute():
    original = FeedCounter.add

    def add(self, brought, dropped=None):
        self._minute = max(self._minute, int(brought.recv_ns[0]) // MINUTE_NS)
        brought.recv_ns[:] = max(self._minute * MINUTE_NS, int(brought.recv_ns[0]))
        return original(self, brought, dropped)

    return mock.patch.object(FeedCounter, "add", add)


def _forgets_what_was_dropped_when_it_counts():
    original = FeedCounter.add
    return mock.patch.object(FeedCounter, "add", lambda self, *given: original(self, given[0]))


def _forgets_a_gap():
    original = GapKeeper.down

    def down(self, content, last_recv_ns):
        original(self, content, last_recv_ns)
        self.down_since_ns, content.gap = 0, None
        return self.stamped(content)

    return mock.patch.object(GapKeeper, "down", down)


def _begins_a_gap_too_late():
    original = GapKeeper.down

    def down(self, content, last_recv_ns):
        return original(self, content, last_recv_ns + 300_000_000)

    return mock.patch.object(GapKeeper, "down", down)


def _forgets_what_a_dead_process_left_open():
    original = GapKeeper.start

    def start(self, last, now_ns, **more):
        return original(self, last, now_ns)

    return mock.patch.object(GapKeeper, "start", start)


def _ends_a_pause_when_the_process_starts():
    original = GapKeeper.ready

    def ready(self, *given):
        self._pause = None
        return original(self, *given)

    return mock.patch.object(GapKeeper, "ready", ready)


def _leaves_a_dead_line_as_if_all_had_come():
    original = Capture._run_session

    async def run_session(self):
        wait_s = await original(self)
        self._left_ns = 0
        return wait_s

    return mock.patch.object(Capture, "_run_session", run_session)


def _forgets_gaps_that_were_dropped():
    original = Capture._tell

    def tell(self, content):
        original(self, content)
        self._untold = []

    return mock.patch.object(Capture, "_tell", tell)


def _drops_uncounted():
    def drop(self, block):
        pass

    return mock.patch.object(HeldBlocks, "drop", drop)


def _holds_without_bound():
    return mock.patch.object(HeldBlocks, "has_room", lambda self, block: True)


def _uses_an_epoch_again():
    original = writer_module.find_journal_end

    def find(directory):
        found = original(directory)
        return found._replace(next_epoch=max(found.next_epoch - 1, 0))

    return mock.patch.object(writer_module, "find_journal_end", find)


def _writes_where_a_torn_block_lies():
    def leave(self):
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._finish_file()
            self._disk.close(descriptor)

    return mock.patch.object(Tail, "leave", leave)


def _is_silent_about_refusals():
    return mock.patch.object(Writer, "_tell", lambda self, error: None)


def _stops_at_damage():
    return mock.patch.object(Reader, "_pass_damage", lambda self, *given: False)


def _waits_for_readers():
    original = tail_module.Tail.write

    def write(self, block, rest, next_seq):
        if self._words[tail_module.SLEEPERS_INDEX]:
            raise BlockingIOError("a reader is not ready")
        original(self, block, rest, next_seq)

    return mock.patch.object(Tail, "write", write)


def _trusts_the_sync_after_a_dead_process():
    return mock.patch.object(writer_module, "add_doubt", lambda path, directory, found: found)


def _believes_the_header_of_a_segment():
    return mock.patch.object(reader_module, "read_first_block", _as_its_header_says)


def _as_its_header_says(segment):
    try:
        return SimpleNamespace(seq=segment.header().first_seq)
    except (Corrupt, FileNotFoundError):
        return None


def _lets_a_loss_and_an_outage_pass_for_one():
    original = HeldBlocks.tell

    def tell(self, seq):
        said = original(self, seq)
        return {**said, "from_ns": said["from_ns"] + 1}

    return mock.patch.object(HeldBlocks, "tell", tell)


def _ends_a_gap_before_it_begins():
    return mock.patch.object(gapkeeper_module, "_ended", lambda gap, to_ns: gap | {"to_ns": to_ns})


def _journals_the_login():
    original = Capture._tell

    def tell(self, content):
        if content.event == "connecting":
            content.words = self._socket_config.proxy
        original(self, content)

    return mock.patch.object(Capture, "_tell", tell)


FAULTS = {
    # fault: the line of the contract, and a seed that finds it; others do, too
    _publishes_before_the_sync: ("line 1", 3),
    _publishes_what_came_during_the_sync: ("line 1", 28),
    _trusts_the_sync_after_a_dead_process: ("line 1", 7),
    _uses_an_epoch_again: ("line 4", 2),
    _writes_where_a_torn_block_lies: ("line 4", 21),
    _believes_the_header_of_a_segment: ("line 5", 934),
    _stops_at_damage: ("line 5", 1),
    _trusts_a_sync_that_is_tried_again: ("line 6", 4),
    _drops_uncounted: ("line 6", 3),
    _holds_without_bound: ("line 6", 21),
    _is_silent_about_refusals: ("line 6", 1),
    _saves_before_it_makes: ("line 8", 2),
    _counts_again_what_it_wrote_down_before: ("line 8", 3),
    _counts_what_comes_late_in_the_wrong_minute: ("line 8", 2),
    _forgets_what_was_dropped_when_it_counts: ("line 8", 22),
    _ends_a_gap_before_it_begins: ("line 9", 52),
    _lets_a_loss_and_an_outage_pass_for_one: ("line 9", 1292),
    _forgets_a_gap: ("line 9", 1),
    _begins_a_gap_too_late: ("line 9", 1),
    _forgets_what_a_dead_process_left_open: ("line 9", 2),
    _ends_a_pause_when_the_process_starts: ("line 9", 16),
    _leaves_a_dead_line_as_if_all_had_come: ("line 9", 16),
    _forgets_gaps_that_were_dropped: ("line 9", 41),
    _journals_the_login: ("line 10", 1),
}


def first_found(fault, seeds):
    """(seed, words) of the first violation with this fault in the program; None without one."""
    for seed in seeds:
        with fault():
            try:
                simulate(seed)
            except Violation as violation:
                return seed, str(violation)
    return None


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_planted_fault_is_found_and_named_by_its_line(fault):
    line, likely = FAULTS[fault]

    found = first_found(fault, [likely, *range(1, MUTANT_SEEDS)])

    assert found is not None and found[1].startswith(line), found


def test_reader_that_makes_the_capture_wait_shows_in_the_journal():
    with _waits_for_readers():
        for seed in (2, 3, 4):
            simulate(seed, readers=False)

    assert first_found(_waits_for_readers, (2, 3, 4)) is not None


def test_command_says_which_seed_fails_and_how_to_see_it_again(capsys):
    with _begins_a_gap_too_late(), mock.patch.object(sys, "argv", ["simulation.py"]):
        assert simulation.main() == 1
    said = capsys.readouterr().out
    assert "Violation: line 9" in said and "--seed" in said

    with mock.patch.object(sys, "argv", ["simulation.py", "--seeds", "2"]):
        assert simulation.main() == 0
    assert capsys.readouterr().out.endswith("2 seeds, 0 violations\n")
