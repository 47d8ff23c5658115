"""The ledger's child: each row counted once whatever kills it, lies and silences named."""

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from types import SimpleNamespace

import msgspec
import pytest

from ticktape.clock import iso_utc
from ticktape.config import JournalConfig
from ticktape.decoders.ledger import LedgerTables
from ticktape.directory import LEDGER, RunDirectory
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE
from ticktape.feeds.gapkeeper import Content
from ticktape.journal import Writer
from ticktape.journal.disk import Disk
from ticktape.journal.position_file import load_positions, save_positions
from ticktape.journal.positions import JournalState
from ticktape.journal.reader import Reader
from ticktape.ledger.counting import MINUTE_NS
from ticktape.ledger.entries import (
    Counts,
    Damaged,
    GapSaid,
    Identity,
    Suspect,
    encode_entry,
    kind_of,
)
from ticktape.ledger.entries import read_ledger_entry as read_entry
from ticktape.ledger.memory import load_memory
from ticktape.recorder import ledger_child
from ticktape.recorder.task import LedgerTask, WatchedFeed, encode_task
from ticktape.records import EntryKind, Position

NS = 1_000_000_000
BEGAN = 1_763_650_800 * NS  # a whole minute
TRADE = '{"T":"t","S":"%s","i":%d,"x":"N","p":1.5,"s":100,"t":"%s","z":"A"}'


class FakeParent:
    def __init__(self, *, leaves=True):
        self.leave = threading.Event()
        if leaves:
            self.leave.set()
        self.orphaned = False
        self.told = []

    def listen(self):
        pass

    def tell(self, event, **content):
        self.told.append((event, content))

    def all(self, event):
        return [content for told, content in self.told if told == event]


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path)


@pytest.fixture
def task(directory):
    feeds = [WatchedFeed("sip", "alpaca", "always")]
    return LedgerTask("run", str(directory.root), feeds, JournalConfig())


@pytest.fixture
def feed(directory):
    """The feed's writer; closed by who wants its end to be known."""
    with Writer(directory.journal("sip"), directory.positions("sip")) as writer:
        yield writer


def trade(writer, symbols, recv_ns):
    made = [TRADE % (s, writer.next_seq, iso_utc(recv_ns - NS // 50)) for s in symbols]
    writer.append([f"[{','.join(made)}]".encode()], recv_ns, 1)


def say(writer, recv_ns, kind=EntryKind.SESSION, **content):
    payload = msgspec.json.encode(Content(**content)) if kind == EntryKind.SESSION else b"{}"
    writer.append([payload], recv_ns, 1, kind=kind)


def entries(directory):
    with Reader(directory.journal(LEDGER), None) as reader:
        found = []
        while blocks := reader.read():
            found += [read_entry(*entry) for block in blocks for entry in block.entries()]
    return found


def counted(directory):
    total = Counter()
    for entry in entries(directory):
        if isinstance(entry, Counts):
            for kind, symbols in entry.kinds.items():
                for symbol, count in symbols.items():
                    total[entry.minute_ns, kind, symbol] += count
    return total


def minutes(writer, count, first=0):
    """20 trades of A and B a minute; what that makes to count."""
    truth = Counter()
    for minute in range(first, first + count):
        for number in range(10):
            recv_ns = BEGAN + minute * MINUTE_NS + number * NS
            trade(writer, ["A", "B"], recv_ns)
            for symbol in "AB":
                truth[BEGAN + minute * MINUTE_NS, "trades", symbol] += 1
    return truth


def test_all_is_counted_by_minute_and_the_position_saved(directory, task, feed):
    truth = minutes(feed, 3)
    feed.close()

    assert ledger_child.main(task, parent := FakeParent()) == EXIT_COMPLETE
    assert counted(directory) == truth
    positions, counts = load_positions(directory.reader_file("ledger"))
    assert positions["sip"] == Position(feed.epoch, feed.offset)
    assert counts["totals"] == {"sip": {"trades": 60}}
    assert parent.all("statistics")[-1]["rows"] == {"sip": 60}
    assert parent.all("statistics")[-1]["behind_bytes"] == {"sip": 0}
    assert parent.all("alarm") == []


def test_a_second_run_goes_on_where_the_first_stopped(directory, task, feed):
    truth = minutes(feed, 2)
    feed.close()
    ledger_child.main(task, FakeParent())
    with Writer(directory.journal("sip"), directory.positions("sip")) as again:
        truth += minutes(again, 2, first=1)

    ledger_child.main(task, parent := FakeParent())
    assert parent.all("statistics")[-1]["rows"] == {"sip": 40}
    assert counted(directory) == truth
    assert load_positions(directory.reader_file("ledger"))[1]["totals"]["sip"] == {"trades": 80}


@pytest.mark.parametrize("place", ["written:1", "before-save:1", "after-save:1"])
def test_killed_anywhere_it_counts_each_row_once(directory, task, feed, place, monkeypatch):
    truth = minutes(feed, 4)
    feed.close()
    monkeypatch.setenv("TICKTAPE_FAILPOINT", f"ledger.{place}")
    killed = subprocess.run(
        [sys.executable, "-m", "ticktape.recorder.child", "ledger"],
        input=encode_task(task) + b"\nleave\n",
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    monkeypatch.delenv("TICKTAPE_FAILPOINT")

    assert ledger_child.main(task, FakeParent()) == EXIT_COMPLETE
    assert counted(directory) == truth
    assert load_positions(directory.reader_file("ledger"))[1]["totals"]["sip"] == {"trades": 80}


def test_without_a_position_file_the_ledgers_own_journal_says_it_all(directory, task, feed):
    truth = minutes(feed, 3)
    feed.close()
    ledger_child.main(task, FakeParent())
    directory.reader_file("ledger").write_text("{")

    assert ledger_child.main(task, FakeParent()) == EXIT_COMPLETE
    assert counted(directory) == truth
    memory = load_memory(
        directory.reader_file("ledger"), lambda at: Reader(directory.journal(LEDGER), None, at)
    )
    assert memory.totals == {"sip": {"trades": 60}}


@pytest.mark.parametrize("said", [59, 61])
def test_a_table_that_lies_is_named(directory, task, feed, said):
    minutes(feed, 3)
    end = Position(feed.epoch, feed.offset)
    feed.close()
    save_positions(directory.reader_file("table"), {"sip": end}, {"sip": {"trades": said}})

    ledger_child.main(task, parent := FakeParent())
    (found,) = [entry for entry in entries(directory) if isinstance(entry, Identity)]
    assert found == Identity("sip", "stored", tuple(end), {"trades": said}, {"trades": 60})
    (trouble,) = parent.all("trouble")
    assert f"sip does not add up at stage stored, {end.epoch}:{end.offset}" in trouble["words"]
    assert f"trades: {said} and not 60" in trouble["words"]
    assert parent.all("statistics")[-1]["differences"] == {"sip": 1}


def test_a_table_that_is_right_is_no_news(directory, task, feed):
    minutes(feed, 1)
    middle = Position(feed.epoch, feed.offset)
    minutes(feed, 1, first=1)
    feed.close()
    save_positions(directory.reader_file("table"), {"sip": middle}, {"sip": {"trades": 20}})

    ledger_child.main(task, parent := FakeParent())
    assert parent.all("trouble") == []
    assert parent.all("statistics")[-1]["compared"]["sip"] > 0


def market(writer, seconds, mute=None):
    """30 symbols at 4 a second each, S7 silent in the seconds `mute`; a session is subscribed."""
    chance = random.Random(7)
    symbols = [f"S{number}" for number in range(30)]
    say(writer, BEGAN, event="subscribed", channels={"trades": symbols})
    for step in range(seconds * 20):
        ns = BEGAN + step * NS // 20
        second = step / 20
        came = [s for s in symbols if chance.random() < 0.2]
        if mute and mute[0] <= second < mute[1]:
            came = [symbol for symbol in came if symbol != "S7"]
        if came:
            trade(writer, came, ns)


def test_a_muted_symbol_of_thirty_is_suspect_from_then_until_it_comes_again(directory, task, feed):
    market(feed, 200, mute=(100, 140))
    feed.close()

    ledger_child.main(task, parent := FakeParent())
    began, ended = [entry for entry in entries(directory) if isinstance(entry, Suspect)]
    assert (began.feed, began.gap.symbol, began.gap.channels) == ("sip", "S7", "trades")
    assert began.gap.state == ended.gap.state == "suspect"
    assert began.gap.from_ns == ended.gap.from_ns == pytest.approx(BEGAN + 100 * NS, abs=3 * NS)
    assert began.gap.to_ns is None
    assert ended.gap.to_ns == pytest.approx(BEGAN + 140 * NS, abs=3 * NS)
    assert "S7" in began.gap.cause
    alarms = parent.all("alarm")
    assert [alarm["open"] for alarm in alarms] == [True, False]
    assert alarms[1]["words"].startswith("sip trades S7: alarm over: data comes again, after ")

    with Reader(directory.journal(LEDGER), None) as reader:
        rows = LedgerTables().tables(reader.read())["gaps"].to_pylist()
    assert {row["feed"] for row in rows} == {"ledger:sip"}
    assert [row["to_ns"] is None for row in rows] == [True, False]


def test_a_market_that_merely_is_a_market_raises_nothing(directory, task, feed):
    market(feed, 120)
    feed.close()
    ledger_child.main(task, parent := FakeParent())
    assert parent.all("alarm") == []


def test_what_is_suspect_at_the_stop_ends_with_it(directory, task, feed):
    market(feed, 120, mute=(90, 120))
    say(feed, BEGAN + 120 * NS, event="stopped", down_since_ns=BEGAN + 120 * NS, planned=True)
    feed.close()
    ledger_child.main(task, FakeParent())
    found = [entry for entry in entries(directory) if isinstance(entry, Suspect)]
    assert [entry.gap.to_ns for entry in found] == [None, BEGAN + 120 * NS]


def test_a_silence_behind_a_disconnect_is_no_alarm(directory, task, feed):
    market(feed, 120)
    say(feed, BEGAN + 120 * NS, event="down", down_since_ns=BEGAN + 120 * NS)
    say(feed, BEGAN + 300 * NS, event="connecting", down_since_ns=BEGAN + 120 * NS)
    feed.close()
    ledger_child.main(task, parent := FakeParent())
    assert parent.all("alarm") == []


def test_a_suspicion_that_a_killed_ledger_left_ends_with_what_the_feed_last_brought(
    directory, task, feed
):
    """And not at the next start, which may be days later."""
    minutes(feed, 1)
    feed.sync()
    child = ledger_child.LedgerChild(task, FakeParent())
    while child._read():
        pass
    child._save()
    child.close()  # killed: it says no last word
    left = Suspect("sip", GapSaid(BEGAN, None, "silent", "A", "trades", False, "suspect"))
    with Writer(directory.journal(LEDGER), directory.positions(LEDGER)) as own:
        own.append([encode_entry(left)], 1, 1, kind=kind_of(left))
    feed.close()
    ledger_child.main(task, FakeParent())
    _, ended = [entry for entry in entries(directory) if isinstance(entry, Suspect)]
    assert (ended.gap.from_ns, ended.gap.to_ns) == (BEGAN, BEGAN + 9 * NS)

    ledger_child.main(task, FakeParent())
    assert len([entry for entry in entries(directory) if isinstance(entry, Suspect)]) == 2


def flip(directory, number):
    """Damage one byte of the block that begins with this entry; the stamps around it."""
    with Reader(directory.journal("sip"), None) as reader:
        blocks = reader.read()
    index = next(n for n, block in enumerate(blocks) if block.seq == number)
    (segment,) = directory.journal("sip").glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[blocks[index].end_offset - 10] ^= 0xFF
    segment.write_bytes(content)
    return blocks[index - 1].recv_ns, blocks[index + 1].recv_ns


def damage(directory):
    return [entry for entry in entries(directory) if isinstance(entry, Damaged)]


def test_a_damaged_block_is_a_gap_that_is_told_once(directory, task, feed):
    minutes(feed, 3)
    feed.close()
    before_ns, after_ns = flip(directory, 15)

    ledger_child.main(task, FakeParent())
    (said,) = damage(directory)
    assert (said.gap.from_ns, said.gap.to_ns) == (before_ns + 1, after_ns)
    assert (said.gap.state, said.gap.cause) == ("open", "the journal is damaged")
    with Reader(directory.journal(LEDGER), None) as reader:
        (row,) = LedgerTables().tables(reader.read())["gaps"].to_pylist()
    assert (row["feed"], row["from_ns"], row["state"]) == ("ledger:sip", before_ns + 1, "open")

    # Once more from its saved position, and from the beginning, by what its journal says.
    ledger_child.main(task, FakeParent())
    directory.reader_file("ledger").unlink()
    ledger_child.main(task, FakeParent())
    assert damage(directory) == [said]


def test_what_is_damaged_while_the_ledger_is_away_is_found_where_it_goes_on(directory, task, feed):
    minutes(feed, 1)
    feed.close()
    ledger_child.main(task, FakeParent())
    with Writer(directory.journal("sip"), directory.positions("sip")) as again:
        minutes(again, 1, first=1)
    segment = max(directory.journal("sip").glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[200] ^= 0xFF  # of its first block
    segment.write_bytes(content)

    ledger_child.main(task, FakeParent())
    (said,) = damage(directory)
    assert said.gap.from_ns == BEGAN + 9 * NS + 1
    assert said.gap.to_ns == BEGAN + MINUTE_NS + NS


def test_the_ledgers_own_clock_follows_the_systems(child, monkeypatch):
    """What it writes has the time of the clock that was set."""
    anchored = []
    monkeypatch.setattr(
        child,
        "_wall",
        SimpleNamespace(
            drift_ns=lambda: 3600 * NS,
            reanchor=lambda: anchored.append(1),
            wall_at=child._wall.wall_at,
            wall_ns=child._wall.wall_ns,
        ),
    )
    child._between(False)
    assert anchored


class Wall:
    def __init__(self, ns):
        self.ns = ns

    def wall_ns(self):
        return self.ns


@pytest.fixture
def child(task, feed):
    """A child that has read all of a market whose writer lives on."""
    market(feed, 120)
    feed.sync()
    parent = FakeParent(leaves=False)
    made = ledger_child.LedgerChild(task, parent)
    while made._read():
        pass
    made.parent = parent
    made.feed = made._feeds["sip"]
    yield made
    made.close()


def test_at_the_journals_end_the_present_is_the_time(child):
    """Connected, and nothing comes any more: no block will say how late it is."""
    child.feed.wall = Wall(BEGAN + 125 * NS)
    child._pass_time(child.feed)
    assert child.parent.all("alarm") == []
    child.feed.wall = Wall(BEGAN + 180 * NS)
    child._pass_time(child.feed)
    (alarm,) = child.parent.all("alarm")
    assert (alarm["kind"], alarm["open"]) == ("mute", True)
    assert alarm["words"].startswith("sip: connected, and nothing came for")


def test_a_slow_disk_is_no_silent_feed(child, feed):
    """What is written and not yet synced is not read, and it is there all the same."""
    trade(feed, ["S1"], BEGAN + 121 * NS)
    child.feed.wall = Wall(BEGAN + 180 * NS)
    child._pass_time(child.feed)
    assert child.parent.all("alarm") == []


def test_a_feed_that_holds_what_its_disk_refuses_is_not_judged(child, feed):
    feed.positions.publish_trouble(JournalState.HOLDING, feed.next_seq, 1, 0, 0)
    child.feed.wall = Wall(BEGAN + 180 * NS)
    child._pass_time(child.feed)
    assert child.parent.all("alarm") == []


@pytest.mark.skipif(sys.platform == "win32", reason="there no process tells whether another lives")
def test_a_dead_capture_is_no_silent_feed(child, feed):
    """After a power cut the ledger is up before the capture: since then nobody was connected."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    feed.positions.words[5] = gone.pid
    child.feed.wall = Wall(BEGAN + 180 * NS)
    child._pass_time(child.feed)
    assert child.parent.all("alarm") == []


def test_while_its_disk_refuses_it_reads_nothing_and_in_the_end_leaves(
    directory, task, feed, monkeypatch
):
    minutes(feed, 3)
    feed.close()
    monkeypatch.setattr(ledger_child, "_RETRY_S", 0.001)
    parent = FakeParent()
    child = ledger_child.LedgerChild(task, parent)
    monkeypatch.setattr(child._writer, "state", lambda: JournalState.HOLDING)
    child._trouble = "refused"

    assert child.run() == EXIT_INCOMPLETE
    assert child._feeds["sip"].counter.rows == 0
    child.close()
    assert not directory.reader_file("ledger").exists()


def test_what_it_learned_survives_and_an_unreadable_memory_does_not_stop_it(directory, task, feed):
    market(feed, 60)
    feed.close()
    ledger_child.main(task, FakeParent())
    learned = msgspec.json.decode((directory.live / "watchdog.json").read_bytes())
    assert len(learned["feeds"]["sip"]["series"]["trades"]) == 31

    again = ledger_child.LedgerChild(task, FakeParent())
    assert again._watchdog.saved() == learned
    again.close()
    Disk().replace(directory.live / "watchdog.json", b'{"version":1,"feeds":{"sip":3}}')
    assert ledger_child.main(task, FakeParent()) == EXIT_COMPLETE
