"""Healing: what was missed comes back, nothing is promised that is not so, nothing asked twice."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its modules, also under pytest
sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))

from heal_world import (
    GAP,
    LAG_NS,
    START_NS,
    TAPE,
    FakeClient,
    FakeWall,
    S,
    World,
    iso,
    served,
    trades_in,
    venue_of,
)
from power_disk import NO_FAULT, REFUSALS, Fault, PowerDisk

from ticktape.config import parse_config
from ticktape.decoders.instants import InstantParser
from ticktape.directory import LEDGER
from ticktape.errors import Disconnected, Locked
from ticktape.feeds.rest import Answer, RestClient
from ticktape.journal.reader import Reader
from ticktape.ledger.entries import GapSaid
from ticktape.ledger.healing import UNHEALABLE
from ticktape.ledger.paging import Chain, url_of
from ticktape.recorder.heal_asking import paces_of
from ticktape.recorder.heal_child import HealChild
from ticktape.recorder.healer import Healer
from ticktape.recorder.task import HealFeed, HealTask
from ticktape.records import EntryKind, Position
from ticktape.replay.tail import connect_run

DUE_NS = GAP[1] + LAG_NS + 60 * S


class Bench:
    """A healer over a world, with a client and a clock of the test."""

    def __init__(self, world, venue=None, at_ns=DUE_NS, client=None, disk=None):
        self.world = world
        self.disk = disk
        self.wall = FakeWall(at_ns)
        self.client = client or FakeClient(venue or venue_of(path="/v2/iex"), self.wall)
        self.news = []
        self.healer = self.open()

    def open(self):
        healer = Healer(
            HealFeed("iex", self.world.feed, "demo-key", "demo-secret", ""),
            self.world.run,
            "run",
            self.world.config.journal,
            self.reader,
            self.news.append,
            client=self.client,
            wall=self.wall,
            source=random.Random(1),
            disk=self.disk,
        )
        for name, start in healer.starts().items():
            with self.reader(name, start) as reader:
                while blocks := reader.read():
                    healer.see(name, blocks)
        return healer

    def reader(self, name, start):
        return Reader(self.world.run.journal(name), None, start)

    def until_idle(self, steps=2_000, within_ns=0):
        """Step on, letting time go by as far as it is waited for, `within_ns` in all."""
        until_ns = self.wall.now_ns + within_ns
        for _ in range(steps):
            wait_ns = self.healer.step()
            if wait_ns and self.healer.next_due_ns() is None:
                return
            if wait_ns:
                if self.wall.now_ns + wait_ns > until_ns:
                    return
                self.wall.now_ns += wait_ns
        raise AssertionError("it never came to rest")

    def ends(self):
        """(event, words) of what became of gaps."""
        ends = ("healed", "unhealable", "unsettled")
        return [(n.event, n.words) for n in self.news if n.event in ends]


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "run")
    made.record()
    return made


@pytest.fixture
def bench(world):
    opened = []

    def make(*arguments, **options):
        opened.append(Bench(*(arguments or (world,)), **options))
        return opened[-1]

    yield make
    for each in opened:
        each.healer.close()


def test_what_was_sent_in_a_gap_comes_back_and_each_row_once(world, bench):
    at = bench()
    at.until_idle()

    lost = trades_in(TAPE, *GAP)
    assert len(lost) > 50
    assert not lost - world.trades()
    assert max(world.trades().values()) == max(
        trades_in(TAPE, START_NS, START_NS + S * 99).values()
    )
    assert [event for event, _ in at.ends()] == ["healed"]
    assert world.events()[-1] == "healed"
    assert world.said()[-1]["gap"] == {
        "from_ns": GAP[0] + LAG_NS,
        "to_ns": GAP[1] + LAG_NS,
        "cause": "the connection ended",
        "symbol": "",
        "channels": "",
        "planned": False,
        "state": "healed",
    }
    asked = world.said()[-1]["asked"]
    symbols = sorted(TAPE.symbols)
    assert asked["channels"] == {"trades": symbols, "quotes": symbols}
    assert asked["of_all"] is True
    assert asked["from_ns"] < GAP[0] and GAP[1] + 2 * S == asked["to_ns"], "the venue's time"
    assert f"to {iso(asked['to_ns'])[:-7]}Z of the venue's time" in at.ends()[0][1]


@pytest.mark.parametrize("behind_s", [1, 5, 30, 7200])
def test_a_clock_that_is_behind_the_venues_costs_none_of_a_gaps_rows(tmp_path, bench, behind_s):
    world = World(tmp_path / "behind")
    world.record(lag_ns=-behind_s * S)
    at = bench(world, at_ns=GAP[1] - behind_s * S + 60 * S)
    at.client.wall = FakeWall(GAP[1] + 60 * S)
    at.until_idle()

    ((event, words),) = at.ends()
    assert event == "healed"
    assert ("our clock was" in words) is (behind_s > 1)
    assert not trades_in(TAPE, *GAP) - world.trades()


def test_a_page_is_one_block_with_its_request_as_received_and_no_key_in_it(world, bench):
    at = bench()
    at.until_idle()

    with at.reader("iex.rest", Position(0, 0)) as reader:
        pages = [b.entries() for b in reader.read() if b.count == 2]
    assert pages
    for (kind, request), (body_kind, body) in pages:
        assert (kind, body_kind) == (EntryKind.SESSION, EntryKind.TEXT)
        said = json.loads(request)
        assert said["request"]["query"].items() >= {"feed": "iex", "asof": "-"}.items()
        assert json.loads(body).keys() == {said["request"]["path"][11:], "next_page_token"}
    assert not any(b"demo-" in text for _, text in world.entries())


def test_nothing_is_asked_before_the_delay_is_over(bench):
    at = bench(at_ns=DUE_NS - 1)
    at.until_idle()
    assert at.client.asked == []

    at.wall.now_ns += 1
    at.until_idle()
    assert [event for event, _ in at.ends()] == ["healed"]


def test_the_window_is_the_venues_time_though_a_tape_of_long_ago_is_played(tmp_path, bench):
    world = World(tmp_path / "old")
    years_ns = 400_000_000 * S
    world.record(lag_ns=years_ns)
    at = bench(world, at_ns=GAP[1] + years_ns + 60 * S)
    at.until_idle()

    asked = at.client.asked[0][1]
    assert asked["start"] < "2025-06-15T15:06:48.1" < "2025-06-15T15:06:55.9" < asked["end"]
    assert asked["end"] < "2025-06-15T15:06:57"
    assert not trades_in(TAPE, *GAP) - world.trades()


def test_limits_errors_and_a_network_that_is_away_are_waited_for(world, bench):
    at = bench(venue=venue_of(faults=()))
    answers = [
        Answer(429, {"x-ratelimit-reset": str(DUE_NS // S + 7)}, b"{}"),
        Answer(500, {}, b""),
        Answer(200, {}, b"<html>not what you think</html>"),
    ]

    def spoil(path, query):
        if answers:
            return answers.pop(0)
        if len(at.client.asked) == 4:
            raise Disconnected("no answer")
        return None

    at.client.spoil = spoil
    assert at.healer.step() >= 7 * S - LAG_NS - 1  # until the venue's limit is reset
    at.until_idle(within_ns=600 * S)

    assert [event for event, _ in at.ends()] == ["healed"]
    failed = [said for said in world.said() if said["event"] == "failed"]
    assert [said["status"] for said in failed] == [429, 500, 200, 0]
    assert not trades_in(TAPE, *GAP) - world.trades()


def test_it_never_asks_more_often_than_the_config_allows(tmp_path, bench):
    world = World(tmp_path / "slow", heal_per_minute=2)
    world.record()
    at = bench(world, venue=venue_of(short_pages=True))
    sent = []
    at.client.spoil = lambda path, query: sent.append(at.wall.now_ns)
    at.until_idle(within_ns=3600 * S)

    assert [event for event, _ in at.ends()] == ["healed"]
    assert len(sent) >= 2
    assert all(later - sooner >= 60 * S for sooner, later in zip(sent, sent[2:], strict=False))


def test_a_plan_without_recent_rows_waits_until_they_are_15_minutes_old(tmp_path, bench):
    world = World(tmp_path / "sip", stream="/v2/sip")
    world.record()
    at = bench(world, venue=venue_of(path="/v2/sip"))
    refusal = b'{"code":42210000,"message":"subscription does not permit querying recent SIP data"}'
    old_ns = GAP[1] + 15 * 60 * S
    at.client.spoil = lambda *_: Answer(403, {}, refusal) if at.wall.now_ns < old_ns else None
    at.until_idle()
    assert (len(at.client.asked), at.ends()) == (1, [])
    assert old_ns < at.healer.next_due_ns() < old_ns + 60 * S

    at.until_idle(within_ns=1200 * S)
    assert [event for event, _ in at.ends()] == ["healed"]
    assert world.events().count("failed") == 1, "it remembers how old rows must be"


def test_a_wrong_key_makes_a_gap_unhealable_with_a_hint_until_it_is_tried_again(bench, world):
    at = bench()
    keys, at.client.keys = at.client.keys, {"APCA-API-KEY-ID": "x", "APCA-API-SECRET-KEY": "y"}
    at.until_idle()
    assert [event for event, _ in at.ends()] == ["unhealable"]
    assert at.news[-1].hint.startswith("The account may not have this data")
    assert world.said()[-1]["asked"]["channels"] == {}

    at.client.keys = keys
    at.until_idle()
    assert len(at.client.asked) == 1, "nobody asked for it again"
    at.healer.close()
    at.healer = at.open()
    at.healer.book.retry()
    at.until_idle()
    assert [event for event, _ in at.ends()] == ["unhealable", "healed"]
    assert not trades_in(TAPE, *GAP) - world.trades()


def test_what_has_no_history_makes_a_gap_unhealable_and_the_rest_is_asked_for(tmp_path, bench):
    world = World(tmp_path / "statuses")
    world.channels["statuses"] = ["*"]
    world.record()
    at = bench(world)
    at.until_idle()

    ((event, words),) = at.ends()
    assert event == UNHEALABLE
    assert "trades" in words and words.endswith(
        "statuses stay lost: statuses cannot be asked again"
    )
    assert not trades_in(TAPE, *GAP) - world.trades()


def test_a_symbol_that_rest_refuses_costs_no_other_one(tmp_path, bench):
    world = World(tmp_path / "refused")
    world.channels = {"trades": [*TAPE.symbols, *(f"OK{n}" for n in range(60)), "N-OPE"]}
    world.record()
    at = bench(world)

    def spoil(path, query):
        if "N-OPE" in query["symbols"].split(","):
            return Answer(400, {}, b'{"message":"invalid symbol: N-OPE"}')
        return None

    at.client.spoil = spoil
    at.until_idle()
    ((event, words),) = at.ends()
    assert event == "unhealable", "it is not known what of that symbol was missed"
    assert words.endswith("; REST knows no symbol N-OPE")
    assert len(at.client.asked) < 20
    asked = world.said()[-1]["asked"]
    assert asked["channels"] == {"trades": sorted({*world.channels["trades"]} - {"N-OPE"})}
    assert asked["of_all"] is False
    assert not trades_in(TAPE, *GAP) - world.trades()


def test_to_find_a_refused_symbol_is_no_failure_and_goes_on_after_a_restart(tmp_path, bench):
    world = World(tmp_path / "many")
    world.channels = {"trades": ["A-BAD", *(f"OK{n:03}" for n in range(200)), *TAPE.symbols]}
    world.record()
    at = bench(world)

    def spoil(path, query):
        if "A-BAD" in query["symbols"].split(","):
            return Answer(400, {}, b'{"message":"invalid symbol: A-BAD"}')
        return None

    at.client.spoil = spoil
    for _ in range(5):
        assert at.healer.step() == 0
    assert at.healer.failures == 0
    whole = len(at.client.asked[0][1]["symbols"])
    at.healer.close()
    at.client.asked.clear()
    at.healer = at.open()
    at.until_idle()

    assert [event for event, _ in at.ends()] == ["unhealable"]
    assert max(len(query["symbols"]) for _, query in at.client.asked) <= whole / 2 + 1
    assert not trades_in(TAPE, *GAP) - world.trades()


@pytest.mark.parametrize("channels", [{"trades": ["*"], "statuses": ["*"]}, {"statuses": ["*"]}])
def test_a_suspicion_that_rest_cannot_clear_stays_one_until_it_is_tried_again(
    tmp_path, bench, channels
):
    world = World(tmp_path / "suspicion")
    world.channels = channels
    world.record(cut=(0, 0))
    gap = {"from_ns": START_NS + 20 * S, "to_ns": START_NS + 22 * S, "cause": "mute", "symbol": ""}
    gap |= {"channels": "", "planned": False, "state": "suspect"}
    with world.writer(LEDGER) as writer:
        world.say(writer, START_NS + 22 * S, event="suspect", feed="iex", gap=gap)
    at = bench(world, at_ns=START_NS + 3600 * S)
    at.until_idle()
    assert [event for event, _ in at.ends()] == ["unsettled"]
    said = world.said()[-1]
    assert (said["event"], said["gap"]["state"]) == ("unsettled", "suspect")
    assert list(said["asked"]["channels"]) == [name for name in channels if name == "trades"]

    at.healer.close()
    world.run.reader_file("heal-iex").unlink()
    at.healer = at.open()
    at.until_idle()
    assert len(at.ends()) == 1, "nobody asked for it again"
    at.healer.book.retry()
    at.until_idle()
    assert [event for event, _ in at.ends()] == ["unsettled", "unsettled"]


def test_a_gap_whose_requests_always_fail_is_put_aside_and_the_others_are_healed(world, bench):
    at = bench()
    symbol = TAPE.symbols[0]
    newer = GapSaid(START_NS + 20 * S, START_NS + 22 * S, "mute", symbol, "trades")
    at.healer.book.see_gap(newer)
    at.client.spoil = lambda _, q: Answer(500, {}, b"") if q["symbols"] == symbol else None
    at.wall.now_ns += 100 * S
    at.until_idle(within_ns=120 * S)

    assert [event for event, _ in at.ends()] == ["healed"]
    assert [gap.symbol for gap in at.healer.book.waiting()] == [symbol]
    (waiting,) = at.healer.book.waiting()
    assert at.healer.due_ns(waiting) > at.wall.now_ns
    assert waiting.chains == {}
    asked = len(at.client.asked)
    at.until_idle(9_000, within_ns=3600 * S)
    assert len(at.client.asked) - asked < 10
    at.client.spoil = lambda *_: None
    at.until_idle(9_000, within_ns=3700 * S)
    assert [event for event, _ in at.ends()] == ["healed", "healed"]


def test_a_body_that_is_no_page_is_journaled_a_few_times_and_no_more(world, bench):
    at = bench()
    at.client.spoil = lambda *_: Answer(200, {}, b"<html>maintenance</html>")
    at.until_idle(9_000, within_ns=2 * 3600 * S)

    assert len(at.client.asked) > 8
    assert world.events().count("page") == 3
    at.client.spoil = lambda *_: None
    at.until_idle(9_000, within_ns=3700 * S)
    assert [event for event, _ in at.ends()] == ["healed"]


def test_what_the_venue_still_calls_too_recent_holds_up_no_other_gap(tmp_path, bench):
    world = World(tmp_path / "recent")
    world.record()
    at = bench(world, at_ns=GAP[1] + 3600 * S)
    symbol = TAPE.symbols[0]
    newer_ns = at.wall.now_ns - 1200 * S
    at.healer.book.see_gap(GapSaid(newer_ns - S, newer_ns, "mute", symbol, "trades"))
    refusal = b'{"code":42210000,"message":"subscription does not permit querying recent SIP data"}'
    at.client.spoil = lambda _, q: Answer(403, {}, refusal) if q["symbols"] == symbol else None
    at.until_idle()
    assert [event for event, _ in at.ends()] == ["healed"]


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_the_healers_clock_follows_the_systems(world, bench, step_s):
    at = bench(at_ns=DUE_NS - step_s * S)
    at.client.wall = FakeWall(DUE_NS)
    if step_s < 0:
        at.client.spoil = lambda *_: Answer(500, {}, b"")
        at.healer.step()
        at.client.spoil = lambda *_: None
    at.wall.ahead_ns = step_s * S
    at.until_idle(within_ns=5 * S)

    assert [event for event, _ in at.ends()] == ["healed"]
    with at.reader("iex.rest", Position(0, 0)) as reader:
        assert abs(reader.read()[-1].recv_ns - DUE_NS) < 10 * S


def test_feeds_of_one_account_share_a_pace_and_others_do_not():
    def feed(name, key, per_minute, url="http://rest"):
        world = World.__new__(World)
        text = f"""directory = "x"
            [[feed]]
            name = "{name}"
            kind = "alpaca"
            url = "ws://127.0.0.1:1/v2/iex"
            trades = ["A"]
            heal = "{url}"
            heal_per_minute = {per_minute}"""
        world.feed = parse_config(text, "the test's config", Path()).feed[0]
        return HealFeed(name, world.feed, key, "secret", "")

    feeds = [feed("a", "k", 100), feed("b", "k", 2), feed("c", "other", 5)]
    paces = paces_of([*feeds, feed("d", "k", 5, "http://elsewhere")])
    assert paces["a"] is paces["b"]
    assert len({id(pace) for pace in paces.values()}) == 3
    paces["a"].sent(S)
    paces["b"].sent(S)
    assert paces["a"].wait_ns(S) == 60 * S
    assert paces["c"].wait_ns(S) == paces["d"].wait_ns(S) == 0


def test_order_books_are_never_asked_for(tmp_path, bench):
    world = World(
        tmp_path / "books",
        stream="/v1beta3/crypto/us",
        trades=[],
        quotes=[],
        orderbooks=["BTC/USD"],
    )
    world.channels = {"orderbooks": ["BTC/USD"]}
    world.record()
    at = bench(world)
    at.until_idle()

    assert at.client.asked == []
    assert [event for event, _ in at.ends()] == ["unhealable"]
    assert world.events() == ["started", "healing", "unhealable"]


def test_what_the_ledger_suspects_is_asked_for_by_symbol_and_channel(world, bench):
    symbol = TAPE.symbols[0]
    gap = {"from_ns": START_NS + 20 * S, "to_ns": START_NS + 22 * S, "cause": "silent"}
    gap |= {"symbol": symbol, "channels": "trades", "planned": False, "state": "suspect"}
    with world.writer(LEDGER) as writer:
        world.say(writer, START_NS + 22 * S, event="suspect", feed="iex", gap=gap)
        world.say(
            writer, START_NS + 22 * S, event="suspect", feed="other", gap=gap | {"symbol": "X"}
        )
    at = bench()
    at.healer.book.gaps.pop(f"{GAP[0] + LAG_NS} ")
    assert all(gap.suspected for gap in at.healer.book.waiting())
    at.until_idle(within_ns=60 * S)

    assert [event for event, _ in at.ends()] == ["healed"]
    assert {(path, query["symbols"]) for path, query in at.client.asked} == {
        ("/v2/stocks/trades", symbol)
    }


def test_a_planned_stop_and_a_gap_that_lasts_are_left_alone(tmp_path, bench):
    world = World(tmp_path / "planned")
    world.record(cut=(0, 0))
    with world.writer() as writer:
        gap = {"from_ns": world.ended_ns + S, "to_ns": None, "cause": "down", "planned": False}
        world.say(writer, world.ended_ns + S, event="down", gap=gap)
    at = bench(world, at_ns=START_NS + 3600 * S)
    at.until_idle()

    assert at.client.asked == []
    assert [gap.cause for gap in at.healer.book.waiting()] == ["down"]


def test_a_page_token_that_is_not_known_any_more_has_its_request_asked_anew(world, bench):
    at = bench(venue=venue_of(short_pages=True))
    small_pages(at)
    lost = []

    def spoil(path, query):
        if "page_token" in query and not lost:
            lost.append(query)
            return Answer(422, {}, b'{"message":"invalid page_token"}')
        return None

    at.client.spoil = spoil
    at.until_idle()
    assert [event for event, _ in at.ends()] == ["healed"]
    firsts = [page for *_, page in world.asked() if page == 0]
    assert lost and len(firsts) >= 2
    assert not trades_in(TAPE, *GAP) - world.trades()


def small_pages(at):
    """Have every page hold 50 rows."""
    answer = at.client.venue.answer
    at.client.venue.answer = lambda path, query, *rest, **more: answer(
        path, query | {"limit": "100"}, *rest, **more
    )


def test_a_healed_gap_stays_healed_for_the_next_start_with_and_without_its_file(world, bench):
    at = bench()
    at.until_idle()
    asked = len(at.client.asked)
    file = world.run.reader_file("heal-iex")
    for lose in (False, True):
        at.healer.close()
        if lose:
            file.unlink()
        at.healer = at.open()
        at.until_idle()

    assert file.exists()
    assert len(at.client.asked) == asked
    assert [event for event, _ in at.ends()] == ["healed"]


def test_a_gap_is_not_called_healed_while_the_disk_refuses(world, bench, monkeypatch):
    at = bench()
    safe = at.healer._journal.is_safe
    monkeypatch.setattr(at.healer._journal, "is_safe", lambda: False)
    at.until_idle(steps=50, within_ns=2 * S)
    assert at.ends() == []

    monkeypatch.setattr(at.healer._journal, "is_safe", safe)
    at.until_idle(within_ns=2 * S)
    assert [event for event, _ in at.ends()] == ["healed"]


def break_disk(disk, kind):
    kinds, error, taken = REFUSALS[kind]
    disk.fault = Fault(frozenset(kinds), len(disk.names), 10**9, error, taken)


@pytest.mark.parametrize("kind", ["no room", "the disk is gone"])
def test_nothing_is_asked_while_the_disk_refuses_and_then_all_is_there(world, bench, kind):
    disk = PowerDisk(world.run.root)
    at = bench(disk=disk)
    break_disk(disk, kind)
    at.until_idle(steps=100, within_ns=30 * S)
    assert len(at.client.asked) <= 1
    assert at.ends() == []

    disk.fault = NO_FAULT
    at.until_idle(within_ns=30 * S)
    assert [event for event, _ in at.ends()] == ["healed"]
    at.healer.close()
    assert not trades_in(TAPE, *GAP) - world.trades()
    assert world.said()[-2]["event"] == "healed"


def test_pages_that_the_disk_dropped_are_asked_for_again_before_anything_is_called_healed(
    tmp_path, bench
):
    world = World(tmp_path / "small")
    world.record()
    small = msgspec.structs.replace(world.config.journal, memory_bytes=20_000)
    world.config = msgspec.structs.replace(world.config, journal=small)
    disk = PowerDisk(world.run.root)
    at = bench(world, disk=disk)
    assert at.healer.step() == 0
    break_disk(disk, "no room")
    # As when it refuses between two looks: pages are dropped although it was well before each.
    takes, at.healer._journal.takes = at.healer._journal.takes, lambda: True
    at.healer.step()
    at.healer.step()
    at.healer._journal.takes = takes
    disk.fault = NO_FAULT
    assert at.healer._writer.dropped_frames > 0
    at.until_idle(within_ns=60 * S)

    assert [event for event, _ in at.ends()] == ["healed"]
    at.healer.close()
    assert not trades_in(TAPE, *GAP) - world.trades()
    assert {path for path, *_ in world.asked()} == {"/v2/stocks/trades", "/v2/stocks/quotes"}


def test_pages_whose_sync_failed_are_asked_for_again(world, bench):
    disk = PowerDisk(world.run.root)
    at = bench(disk=disk)
    assert at.healer.step() == 0
    break_disk(disk, "a sync fails")
    at.healer._writer.sync()
    disk.fault = NO_FAULT
    at.until_idle(within_ns=30 * S)

    assert [event for event, _ in at.ends()] == ["healed"]
    assert max(world.asked().values()) == 2, "what is suspect is asked anew"


def test_an_end_that_the_disk_lost_is_said_again(world, bench):
    disk = PowerDisk(world.run.root)
    at = bench(disk=disk)
    while not at.ends():
        at.healer.step()
    break_disk(disk, "a sync fails")
    at.healer._writer.sync()
    disk.fault = NO_FAULT
    at.until_idle(within_ns=30 * S)
    at.healer.close()

    assert world.events().count("healed") == 2
    assert len(at.ends()) == 1


def test_there_is_one_healer_at_a_time(world, bench):
    bench()
    with pytest.raises(Locked):
        Bench(world)


def test_a_window_is_compared_though_no_gap_is_there(tmp_path, bench):
    world = World(tmp_path / "whole")
    world.record(cut=(0, 0))
    at = bench(world)
    at.healer.compare(START_NS, START_NS + 30 * S, {"trades": list(TAPE.symbols)})
    at.until_idle()

    assert world.said()[-1] == {
        "event": "compared",
        "from_ns": START_NS,
        "to_ns": START_NS + 30 * S,
        "channels": {"trades": sorted(TAPE.symbols)},
    }
    assert not trades_in(TAPE, START_NS, START_NS + 30 * S) - world.trades()


def test_a_comparison_says_nothing_of_symbols_that_rest_refused(tmp_path, bench):
    world = World(tmp_path / "refused")
    world.record(cut=(0, 0))
    at = bench(world)

    def spoil(path, query):
        if "N-OPE" in query["symbols"].split(","):
            return Answer(400, {}, b'{"message":"invalid symbol: N-OPE"}')
        return None

    at.client.spoil = spoil
    at.healer.compare(START_NS, START_NS + 30 * S, {"trades": [*TAPE.symbols, "N-OPE"]})
    at.until_idle()
    assert world.said()[-1]["event"] == "compared"
    assert world.said()[-1]["channels"] == {"trades": sorted(TAPE.symbols)}
    assert at.news[-1].words.endswith("REST knows no symbol N-OPE")


def test_a_healed_gap_has_been_asked_for_every_bar_that_begins_in_what_it_claims(tmp_path, bench):
    world = World(tmp_path / "bars", bars=["*"])
    world.channels = {"bars": ["*"]}
    world.record()
    at = bench(world, at_ns=DUE_NS + 2 * S)
    at.until_idle()

    asked = world.said()[-1]["asked"]
    assert list(asked["channels"]) == ["bars"]
    ((_, query),) = at.client.asked
    assert query["start"] == iso(asked["from_ns"] - 60 * S)
    assert query["end"] == iso(asked["to_ns"])


def test_a_compared_window_has_been_asked_for_every_bar_that_begins_in_it(tmp_path, bench):
    world = World(tmp_path / "whole", bars=["*"])
    world.record(cut=(0, 0))
    at = bench(world)
    minutes = [row for row in TAPE.tables["bars"].to_pylist() if row["span"] == "minute"]
    last_ns = max(row["event_ns"] for row in minutes)
    at.healer.compare(START_NS, last_ns, {"bars": list(TAPE.symbols)})
    at.until_idle()

    assert world.said()[-1]["event"] == "compared"
    (query,) = [query for path, query in at.client.asked if path.endswith("/bars")]
    assert query["end"] == iso(last_ns)
    assert query["start"] <= iso(START_NS - 60 * S)


RUN = """
import random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from heal_world import World
from test_heal_child import Bench
from ticktape import clock
from ticktape.feeds.rest import RestClient

class Small(RestClient):
    def get(self, url):
        return super().get(url.replace("limit=10000", "limit=100"))

world = World(Path(sys.argv[1]), url=sys.argv[3])
at = Bench(world, client=Small("demo-key", "demo-secret"))
while at.healer.next_due_ns() is not None:
    at.healer.step()
at.healer.close()
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is a thing of POSIX")
def test_a_healer_killed_between_pages_goes_on_and_asks_nothing_twice(tmp_path):
    world = World(tmp_path / "run")
    world.record()
    held, go_on = threading.Event(), threading.Event()

    def gate(number):
        if number == 3:
            held.set()
            assert go_on.wait(240)

    server, url = served(venue_of(), gate)

    def start():
        folder = str(Path(__file__).parent)
        return subprocess.Popen([sys.executable, "-c", RUN, str(world.run.root), folder, url])

    first = start()
    try:
        assert held.wait(240), "the fourth request never came"
        first.send_signal(signal.SIGKILL)
        first.wait(240)
        before = world.asked()
        assert len(before) == 3
        go_on.set()
        assert start().wait(240) == 0
    finally:
        first.kill()
        go_on.set()
        server.shutdown()
        server.server_close()

    assert len(world.asked()) > 6
    assert set(world.asked().values()) == {1}, "a page was asked for twice"
    assert world.asked() >= before
    assert "healed" in world.events()
    assert not trades_in(TAPE, *GAP) - world.trades()
    assert max(world.trades().values()) == max(
        trades_in(TAPE, START_NS, START_NS + S * 99).values()
    )


class FakeParent:
    """A parent that does something when it hears an event."""

    def __init__(self, **does):
        self.leave = threading.Event()
        self.heard = []
        self._does = does

    def tell(self, event, **content):
        self.heard.append((event, content))
        self._does.get(event, lambda: None)()


@pytest.fixture
def child():
    """Make the healer's child of a world, with a parent that leaves at one of its events."""
    opened = []

    def make(world, leave_at, **does):
        parent = FakeParent(**does)
        parent._does[leave_at] = parent.leave.set
        feeds = [HealFeed("iex", world.feed, "demo-key", "demo-secret", "")]
        task = HealTask("run", str(world.run.root), feeds, world.config.journal)
        opened.append(HealChild(task, parent))
        return opened[-1], parent

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def rest():
    server, url = served(venue_of())
    yield url
    server.shutdown()
    server.server_close()


def test_on_the_word_to_leave_it_ends_and_the_next_start_goes_on(tmp_path, rest, child):
    world = World(tmp_path / "run", url=rest)
    world.record()
    first, _ = child(world, "healing")
    assert first.run() == 0
    first.close()
    assert world.events()[-1] == "stopped"
    assert "healed" not in world.events()

    second, parent = child(world, "healed")
    assert second.run() == 0
    second.report()
    ((_, content),) = [each for each in parent.heard if each[0] == "healed"]
    assert content["feed"] == "iex"
    assert "REST has" in content["words"] and "in and around it" in content["words"]
    figures = parent.heard[-1][1]["feeds"]["iex"]
    assert (figures["healed"], figures["waiting"]) == (1, 0)
    assert set(world.asked().values()) == {1}
    assert not trades_in(TAPE, *GAP) - world.trades()


def test_a_feed_that_ticktape_heal_is_at_work_on_is_waited_for(tmp_path, rest, child):
    world = World(tmp_path / "run", url=rest)
    world.record()
    by_hand = world.writer("iex.rest")
    healing, parent = child(world, "healed", state=by_hand.close)
    assert [event for event, _ in parent.heard] == ["state"]

    assert healing.run() == 0
    assert "healed" in world.events()


def test_a_feed_that_another_process_heals_holds_up_no_other_feed(tmp_path, rest):
    world = World(tmp_path / "run", url=rest)
    world.record()
    other = msgspec.structs.replace(world.feed, name="other")
    by_hand = world.writer("other.rest")
    parent = FakeParent()
    parent._does["healed"] = parent.leave.set
    feeds = [HealFeed(f.name, f, "demo-key", "demo-secret", "") for f in (other, world.feed)]
    child = HealChild(HealTask("run", str(world.run.root), feeds, world.config.journal), parent)
    try:
        assert child.run() == 0
        assert "healed" in world.events()
    finally:
        child.close()
        by_hand.close()


def test_a_feed_whose_proxy_cannot_be_used_is_named_and_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("ticktape.feeds.rest.client.find_spec", lambda name: None)
    world = World(tmp_path / "run")
    feeds = [HealFeed("iex", world.feed, "demo-key", "demo-secret", "socks5://127.0.0.1:1")]
    parent = FakeParent(statistics=lambda: parent.leave.set())
    child = HealChild(HealTask("run", str(world.run.root), feeds, world.config.journal), parent)
    assert child.run() == 0
    child.close()

    event, content = parent.heard[0]
    assert event == "trouble"
    assert content["words"].startswith("iex is not healed: healing does not go through a SOCKS")


CUT = "connection lost without a close frame"


def is_healed(run):
    """Whether the healer has said so of the cut: a tape that is over may be asked for as well."""
    journal, said = run.directory.journal("iex.rest"), []
    if journal.is_dir():
        with Reader(journal, None) as reader:
            while blocks := reader.read():
                entries = (entry for block in blocks for entry in block.entries())
                said += [json.loads(text) for kind, text in entries if kind == EntryKind.SESSION]
    return any(each["event"] == "healed" and each["gap"]["cause"] == CUT for each in said)


def healed_of(statistics):
    return statistics.get("feeds", {}).get("iex", {}).get("healed", 0)


def test_a_recorder_heals_a_cut_by_itself_and_has_every_trade_that_rest_has_once(
    tmp_path, venue, recording
):
    options = ["--tape", "generated", "--events", "12000", "--rate", "3000", "--path", "/v2/iex"]
    sim = venue(*options, "--kinds", "trades", "--rest", "--fault", "disconnect@4000")
    text = f"""directory = {json.dumps(str(tmp_path / "run"))}
        [[feed]]
        name = "iex"
        kind = "alpaca"
        url = "{sim.url("/v2/iex")}"
        trades = ["*"]
        backoff_max_s = 0.5
        heal = "{sim.ready["rest_url"]}"
        heal_delay_s = 0.5
        [table]
        commit_s = 0.5"""
    config = parse_config(text, "the test's config", tmp_path)
    with recording(config) as run:
        run.until(lambda: run.words("healed", "heal") and is_healed(run), "the gap is healed")
        run.until(lambda: healed_of(run.said("heal")) > 0, "it is counted")
        sim.wait_end()
        # Nothing may be on its way any more: what comes after a planned stop nobody heals.
        counts = [-1]
        run.until(
            lambda: (
                counts.append(run.said("capture-iex")["frames"])
                or (len(counts) > 50 and len(set(counts[-50:])) == 1)
            ),
            "the last of the tape has come",
        )
        run.stop()
        assert run.words("unhealable", "heal") == run.words("trouble") == []

    with connect_run(run.directory) as con:
        columns = "symbol, event_ns, exchange, id, price, size, conditions"
        shown = Counter(con.execute(f"SELECT {columns} FROM trades").fetchall())
        symbols = sorted({row[0] for row in shown})
        # A tape that is over may be suspected to be mute.
        (gap,) = con.execute(f"SELECT state FROM gaps WHERE cause = '{CUT}'").fetchall()
        witnesses = con.execute("SELECT DISTINCT witness FROM trades").fetchall()
    assert gap == ("healed",)
    assert sorted(witnesses) == [("rest",), ("stream",)]
    assert shown == asked_of(sim.ready["rest_url"], symbols)


def asked_of(url, symbols):
    """All trades that a REST interface has, as the table has them."""
    client = RestClient("demo-key", "demo-secret")
    query = {"symbols": ",".join(symbols), "start": "2000-01-01", "limit": "10000", "asof": "-"}
    chain, found = Chain("/v2/stocks/trades", query | {"feed": "iex"}), Counter()
    parse = InstantParser().parse
    while not chain.done:
        body = client.get(url_of(url, chain.request())).body
        chain.take(body)
        for symbol, rows in json.loads(body)["trades"].items():
            for row in rows:
                key = (symbol, parse(row["t"]), row["x"], row["i"], row["p"], row["s"])
                found[(*key, ",".join(row["c"]))] += 1
    client.close()
    return found
