"""Two legs as one: nothing that only one saw is left out, nothing that both saw stands twice."""

import random
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticktape import mt5
from ticktape.decoders import decoder_for
from ticktape.mt5 import Image, Mark, TickBatch
from ticktape.records import EntryKind, Position
from ticktape.schemas import KINDS
from ticktape.table import TableBuilder, TableStore, connect, run_sql

MS = 1_000_000
ZERO_NS = 1_700_000_000_000_000_000
LEGS = {"A": ("rts", Mark.LEG_A), "B": ("rts.b", Mark.LEG_B), "": ("rts", Mark(0))}


class Tape:
    """Images and ticks of legs, in the order of their journals, asked by SQL."""

    def __init__(self, root):
        self.root = root
        self.blocks = {}

    def _add(self, leg, payload, at_ns):
        feed, _ = LEGS[leg]
        found = self.blocks.setdefault(feed, [])
        found.append(
            SimpleNamespace(
                epoch=1,
                offset=len(found) * 100,
                end_offset=len(found) * 100 + 100,
                seq=len(found),
                recv_ns=at_ns,
                entries=lambda: [(EntryKind.BINARY, payload)],
            )
        )

    def book(self, leg, state, at_ms, *, previous_ms=None, marks=0, symbol="A", length_ms=0.1):
        """The leg saw `state`, None for an empty book, in a call around `at_ms`."""
        at_ns, half_ns = ZERO_NS + int(at_ms * MS), int(length_ms * MS / 2)
        previous_ns = None if previous_ms is None else ZERO_NS + int(previous_ms * MS)
        rows = b""
        if state is not None:
            rows = mt5.pack_rows([(1, 2.0, int(state), float(state)), (2, 1.0, 5, 5.0)])
        marks |= LEGS[leg][1]
        stamps = at_ns - half_ns, at_ns + half_ns, previous_ns
        image = Image(symbol, *stamps, 1, 0, int(marks), rows)
        self._add(leg, mt5.pack_image(image, at_ns + half_ns), at_ns + half_ns)
        return self

    def ticks(self, leg, *ticks, symbol="A"):
        """Ticks as (millisecond, bid)."""
        rows = [mt5.TICK.pack(msc // 1_000, bid, 3, 0, 0, msc, 6, 0) for msc, bid in ticks]
        batch = TickBatch(symbol, ZERO_NS, ZERO_NS, 0, 1, int(LEGS[leg][1]), b"".join(rows))
        self._add(leg, mt5.pack_ticks(batch, ZERO_NS), ZERO_NS)
        return self

    def ask(self, text, *, committed=0):
        """Answer over all; of each feed so many entries are committed, the rest is not yet."""
        decoders = {feed: decoder_for("mt5", feed) for feed in self.blocks}
        builder = TableBuilder(TableStore(self.root), decoders)
        for feed, blocks in self.blocks.items():
            builder.start_position(feed, None)
            builder.add(feed, blocks[:committed])
        builder.commit()
        store = TableStore(self.root, read_only=True)
        reader = TableBuilder(store, decoders)
        for feed, blocks in self.blocks.items():
            reader.start_position(feed, Position(1, committed * 100))
            reader.add(feed, blocks[committed:])
        with connect(store, reader.tails()) as con:
            return [tuple(row.values()) for row in run_sql(con, text).to_pylist()]

    def seen(self, **how):
        """State and leg of each row of `books`, in the order of their calls."""
        return self.ask(
            "select ask_volumes[1]::int, right(witness, 1) from books"
            " order by before_ns + after_ns, witness",
            **how,
        )


@pytest.fixture
def tape(tmp_path):
    return Tape(tmp_path)


# One leg.


def test_one_leg_stands_as_it_is(tape):
    for number, state in enumerate([1, 2, 2, 1]):
        tape.book("", state, number)
    assert [state for state, _ in tape.seen()] == [1, 2, 2, 1]
    assert tape.ask("select distinct feed, witness from books") == [("rts", "stream")]
    assert tape.ask("select count(*) from books_raw") == [(4,)]


def test_ticks_of_one_leg_stand_as_they_are(tape):
    tape.ticks("", (5, 1.0), (5, 1.0), (6, 2.0))
    assert tape.ask("select time_msc, bid from ticks order by seq, index") == [
        (5, 1.0),
        (5, 1.0),
        (6, 2.0),
    ]


def test_views_have_the_columns_of_their_kind_with_any_legs(tmp_path):
    for number, legs in enumerate(["", "AB"]):
        tape = Tape(tmp_path / str(number))
        for leg in legs or [""]:
            tape.book(leg, 1, 1).ticks(leg, (5, 1.0))
        for kind in ("books", "ticks"):
            names = [*KINDS[kind].names, "day"]
            found = tape.ask(f"select column_name, column_type from (describe {kind})")
            raw = tape.ask(f"select column_name, column_type from (describe {kind}_raw)")
            assert [name for name, _ in found] == names
            assert sorted(found) == sorted(raw)


def test_views_are_there_without_any_rows(tmp_path):
    with connect(TableStore(tmp_path, read_only=True)) as con:
        for view in ("books", "ticks", "levels"):
            assert run_sql(con, f"select * from {view}").num_rows == 0


# Two legs.


def test_what_both_legs_saw_stands_once_by_the_first_that_saw_it(tape):
    tape.book("A", 1, 0).book("B", 1, 1)
    tape.book("B", 2, 10, previous_ms=8).book("A", 2, 11, previous_ms=9)
    assert tape.seen() == [(1, "A"), (2, "B")]
    assert tape.ask("select distinct feed from books") == [("rts",)]
    assert tape.ask("select feed, count(*) from books_raw group by all order by all") == [
        ("rts", 2),
        ("rts.b", 2),
    ]


def test_what_one_leg_saw_alone_is_there(tape):
    tape.book("A", 1, 0).book("B", 1, 1)
    tape.book("A", 2, 10, previous_ms=8).book("A", 3, 12, previous_ms=10)
    tape.book("B", 3, 13, previous_ms=9)
    assert tape.seen() == [(1, "A"), (2, "A"), (3, "A")]


def test_a_state_that_came_back_is_no_repetition(tape):
    tape.book("A", 1, 0).book("B", 1, 1).book("A", 2, 10, previous_ms=8)
    tape.book("A", 1, 12, previous_ms=10)
    assert tape.seen() == [(1, "A"), (2, "A"), (1, "A")]


def test_a_change_that_the_other_leg_cannot_have_seen_is_one_of_its_own(tape):
    """B saw the old state once more behind A's new one: it went back, and came again."""
    tape.book("A", 1, 0).book("B", 1, 1).book("A", 2, 10, previous_ms=8)
    tape.book("B", 2, 20, previous_ms=15)
    assert tape.seen() == [(1, "A"), (2, "A"), (2, "B")]


def test_calls_that_overlap_may_have_seen_the_same_change(tape):
    tape.book("A", 1, 0).book("B", 1, 1)
    tape.book("A", 2, 10, previous_ms=5, length_ms=4).book("B", 2, 13, previous_ms=11)
    assert tape.seen() == [(1, "A"), (2, "A")]


def test_a_keyframe_of_a_leg_that_is_alone_stays(tape):
    tape.book("B", 9, 0).book("A", 1, 5)
    tape.book("A", 1, 60_000, previous_ms=59_998, marks=Mark.KEYFRAME)
    assert tape.seen() == [(9, "B"), (1, "A"), (1, "A")]


def test_of_keyframes_of_both_legs_that_follow_one_another_none_says_more(tape):
    tape.book("A", 1, 0).book("B", 1, 1)
    for minute in (1, 2):
        at_ms = minute * 60_000
        tape.book("A", 1, at_ms, previous_ms=at_ms - 2, marks=Mark.KEYFRAME)
        tape.book("B", 1, at_ms + 1, previous_ms=at_ms - 1, marks=Mark.KEYFRAME)
    assert len(tape.seen()) == 1


def test_any_difference_of_two_images_counts(tape):
    tape.book("A", 1, 0).book("B", None, 1).book("A", None, 2).book("B", 1.5, 3)
    found = tape.ask("select len(ask_prices), witness from books order by before_ns")
    assert found == [(1, "leg A"), (0, "leg B"), (1, "leg B")]


def test_symbols_and_feeds_are_not_mixed(tape):
    tape.book("A", 1, 0).book("B", 1, 1, symbol="Z").book("A", 1, 2, symbol="Z")
    found = tape.ask("select symbol, witness from books order by before_ns")
    assert found == [("A", "leg A"), ("Z", "leg B")]


@pytest.mark.parametrize("committed", [0, 1, 2, 9])
def test_committed_and_pending_rows_are_merged_alike(tape, committed):
    tape.book("A", 1, 0).book("B", 1, 1).book("B", 2, 10, previous_ms=8)
    tape.book("A", 2, 11, previous_ms=9).book("A", 3, 20, previous_ms=18)
    assert tape.seen(committed=committed) == [(1, "A"), (2, "B"), (3, "A")]
    tape.ticks("A", (5, 1.0)).ticks("B", (5, 1.0))
    # The ticks stand behind the books in both journals.
    assert tape.ask("select time_msc from ticks", committed=committed) == [(5,)]


def poll(tape, leg, truth, interval_ms, shift_ms, rng):
    """Poll `truth`, a list of (ms, state), as PolledBooks does; what was seen, with its time."""
    shown, previous_ms, seen = None, None, []
    for number in range(int(truth[-1][0] / interval_ms)):
        at_ms = number * interval_ms + shift_ms + rng.uniform(0, 0.3)
        state = [each for began_ms, each in truth if began_ms <= at_ms][-1]
        if state != shown:
            tape.book(leg, state, at_ms, previous_ms=previous_ms, length_ms=0.02)
            seen.append((at_ms, state))
            shown = state
        previous_ms = at_ms - 0.01
    return seen


@pytest.mark.parametrize("seed", range(8))
def test_of_two_legs_every_change_that_one_of_them_saw_is_there_in_order(tape, seed):
    rng = random.Random(seed)
    truth, at_ms = [(0.0, 0)], 0.0
    for _ in range(120):
        at_ms += rng.expovariate(1 / 2.5)
        truth.append((at_ms, rng.choice([s for s in range(3) if s != truth[-1][1]])))
    seen = {
        leg: poll(tape, leg, truth, interval_ms, shift_ms, rng)
        for leg, interval_ms, shift_ms in (("A", 2, 0), ("B", 2, 1))
    }
    found = [state for state, _ in tape.seen()]
    # What is shown is a part of what was there, in its order: no change is made up.
    left = iter(state for _, state in truth)
    assert all(any(state == each for each in left) for state in found)
    # And nothing is left out that one of them saw alone.
    for leg in "AB":
        left = iter(found)
        assert all(any(state == each for each in left) for _, state in seen[leg])
    assert len(found) > max(len(each) for each in seen.values())


# Ticks of two legs.


def test_ticks_of_both_legs_stand_once_and_equal_ones_of_a_leg_stay(tape):
    tape.ticks("A", (5, 1.0), (5, 1.0), (6, 2.0)).ticks("B", (5, 1.0), (5, 1.0), (6, 2.0))
    assert tape.ask("select time_msc, bid, witness from ticks order by all") == [
        (5, 1.0, "leg A"),
        (5, 1.0, "leg A"),
        (6, 2.0, "leg A"),
    ]


def test_a_tick_that_only_one_leg_has_is_there(tape):
    tape.ticks("A", (5, 1.0), (7, 3.0)).ticks("B", (5, 1.0), (5, 1.0), (6, 2.0))
    assert tape.ask("select time_msc, bid, witness from ticks order by all") == [
        (5, 1.0, "leg A"),
        (5, 1.0, "leg B"),
        (6, 2.0, "leg B"),
        (7, 3.0, "leg A"),
    ]
    assert tape.ask("select distinct feed from ticks") == [("rts",)]


def test_ticks_that_differ_in_any_number_are_two(tape):
    tape.ticks("A", (5, 1.0)).ticks("B", (5, 1.5))
    assert len(tape.ask("select * from ticks")) == 2


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([1.0, 2.0])), max_size=12), st.data())
def test_of_ticks_there_are_as_many_alike_as_one_leg_has_at_most(tmp_path_factory, ticks, data):
    tape = Tape(tmp_path_factory.mktemp("tape"))
    parts = {leg: [tick for tick in ticks if data.draw(st.booleans())] for leg in "AB"}
    for leg, part in parts.items():
        tape.ticks(leg, *part)
    found = tape.ask("select time_msc, bid from ticks")
    for each in set(ticks):
        assert found.count(each) == max(part.count(each) for part in parts.values())


# Levels.


def test_levels_are_a_row_for_each_of_a_book_the_best_first(tmp_path):
    rows = mt5.pack_rows([(1, 3.0, 30, 30.5), (1, 2.0, 20, 20.5), (2, 1.0, 10, 10.5)])
    image = Image("A", ZERO_NS, ZERO_NS + 5, None, 1, 0, 0, rows)
    block = SimpleNamespace(
        epoch=1,
        seq=4,
        recv_ns=ZERO_NS + 9,
        entries=lambda: [(1, mt5.pack_image(image, ZERO_NS + 9))],
    )
    tables = decoder_for("mt5", "rts").tables([block])
    with connect(TableStore(tmp_path, read_only=True), tables) as con:
        found = run_sql(con, "select * from levels order by side, level")
    assert found.select(["side", "level", "price", "volume"]).to_pylist() == [
        {"side": "ask", "level": 1, "price": 2.0, "volume": 20.5},
        {"side": "ask", "level": 2, "price": 3.0, "volume": 30.5},
        {"side": "bid", "level": 1, "price": 1.0, "volume": 10.5},
    ]
    assert set(found["seq"].to_pylist()) == {4} and set(found["day"].to_pylist()) == {"2023-11-14"}
    assert found.schema.field("level").type == pa.int32()


def test_an_empty_book_has_no_levels_and_two_legs_have_those_of_one(tape):
    tape.book("A", None, 0).book("A", 1, 5).book("B", 1, 6)
    assert tape.ask("select count(*), count(distinct seq) from levels") == [(2, 1)]
