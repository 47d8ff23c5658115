"""What of a config stands subscribed, what does not and why, and when it is asked for again."""

import pytest

from ticktape.errors import Disconnected
from ticktape.feeds.mt5.subscriptions import Subscriptions
from ticktape.feeds.mt5.terminal import Refusal

S = 1_000_000_000


class FakeTerminal:
    """Refuses the wants in `refused`; remembers what it was asked."""

    def __init__(self, **refused):
        self.refused = refused
        self.asked = []

    def subscribe(self, symbol, *, book):
        self.asked.append((symbol, book))
        words = self.refused.get(("book_" if book else "tick_") + symbol)
        if words == "gone":
            raise Disconnected("gone")
        return Refusal(words, f"cure of {symbol}") if words else None


def test_all_that_is_asked_for_stands_in_the_configs_order():
    made, terminal = Subscriptions(["B", "A"], ["A", "C"]), FakeTerminal()
    assert (made.booked, made.ticking) == ([], [])
    assert made.ask(terminal, 0) == ["B", "A", "C"]
    assert (made.booked, made.ticking) == (["B", "A"], ["A", "C"])
    assert terminal.asked == [("B", True), ("A", True), ("A", False), ("C", False)]
    assert made.standing({}) == ({"books": ["B", "A"], "ticks": ["A", "C"]}, {}, "", "")


def test_what_stands_is_never_asked_for_twice():
    """Subscriptions of a terminal are counted: each add needs a release."""
    made, terminal = Subscriptions(["A", "B"], ["A"]), FakeTerminal(book_B="no book of B")
    made.ask(terminal, 0)
    terminal.asked.clear()
    assert made.ask(terminal, 5 * S) == []
    assert terminal.asked == [("B", True)]
    terminal.refused.clear()
    assert made.ask(terminal, 9 * S) == ["B"]
    assert made.booked == ["A", "B"]


def test_a_refused_book_leaves_its_ticks_and_the_others():
    made = Subscriptions(["A", "B"], ["A"])
    made.ask(FakeTerminal(book_A="no book of A"), 0)
    standing, missing, words, hint = made.standing({})
    assert standing == {"books": ["B"], "ticks": ["A"]}
    assert missing == {"books": ["A"]}
    assert (words, hint) == ("no book of A", "cure of A")


def test_each_reason_is_told_once():
    made = Subscriptions(["A", "B"], ["A"])
    made.ask(FakeTerminal(book_A="no A", tick_A="no A", book_B="no B"), 0)
    _, missing, words, _ = made.standing({})
    assert missing == {"books": ["A", "B"], "ticks": ["A"]}
    assert words == "no A; no B"


def test_it_is_asked_again_ever_later_but_at_least_once_a_minute():
    made, terminal = Subscriptions(["A"], []), FakeTerminal(book_A="no")
    now_ns, waits = 0, []
    made.ask(terminal, now_ns)
    for _ in range(6):
        asked_ns = now_ns
        while not made.is_due(now_ns):
            now_ns += S
        waits.append((now_ns - asked_ns) // S)
        made.ask(terminal, now_ns)
    assert waits == [2, 5, 15, 60, 60, 60]


def test_nothing_is_due_when_nothing_is_refused():
    made = Subscriptions(["A"], ["B"])
    made.ask(FakeTerminal(), 0)
    assert not made.is_due(10**6 * S)


def test_a_terminal_that_goes_keeps_what_it_had_and_a_session_forgets_all():
    made = Subscriptions(["A", "B"], [])
    with pytest.raises(Disconnected):
        made.ask(FakeTerminal(book_B="gone"), 0)
    assert made.booked == ["A"]
    made.forget()
    assert made.booked == [] and not made.is_due(10**6 * S)
    assert made.ask(FakeTerminal(), 0) == ["A", "B"]


def test_a_failing_channel_is_missing_and_the_other_of_its_symbol_is_not():
    made = Subscriptions(["A"], ["A", "B"])
    made.ask(FakeTerminal(), 0)
    failing = {("ticks", "A"): "copy_ticks_from fails"}
    standing, missing, words, hint = made.standing(failing)
    assert (standing, missing) == ({"books": ["A"], "ticks": ["B"]}, {"ticks": ["A"]})
    assert (words, hint) == ("A: copy_ticks_from fails", "")


def test_what_fails_but_was_not_asked_for_does_not_matter():
    made = Subscriptions(["A"], [])
    made.ask(FakeTerminal(), 0)
    assert made.standing({("ticks", "A"): "x", ("books", "Z"): "y"})[1] == {}


def test_a_change_is_one_until_it_is_told():
    made = Subscriptions(["A", "B"], [])
    made.ask(FakeTerminal(book_A="no"), 0)
    assert made.has_changed({})
    made.standing({})
    assert not made.has_changed({})
    failing = {("books", "B"): "fails"}
    assert made.has_changed(failing)
    made.standing(failing)
    # Other words for the same are no change.
    assert not made.has_changed({("books", "B"): "fails in another way"})
    assert made.has_changed({})
    made.standing({})
    made.ask(FakeTerminal(), 9 * S)
    assert made.has_changed({})


def test_with_nothing_asked_for_nothing_stands():
    made = Subscriptions([], [])
    assert made.ask(FakeTerminal(), 0) == []
    assert made.standing({}) == ({}, {}, "", "")
