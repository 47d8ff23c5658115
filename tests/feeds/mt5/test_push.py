"""Books that a bridge pushes: nothing is lost or changed, and what ends is said in words."""

import itertools
import signal
import threading

import pytest

from ticktape import clock, mt5
from ticktape.errors import Disconnected, ProtocolViolated
from ticktape.feeds.mt5 import push
from ticktape.feeds.mt5.bridged import BridgedBooks
from ticktape.feeds.mt5.frames import Listener
from ticktape.feeds.mt5.push import PushedBooks

BOTH = ["RIZ6", "SiZ6"]
KEYFRAME, AFTER_GAP = mt5.Mark.KEYFRAME, mt5.Mark.AFTER_GAP


def rows(number, levels=3):
    return mt5.pack_rows(
        (1 + (i >= levels), 100.0 + levels - i, number, number + 0.25) for i in range(2 * levels)
    )


def number_of(image):
    return mt5.unpack_rows(image.rows)[0][2]


def until(books, is_there, found=None):
    """Take until `is_there` of all that was taken; fails after 20 s."""
    found = [] if found is None else found
    end_ns = clock.monotonic_ns() + 20 * clock.NS_PER_S
    while clock.monotonic_ns() < end_ns:
        if is_there(found):
            return found
        found += books.take(0.05)
    raise AssertionError(f"never, after {len(found)} images")


def started(books, symbols=BOTH, *, after_gap=False):
    books.resume(after_gap=after_gap)
    assert books.start() is None
    books.watch(symbols)
    return books


def summed(books, total):
    for counts in books.counts():
        push._add(total.setdefault(counts.symbol, push.PollCounts(counts.symbol)), counts)
    return total


@pytest.fixture
def books(bridge):
    books = started(PushedBooks(bridge))
    yield books
    books.close()


class ClosedPort(Listener):
    """Says a port at which nothing listens, as a tunnel's far end would see it."""

    def __init__(self, family, address):
        super().__init__(family, address)
        self._socket.close()


# The data.


def test_every_state_comes_in_order_byte_for_byte_and_its_interval_holds_the_change(
    served, bridge, books
):
    """The stand-in logs when each state came to be, on a clock that is ours too."""
    served.market.run(tuple(BOTH), 300, 0.001)
    last = {symbol: 0 for symbol in BOTH}

    def is_there(found):
        last.update((image.symbol, number_of(image)) for image in found[-10:])
        return set(last.values()) == {300}

    found = until(books, is_there)
    made = {symbol: {} for symbol in BOTH}
    for symbol, number, before_ns, after_ns in served.market.told()[len(BOTH) :]:
        made[symbol][number] = before_ns, after_ns
    for symbol in BOTH:
        images = [image for image in found if image.symbol == symbol]
        numbers = [number_of(image) for image in images[1:]]
        assert numbers == sorted(set(numbers))
        assert len(numbers) > 100
        assert [image.rows for image in images[1:]] == [rows(number) for number in numbers]
        for image, number in zip(images[1:], numbers, strict=True):
            change_ns, changed_ns = made[symbol][number]
            assert image.previous_ns <= changed_ns
            assert change_ns <= image.after_ns
            if number + 1 in made[symbol]:  # it stood when it was polled
                assert image.before_ns <= made[symbol][number + 1][1]


def test_what_was_counted_adds_up_to_what_came(served, books):
    served.market.run(tuple(BOTH), 200, 0.002)
    found, total = [], {}
    for _ in range(60):
        found += books.take(0.02)
        summed(books, total)
    books.close()
    found += books.rest()
    summed(books, total)
    for symbol in BOTH:
        counts, images = total[symbol], [image for image in found if image.symbol == symbol]
        assert counts.polls == counts.changed + counts.unchanged + sum(counts.errors.values())
        assert counts.stored == counts.changed == len(images)
        assert sum(counts.calls.values()) == counts.polls == sum(counts.gaps.values()) + 1
        assert counts.after_one == sum(image.unchanged == 0 for image in images[1:])
        assert counts.after_two == sum(image.unchanged == 1 for image in images[1:])
        assert (counts.rows_min, counts.rows_max) == (6, 6)
        assert images[-1].poll <= counts.polls
        polls = [image.poll for image in images]
        between = [later - sooner - 1 for sooner, later in itertools.pairwise(polls)]
        assert [image.unchanged for image in images[1:]] == between


def test_each_symbol_begins_with_a_keyframe_marked_after_a_gap(bridge):
    books = started(PushedBooks(bridge, mt5.Mark.LEG_A), ["RIZ6"], after_gap=True)
    (first,) = until(books, len)
    assert (first.poll, first.unchanged, first.previous_ns) == (1, 0, None)
    assert first.marks == KEYFRAME | AFTER_GAP | mt5.Mark.LEG_A
    assert first.remote.clock_map in [note.number for note in bridge.clock_maps()]
    books.close()
    books = started(books, ["RIZ6"])
    (first,) = until(books, len)
    assert (first.poll, first.marks) == (1, KEYFRAME | mt5.Mark.LEG_A)
    books.close()


def test_a_symbol_that_is_added_leaves_the_others_as_they_stand(served, bridge):
    books = started(PushedBooks(bridge), ["RIZ6"])
    until(books, len)
    books.watch(BOTH)
    (second,) = until(books, len)
    assert (second.symbol, second.poll) == ("SiZ6", 1)
    served.market.put("RIZ6", 2)
    (third,) = until(books, len)
    assert (third.symbol, number_of(third)) == ("RIZ6", 2)
    assert third.poll > 1
    books.close()
    assert sorted(counts.symbol for counts in books.counts()) == BOTH


def test_an_empty_book_is_an_image_without_rows(served, bridge, books):
    until(books, lambda found: len(found) == 2)
    served.market.clear("RIZ6")
    (image,) = until(books, len)
    assert (image.symbol, image.rows, image.marks) == ("RIZ6", b"", 0)
    total = {}
    until(books, lambda _: summed(books, total)["RIZ6"].empty)
    assert total["SiZ6"].empty == 0


def test_an_image_is_repeated_as_a_keyframe_though_nothing_changed(bridge, monkeypatch):
    monkeypatch.setattr(push, "KEYFRAME_NS", 20_000_000)
    books = started(PushedBooks(bridge), ["RIZ6"])
    found = until(books, lambda found: len(found) >= 4)
    assert {image.marks for image in found} == {KEYFRAME}
    assert all(image.unchanged > 0 for image in found[1:])
    books.close()
    found += books.rest()
    (counts,) = books.counts()
    assert (counts.changed, counts.stored) == (1, len(found))
    assert counts.polls == counts.changed + counts.unchanged


# Errors.


def test_a_symbol_that_fails_is_tried_less_and_the_others_go_on(served, bridge, monkeypatch):
    monkeypatch.setattr(push, "RETRY_NS", (50_000_000, 300_000_000))
    books = started(PushedBooks(bridge))
    until(books, lambda found: len(found) == 2)
    served.market.codes["RIZ6"] = -1
    until(books, lambda _: "RIZ6" in books.failing)
    assert (
        books.failing["RIZ6"].words == "the terminal refuses the call (-1 'Terminal: Call failed')"
    )
    served.market.put("SiZ6", 2)
    assert number_of(until(books, len)[0]) == 2
    total = summed(books, {})
    assert 1 <= total["RIZ6"].errors["-1"] <= 8
    served.market.put("RIZ6", 3)
    served.market.codes.clear()
    (image,) = until(books, len)
    # What came while nobody could see came after the last poll that saw.
    assert image.before_ns - image.previous_ns > 900_000_000
    assert books.failing == {}
    books.close()
    summed(books, total)
    # A poll that failed saw nothing, and is no end of a gap.
    polls = total["RIZ6"].polls - total["RIZ6"].errors["-1"]
    assert sum(total["RIZ6"].gaps.values()) == polls - 1


def test_the_end_of_the_terminal_comes_after_the_images_before_it(served, bridge, books):
    found = until(books, lambda found: len(found) == 2)
    served.market.codes["SiZ6"] = -10_002
    with pytest.raises(Disconnected, match="the terminal is gone"):
        until(books, lambda found: len(found) > 2, found)
    books.close()
    total = summed(books, {})
    assert total["SiZ6"].errors == {"-10002": 1}
    for counts in total.values():
        assert counts.polls == counts.changed + counts.unchanged + sum(counts.errors.values())
    served.market.codes.clear()
    bridge.open()
    assert len(until(started(books), lambda found: len(found) == 2)) == 2


def test_a_book_that_cannot_be_packed_ends_the_session_in_words(served, bridge, books):
    until(books, lambda found: len(found) == 2)
    served.market.books["RIZ6"] = ((1, "no price", 1, 1.0),)
    with pytest.raises(Disconnected, match="failed in its polling: error"):
        until(books, len)


def test_what_is_no_frame_ends_the_session(bridge, books, monkeypatch):
    monkeypatch.setattr(push.FrameReader, "frames", lambda self: [1][5])
    with pytest.raises(ProtocolViolated, match="what is no frame"):
        until(books, len)


# Ends.


def test_a_hung_terminal_is_silence_and_ends_the_session(served):
    served.market.put("RIZ6", 1)
    terminal = served.terminal(call_timeout_s=1.5)
    terminal.open()
    books = started(PushedBooks(terminal), ["RIZ6"])
    until(books, len)
    served.market.hangs = True
    with pytest.raises(Disconnected, match=r"sent nothing for \d s|did not answer for 1.5 s"):
        until(books, len)
    books.close()
    served.market.hangs = False
    terminal.close([])


def test_a_killed_server_is_gone_in_words_and_the_next_one_pushes(served, bridge, books):
    found = until(books, lambda found: len(found) == 2)
    served.kill()
    with pytest.raises(Disconnected, match=r"the bridge at rpyc://.* is gone"):
        until(books, lambda found: len(found) > 2, found)
    books.close()
    # Their heartbeat never came: they are counted by what they say themselves.
    assert {counts.symbol: counts.stored for counts in books.counts()} == dict.fromkeys(BOTH, 1)
    served.restart()
    served.market.put("RIZ6", 9)
    bridge.open()
    started(books, ["RIZ6"], after_gap=True)
    (image,) = until(books, len)
    assert (number_of(image), image.marks) == (9, KEYFRAME | AFTER_GAP)


def test_closing_ends_the_thread_on_the_bridge(served, bridge, books):
    until(books, lambda found: len(found) == 2)
    assert served.pushing() == 1
    books.close()
    served.eventually(lambda: served.pushing() == 0)
    books.close()
    assert books.rest() == []


def test_a_recorder_that_died_ends_the_thread_on_the_bridge(served, bridge, books):
    until(books, lambda found: len(found) == 2)
    books._reader.close()
    bridge._drop()
    served.eventually(lambda: served.pushing() == 0)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows buffers without a bound")
def test_a_recorder_that_does_not_read_is_waited_for_and_it_shows_as_a_gap(served, bridge):
    """The thread must not gather what nobody reads."""
    served.market.put("RIZ6", 1, levels=2_000)
    books = started(PushedBooks(bridge), ["RIZ6"])
    until(books, len)
    served.market.storm("RIZ6", levels=2_000)
    asked = [0, -1]

    def is_still():
        asked.append(served.market.calls)
        return asked[-1] == asked[-10] if len(asked) > 10 else False

    served.eventually(is_still)
    served.market.storming = False
    found, total = [], {}
    until(books, lambda _: summed(books, total)["RIZ6"].gap_max_ns > 50_000_000, found)
    books.close()
    found += books.rest()
    summed(books, total)
    numbers = [number_of(image) for image in found]
    assert numbers == sorted(set(numbers))
    assert total["RIZ6"].stored == len(found) + 1


# The pace, and where the bridge cannot push.


def test_the_pace_can_be_changed_while_it_runs(served, bridge):
    books = started(PushedBooks(bridge, interval_ns=3_600_000_000_000), ["RIZ6"])
    until(books, len)
    served.market.put("RIZ6", 2)
    books.set_interval_ns(1_000_000)  # the hour that was begun is broken off
    assert number_of(until(books, len)[0]) == 2
    books.set_interval_ns(30_000_000)
    polls = {}
    until(books, lambda _: summed(books, polls)["RIZ6"].polls)
    polls = {}
    until(books, lambda _: summed(books, polls)["RIZ6"].polls)
    assert polls["RIZ6"].polls <= 40  # at most one in 30 ms, for it never makes up by a burst
    books.close()


def test_a_bridge_that_cannot_reach_us_says_so_in_words(bridge, monkeypatch):
    monkeypatch.setattr(push, "Listener", ClosedPort)
    books = PushedBooks(bridge)
    books.resume(after_gap=False)
    refusal = books.start()
    assert "the bridge cannot send books by itself" in refusal.words
    assert "through a tunnel" in refusal.hint
    assert books.take(0.0) == []


def test_books_are_asked_for_where_the_bridge_cannot_reach_us(bridge, monkeypatch):
    monkeypatch.setattr(push, "Listener", ClosedPort)
    books = BridgedBooks(bridge, 0, 30_000_000)
    books.resume(after_gap=True)
    assert books.refusal is not None
    assert not books.is_self_paced
    books.watch(BOTH)
    found = books.take(0.02)
    assert [(image.symbol, image.rows) for image in found] == [(each, rows(1)) for each in BOTH]
    assert {image.marks for image in found} == {KEYFRAME | AFTER_GAP}
    assert books.take(0.02) == []
    assert [counts.polls for counts in books.counts()] == [2, 2]
    assert books.close() == []


def test_books_are_pushed_where_the_bridge_reaches_us(served, bridge):
    books = BridgedBooks(bridge, 0, 0)
    books.resume(after_gap=False)
    assert books.refusal is None
    assert books.is_self_paced
    books.watch(BOTH)
    assert len(until(books, lambda found: len(found) == 2)) == 2
    assert served.pushing() == 1
    served.market.codes["RIZ6"] = -1
    until(books, lambda _: "RIZ6" in books.failing)
    books.close()
    served.eventually(lambda: served.pushing() == 0)


@pytest.fixture
def threads_before():
    """Other tests of this process may have left some that end later."""
    return set(threading.enumerate())


def test_requests_are_answered_while_the_bridge_pushes(threads_before, served, bridge, books):
    """They have an error of their own each, though the package has but one."""
    served.market.codes["NOPE"] = -4
    served.market.books["NOPE"] = ()
    for _ in range(50):
        books.take(0.0)
        assert bridge.copy_ticks("NOPE", 1, 1).code == -4
        assert bridge.health().connected
    assert set(threading.enumerate()) <= threads_before


def test_a_long_pause_between_polls_is_told_with_its_end(served, bridge, monkeypatch):
    monkeypatch.setattr(push, "GAP_NS", 100_000_000)
    books = started(PushedBooks(bridge), ["RIZ6"])
    until(books, len)
    served.market.hangs = True
    begun_ns = clock.monotonic_ns()
    served.eventually(lambda: clock.monotonic_ns() - begun_ns > 300_000_000)
    served.market.hangs = False
    total = {}
    until(books, lambda _: summed(books, total)["RIZ6"].gap_end_ns)
    assert total["RIZ6"].gap_max_ns > 200_000_000
    assert begun_ns + 200_000_000 < total["RIZ6"].gap_end_ns < clock.monotonic_ns()
    books.close()
