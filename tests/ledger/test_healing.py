"""The book of a feed's gaps: what is to be healed, when, and what was done."""

import json

import msgspec
import pytest

from ticktape.ledger import healing
from ticktape.ledger.entries import (
    Compared,
    GapSaid,
    Healed,
    Healing,
    Page,
    Request,
    Started,
    Unhealable,
    Unsettled,
)
from ticktape.ledger.healing import HealBook, in_words

S = 10**9
DELAY_NS = 60 * S


def gap(from_s, to_s=None, **more):
    return GapSaid(from_s * S, None if to_s is None else to_s * S, **more)


def page(number, token="", symbols="A"):
    query = {"symbols": symbols, "end": "x"} | ({"page_token": token} if token else {})
    return Page(Request("/v2/stocks/trades", query), number)


def body(token):
    return json.dumps({"trades": {"A": [{}]}, "next_page_token": token}).encode()


def due(book, at_s):
    found = book.next_gap(at_s * S, DELAY_NS)
    return None if found is None else found.from_ns // S


def test_a_gap_is_due_so_long_after_its_end_and_not_while_it_lasts():
    book = HealBook()
    book.see_gap(gap(100))
    assert due(book, 9_999) is None

    book.see_gap(gap(100, 110, cause="down"))
    assert (due(book, 169), due(book, 170)) == (None, 100)


def test_an_end_that_was_told_stays():
    book = HealBook()
    book.see_gap(gap(100, 110))
    book.see_gap(gap(100))
    assert due(book, 170) == 100


def test_a_planned_gap_is_not_healed_unless_it_turns_out_otherwise():
    book = HealBook()
    book.see_gap(gap(100, planned=True))
    book.see_gap(gap(100, 110, planned=True))
    book.see_gap(gap(200, planned=True))
    book.see_gap(gap(200, 210, planned=False))

    assert [each.from_ns for each in book.waiting()] == [200 * S]


def test_the_newest_is_healed_first_but_what_was_begun_before_that():
    book = HealBook()
    for at in (100, 300, 200):
        book.see_gap(gap(at, at + 1))
    assert due(book, 1_000) == 300

    book.see_own(Healing(gap(100, 101, state="healing")))
    book.see_own(page(0), body("t"))
    assert due(book, 1_000) == 100


def test_the_subscription_of_a_gap_is_what_stood_before_it():
    book = HealBook()
    book.see_subscribed({"trades": ["A"]})
    book.see_gap(gap(100))
    book.see_subscribed({"trades": ["B"]})
    book.see_gap(gap(100, 110))

    assert book.subscribed_in(book.next_gap(999 * S, 0)) == {"trades": ["A"]}


@pytest.mark.parametrize("first", ["open", "suspect"])
def test_what_the_feed_has_missed_is_more_than_a_suspicion(first):
    book = HealBook()
    book.see_gap(gap(100, 110, state=first))
    book.see_gap(gap(100, 110, state="suspect"))
    book.see_gap(gap(100, 110, state="open"))
    book.see_gap(gap(100, 110, state="suspect"))

    assert book.waiting()[0].state == "open"


def test_a_suspicion_is_healed_as_well():
    book = HealBook()
    book.see_gap(gap(100, state="suspect", symbol="A", channels="trades"))
    book.see_gap(gap(100, 110, state="suspect", symbol="A", channels="trades"))

    found = book.next_gap(170 * S, DELAY_NS)
    assert (found.symbol, found.channels, found.state) == ("A", "trades", "suspect")


@pytest.mark.parametrize("kind", [Healed, Unhealable])
def test_what_is_done_with_is_done_with_in_whatever_order_it_is_read(kind):
    state = kind.__struct_config__.tag
    told, ended = gap(100, 110), kind(gap(100, 110, state=state))
    for order in ("feed first", "own first"):
        book = HealBook()
        if order == "feed first":
            book.see_gap(told)
        book.see_own(Started())
        book.see_own(Healing(gap(100, 110, state="healing")))
        book.see_own(ended)
        book.see_gap(told)
        assert book.waiting() == []


def test_gaps_of_two_symbols_that_begin_at_once_are_two():
    book = HealBook()
    book.see_gap(gap(100, 110, symbol="A"))
    book.see_gap(gap(100, 110, symbol="B"))
    book.see_own(Healed(gap(100, 110, symbol="A", state="healed")))

    assert [each.symbol for each in book.waiting()] == ["B"]


def test_pages_that_are_journaled_are_not_asked_for_again():
    book = HealBook()
    book.see_gap(gap(100, 110))
    book.see_own(Healing(gap(100, 110, state="healing")))
    book.see_own(page(0), body("one"))
    book.see_own(page(1, "one"), body("two"))
    book.see_own(page(0, symbols="B"), body(None))

    chains = {chain.query["symbols"]: chain for chain in book.gaps["100000000000 "].chains.values()}
    assert (chains["A"].token, chains["A"].pages, chains["A"].rows) == ("two", 2, 2)
    assert chains["B"].done


def test_a_page_that_could_not_be_read_and_one_asked_anew_leave_the_chain_right():
    book = HealBook()
    book.see_own(Healing(gap(100, 110, state="healing")))
    book.see_own(page(0), body("one"))
    book.see_own(page(1, "one"), b"<html>")
    book.see_own(page(1, "one"), body("two"))
    (chain,) = book.chains().values()
    assert (chain.pages, chain.token) == (2, "two")

    book.see_own(page(0), body("new"))
    assert (chain.pages, chain.token) == (1, "new")


def test_pages_of_a_comparison_are_not_a_gaps():
    book = HealBook()
    book.see_own(Healing(gap(100, 110, state="healing")))
    book.see_own(Started())
    book.see_own(page(0), body("one"))

    assert len(book.pages) == 1 and not book.gaps["100000000000 "].chains
    book.see_own(Compared(1, 2, {"trades": ["A"]}))
    assert book.pages == {}


def test_what_was_unhealable_can_be_tried_again():
    book = HealBook()
    book.see_subscribed({"trades": ["A"]})
    book.see_gap(gap(100, 110, cause="down"))
    book.see_own(Healing(gap(100, 110, state="healing")))
    book.see_own(page(0), body(None))
    book.see_own(Unhealable(gap(100, 110, state="unhealable")))
    assert book.waiting() == []

    book.retry()
    (found,) = book.waiting()
    assert (found.cause, found.chains) == ("down", {})
    assert book.subscribed_in(found) == {"trades": ["A"]}
    book.see_own(Healed(gap(100, 110, state="healed")))
    book.retry()
    assert book.waiting() == []


def test_a_suspicion_that_was_not_settled_stays_one_until_the_feed_itself_tells_of_it():
    book = HealBook()
    told = gap(100, 110, state="suspect")
    book.see_gap(told)
    book.see_own(Healing(gap(100, 110, state="healing"), suspected=True))
    assert book.waiting()[0].suspected
    book.see_own(Unsettled(told))
    book.see_gap(told)
    assert book.waiting() == []

    book.see_gap(gap(100, 110))
    (found,) = book.waiting()
    assert not found.suspected


def test_that_it_is_a_suspicion_is_known_from_the_healers_own_journal_alone():
    for suspected in (True, False):
        book = HealBook()
        book.see_own(Healing(gap(100, 110, state="healing"), suspected))
        assert book.waiting()[0].suspected is suspected


def test_a_suspicion_that_was_not_settled_can_be_tried_again():
    book = HealBook()
    book.see_gap(gap(100, 110, state="suspect"))
    book.see_own(Unsettled(gap(100, 110, state="suspect")))
    book.retry()
    assert [each.suspected for each in book.waiting()] == [True]


def test_gaps_that_are_put_aside_let_the_others_come_first():
    book = HealBook()
    book.see_gap(gap(100, 101))
    book.see_gap(gap(200, 201))
    assert book.next_gap(999 * S, 0, {book.next_gap(999 * S, 0).key}).from_ns == 100 * S


def test_when_pages_may_be_lost_all_that_is_unfinished_is_asked_anew():
    book = HealBook()
    book.see_own(Healing(gap(100, 110, state="healing")))
    book.see_own(page(0), body("one"))
    book.see_own(page(0, symbols="B"), body(None))
    book.ask_anew()
    assert [(c.pages, c.token, c.done) for c in book.chains().values()] == [(0, "", False)] * 2


def test_a_subscription_of_many_symbols_is_kept_once_for_all_gaps_that_were_in_it():
    book = HealBook()
    for names in ("A", "B"):
        symbols = [f"{names}{n:05}" for n in range(2_000)]
        book.see_subscribed({"trades": symbols, "quotes": symbols})
        for number in range(100):
            book.see_gap(gap(100 if names == "A" else 500, 600, symbol=symbols[number]))
    once = len(json.dumps(book.subscribed))

    assert len(json.dumps(msgspec.to_builtins(book))) < 5 * once
    first = min(book.waiting(), key=lambda each: each.from_ns)
    assert book.subscribed_in(first)["trades"][0] == "A00000"
    for each in book.waiting():
        book.see_own(Healed(each.said("healed")))
    book.see_subscribed({"trades": ["C"]})
    book.see_gap(gap(900))
    assert list(book.kept.values()) == [{"trades": ["C"]}]


def test_only_so_many_gaps_are_remembered_as_done_with(monkeypatch):
    monkeypatch.setattr(healing, "_FINISHED_MAX", 10)
    book = HealBook()
    for number in range(30):
        book.see_gap(gap(number, number + 1))
        book.see_own(Unhealable(gap(number, number + 1, state="unhealable")))
    assert list(book.finished) == list(book.refused) == [f"{n * S} " for n in range(20, 30)]


def test_a_plan_without_recent_rows_moves_every_gap():
    book = HealBook(recent_ns=900 * S)
    book.see_gap(gap(100, 110))
    assert (due(book, 1_009), due(book, 1_010)) == (None, 100)


def test_symbols_that_the_ledger_counts_are_remembered():
    book = HealBook()
    book.see_counts({"trades": {"B": 3, "A": 1}})
    book.see_counts({"trades": {"C": 1, "A": 9}, "quotes": {"A": 1}})
    assert book.seen == {"trades": ["A", "B", "C"], "quotes": ["A"]}


def test_a_book_is_the_same_after_it_was_kept():
    book = HealBook()
    book.see_subscribed({"trades": ["A"]})
    book.see_gap(gap(100, 110, cause="down"))
    book.see_gap(gap(200))
    book.see_own(Healing(gap(100, 110, state="healing")))
    book.see_own(page(0), body("one"))
    book.see_counts({"trades": {"A": 1}})

    again = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(book))), HealBook)
    assert again == book


def test_a_gap_in_words():
    book = HealBook()
    book.see_gap(gap(100, 110, symbol="A"))
    book.see_gap(gap(200))
    first, second = map(in_words, book.waiting())

    assert first == "A from 1970-01-01T00:01:40.000000000Z, 10.000 s"
    assert second == "since 1970-01-01T00:03:20.000000000Z"
