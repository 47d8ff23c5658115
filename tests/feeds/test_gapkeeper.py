"""What starts, stops and outages mean for the gaps."""

import json
from types import SimpleNamespace

import msgspec
import pytest

from ticktape.decoders.session import session_gaps
from ticktape.feeds.gapkeeper import Content, GapKeeper
from ticktape.journal.standing import Standing
from ticktape.ledger import fold_gaps
from ticktape.records import EntryKind


class Journal:
    """Keeps what a keeper says, and gives the last block as a reader would find it."""

    def __init__(self):
        self.entries = []
        self.last = None

    def write(self, content, now_ns, kind=EntryKind.SESSION):
        payload = msgspec.json.encode(content)
        self.entries.append((payload, now_ns))
        self.last = block_of(kind, payload, now_ns)
        return json.loads(payload)

    def data(self, now_ns):
        self.last = block_of(EntryKind.TEXT, b"[]", now_ns)

    def gaps(self):
        rows = []
        for seq, (payload, now_ns) in enumerate(self.entries):
            rows += session_gaps(payload, "feed", now_ns, 0, seq)
        return [
            (gap.symbol, gap.from_ns, gap.to_ns, gap.planned, gap.cause) for gap in fold_gaps(rows)
        ]


def block_of(kind, payload, recv_ns):
    """The last block of a journal, as far as a keeper looks into it, with one entry."""
    entries = [(int(kind), payload)]
    return SimpleNamespace(epoch=3, seq=7, count=1, recv_ns=recv_ns, entries=lambda: entries)


class Run:
    """One process of a feed, as capture drives its keeper."""

    def __init__(self, journal, now_ns):
        self.journal = journal
        self.keeper = GapKeeper()
        journal.write(self.keeper.start(journal.last, now_ns), now_ns)

    def ready(self, now_ns, words="", **missing):
        content = Content("subscribed", words=words, missing=missing or None)
        self.journal.write(self.keeper.ready(content, now_ns), now_ns)
        return self

    def down(self, now_ns, last_ns, words="lost"):
        self.journal.write(self.keeper.down(Content("down", words=words), last_ns), now_ns)
        return self

    def refused(self, now_ns, words="refused"):
        self.journal.write(self.keeper.down(Content("refused", words=words), now_ns), now_ns)
        return self.stop(now_ns, refused=True)

    def stop(self, now_ns, cause="", refused=False):
        said = self.keeper.stop(Content("stopped"), now_ns, cause, refused=refused)
        self.journal.write(said, now_ns)
        return self


@pytest.fixture
def journal():
    return Journal()


def test_first_start_has_no_gap(journal):
    Run(journal, 100).ready(200)
    assert journal.gaps() == []


def test_first_start_that_fails_has_a_gap_from_its_beginning(journal):
    Run(journal, 100).down(150, 0, "no server").ready(300)
    assert journal.gaps() == [("", 100, 300, False, "no server")]


def test_planned_stop_is_a_planned_gap_until_data_comes_again(journal):
    Run(journal, 100).ready(200).stop(900)
    assert journal.gaps() == [("", 900, None, True, "planned stop")]
    Run(journal, 5000).ready(5100)
    assert journal.gaps() == [("", 900, 5100, True, "planned stop")]


def test_planned_pause_ends_at_the_start_when_the_first_session_fails(journal):
    Run(journal, 100).ready(200).stop(900)
    Run(journal, 5000).down(5050, 0, "no server").ready(5100)
    assert journal.gaps() == [
        ("", 900, 5000, True, "planned stop"),
        ("", 5000, 5100, False, "no server"),
    ]


def test_kill_in_a_login_goes_on_with_the_gap_that_was_open(journal):
    Run(journal, 100).ready(200).down(800, 750, "lost")
    said = journal.last
    journal.data(850)  # the venue's greeting
    keeper = GapKeeper()
    journal.write(keeper.start(journal.last, 900, standing=Standing(said, journal.last)), 900)
    journal.write(keeper.ready(Content("subscribed"), 1000), 1000)
    assert journal.gaps() == [("", 750, 1000, False, "lost")]


def test_kill_is_a_gap_from_what_was_heard_and_not_from_a_note_of_ours(journal):
    run = Run(journal, 100).ready(200)
    journal.data(700)
    heard = journal.last
    journal.write(run.keeper.stamped(Content("quiet")), 950)
    said = journal.last
    content = GapKeeper().start(said, 2000, standing=Standing(said, heard))
    assert content.gap["from_ns"] == 700


def test_kill_is_a_gap_from_the_last_block_until_data_comes_again(journal):
    Run(journal, 100).ready(200)
    journal.data(700)
    run = Run(journal, 1000)
    assert journal.gaps() == [("", 700, None, False, "the recorder was killed")]
    run.ready(1100)
    assert journal.gaps() == [("", 700, 1100, False, "the recorder was killed")]


def test_gap_never_ends_before_it_begins_when_the_clock_was_set_back(journal):
    Run(journal, 10_000_000_000).ready(10_000_000_001).down(12_000_000_000, 11_000_000_000)
    Run(journal, 8_000_000_000).ready(8_500_000_000).stop(9_000_000_000)
    Run(journal, 5_000_000_000).ready(7_000_000_000)
    back = "the clock was set back meanwhile, by"
    assert journal.gaps() == [
        ("", 9 * 10**9, 9 * 10**9, True, f"planned stop; {back} 2.000 s or more"),
        ("", 11 * 10**9, 11 * 10**9, False, f"lost; {back} 2.500 s or more"),
    ]


def test_pause_of_which_the_clock_is_right_again_when_data_comes_ends_there(journal):
    Run(journal, 100).ready(200).stop(900)
    run = Run(journal, 800)
    assert journal.gaps()[0][1:3] == (900, 900)
    run.ready(1100)
    assert journal.gaps() == [("", 900, 1100, True, "planned stop")]


def test_gap_of_a_symbol_never_ends_before_it_begins_either(journal):
    keeper = Run(journal, 100).keeper
    first = Content("subscribed", channels={"orderbooks": ["A"]}, missing={"trades": ["A"]})
    journal.write(keeper.ready(first, 200), 200)
    journal.write(keeper.ready(Content("subscribed", missing={"trades": ["A"]}), 300), 300)
    journal.write(keeper.ready(Content("subscribed", channels={"orderbooks": ["A"]}), 150), 150)
    assert [gap[:3] for gap in journal.gaps()] == [("A", 200, 200), ("A", 300, 300)]
    assert all("set back" in gap[4] for gap in journal.gaps())


def test_start_tells_where_the_journal_stood(journal):
    journal.data(700)
    said = journal.write(GapKeeper().start(journal.last, 900), 900)
    assert said["previous"] == {"epoch": 3, "last_seq": 7, "last_recv_ns": 700}


def test_kill_while_down_goes_on_with_the_outage(journal):
    Run(journal, 100).ready(200).down(800, 750, "lost")
    Run(journal, 2000).ready(2100)
    assert journal.gaps() == [("", 750, 2100, False, "lost")]


def test_kill_while_starting_is_nobodys_plan(journal):
    Run(journal, 100).ready(200).stop(900)
    Run(journal, 2000)
    Run(journal, 3000).ready(3100)
    assert journal.gaps() == [
        ("", 900, 2000, True, "planned stop"),
        ("", 2000, 3100, False, "the recorder was killed while starting"),
    ]


def test_process_that_dies_at_every_start_leaves_an_open_gap(journal):
    for now_ns in range(100, 1000, 100):
        Run(journal, now_ns)
    assert journal.gaps() == [("", 100, None, False, "the recorder was killed while starting")]


@pytest.mark.parametrize("kind", [EntryKind.NOTE, EntryKind.DROPPED, EntryKind.CLOCK])
def test_kill_after_an_entry_of_another_kind_is_a_gap_from_it(journal, kind):
    Run(journal, 100).ready(200)
    journal.write({"frames": 3}, 400, kind)
    Run(journal, 1000).ready(1100)
    assert ("", 400, 1100, False, "the recorder was killed") in journal.gaps()


def test_clock_entry_carries_the_outage_over_a_kill(journal):
    keeper = Run(journal, 100).ready(200).down(800, 750, "lost").keeper
    said = keeper.stamped(Content("clock"))
    journal.write({**msgspec.to_builtins(said), "step_ns": 5}, 900, EntryKind.CLOCK)
    Run(journal, 1000).ready(1100)
    assert journal.gaps() == [("", 750, 1100, False, "lost")]


def test_outage_begins_with_the_last_that_was_heard(journal):
    Run(journal, 100).ready(200).down(800, 750, "lost").ready(900)
    assert journal.gaps() == [("", 750, 900, False, "lost")]


def test_failures_in_a_row_are_one_gap_with_the_first_cause(journal):
    run = Run(journal, 100).ready(200).down(800, 750, "lost")
    run.down(900, 0, "no server").down(1000, 0, "no server").ready(1200)
    assert journal.gaps() == [("", 750, 1200, False, "lost")]


def test_two_outages_are_two_gaps(journal):
    Run(journal, 100).ready(200).down(800, 750, "one").ready(900).down(1300, 1250, "two").ready(
        1400
    )
    assert journal.gaps() == [
        ("", 750, 900, False, "one"),
        ("", 1250, 1400, False, "two"),
    ]


def test_stop_in_an_outage_ends_it_there_and_begins_the_planned_pause(journal):
    Run(journal, 100).ready(200).down(800, 750, "lost").stop(1000)
    assert journal.gaps() == [
        ("", 750, 1000, False, "lost"),
        ("", 1000, None, True, "planned stop"),
    ]
    Run(journal, 5000).ready(5100)
    assert journal.gaps()[1] == ("", 1000, 5100, True, "planned stop")


def test_stop_before_any_session_stood_is_a_gap(journal):
    Run(journal, 100).stop(400)
    assert journal.gaps()[0] == ("", 100, 400, False, "stopped before any session stood")


def test_refusal_stays_an_open_gap_until_data_comes(journal):
    Run(journal, 100).refused(300, "wrong key")
    assert journal.gaps() == [("", 100, None, False, "wrong key")]
    Run(journal, 9000).ready(9100)
    assert journal.gaps() == [("", 100, 9100, False, "wrong key")]


def test_refusal_while_data_flows_is_a_gap_from_there(journal):
    Run(journal, 100).ready(200).refused(700, "the plan ended")
    assert journal.gaps() == [("", 700, None, False, "the plan ended")]


def test_death_of_the_supervisor_is_not_planned(journal):
    Run(journal, 100).ready(200).stop(700, "the supervisor died")
    Run(journal, 2000).ready(2100)
    assert journal.gaps() == [("", 700, 2100, False, "the supervisor died")]


@pytest.mark.parametrize("down", [False, True])
def test_death_of_the_supervisor_before_data_comes_is_a_gap_from_the_start(journal, down):
    run = Run(journal, 100)
    if down:
        run.down(200, 0, "no server")
    run.stop(700, "the supervisor died")
    Run(journal, 2000).ready(2100)
    cause = "no server" if down else "the supervisor died"
    assert journal.gaps() == [("", 100, 2100, False, cause)]


def test_symbols_that_are_missing_are_gaps_of_their_own(journal):
    run = Run(journal, 100).ready(200, "plan full", trades=["B", "A"], quotes=["A"])
    assert journal.gaps() == [
        ("A", 200, None, False, "quotes, trades not subscribed: plan full"),
        ("B", 200, None, False, "trades not subscribed: plan full"),
    ]
    run.ready(500, "plan full", trades=["B"])
    assert journal.gaps() == [
        ("A", 200, 500, False, "quotes, trades not subscribed: plan full"),
        ("B", 200, None, False, "trades not subscribed: plan full"),
    ]


def test_symbol_of_which_another_channel_is_missing_then_has_two_gaps(journal):
    Run(journal, 100).ready(200, "x", trades=["A"], quotes=["A"]).ready(300, "x", quotes=["A"])
    assert journal.gaps() == [
        ("A", 200, 300, False, "quotes, trades not subscribed: x"),
        ("A", 300, None, False, "quotes not subscribed: x"),
    ]


def test_same_symbols_missing_again_after_an_outage_are_still_the_same_gap(journal):
    run = Run(journal, 100).ready(200, "x", trades=["A"])
    run.down(800, 750).ready(900, "x", trades=["A"])
    assert ("A", 200, None, False, "trades not subscribed: x") in journal.gaps()


@pytest.mark.parametrize("cause", ["", "the supervisor died"])
def test_stop_ends_the_gaps_of_symbols(journal, cause):
    Run(journal, 100).ready(200, "x", trades=["A"]).stop(600, cause)
    assert journal.gaps()[0] == ("A", 200, 600, False, "trades not subscribed: x")


def test_gap_of_a_symbol_that_fails_begins_where_it_was_last_seen(journal):
    run = Run(journal, 100).ready(200)
    for now_ns, words in ((500, "x"), (600, "y"), (700, "")):
        missing = {"books": ["A"]} if words else None
        content = Content("subscribed", words=words, missing=missing)
        journal.write(run.keeper.ready(content, now_ns, {"A": 440}), now_ns)
    assert journal.gaps() == [
        ("A", 440, 600, False, "books not subscribed: x"),
        ("A", 600, 700, False, "books not subscribed: y"),
    ]


def test_symbol_that_is_wanted_no_more_ends_its_gap_and_one_that_was_removed_has_none(journal):
    run = Run(journal, 100).ready(200, "plan full", trades=["B"])
    run.ready(700)  # after a change: neither B nor any other is wanted
    assert journal.gaps() == [("B", 200, 700, False, "trades not subscribed: plan full")]


def test_symbol_wanted_no_more_while_the_feed_is_down_ends_its_gap_with_the_next_session(journal):
    run = Run(journal, 100).ready(200, "plan full", trades=["B"])
    run.down(500, 450, "lost").ready(900)
    assert journal.gaps() == [
        ("B", 200, 900, False, "trades not subscribed: plan full"),
        ("", 450, 900, False, "lost"),
    ]


def channels_of(journal):
    """Every gap row as it is written: (symbol, channels, planned, to_ns)."""
    rows = []
    for seq, (payload, now_ns) in enumerate(journal.entries):
        rows += session_gaps(payload, "feed", now_ns, 0, seq)
    return [(gap.symbol, gap.channels, gap.planned, gap.to_ns) for gap in rows]


def test_gap_of_a_symbol_names_its_channels_in_the_words_of_the_config(journal):
    run = Run(journal, 100).ready(200, "x", updatedBars=["A"], trades=["A"], dailyBars=["B"])
    run.ready(300)
    assert channels_of(journal) == [
        ("A", "trades,updated_bars", False, None),
        ("B", "daily_bars", False, None),
        ("A", "trades,updated_bars", False, 300),
        ("B", "daily_bars", False, 300),
    ]
    assert journal.gaps()[0][4] == "trades, updated_bars not subscribed: x"


def test_words_that_each_of_many_symbols_repeats_are_bounded_and_the_entry_has_them_all(journal):
    symbols = [f"S{number:04}" for number in range(1000)]
    words = "w" * 900
    run = Run(journal, 100).ready(200, words, trades=symbols).ready(300, words, trades=symbols)
    assert len(journal.gaps()) == 1000
    assert all(len(cause) == 200 and cause[-1] == "…" for *_, cause in journal.gaps())
    said = [json.loads(payload) for payload, _ in journal.entries]
    assert [each.get("words", "") for each in said] == ["", words, words]
    assert "gaps" not in said[-1], "the same gaps go on"
    run.stop(400)


class Books(Run):
    """A run that subscribes order books."""

    def books(self, now_ns, *stand, words="", missing=None):
        content = Content(
            "subscribed",
            words=words,
            channels={"orderbooks": list(stand), "trades": ["A"]},
            missing=missing,
        )
        self.journal.write(self.keeper.ready(content, now_ns), now_ns)
        return self


ENDED = "unsubscribed on purpose"


def test_order_book_that_is_unsubscribed_is_a_planned_gap_until_it_is_subscribed_again(journal):
    run = Books(journal, 100).books(200, "A", "B").books(300, "A")
    assert journal.gaps() == [("B", 300, None, True, ENDED)]
    run.books(400, "A").books(500, "A", "B").books(600, "A", "B")
    assert journal.gaps() == [("B", 300, 500, True, ENDED)]
    assert channels_of(journal) == [
        ("B", "orderbooks", True, None),
        ("B", "orderbooks", True, 500),
    ]


def test_other_channels_that_are_unsubscribed_are_no_gap(journal):
    run = Run(journal, 100)
    for now_ns, channels in ((200, {"trades": ["A"], "quotes": ["A"]}), (300, {})):
        journal.write(run.keeper.ready(Content("subscribed", channels=channels), now_ns), now_ns)
    assert journal.gaps() == []


def test_order_book_that_the_venue_takes_away_is_no_planned_gap(journal):
    run = Books(journal, 100).books(200, "A", "B")
    run.books(300, "A", words="x", missing={"orderbooks": ["B"]})
    assert journal.gaps() == [("B", 300, None, False, "orderbooks not subscribed: x")]


def test_order_book_that_is_wanted_again_and_refused_is_a_gap_that_nobody_planned(journal):
    run = Books(journal, 100).books(200, "A").books(300)
    run.books(400, words="x", missing={"orderbooks": ["A"]})
    assert journal.gaps() == [
        ("A", 300, 400, True, ENDED),
        ("A", 400, None, False, "orderbooks not subscribed: x"),
    ]


def test_order_books_of_a_star_stand_for_every_symbol(journal):
    run = Books(journal, 100).books(200, "A").books(300).books(400, "*")
    assert journal.gaps() == [("A", 300, 400, True, ENDED)]
    run.books(500, "A").books(600, "*")
    assert journal.gaps()[1:] == [("*", 500, 600, True, ENDED)]


def test_order_book_that_ends_as_its_symbols_trades_fail_is_a_gap_of_its_own(journal):
    run = Books(journal, 100).books(200, "A")
    run.books(300, words="x", missing={"trades": ["A"]})
    assert [gap[3:] for gap in journal.gaps()] == [
        (False, "trades not subscribed: x"),
        (True, ENDED),
    ]


def test_order_books_unsubscribed_while_the_feed_is_down_end_with_the_next_session(journal):
    run = Books(journal, 100).books(200, "A").down(500, 450, "lost").books(700)
    assert ("A", 700, None, True, ENDED) in journal.gaps()
    run.stop(900)
    assert ("A", 700, 900, True, ENDED) in journal.gaps(), "a stop ends it as others"
