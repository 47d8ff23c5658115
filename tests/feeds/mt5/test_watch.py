"""What is worth saying of a second of polling, each thing once."""

import pytest

from ticktape.feeds.mt5.terminal import Health
from ticktape.feeds.mt5.watch import PollWatch
from ticktape.polls import PollCounts, bucket_of

MS = 1_000_000
S = 1_000 * MS
WALL_NS = 1_700_000_000 * S


class Watching:
    """One heartbeat a second; `beat` returns what was said."""

    def __init__(self, quiet_s=60.0):
        self.watch = PollWatch(quiet_s)
        self.wall_ns = WALL_NS
        self.interval_ns = 2 * MS
        self.watch.restart(7, self.wall_ns)
        self.polls = None

    def beat(self, *counts, ticks=None, seconds=1.0):
        self.wall_ns += int(seconds * S)
        self.polls = self.watch.beat(list(counts), ticks or {}, self.wall_ns)
        self.polls.interval_ns = self.interval_ns
        return list(self.watch.notices(self.polls, self.wall_ns))

    def hear(self, *, connected):
        self.watch.hear(Health(connected, 300, 1), self.wall_ns)


def counts(symbol="A", polls=500, changed=50, empty=0, gap=2 * MS, call=MS, gap_end=0):
    return PollCounts(
        symbol,
        polls,
        changed,
        polls - changed,
        empty=empty,
        gaps={bucket_of(gap): polls},
        gap_max_ns=gap,
        call_max_ns=call,
        gap_end_ns=gap_end,
    )


@pytest.fixture
def watching():
    return Watching()


def test_intervals_follow_one_another_without_a_hole(watching):
    watching.beat(counts())
    first = watching.polls
    watching.beat(counts(), seconds=2.5)
    assert (first.from_ns, first.to_ns) == (WALL_NS, WALL_NS + S)
    assert (watching.polls.from_ns, watching.polls.to_ns) == (first.to_ns, WALL_NS + 3.5 * S)


def test_ticks_are_those_of_the_interval(watching):
    for total, new in [(5, 5), (5, 0), (12, 7)]:
        watching.beat(ticks={"A": total})
        assert watching.polls.ticks == {"A": new}


def test_totals_are_of_all_books_and_the_pace_of_the_busiest(watching):
    watching.beat(counts(changed=10), counts("B", changed=90), counts("C", polls=0, changed=0))
    watch = watching.watch
    assert (watch.changed_total, watch.polls_total) == (100, 1_000)
    assert (watch.changed, watch.polls, watch.change_ratio) == (90, 500, 0.18)
    assert watch.gap_p99_us == pytest.approx(2_000, rel=0.07)
    watching.beat()
    assert (watch.changed, watch.polls, watch.change_ratio) == (0, 0, 0.0)
    assert watch.changed_total == 100


def test_a_good_second_is_not_worth_a_word(watching):
    assert all(watching.beat(counts()) == [] for _ in range(200))


# Stalls.


def test_a_long_call_is_named_once_although_its_gap_ends_in_the_next_beat(watching):
    assert watching.beat(counts(call=600 * MS)) == []
    ((said, is_down),) = watching.beat(counts(gap=600 * MS))
    assert (said.event, is_down, said.gaps) == ("stalled", None, None)
    assert said.words == "the terminal took 600 ms for a call"
    assert watching.beat(counts()) == []


def test_a_long_call_within_one_beat_is_named_once(watching):
    ((said, _),) = watching.beat(counts(call=400 * MS, gap=402 * MS))
    assert "took 400 ms" in said.words and said.hint
    assert watching.beat(counts()) == []


def test_a_pause_that_no_call_explains_is_named_as_such(watching):
    ((said, _),) = watching.beat(counts(gap=251 * MS + 2 * MS))
    assert said.words == "253 ms passed between two polls"
    assert watching.beat(counts(gap=249 * MS)) == []


def test_two_seconds_without_a_poll_are_a_gap_where_they_were(watching):
    end_ns = WALL_NS + 700 * MS
    ((said, _),) = watching.beat(counts(), counts("B", gap=2_100 * MS, gap_end=end_ns))
    assert said.gaps == [
        {
            "from_ns": end_ns - 2_100 * MS,
            "to_ns": end_ns,
            "cause": "2,100 ms passed between two polls",
            "symbol": "B",
        }
    ]


def test_a_gap_of_which_nobody_knows_the_end_is_taken_to_end_with_its_beat(watching):
    ((said, _),) = watching.beat(counts(gap=3 * S))
    (gap,) = said.gaps
    assert (gap["from_ns"], gap["to_ns"]) == (watching.wall_ns - 3 * S, watching.wall_ns)


@pytest.mark.parametrize("interval_ms", [250, 446, 1_000, 5_000, 60_000])
def test_a_slow_pace_is_no_stall(watching, interval_ms):
    watching.interval_ns = interval_ms * MS
    for _ in range(5):
        assert watching.beat(counts(polls=1, gap=(interval_ms + 5) * MS)) == []
    ((said, _),) = watching.beat(counts(polls=1, gap=(interval_ms + 300) * MS))
    assert said.event == "stalled" and said.gaps is None
    ((said, _),) = watching.beat(counts(polls=1, gap=(interval_ms + 2_000) * MS))
    assert len(said.gaps) == 1


# The terminal's own link.


def test_a_lost_link_is_down_since_it_was_last_seen(watching):
    watching.beat(counts())
    watching.hear(connected=True)
    seen_ns = watching.wall_ns
    watching.beat(counts())
    watching.beat(counts())
    watching.hear(connected=False)
    ((said, is_down),) = watching.beat(counts())
    assert (said.event, is_down, said.down_since_ns) == ("unlinked", True, seen_ns)
    assert not watching.polls.connected and watching.watch.is_unlinked
    assert watching.beat(counts()) == []
    watching.hear(connected=True)
    ((said, is_down),) = watching.beat(counts())
    assert (said.event, is_down) == ("linked", False)
    assert not watching.watch.is_unlinked
    assert watching.beat(counts()) == []


def test_a_link_that_never_was_is_down_since_the_session_began(watching):
    watching.beat()
    watching.hear(connected=False)
    ((said, _),) = watching.beat()
    assert said.down_since_ns == WALL_NS


def test_a_link_that_is_lost_twice_has_two_beginnings(watching):
    since = []
    for _ in range(2):
        watching.beat()
        watching.hear(connected=True)
        watching.beat()
        watching.hear(connected=False)
        ((said, _),) = watching.beat()
        since.append(said.down_since_ns)
        watching.hear(connected=True)
        watching.beat()
    assert since == [WALL_NS + S, WALL_NS + 5 * S]


def test_a_new_session_takes_the_link_for_whole(watching):
    watching.hear(connected=False)
    watching.beat()
    watching.watch.restart(9, watching.wall_ns)
    assert watching.beat() == [] and watching.polls.connected
    assert watching.watch.last_ns == 9


# Empty books, and silence.


def test_a_book_that_stays_empty_is_named_once(watching):
    said = [watching.beat(counts(empty=500)) for _ in range(30)]
    assert [number for number, each in enumerate(said) if each] == [4]
    ((content, _),) = said[4]
    assert content.event == "empty" and "the book of A stays empty" in content.words


def test_a_book_that_fills_in_time_is_not_named(watching):
    for _ in range(3):
        assert not any(watching.beat(counts(empty=500)) for _ in range(4))
        assert watching.beat(counts(empty=499)) == []


def test_a_symbol_that_is_not_polled_is_not_empty(watching):
    assert not any(watching.beat(counts(polls=0, changed=0)) for _ in range(9))


def test_silence_is_told_once_and_its_end(watching):
    watching.beat(counts())
    said = [watching.beat(counts(changed=0)) for _ in range(100)]
    ((content, _),) = [pair for each in said for pair in each]
    assert content.event == "quiet" and "nothing changed for 61 s" in content.words
    assert watching.watch.is_quiet
    ((content, _),) = watching.beat(counts(changed=1))
    assert content.event == "flowing" and not watching.watch.is_quiet


def test_ticks_are_no_silence(watching):
    for number in range(100):
        assert watching.beat(counts(changed=0), ticks={"A": number + 1}) == []


def test_silence_is_not_told_when_nobody_asks():
    watching = Watching(quiet_s=0)
    assert not any(watching.beat(counts(changed=0)) for _ in range(500))


@pytest.mark.parametrize("step_s", [3_600, -3_600])
def test_a_wall_clock_that_is_set_makes_no_silence_and_no_odd_interval(watching, step_s):
    watching.beat(counts())
    watching.hear(connected=True)
    watching.wall_ns += step_s * S
    watching.watch.shift(step_s * S)
    assert watching.beat(counts(changed=0)) == []
    assert watching.polls.to_ns - watching.polls.from_ns == S
    watching.hear(connected=False)
    ((said, _),) = watching.beat(counts(changed=0))
    assert watching.wall_ns - said.down_since_ns == 2 * S
