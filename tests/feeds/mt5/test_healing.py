"""A gap is healed when the ticks of all symbols are past its end, and not before."""

from dataclasses import dataclass

import pytest

from ticktape import mt5
from ticktape.feeds.gapkeeper import Content
from ticktape.feeds.mt5.healing import ClosedGap, TickHealing

S = 1_000_000_000
WALL_NS = 1_700_000_000 * S
HOURS_MS = 3 * 3_600_000


@dataclass
class FakeCursor:
    symbol: str
    cursor: tuple[int, int] | None = None
    since_ns: int = 0
    caught_up_ns: int = 0
    is_set_back: bool = False

    def move(self, wall_s, mono_s):
        """The newest tick, in the broker's time, and when there was no more."""
        self.cursor = (wall_s * 1_000 + WALL_NS // 1_000_000 + HOURS_MS, 1)
        self.caught_up_ns = mono_s * S


@pytest.fixture
def cursors():
    return [FakeCursor("A", (1, 1)), FakeCursor("B", (1, 1))]


def healing_of(cursors, gaps=(), *, has_books=False):
    return TickHealing(cursors, lambda mono_ns: WALL_NS + mono_ns, gaps, has_books=has_books)


def gap(from_s, to_s, *, symbol="", channels="", planned=False):
    return {
        "from_ns": WALL_NS + from_s * S,
        "to_ns": None if to_s is None else WALL_NS + to_s * S,
        "cause": "gone",
        "symbol": symbol,
        "channels": channels,
        "planned": planned,
        "state": "open",
    }


def closes(healing, *gaps, now_s=20):
    return healing.close(Content("subscribed", gaps=list(gaps)), now_s * S)


def told(healing):
    return [(said.event, said.gap["symbol"]) for said in healing.finished(HOURS_MS)]


def test_every_symbol_must_be_past_the_end_and_asked_after_it(cursors):
    healing = healing_of(cursors)
    assert closes(healing, gap(10, 20))
    cursors[0].move(21, 22)
    assert told(healing) == []
    cursors[1].move(19, 22)
    assert told(healing) == [], "its history may end before the gap does"
    cursors[1].move(21, 20)
    assert told(healing) == [], "there was more than was taken"
    cursors[1].move(21, 22)
    assert told(healing) == [("healed", "")]
    assert told(healing) == [] and healing.waiting == []


def test_what_lasts_was_planned_or_concerns_a_book_does_not_wait(cursors):
    healing = healing_of(cursors)
    of_book = gap(10, 20, symbol="A", channels="books")
    stalled = gap(10, 20, symbol="A")
    assert not closes(healing, gap(10, None), gap(10, 20, planned=True), of_book, stalled)


def test_a_gap_of_one_symbols_ticks_asks_for_that_symbol_alone(cursors):
    healing = healing_of(cursors, has_books=True)
    assert closes(healing, gap(10, 20, symbol="B", channels="ticks"))
    cursors[1].move(21, 22)
    assert told(healing) == [("healed", "B")]


@pytest.mark.parametrize("since_ns", [-1, 11 * S])
def test_a_symbol_that_began_after_the_gap_did_is_not_whole(cursors, since_ns):
    cursors[1].since_ns = since_ns
    healing = healing_of(cursors)
    assert not closes(healing, gap(10, 20))
    assert closes(healing, gap(12, 20)) is (since_ns > 0)


def test_ticks_that_hide_behind_a_clock_set_back_are_lost_and_the_gap_stays_open(cursors):
    healing = healing_of(cursors)
    closes(healing, gap(10, 20))
    cursors[0].is_set_back = True
    assert told(healing) == [] and healing.waiting == []


def test_ticks_are_counted_where_they_lie_in_the_gap(cursors):
    healing = healing_of(cursors)

    def see(*wall_s, down_s=0):
        times = [wall * 1_000 + WALL_NS // 1_000_000 + HOURS_MS for wall in wall_s]
        rows = b"".join(mt5.TICK.pack(t // 1_000, 1, 1, 0, 0, t, 6, 0) for t in times)
        batch = mt5.TickBatch("A", 0, 0, HOURS_MS, 1, 0, rows)
        healing.see([batch], WALL_NS + down_s * S if down_s else 0)

    see(9, 10)
    see(9, 10, 11, down_s=10)
    closes(healing, gap(10, 20))
    see(12, 20, 21)
    assert healing.waiting == [ClosedGap(WALL_NS + 10 * S, WALL_NS + 20 * S, "gone", "", 4)]


def test_gaps_of_an_earlier_process_wait_on_and_so_many_at_most(cursors):
    left = ClosedGap(WALL_NS, WALL_NS + S, "killed", "", 5)
    healing = healing_of(cursors, [left])
    assert healing.waiting == [left]
    closes(healing, *[gap(number, number + 1) for number in range(1, 150)])
    assert len(healing.waiting) == 100 and healing.waiting[-1].from_ns == WALL_NS + 149 * S
