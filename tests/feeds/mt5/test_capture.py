"""One feed's run over a terminal that comes and goes, on a clock that nobody waits for."""

import itertools
import json
import random

import msgspec
import pytest

from ticktape import mt5
from ticktape.decoders import decoder_for
from ticktape.errors import Disconnected, Refused
from ticktape.feeds.mt5.books import PolledBooks
from ticktape.feeds.mt5.capture import PollCapture
from ticktape.feeds.mt5.codes import PIPE_CODES, call_words, disconnected
from ticktape.feeds.mt5.figures import PollConfig
from ticktape.feeds.mt5.pace import pace_of
from ticktape.feeds.mt5.restore import restore
from ticktape.feeds.mt5.terminal import BookAnswer, Facts, Health, Refusal, TickAnswer
from ticktape.feeds.states import SessionState
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.ledger import fold_gaps
from ticktape.mt5 import BookFlag
from ticktape.polls import Polls
from ticktape.records import EntryKind, Gap

MS = 1_000_000
S = 1_000 * MS
ZERO_NS = 1_700_000_000 * S  # the wall at the monotonic zero
START_NS = 100 * S
CALL_NS = 100_000
BROKER_MS = 2 * 3_600_000


class FakeClock:
    """Our clocks; what is planned `at` a moment happens when time passes it."""

    def __init__(self):
        self.now_ns = START_NS
        self.zero_ns = ZERO_NS
        self.step_ns = 0
        self._plans = []

    def at(self, seconds, act):
        self._plans.append((START_NS + int(seconds * S), len(self._plans), act))
        self._plans.sort(key=lambda plan: plan[:2])

    def pass_ns(self, length_ns):
        end_ns = self.now_ns + length_ns
        while self._plans and self._plans[0][0] <= end_ns:
            at_ns, _, act = self._plans.pop(0)
            self.now_ns = max(at_ns, self.now_ns)
            act()
        self.now_ns = max(end_ns, self.now_ns)

    # As `ticktape.clock`.

    def monotonic_ns(self):
        return self.now_ns

    def sleep_s(self, seconds):
        self.pass_ns(int(seconds * S))

    # As `clock.WallClock`.

    def wall_at(self, mono_ns):
        return self.zero_ns + mono_ns

    def wall_ns(self):
        return self.wall_at(self.now_ns)

    def drift_ns(self):
        return self.step_ns

    def reanchor(self):
        self.zero_ns, self.step_ns = self.zero_ns + self.step_ns, 0

    # As `threading.Event`.

    is_stopped = False

    def is_set(self):
        return self.is_stopped

    def set(self):
        self.is_stopped = True

    def wait(self, seconds):
        self.pass_ns(int(seconds * S) + 1)


class FakeTerminal:
    """A terminal whose books change at times that are known; each call takes 100 µs."""

    where = "a fake terminal"

    def __init__(self, clock):
        self.clock = clock
        self.alive = True
        self.connected = True
        self.other_account = False
        self.refused = {}
        self.codes = {}
        self.changes_ns = {"A": 50 * MS, "B": 0}
        self.empty = set()
        self.stall_ns = 0
        self.stalling = ""
        self.ticks_s = 0.0
        self.held_ticks = None
        self.frozen_ns = None
        self.opened = 0
        self.closed = []
        self.linked = False

    def _call(self):
        if self.stall_ns:
            stall_ns, self.stall_ns = self.stall_ns, 0
            self.clock.pass_ns(stall_ns)
        self.clock.pass_ns(CALL_NS)
        if not (self.alive and self.linked):
            code = -10_002 if self.linked else -10_004
            self.linked = False
            raise disconnected(call_words(code, "IPC"))

    def die(self):
        self.alive = False

    def revive(self):
        self.alive = True

    def open(self):
        self.clock.pass_ns(CALL_NS)
        if not self.alive:
            raise Disconnected("the terminal is not running", hint="Start it.")
        if self.other_account:
            raise Refused("another account", hint="Log in.")
        self.linked = True
        self.opened += 1
        return Facts(6231, "5.0", "Server", "Company")

    def subscribe(self, symbol, *, book):
        self._call()
        return self.refused.get((symbol, book))

    def instrument(self, symbol):
        self._call()
        return {"digits": 5}

    def state(self, symbol):
        """Number of the book's state now; 1 for one that never changes."""
        period_ns = self.changes_ns[symbol]
        now_ns = self.clock.now_ns if self.connected else self.frozen_ns
        return (now_ns - START_NS) // period_ns + 1 if period_ns else 1

    def poll(self, symbols):
        answers = []
        for symbol in symbols:
            before_ns, code, image = self.clock.now_ns, self.codes.get(symbol, 0), ()
            if symbol == self.stalling:
                self.stall_ns, self.stalling = 20 * S, ""
            try:
                self._call()
            except Disconnected as error:
                code = -10_002 if "-10002" in str(error) else -10_004
            if symbol not in self.empty:
                volume = float(self.state(symbol))
                image = ((1, 1.5, int(volume), volume), (2, 1.4, 7, 7.0))
            after_ns = self.clock.now_ns
            if code:
                answers.append(BookAnswer(symbol, before_ns, after_ns, None, code, "text"))
                if code in PIPE_CODES:
                    break
            else:
                answers.append(BookAnswer(symbol, before_ns, after_ns, image))
        return answers

    def _ticks(self):
        """One every `ticks_s`, and each tenth of them thrice."""
        if self.held_ticks is not None:
            return self.held_ticks
        if not self.ticks_s:
            return []
        count = int((self.clock.now_ns - START_NS) / (self.ticks_s * S))
        zero = self.clock.zero_ns // MS + START_NS // MS + BROKER_MS
        times = [zero + int(n * self.ticks_s * 1_000) for n in range(count)]
        return [msc for n, msc in enumerate(times) for _ in range(3 if n % 10 == 0 else 1)]

    def hold_ticks(self):
        """From now on its history gets no more of them, until they are released."""
        self.held_ticks = self._ticks()

    def release_ticks(self):
        self.held_ticks = None

    def copy_ticks(self, symbol, from_s, count):
        before_ns = self.clock.now_ns
        if code := self.codes.get("ticks", 0):
            self.clock.pass_ns(CALL_NS)
            return TickAnswer(before_ns, self.clock.now_ns, None, code, "text")
        self._call()
        times = [(n, msc) for n, msc in enumerate(self._ticks()) if msc >= from_s * 1_000]
        rows = [mt5.TICK.pack(t // 1_000, n, 1, 0, 0, t, 6, 0) for n, t in times[:count]]
        return TickAnswer(before_ns, self.clock.now_ns, b"".join(rows))

    def last_tick_msc(self, symbol):
        self._call()
        return self._ticks()[-1] if self._ticks() else 0

    def health(self):
        self._call()
        return Health(self.connected, 300, 6231)

    def unlink(self):
        self.frozen_ns, self.connected = self.clock.now_ns, False

    def relink(self):
        self.connected = True

    def clock_maps(self):
        return []

    def close(self, symbols):
        self.closed.append(list(symbols))


class Run:
    """Captures of one feed in one journal, one after another."""

    def __init__(self, root, clock):
        self.clock = clock
        self.terminal = FakeTerminal(clock)
        self.place = root / "journal", root / "positions"
        self.told = []
        self.ticked = 0
        self.capture = None

    def start(self, *, books=("A",), ticks=(), poll_ms=10, quiet_s=0.0, marks=0, backoff_max_s=1.0):
        clock = self.clock
        clock.is_stopped = False
        self.writer = Writer(*self.place, WriterConfig("os"), wall=clock)
        config = PollConfig("mt5", "run", books, ticks, 100 * MS, quiet_s, backoff_max_s, marks, "")
        self.capture = PollCapture(
            config,
            self.terminal,
            PolledBooks(self.terminal, marks, clock.monotonic_ns),
            pace_of(poll_ms),
            restore(self.place[0], ticks),
            self.writer,
            clock,
            on_written=lambda *row: None,
            on_state=self.told.append,
            on_tick=self.on_tick,
            jitter=random.Random(1),
        )
        self.capture._stop = clock
        return self

    def on_tick(self):
        self.ticked += 1

    def until(self, seconds, cause=""):
        """Record up to so many seconds from the very beginning."""
        self.clock.at(seconds, lambda: self.capture.stop(cause))
        try:
            return self.capture.run()
        finally:
            self.writer.close()

    def killed_at(self, seconds):
        """Record up to there, and die without a word."""

        def die():
            raise KeyboardInterrupt

        self.clock.at(seconds, die)
        with pytest.raises(KeyboardInterrupt):
            self.capture.run()
        self.writer.close()

    def blocks(self):
        with Reader(*self.place) as reader:
            found = []
            while blocks := reader.read(1 << 20):
                found += blocks
            return found

    def entries(self, *kinds):
        return [
            (json.loads(payload), block)
            for block in self.blocks()
            for kind, payload in block.entries()
            if kind in kinds
        ]

    def events(self):
        return [said["event"] for said, _ in self.entries(EntryKind.SESSION)]

    def said(self, event):
        return [said for said, _ in self.entries(EntryKind.SESSION) if said["event"] == event]

    def polls(self):
        return [
            msgspec.json.decode(payload, type=Polls)
            for block in self.blocks()
            for kind, payload in block.entries()
            if kind == EntryKind.POLLS
        ]

    def notes(self, key):
        return [said[key] for said, _ in self.entries(EntryKind.NOTE) if key in said]

    def records(self, kind):
        decoder = decoder_for("mt5", "mt5")
        return [r for block in self.blocks() for r in decoder.decode(block) if r.kind == kind]

    def gaps(self):
        """Symbol, beginning and end in seconds from the start of the clock, planned and cause."""
        rows = [row for row in self.records("gaps") if isinstance(row, Gap)]
        return [
            (gap.symbol, at(gap.from_ns), None if gap.to_ns is None else at(gap.to_ns), gap.cause)
            for gap in fold_gaps(rows)
            if not gap.planned
        ]


def at(wall_ns):
    return round((wall_ns - ZERO_NS - START_NS) / S, 2)


@pytest.fixture
def run(tmp_path, monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr("ticktape.clock.monotonic_ns", clock.monotonic_ns)
    monkeypatch.setattr("ticktape.clock.sleep_s", clock.sleep_s)
    return Run(tmp_path, clock)


# A session.


def test_a_session_is_opened_recorded_and_stopped(run):
    assert run.start().until(10) is SessionState.STOPPED
    assert run.events() == [
        "started",
        "connecting",
        "connected",
        "authenticated",
        "subscribed",
        "stopped",
    ]
    assert run.gaps() == []
    assert run.terminal.closed == [["A"]]
    assert run.notes("terminal") == [
        {"build": 6231, "package": "5.0", "server": "Server", "company": "Company"}
    ]
    assert run.notes("instrument") == [{"symbol": "A", "digits": 5}]
    assert run.said("started")[0]["run"] == "run"
    assert [content.event for content in run.told] == run.events()


def test_every_image_shows_what_was_there_between_its_stamps(run):
    run.start().until(20)
    books = run.records("books")
    assert len(books) > 390
    for number, book in enumerate(books):
        state = round(book.ask_volumes[0])
        begun_ns = START_NS + (state - 1) * 50 * MS + ZERO_NS
        assert begun_ns <= book.after_ns and book.before_ns < begun_ns + 50 * MS
        if number:
            assert book.previous_ns < begun_ns <= book.after_ns
            assert state == round(books[number - 1].ask_volumes[0]) + 1
    assert books[0].previous_ns is None
    assert books[0].flags & BookFlag.KEYFRAME and not books[0].flags & BookFlag.AFTER_GAP


def test_heartbeats_come_every_second_and_at_the_end_and_add_up(run):
    run.start(books=("A", "B")).until(10.5)
    polls = run.polls()
    assert len(polls) == 11
    for each, following in itertools.pairwise(polls):
        assert each.to_ns == following.from_ns
        assert 0.99 * S < each.to_ns - each.from_ns < 1.1 * S
    assert polls[-1].to_ns - polls[-1].from_ns < 0.6 * S
    for each in (counts for beat in polls for counts in beat.books):
        assert each.polls == each.changed + each.unchanged + sum(each.errors.values())
    stored = sum(counts.stored for beat in polls for counts in beat.books)
    assert stored == len(run.records("books"))
    asked = sum(counts.polls for beat in polls for counts in beat.books)
    assert asked == run.capture.statistics().polls
    last, _ = run.entries(EntryKind.POLLS, EntryKind.SESSION)[-1]
    assert last["event"] == "stopped"


def test_a_book_that_stands_still_has_a_keyframe_a_minute(run):
    run.start(books=("B",)).until(130)
    books = run.records("books")
    assert [at(book.after_ns) for book in books] == pytest.approx([0.02, 60.02, 120.02], abs=0.05)
    assert all(book.flags & BookFlag.KEYFRAME for book in books)
    assert sum(each.books[0].changed for each in run.polls()) == 1
    assert books[1].unchanged == books[1].poll - books[0].poll


def test_rows_an_empty_book_and_an_error_are_three_outcomes(run):
    run.terminal.empty.add("B")
    run.terminal.codes["C"] = -1
    run.terminal.changes_ns["C"] = 0
    run.start(books=("A", "B", "C")).until(4)
    totals = {}
    for each in (counts for beat in run.polls() for counts in beat.books):
        empty, errors = totals.get(each.symbol, (0, 0))
        totals[each.symbol] = empty + each.empty, errors + each.errors.get("-1", 0)
    assert totals["A"] == (0, 0)
    assert totals["B"][0] > 300 and totals["B"][1] == 0
    assert totals["C"][0] == 0 and totals["C"][1] >= 4
    shown = {book.symbol: book for book in run.records("books")}
    assert set(shown) == {"A", "B"}
    assert shown["B"].flags & BookFlag.EMPTY


def test_the_statistics_are_those_of_the_run(run):
    run.terminal.ticks_s = 0.05
    run.start(ticks=("A",)).until(10)
    figures = run.capture.statistics()
    assert (figures.feed, figures.session, figures.dropped_frames) == ("mt5", 1, 0)
    assert figures.state == "stopped"
    blocks = [b for b in run.blocks() if any(kind == 1 for kind, _ in b.entries())]
    payloads = [p for b in blocks for kind, p in b.entries() if kind == EntryKind.BINARY]
    assert (figures.blocks, figures.frames) == (len(blocks), len(payloads))
    assert figures.bytes == sum(map(len, payloads))
    assert figures.last_recv_ns == blocks[-1].recv_ns
    assert figures.changed == len(run.records("books"))
    assert figures.ticks == len(run.records("ticks"))
    assert figures.change_ratio == pytest.approx(0.2, abs=0.03)
    assert figures.gap_p99_us == pytest.approx(10_000, rel=0.1)


def test_a_leg_marks_everything_that_is_its_own(run):
    run.terminal.ticks_s = 0.05
    run.start(ticks=("A",), marks=int(mt5.Mark.LEG_B)).until(3)
    assert {book.witness for book in run.records("books")} == {"leg B"}
    assert {tick.witness for tick in run.records("ticks")} == {"leg B"}


# The terminal comes and goes.


def test_a_terminal_that_dies_and_comes_back_is_one_gap_and_two_sessions(run):
    run.clock.at(5.003, run.terminal.die)
    run.clock.at(9, run.terminal.revive)
    run.start().until(15)
    assert run.events().count("subscribed") == 2 and "down" in run.events()
    ((symbol, from_s, to_s, cause),) = run.gaps()
    assert symbol == "" and 4.98 <= from_s <= 5.003
    assert 9 <= to_s < 10.5
    assert "is gone (-10002" in cause
    books = run.records("books")
    first = next(book for book in books if at(book.before_ns) >= to_s)
    assert first.flags & BookFlag.AFTER_GAP and first.flags & BookFlag.KEYFRAME
    assert first.poll == 1 and first.previous_ns is None
    assert not any(from_s + 0.02 < at(book.after_ns) < to_s for book in books)


def test_the_last_seconds_before_a_death_are_counted_before_it_is_told(run):
    run.clock.at(5.5, run.terminal.die)
    run.start().until(6.5)
    polls = run.polls()
    assert [at(each.to_ns) for each in polls] == pytest.approx([1, 2, 3, 4, 5, 5.5], abs=0.1)
    assert polls[-1].books[0].errors == {"-10002": 1}
    kinds = [said.get("event", "polls") for said, _ in run.entries(EntryKind.SESSION, 9)]
    assert kinds[kinds.index("down") - 1] == "polls"


@pytest.mark.parametrize("stalled_s", [0.5, 20])
def test_a_gap_begins_before_the_call_that_met_the_end(run, stalled_s):
    """The call may have waited long: nothing was seen meanwhile."""

    def stall():
        run.terminal.stall_ns = int(stalled_s * S)
        run.clock.at(5 + stalled_s / 2, run.terminal.die)

    run.clock.at(5, stall)
    run.clock.at(60, run.terminal.revive)
    run.start().until(70)
    ((_, from_s, to_s, _),) = run.gaps()
    assert 4.97 <= from_s <= 5.01 and to_s >= 60


def test_a_gap_begins_before_the_call_also_when_others_of_its_pass_brought_news(run):
    run.terminal.changes_ns["A"] = MS

    def stall():
        run.terminal.stalling = "B"
        run.clock.at(10, run.terminal.die)

    run.clock.at(5, stall)
    run.clock.at(60, run.terminal.revive)
    run.start(books=("A", "B")).until(70)
    ((_, from_s, to_s, _),) = run.gaps()
    assert 4.97 <= from_s <= 5.01 and to_s >= 60


def test_a_terminal_that_is_not_there_at_first_is_a_gap_from_the_start(run):
    run.terminal.die()
    run.clock.at(7, run.terminal.revive)
    run.start().until(12)
    ((_, from_s, to_s, cause),) = run.gaps()
    assert (from_s, cause) == (0, "the terminal is not running")
    assert 7 <= to_s < 8.5
    # The first images of a journal whose beginning is a gap come behind one.
    assert run.records("books")[0].flags & BookFlag.AFTER_GAP


def test_waits_between_sessions_grow_and_the_journal_is_looked_after(run):
    run.terminal.die()
    run.start(backoff_max_s=30).until(100)
    tries = [at(block.recv_ns) for said, block in run.entries(EntryKind.SESSION) if
             said["event"] == "connecting"]  # fmt: skip
    assert 6 < len(tries) < 20
    assert tries[-1] - tries[-2] > 10 * (tries[2] - tries[1])
    assert run.ticked > 900


def test_another_account_refuses_the_feed_and_stays_a_gap(run):
    run.terminal.other_account = True
    assert run.start().until(5) is SessionState.REFUSED
    assert run.events() == ["started", "connecting", "refused", "stopped"]
    assert run.gaps() == [("", 0, None, "another account")]
    assert run.said("refused")[0]["hint"] == "Log in."


def test_a_stop_ends_an_outage_and_begins_a_planned_pause(run):
    run.clock.at(3, run.terminal.die)
    run.start().until(8)
    ((_, from_s, to_s, _),) = run.gaps()
    assert (from_s, to_s) == (pytest.approx(3, abs=0.03), pytest.approx(8, abs=0.1))
    assert run.said("stopped")[0]["planned"]


def test_a_stop_with_a_cause_is_nobodys_plan(run):
    run.start().until(4, "the supervisor died")
    assert run.gaps() == [("", pytest.approx(4, abs=0.02), None, "the supervisor died")]


def test_a_second_start_goes_on_behind_the_first(run):
    run.start().until(4)
    run.clock.at(9, lambda: None)
    run.clock.pass_ns(5 * S)
    run.start().until(14)
    assert run.gaps() == []
    second = [book for book in run.records("books") if at(book.before_ns) > 8]
    assert second[0].flags & BookFlag.AFTER_GAP


# Killed, wherever.


@pytest.mark.parametrize("killed_s", [0.0101, 0.021, 0.0213, 0.05, 3.5, 3.5051])
def test_a_kill_at_any_time_is_one_gap_that_ends_with_the_next_session(run, killed_s):
    run.start().killed_at(killed_s)
    run.clock.pass_ns(2 * S)
    run.start().until(9)
    ((symbol, from_s, to_s, cause),) = run.gaps()
    assert symbol == "" and "killed" in cause
    assert killed_s - 0.06 <= from_s <= killed_s and killed_s + 2 <= to_s <= killed_s + 2.1


@pytest.mark.parametrize("killed_s", [5.5, 7.0201, 7.0204, 7.0206, 7.0208, 7.3])
def test_a_kill_in_an_outage_or_while_it_ends_leaves_no_gap_open(run, killed_s):
    """Subscribing writes down instruments: those, too, say that a gap is open."""
    run.clock.at(5, run.terminal.die)
    run.clock.at(5.1, run.terminal.revive)
    opened = run.terminal.open

    def open_late():
        run.clock.pass_ns(max(START_NS + 7 * S - run.clock.now_ns, 0))
        return opened()

    run.clock.at(5, lambda: setattr(run.terminal, "open", open_late))
    run.start(books=("A", "B")).killed_at(killed_s)
    run.clock.pass_ns(2 * S)
    run.start(books=("A", "B")).until(20)
    gaps = run.gaps()
    assert all(to_s is not None for _, _, to_s, _ in gaps)
    assert gaps[0][1] == pytest.approx(5, abs=0.02)


@pytest.mark.parametrize("killed_s", [8.4, 9.55, 61.5, 66])
def test_a_kill_while_the_link_is_lost_goes_on_with_its_gap(run, killed_s):
    """Heartbeats and keyframes are written meanwhile: the last block still tells of the gap."""
    run.clock.at(4.5, run.terminal.unlink)
    run.start(books=("A", "B")).killed_at(killed_s)
    run.terminal.relink()
    run.clock.pass_ns(1 * S)
    run.start(books=("A", "B")).until(90)
    ((symbol, from_s, to_s, cause),) = run.gaps()
    assert (symbol, to_s) == ("", pytest.approx(killed_s + 1, abs=0.1))
    assert 2 <= from_s <= 4.5 and "lost its trade server" in cause


def test_a_kill_behind_the_journals_own_note_goes_on_with_the_gap_that_is_open(run):
    """What the writer notes of its disk says nothing of the feed."""
    suspect = {"suspect": {"epoch": 0, "from_offset": 128, "to_offset": 300}}
    run.clock.at(4.5, run.terminal.unlink)
    run.start(books=("A", "B"))
    run.clock.at(8.4, lambda: run.writer.append_json(EntryKind.NOTE, suspect))
    run.killed_at(8.4)
    assert run.blocks()[-1].entries()[-1][1] == msgspec.json.encode(suspect)
    run.terminal.relink()
    run.clock.pass_ns(1 * S)
    run.start(books=("A", "B")).until(90)
    ((_, from_s, to_s, cause),) = run.gaps()
    assert 2 <= from_s <= 4.5 and to_s == pytest.approx(9.4, abs=0.1)
    assert "lost its trade server" in cause


# Symbols that cannot be had.


def refusal(symbol):
    return Refusal(f"the terminal has no symbol {symbol}", "Look it up.")


def test_an_unknown_symbol_is_a_gap_of_its_own_and_others_go_on(run):
    run.terminal.refused[("X", True)] = refusal("X")
    run.start(books=("A", "X")).until(6)
    ((symbol, from_s, to_s, cause),) = run.gaps()
    assert (symbol, from_s) == ("X", pytest.approx(0.02, abs=0.02))
    assert cause == "books not subscribed: the terminal has no symbol X"
    assert to_s == pytest.approx(6, abs=0.05)
    assert {book.symbol for book in run.records("books")} == {"A"}
    (said,) = run.said("subscribed")
    assert (said["channels"], said["missing"]) == ({"books": ["A"]}, {"books": ["X"]})
    assert said["hint"] == "Look it up."


def test_a_symbol_that_comes_later_is_asked_for_again(run):
    run.terminal.refused[("B", True)] = refusal("B")
    run.clock.at(8.5, run.terminal.refused.clear)
    run.start(books=("A", "B")).until(40)
    ((symbol, _, to_s, _),) = run.gaps()
    assert symbol == "B" and 8.5 < to_s < 24
    (book,) = [book for book in run.records("books") if book.symbol == "B"]
    assert at(book.before_ns) >= to_s - 0.2
    assert book.flags & BookFlag.KEYFRAME


def test_a_feed_of_which_nothing_stands_goes_on_asking(run):
    run.terminal.refused[("X", True)] = refusal("X")
    assert run.start(books=("X",)).until(30) is SessionState.STOPPED
    assert len(run.polls()) == 30 and run.records("books") == []
    assert run.ticked > 250


def test_a_symbol_that_fails_for_a_while_is_a_gap_and_others_go_on(run):
    run.clock.at(4.005, lambda: run.terminal.codes.update(B=-1))
    run.clock.at(20.005, run.terminal.codes.clear)
    run.start(books=("A", "B")).until(60)
    ((symbol, from_s, to_s, cause),) = run.gaps()
    assert (symbol, from_s) == ("B", pytest.approx(4, abs=0.02)) and 20 < to_s < 52
    assert "(-1 'text')" in cause and "stalled" not in run.events()
    a_books = [book for book in run.records("books") if book.symbol == "A"]
    assert len(a_books) > 1_100


def test_an_error_now_and_then_is_no_gap(run):
    for second in range(2, 12, 2):
        run.clock.at(second + 0.005, lambda: run.terminal.codes.update(A=-1))
        run.clock.at(second + 0.021, run.terminal.codes.clear)
    run.start().until(15)
    assert run.gaps() == []
    assert sum(each.books[0].errors.get("-1", 0) for each in run.polls()) == 5
    assert run.events().count("subscribed") == 1


def test_a_failing_symbol_does_not_slow_the_others(run):
    run.terminal.codes["B"] = -1
    run.start(books=("A", "B"), poll_ms=0).until(5)
    asked = {"A": 0, "B": 0}
    for each in (counts for beat in run.polls() for counts in beat.books):
        asked[each.symbol] += each.polls
    assert asked["A"] > 40_000 and asked["B"] < 10


# The trade server, stalls, silence.


def test_a_lost_trade_server_is_a_gap_although_every_call_succeeds(run):
    run.clock.at(6.5, run.terminal.unlink)
    run.clock.at(12.5, run.terminal.relink)
    run.start().until(20)
    assert run.events().count("unlinked") == run.events().count("linked") == 1
    ((symbol, from_s, to_s, cause),) = run.gaps()
    assert symbol == "" and 4 <= from_s <= 6.5 and 12.5 <= to_s <= 15.1
    assert "lost its trade server" in cause
    assert [each.connected for each in run.polls()].count(False) >= 5


def test_a_symbol_that_changes_its_standing_does_not_end_the_gap_of_a_lost_link(run):
    run.clock.at(4.5, run.terminal.unlink)
    run.clock.at(7, lambda: run.terminal.codes.update(B=-1))
    run.clock.at(14, run.terminal.codes.clear)
    run.clock.at(30.5, run.terminal.relink)
    run.start(books=("A", "B")).until(40)
    whole = [gap for gap in run.gaps() if gap[0] == ""]
    ((_, from_s, to_s, _),) = whole
    assert from_s <= 4.5 and 30.5 <= to_s <= 33.1


def test_what_is_still_missing_when_the_link_is_back_is_told_then(run):
    run.clock.at(4.5, run.terminal.unlink)
    run.clock.at(6, lambda: run.terminal.codes.update(B=-1))
    run.clock.at(20.5, run.terminal.relink)
    run.start(books=("A", "B")).until(28)
    (linked,) = run.said("linked")
    assert linked["missing"] == {"books": ["B"]}
    assert [gap[0] for gap in run.gaps()].count("B") == 1


def test_a_death_while_the_link_is_lost_is_the_same_gap(run):
    run.clock.at(4.5, run.terminal.unlink)
    run.clock.at(9, run.terminal.die)
    run.clock.at(12, lambda: (run.terminal.revive(), run.terminal.relink()))
    run.start().until(20)
    ((_, from_s, to_s, _),) = run.gaps()
    assert from_s <= 4.5 and 12 <= to_s < 13.5


@pytest.mark.parametrize("stall_ms", [300, 1_500])
def test_a_stall_is_named_once_and_no_gap(run, stall_ms):
    for second in range(3, 23, 4):
        run.clock.at(second + 0.83, lambda: setattr(run.terminal, "stall_ns", stall_ms * MS))
    run.start().until(25)
    said = run.said("stalled")
    assert len(said) == 5 and run.gaps() == []
    assert {each["words"] for each in said} == {f"the terminal took {stall_ms:,} ms for a call"}


@pytest.mark.parametrize("ticks", [(), ("A",)])
def test_a_long_stall_is_a_gap_exactly_where_it_was(run, ticks):
    run.terminal.ticks_s = 0.05
    run.clock.at(5.4, lambda: setattr(run.terminal, "stall_ns", 3_500 * MS))
    run.start(ticks=ticks).until(15)
    (said,) = run.said("stalled")
    ((symbol, from_s, to_s, cause),) = run.gaps()
    assert symbol == "A" and cause == said["words"]
    assert (from_s, to_s) == (pytest.approx(5.4, abs=0.03), pytest.approx(8.91, abs=0.03))


@pytest.mark.parametrize("poll_ms", [300, 2_500, 20_000])
def test_a_slow_pace_is_neither_a_stall_nor_a_gap_and_the_rest_goes_on(run, poll_ms):
    run.terminal.ticks_s = 0.05
    run.start(ticks=("A",), poll_ms=poll_ms).until(60.5)
    assert run.gaps() == [] and "stalled" not in run.events()
    polls = run.polls()
    assert all(each.to_ns - each.from_ns < 1.35 * S for each in polls)
    assert sum(each.books[0].polls for each in polls) == pytest.approx(60_500 / poll_ms, abs=2)
    arrived = sorted({at(tick.recv_ns) for tick in run.records("ticks")})
    assert max(b - a for a, b in itertools.pairwise(arrived)) < 0.25
    assert run.ticked > 350


def test_a_stop_is_heard_in_a_long_wait(run):
    run.start(poll_ms=60_000).until(5)
    assert run.clock.now_ns < START_NS + 5.2 * S


def test_auto_on_a_book_that_stands_still_says_nothing_of_stalls(run):
    run.start(books=("B",), poll_ms="auto").until(120)
    assert "stalled" not in run.events() and run.gaps() == []
    assert run.polls()[-1].interval_ns > 200 * MS


def test_auto_comes_to_one_change_in_five_polls(run):
    run.start(poll_ms="auto").until(60)
    assert run.polls()[-1].interval_ns == pytest.approx(11 * MS, rel=0.2)


def test_silence_is_named_and_its_end(run):
    run.terminal.changes_ns["A"] = 30 * S
    run.start(quiet_s=10).until(45)
    assert [e for e in run.events() if e in ("quiet", "flowing")] == [
        "quiet",
        "flowing",
        "quiet",
    ]
    assert run.gaps() == []


# Ticks.


def test_ticks_come_once_each_from_the_first_after_the_start_to_the_stop(run):
    run.terminal.ticks_s = 0.013
    run.start(ticks=("A",)).until(20)
    numbers = [round(tick.bid) for tick in run.records("ticks")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers[0] <= 6 and len(numbers) > 1_700
    assert {tick.offset_ms for tick in run.records("ticks")} == {BROKER_MS}
    assert run.notes("broker_clock")[0]["offset_ms"] == BROKER_MS


def test_ticks_are_exactly_once_over_deaths_stops_and_kills(run):
    run.terminal.ticks_s = 0.017
    run.clock.at(6, run.terminal.die)
    run.clock.at(11, run.terminal.revive)
    run.start(ticks=("A",)).until(15)
    run.clock.pass_ns(4 * S)
    run.start(ticks=("A",)).killed_at(25.0123)
    run.clock.pass_ns(3 * S)
    run.start(ticks=("A",)).until(35)
    numbers = [round(tick.bid) for tick in run.records("ticks")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert at(run.records("ticks")[-1].event_ns) > 34.8
    # The books have gaps where the ticks have none.
    assert len(run.gaps()) == 2


def marks_of_ticks(run):
    return [
        mt5.unpack_ticks(payload, 0).marks
        for block in run.blocks()
        for kind, payload in block.entries()
        if kind == EntryKind.BINARY and payload[0] == mt5.Form.TICKS
    ]


def test_ticks_that_fill_the_hole_before_a_session_are_marked(run):
    run.terminal.ticks_s = 0.05
    run.clock.at(4, run.terminal.die)
    run.clock.at(6, run.terminal.revive)
    run.start(ticks=("A",)).until(10)
    marks = marks_of_ticks(run)
    assert marks.count(mt5.Mark.AFTER_GAP) == 1 == len(marks) - marks.count(0)
    assert 30 < marks.index(mt5.Mark.AFTER_GAP) < 50


def ends_of_gaps(run):
    """State, symbol, channels, beginning, end and cause of each unplanned gap, as it stands now."""
    rows = {}
    for gap in run.records("gaps"):
        if not gap.planned:
            rows[gap.symbol, gap.from_ns] = gap
    return [
        (gap.state, gap.symbol, gap.channels, at(gap.from_ns), at(gap.to_ns), gap.cause)
        for gap in rows.values()
    ]


def test_a_gap_of_ticks_alone_is_healed_from_the_history(run):
    run.terminal.ticks_s = 0.05
    run.clock.at(5, run.terminal.die)
    run.clock.at(9, run.terminal.revive)
    run.start(books=(), ticks=("A",)).until(15)
    ((state, symbol, channels, from_s, to_s, cause),) = ends_of_gaps(run)
    assert (state, symbol, channels) == ("healed", "", "") and "is gone" in cause
    assert from_s == pytest.approx(5, abs=0.2) and 9 <= to_s < 10.5
    (said,) = run.said("healed")
    inside = [t for t in run.records("ticks") if said["gap"]["from_ns"] <= t.event_ns]
    inside = [t for t in inside if t.event_ns <= said["gap"]["to_ns"]]
    assert (
        said["words"] == f"{len(inside)} ticks of the gap were fetched from the terminal's history"
    )
    assert len(inside) > 70 and run.said("unhealable") == []


def test_a_gap_of_books_and_ticks_stays_a_gap_of_the_books(run):
    run.terminal.ticks_s = 0.05
    run.clock.at(5, run.terminal.die)
    run.clock.at(9, run.terminal.revive)
    run.start(ticks=("A",)).until(15)
    ((state, symbol, channels, _, to_s, cause),) = ends_of_gaps(run)
    assert (state, symbol, channels) == ("unhealable", "", "books")
    assert 9 <= to_s < 10.5 and "is gone" in cause
    (said,) = run.said("unhealable")
    assert "were fetched" in said["words"] and "a polled book has no history" in said["words"]


def test_books_alone_have_nothing_fetched_and_nothing_is_said_of_it(run):
    run.clock.at(5, run.terminal.die)
    run.clock.at(9, run.terminal.revive)
    run.start().until(15)
    assert [gap[0] for gap in ends_of_gaps(run)] == ["open"]


def test_a_gap_is_not_healed_before_a_tick_from_behind_its_end(run):
    """A history that ends before the gap does may not be all: what ticks later shows that it is."""
    run.terminal.ticks_s = 0.05
    run.clock.at(4.9, run.terminal.hold_ticks)
    run.clock.at(5, run.terminal.die)
    run.clock.at(9, run.terminal.revive)
    run.clock.at(20, run.terminal.release_ticks)
    run.start(books=(), ticks=("A",)).until(30)
    healed_at = [
        at(block.recv_ns)
        for said, block in run.entries(EntryKind.SESSION)
        if said["event"] == "healed"
    ]
    assert healed_at == [pytest.approx(20.5, abs=0.7)]


def test_a_gap_before_a_symbols_first_place_stays_open(run):
    run.terminal.ticks_s = 0.05
    run.terminal.die()
    run.clock.at(5, run.terminal.revive)
    run.start(books=(), ticks=("A",)).until(10)
    assert [gap[0] for gap in ends_of_gaps(run)] == ["open"]


@pytest.mark.parametrize("killed_s", [5.5, 9.0, 9.25, 9.3, 9.4, 10.2])
def test_gaps_are_healed_by_a_later_process_too(run, killed_s):
    run.terminal.ticks_s = 0.05
    run.clock.at(5, run.terminal.die)
    run.clock.at(9, run.terminal.revive)
    run.start(books=(), ticks=("A",)).killed_at(killed_s)
    run.clock.pass_ns(5 * S)
    run.start(books=(), ticks=("A",)).until(20)
    assert {gap[0] for gap in ends_of_gaps(run)} == {"healed"}


def test_an_outage_that_a_stop_ended_is_healed_by_the_next_start(run):
    run.terminal.ticks_s = 0.05
    run.clock.at(3, run.terminal.die)
    run.start(books=(), ticks=("A",)).until(8)
    run.terminal.revive()
    run.clock.pass_ns(3 * S)
    run.start(books=(), ticks=("A",)).until(15)
    ((state, *_, to_s, _),) = ends_of_gaps(run)
    assert (state, to_s) == ("healed", pytest.approx(8, abs=0.1))
    planned = [gap for gap in run.records("gaps") if gap.planned]
    assert {gap.state for gap in planned} == {"open"}, "a pause that was planned is no loss"


def test_a_lost_trade_server_is_healed_when_it_is_back(run):
    run.terminal.ticks_s = 0.05
    run.clock.at(6.5, lambda: (run.terminal.unlink(), run.terminal.hold_ticks()))
    run.clock.at(12.5, lambda: (run.terminal.relink(), run.terminal.release_ticks()))
    run.start(books=(), ticks=("A",)).until(20)
    ((state, *_),) = ends_of_gaps(run)
    assert state == "healed"
    (said,) = run.said("healed")
    assert int(said["words"].split()[0]) >= 120


def test_ticks_that_failed_for_a_while_are_healed_beside_a_book_that_did_not(run):
    run.terminal.ticks_s = 0.05
    run.clock.at(4, lambda: run.terminal.codes.update(ticks=-1))
    run.clock.at(9, run.terminal.codes.clear)
    run.start(ticks=("A",)).until(20)
    ((state, symbol, channels, *_),) = ends_of_gaps(run)
    assert (state, symbol, channels) == ("healed", "A", "ticks")


def test_heartbeats_carry_the_ticks_and_the_cursors(run):
    run.terminal.ticks_s = 0.05
    run.start(ticks=("A",), books=()).until(10)
    polls = run.polls()
    assert sum(each.ticks["A"] for each in polls) == len(run.records("ticks"))
    last = run.records("ticks")[-1]
    assert polls[-1].cursors["A"][0] == last.time_msc
    assert run.records("books") == [] and polls[-1].books == []


def test_ticks_that_fail_are_missing_alone_and_are_all_there_in_the_end(run):
    run.terminal.ticks_s = 0.05
    run.clock.at(4, lambda: run.terminal.codes.update(ticks=-1))
    run.clock.at(9, run.terminal.codes.clear)
    run.start(ticks=("A",)).until(20)
    ((symbol, from_s, to_s, cause),) = run.gaps()
    assert (symbol, from_s, to_s) == ("A", pytest.approx(5.5, abs=0.6), pytest.approx(9.5, abs=0.6))
    assert cause.startswith("ticks not subscribed: A: copy_ticks_from fails")
    numbers = [round(tick.bid) for tick in run.records("ticks")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_one_failed_look_for_ticks_is_no_gap(run):
    run.terminal.ticks_s = 0.05
    for second in range(1, 9):
        run.clock.at(second - 0.05, lambda: run.terminal.codes.update(ticks=-1))
        run.clock.at(second + 0.06, run.terminal.codes.clear)
    run.start(ticks=("A",)).until(10)
    assert run.gaps() == []


def test_a_book_that_comes_later_does_not_mark_ticks_that_were_there(run):
    run.terminal.ticks_s = 0.05
    run.terminal.refused[("A", True)] = refusal("A")
    run.clock.at(1.5, run.terminal.refused.clear)
    run.start(ticks=("A",)).until(10)
    marks = marks_of_ticks(run)
    assert len(marks) > 80 and set(marks) == {0}


# Our own clock.


@pytest.mark.parametrize("step_s", [3_600, -3_600])
def test_a_step_of_the_wall_clock_is_an_entry_and_nothing_else(run, step_s):
    run.clock.at(5.5, lambda: setattr(run.clock, "step_ns", step_s * S))
    run.start(quiet_s=60).until(12)
    ((said, _),) = run.entries(EntryKind.CLOCK)
    assert said["step_ns"] == step_s * S
    assert "quiet" not in run.events() and "stalled" not in run.events()
    for each in run.polls():
        assert 0.3 * S < each.to_ns - each.from_ns < 1.1 * S


# What a session must never leave behind.


def test_an_error_of_ours_ends_the_run_and_the_terminal_is_left(run):
    run.clock.at(3, lambda: setattr(run.terminal, "poll", lambda symbols: 1 / 0))
    run.start()
    with pytest.raises(ZeroDivisionError):
        run.until(9)
    assert run.terminal.closed == [["A"]]


def test_the_books_that_a_better_way_was_refused_are_told(run):
    run.start()
    run.capture._books.refusal = Refusal("the bridge cannot send", "Look at the tunnel.")
    run.until(2)
    (said,) = run.said("requested")
    assert (said["words"], said["hint"]) == ("the bridge cannot send", "Look at the tunnel.")


def test_a_stop_before_the_first_session_opens_nothing(run):
    run.start()
    run.capture.stop()
    assert run.capture.run() is SessionState.STOPPED
    run.writer.close()
    assert run.terminal.opened == 0
    assert run.events() == ["started", "stopped"]
    ((_, _, _, cause),) = run.gaps()
    assert cause == "stopped before any session stood"
