"""Which answers to a poll are news; three outcomes apart, and nothing repaired."""

import math

import pytest

from ticktape import mt5
from ticktape.errors import Disconnected
from ticktape.feeds.mt5.books import FAILING_NS, KEYFRAME_NS, PolledBooks
from ticktape.feeds.mt5.terminal import BookAnswer
from ticktape.mt5 import Mark

MS = 1_000_000
S = 1_000 * MS
ONE = ((1, 1.5, 10, 10.0), (2, 1.4, 10, 10.0))
TWO = ((1, 1.5, 10, 10.5), (2, 1.4, 10, 10.0))  # only volume_dbl differs


class FakeTerminal:
    """Answers of a script; a call takes 40 µs of a clock that only we move."""

    def __init__(self):
        self.now_ns = 100 * S
        self.books = {}
        self.asked = []

    def monotonic_ns(self):
        return self.now_ns

    def poll(self, symbols):
        answers = []
        self.asked.append(list(symbols))
        for symbol in symbols:
            before_ns, self.now_ns = self.now_ns, self.now_ns + 40_000
            found = self.books[symbol]
            if isinstance(found, int):
                answers.append(BookAnswer(symbol, before_ns, self.now_ns, None, found, "text"))
                if found <= -10_000:
                    break
            else:
                answers.append(BookAnswer(symbol, before_ns, self.now_ns, found))
        return answers


class Polling:
    """Two symbols polled every 10 ms; `see` sets what the next pass finds."""

    def __init__(self, marks=0, symbols=("A",), after_gap=False):
        self.terminal = FakeTerminal()
        self.books = PolledBooks(self.terminal, marks, self.terminal.monotonic_ns)
        self.books.resume(after_gap=after_gap)
        self.books.watch(symbols)

    def see(self, *shown, wait_ns=10 * MS, **by_symbol):
        self.terminal.books |= dict(zip("A", shown, strict=False)) | by_symbol
        began_ns = self.terminal.now_ns
        images = self.books.take(0.02)
        self.terminal.now_ns = max(began_ns + wait_ns, self.terminal.now_ns)
        return images

    def counts(self):
        return self.books.counts()[0]


@pytest.fixture
def polling():
    return Polling()


def test_the_first_answer_is_an_image_and_a_keyframe(polling):
    (image,) = polling.see(ONE)
    assert image == mt5.Image(
        "A", 100 * S, 100 * S + 40_000, None, 1, 0, Mark.KEYFRAME, mt5.pack_rows(ONE)
    )


def test_what_does_not_change_is_counted_and_not_stored(polling):
    polling.see(ONE)
    assert [polling.see(ONE) for _ in range(5)] == [[]] * 5
    (image,) = polling.see(TWO)
    assert (image.poll, image.unchanged, image.marks) == (7, 5, 0)
    assert image.previous_ns == image.before_ns - 10 * MS
    counts = polling.counts()
    assert (counts.polls, counts.changed, counts.unchanged, counts.stored) == (7, 2, 5, 2)


def test_every_field_of_a_row_counts_and_so_does_the_order(polling):
    polling.see(ONE)
    for shown in (TWO, ONE, ONE[::-1], ((3, 1.5, 10, 10.0), ONE[1]), ((1, 1.5, 11, 10.0), ONE[1])):
        (image,) = polling.see(shown)
        assert image.rows == mt5.pack_rows(shown)


def test_an_empty_book_is_an_image_and_no_error(polling):
    (first,) = polling.see(())
    assert first.rows == b"" and polling.see(()) == []
    polling.see(ONE)
    (empty,) = polling.see(())
    assert empty.rows == b"" and empty.previous_ns is not None
    counts = polling.counts()
    assert (counts.empty, counts.errors, counts.stored) == (3, {}, 3)
    assert (counts.changed, counts.unchanged) == (3, 1)


def test_a_price_that_is_no_number_is_not_news_each_time(polling):
    shown = ((1, math.nan, 10, 10.0),)
    assert len(polling.see(shown)) == 1
    for _ in range(3):
        assert polling.see(((1, float("nan"), 10, 10.0),)) == []
    assert polling.counts().unchanged == 3


def test_packed_rows_of_a_bridge_are_judged_alike(polling):
    packed = mt5.pack_rows(ONE)
    (image,) = polling.see(packed)
    assert image.rows == packed
    assert polling.see(bytes(bytearray(packed))) == []
    assert len(polling.see(b"")) == 1


def test_a_keyframe_is_stored_after_a_minute_and_counts_as_unchanged(polling):
    polling.see(ONE)
    stored = [image for _ in range(6_100) for image in polling.see(ONE)]
    (image,) = stored
    assert image.marks == Mark.KEYFRAME
    assert image.before_ns - 100 * S == KEYFRAME_NS
    # The polls since the image before that had its rows, itself among them.
    assert (image.poll, image.unchanged) == (6_001, 6_000)
    counts = polling.counts()
    assert counts.polls == 6_101 == counts.changed + counts.unchanged
    assert (counts.changed, counts.unchanged, counts.stored) == (1, 6_100, 2)


def test_the_minute_is_counted_from_the_last_image_whatever_it_was(polling):
    polling.see(ONE)
    for _ in range(3_000):
        polling.see(ONE)
    polling.see(TWO)
    assert not any(polling.see(TWO) for _ in range(5_999))
    (image,) = polling.see(TWO)
    assert image.marks == Mark.KEYFRAME and image.unchanged == 6_000


def test_polls_add_up_over_keyframes_changes_and_errors(polling):
    """image.unchanged and the number of the poll tell the same story as the counters."""
    images = []
    shown = [ONE, ONE, -1, ONE, TWO, TWO, (), -4, (), ONE]
    for each in shown:
        images += polling.see(each, wait_ns=35 * S)
    counts = polling.counts()
    assert counts.polls == len(shown)
    assert counts.polls == counts.changed + counts.unchanged + sum(counts.errors.values())
    assert counts.errors == {"-1": 1, "-4": 1}
    assert counts.stored == len(images)
    assert sum(image.unchanged for image in images) <= counts.unchanged


def test_previous_is_the_last_poll_that_saw_something(polling):
    (first,) = polling.see(ONE)
    for _ in range(3):
        polling.see(-1, wait_ns=5 * S)
    (image,) = polling.see(TWO)
    assert image.previous_ns == first.before_ns
    assert image.poll == 5


def test_a_rest_that_equals_what_was_before_an_error_is_no_change(polling):
    polling.see(ONE)
    polling.see(-1, wait_ns=S)
    assert polling.see(ONE) == []
    assert polling.counts().changed == 1


def test_a_failing_symbol_is_named_after_a_second_and_cured_by_one_answer(polling):
    polling.see(ONE)
    while not polling.books.failing:
        began_ns = polling.terminal.now_ns
        polling.see(-1)
    assert FAILING_NS <= began_ns - (100 * S + 10 * MS) < FAILING_NS + 3 * S
    failing = polling.books.failing["A"]
    assert failing.since_ns == 100 * S and "(-1 'text')" in failing.words
    for _ in range(4_000):
        polling.see(ONE)
        if not polling.books.failing:
            break
    assert polling.books.failing == {}


def test_a_failing_symbol_is_asked_ever_less_often_and_others_go_on(polling):
    polling = Polling(symbols=("A", "B"))
    for _ in range(12_000):
        polling.see(A=-1, B=ONE)
    asked = sum("A" in each for each in polling.terminal.asked)
    assert 5 <= asked <= 12
    assert all("B" in each for each in polling.terminal.asked)
    a, b = polling.books.counts()
    assert (a.polls, a.errors) == (asked, {"-1": asked})
    assert (b.polls, b.errors) == (12_000, {})
    assert set(polling.books.failing) == {"A"}


def test_gaps_between_polls_never_overlap_whatever_failed(polling):
    """Their sum is the time that was watched; a failed poll watched nothing."""
    for number in range(400):
        polling.see(-1 if 100 <= number < 160 else ONE)
    counts = polling.counts()
    assert sum(counts.gaps.values()) == counts.polls - counts.errors["-1"] - 1
    assert counts.gap_max_ns > 500 * MS
    whole_ns = polling.terminal.now_ns - 10 * MS - 100 * S
    (longest,) = [bucket for bucket, count in counts.gaps.items() if count == 1]
    short = sum(count for bucket, count in counts.gaps.items() if bucket != longest)
    assert short * 10 * MS + counts.gap_max_ns == whole_ns


def test_where_a_very_long_gap_ended_is_kept(polling):
    polling.see(ONE, wait_ns=3 * S)
    polling.see(ONE)
    polling.see(ONE)
    counts = polling.counts()
    assert (counts.gap_max_ns, counts.gap_end_ns) == (3 * S, 103 * S)
    assert polling.counts().gap_end_ns == 0


def test_a_change_next_to_a_change_and_one_behind_that_are_told_apart(polling):
    for shown in (ONE, TWO, ONE, ONE, TWO, TWO, TWO, ONE):
        polling.see(shown)
    counts = polling.counts()
    # The first image is no change that followed one.
    assert (counts.changed, counts.after_one, counts.after_two) == (5, 2, 1)


def test_rows_of_what_was_stored_are_counted(polling):
    for shown in (ONE, (), ONE[:1], ONE[:1]):
        polling.see(shown)
    counts = polling.counts()
    assert (counts.rows_min, counts.rows_max) == (0, 2)


def test_the_end_of_the_terminal_ends_the_pass_that_meets_it(polling):
    polling.see(ONE)
    with pytest.raises(Disconnected, match="is gone") as caught:
        polling.see(-10_002)
    assert caught.value.hint
    with pytest.raises(Disconnected):
        polling.see(ONE)
    assert polling.counts().errors == {"-10002": 1}


def test_images_before_the_terminals_end_are_given_first():
    polling = Polling(symbols=("A", "B", "C"))
    (image,) = polling.see(A=ONE, B=-10_004, C=ONE)
    assert image.symbol == "A"
    with pytest.raises(Disconnected):
        polling.see()
    assert len(polling.terminal.asked) == 1
    assert [each.polls for each in polling.books.counts()] == [1, 1, 0]


def test_a_new_session_begins_with_keyframes_behind_a_gap(polling):
    polling.see(ONE)
    polling.books.resume(after_gap=True)
    polling.books.watch(["A"])
    (image,) = polling.see(ONE)
    assert image.marks == Mark.KEYFRAME | Mark.AFTER_GAP
    assert (image.poll, image.previous_ns) == (1, None)
    (image,) = polling.see(TWO)
    assert image.marks == 0


def test_the_leg_stands_on_every_image():
    polling = Polling(marks=Mark.LEG_B, after_gap=True)
    marks = [polling.see(each)[0].marks for each in (ONE, TWO)]
    assert marks == [Mark.LEG_B | Mark.KEYFRAME | Mark.AFTER_GAP, Mark.LEG_B]


def test_symbols_that_come_and_go_do_not_touch_the_others(polling):
    polling.see(ONE)
    polling.books.watch(["A", "B"])
    images = polling.see(A=ONE, B=TWO)
    assert [(each.symbol, each.poll) for each in images] == [("B", 1)]
    polling.books.watch(["B"])
    assert polling.see(A=TWO, B=TWO) == []
    assert [each.symbol for each in polling.books.counts()] == ["B"]


def test_without_symbols_nothing_is_asked_and_nothing_found():
    polling = Polling(symbols=())
    assert polling.see() == [] and polling.books.counts() == []


def test_what_polls_by_itself_has_no_rest_at_its_close(polling):
    polling.see(ONE)
    assert polling.books.close() == []
    assert polling.books.refusal is None and not polling.books.is_self_paced
