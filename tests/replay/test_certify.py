"""The day's certificate from real files: what REST and the ledger say, the digests, and damage."""

import json
import threading

import msgspec
import pytest
from filelock import FileLock

from ticktape import clock
from ticktape.config import TableConfig
from ticktape.decisions.log import Start, encode
from ticktape.directory import LEDGER
from ticktape.errors import ConfigError
from ticktape.journal import Writer
from ticktape.ledger import proof
from ticktape.ledger.entries import (
    Compared,
    Counts,
    GapSaid,
    Healed,
    Identity,
    Page,
    Request,
    Suspect,
    encode_entry,
    kind_of,
)
from ticktape.recorder import table_child
from ticktape.recorder.task import FeedPlace, TableTask
from ticktape.records import EntryKind
from ticktape.replay import check
from ticktape.replay.certify import (
    certificates,
    differences,
    keep,
    last_run_days,
    path_of,
    read_certificate,
)
from ticktape.replay.certify_verdict import verdict_of
from ticktape.replay.check import examine

BASE_NS = 1_763_650_800_000_000_000  # 2025-11-20T15:00:00Z
DAY = BASE_NS // 86_400 // 10**9
MINUTE_NS = BASE_NS
AT = "2025-11-20 15:00"


class Certified:
    """A run and what can be asked of it."""

    def __init__(self, made):
        self.made = made
        self.directory = made.directory

    def write(self, journal, entries, recv_ns=BASE_NS + 10**9):
        """Write entries of our own; a pair is a page and its body, in one block."""
        path, positions = self.directory.journal(journal), self.directory.positions(journal)
        with Writer(path, positions) as writer:
            for number, entry in enumerate(entries):
                said, *body = entry if isinstance(entry, tuple) else (entry,)
                kinds = [kind_of(said), *(EntryKind.TEXT for _ in body)]
                writer.append([encode_entry(said), *body], recv_ns + number, 5, kinds=kinds)

    def store(self):
        """Bring all into the tables, what REST and the ledger say as well."""
        places = [FeedPlace("sip", "alpaca")]
        if self.directory.journal("sip.rest").is_dir():
            places.append(FeedPlace("sip.rest", "alpaca_rest"))
        root = str(self.directory.root)
        task = TableTask("run", root, places, ["tens"], TableConfig(commit_s=60))
        assert table_child.main(task, Parent()) == 0

    def find(self):
        scratch = self.made.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        return examine(self.directory, scratch, lambda *_: None, hashed=True)

    def reasons(self):
        return verdict_of(self.find()).reasons()

    def certificate(self):
        found = self.find()
        (made,) = certificates(found, [DAY])
        return made

    def keep(self):
        found = self.find()
        made = certificates(found, found.days())
        return [words for each in made for words in keep(self.directory, each, "page", found)]

    def differences(self):
        read = read_certificate(self.directory, "2025-11-20")
        return [str(each) for each in differences(self.directory, read)]


class Parent:
    """Wants its child to read to the end and leave."""

    def __init__(self):
        self.leave = threading.Event()
        self.leave.set()
        self.orphaned = False

    def listen(self, on_leave=None, *, orphan_s=0.0):
        pass

    def tell(self, event, **content):
        pass


@pytest.fixture
def run(made):
    return Certified(made)


def trade_of(number, **changes):
    """The same trade as conftest's `a_trade(number)`, as REST has it."""
    return {
        "i": 1000 + number,
        "x": "N",
        "p": 100 + number / 8,
        "s": 100,
        "t": clock.iso_utc(BASE_NS + number * 1_000_000),
        "c": ["@"],
        "z": "A",
    } | changes


def a_page(*trades, symbol="IBM", page=0, **query):
    body = {"trades": {symbol: list(trades)}, "next_page_token": None}
    request = Request("/v2/stocks/trades", {"symbols": symbol, "feed": "sip", **query})
    return Page(request, page, 1000), json.dumps(body).encode()


# What REST and the ledger say.


def test_trades_that_the_stream_never_sent_are_named_by_minute_and_symbol_and_no_reason(run):
    early = clock.iso_utc(BASE_NS - 10**10)  # long before the planned stop
    lost = [trade_of(3, i=number, t=early) for number in (7, 8)]
    run.write("sip.rest", [a_page(trade_of(3), *lost)])
    run.store()
    found = run.find()
    verdict = verdict_of(found)

    assert verdict.reasons() == []
    sip = next(feed for feed in verdict.feeds if feed.name == "sip")
    assert sip.lacking_words() == [
        "sip: 2 trades of IBM at 2025-11-20 14:59 came from REST and not in the stream "
        "(stage venue: outside of any known gap)"
    ]
    assert verdict.totals()["received"] == 100
    rest = next(feed for feed in verdict.feeds if feed.name == "sip.rest")
    assert (rest.kind, rest.sessions, rest.gaps) == ("alpaca_rest", 0, [])
    assert run.certificate()["feeds"]["sip"]["counts"]["trades"]["healed"] == 2


def test_what_rest_was_compared_with_is_verified_and_what_only_the_stream_has_is_counted(run):
    end_ns = BASE_NS + 10**8
    compared = Compared(BASE_NS, end_ns, {"trades": ["IBM"]})
    run.write("sip.rest", [a_page(*(trade_of(n) for n in range(98))), compared])
    run.store()
    part = run.certificate()["feeds"]["sip"]

    assert part["only_streamed"] == {"trades": 2}
    assert part["lacking"] == []


def test_a_healed_gap_is_named_with_who_healed_it_and_counts_no_more(run, trade):
    run.made.record([[trade(300)]], run="monday", stop=False)
    run.made.record([[trade(301)]], run="monday")
    run.store()
    found = run.find()
    from_ns = min(gap.from_ns for gap in found.gaps if gap.planned) + 1
    known = GapSaid(from_ns, from_ns + 500, "disconnected", state="open")
    suspect = msgspec.structs.replace(known, state="suspect", symbol="IBM", channels="trades")
    run.write(LEDGER, [Suspect("sip", suspect)])
    healed = msgspec.structs.replace(suspect, state="healed")
    run.write("sip.rest", [a_page(trade_of(3)), Healed(healed, "1 trade, which we had")])
    run.store()

    gap = next(g for g in run.certificate()["feeds"]["sip"]["gap_list"] if g["symbol"] == "IBM")

    assert (gap["state"], gap["suspected"], gap["told_by"]) == ("healed", True, "sip.rest")
    assert (gap["feed"], gap["words"]) == ("sip", "1 trade, which we had")


def test_a_suspicion_is_counted_apart(run):
    alarm = GapSaid(BASE_NS + 10, None, "no trade for 9 s", "IBM", "trades", state="suspect")
    run.write(LEDGER, [Suspect("sip", alarm)])
    run.store()
    verdict = verdict_of(run.find())

    assert verdict.reasons() == []
    assert verdict.last_line().endswith("gaps 0, suspects 1, torn 0")
    assert verdict.ledger.counts[0].stored == 1


def counts(number, until=(9, 0)):
    return Counts("sip", MINUTE_NS, {"trades": {"IBM": number}}, until)


def test_counts_of_the_ledger_that_agree_are_no_reason(run):
    run.write(LEDGER, [counts(60), counts(40)])

    assert run.reasons() == []


@pytest.mark.parametrize("number", [99, 101])
def test_counts_of_the_ledger_that_differ_are_named(run, number):
    run.write(LEDGER, [counts(number)])

    assert run.reasons() == [
        f"sip: the ledger counted {number} trades of IBM at {AT}, and the journal has 100 "
        "(stage ledger)"
    ]


def test_a_ledger_that_was_killed_within_a_minute_counted_what_it_says_and_no_more(run):
    place = run.made.blocks()[13].position  # behind three entries of our own and ten of data
    run.write(LEDGER, [counts(20, place)])
    assert run.reasons() == []

    run.write(LEDGER, [counts(1, place)])
    (reason,) = run.reasons()
    assert "counted 21 trades of IBM" in reason
    assert "the journal has 20" in reason


def test_an_identity_that_did_not_hold_is_a_reason(run):
    run.write(LEDGER, [Identity("sip", "stored", (0, 77), {"trades": 9}, {"trades": 12})])

    assert run.reasons() == [
        "sip: the ledger found 9 trades where 12 were counted, up to epoch 0 offset 77 "
        "(stage stored)"
    ]


# The certificate itself.


def test_the_certificate_of_a_whole_run_says_what_was_there(run):
    made = run.certificate()

    assert made["complete"]
    assert made["runs"] == ["monday"]
    assert made["words"].startswith("COMPLETE  received 100 = stored 100")
    part = made["feeds"]["sip"]
    assert part["counts"]["trades"]["symbols"] == {"IBM": 100}
    assert (part["sessions"], part["kind"]) == (1, "alpaca")
    assert made["others"]["tens"]["counts"]["decisions"]["stored"] == 10


def test_the_days_of_a_run_have_a_certificate_each(run, trade):
    run.made.runs = 86_400  # a second each
    run.made.record([[trade(300)]], run="tuesday")
    run.store()
    found = run.find()
    first, second = certificates(found, found.days())

    assert (first["day"], second["day"]) == ("2025-11-20", "2025-11-21")
    assert [each["feeds"]["sip"]["received"] for each in (first, second)] == [100, 1]
    assert (first["runs"], second["runs"]) == (["monday"], ["tuesday"])
    assert [each["complete"] for each in (first, second)] == [True, True]
    assert last_run_days(found) == [DAY + 1]
    # The second covers all that the first does, and more.
    one, two = (each["digests"]["sip"] for each in (first, second))
    assert two[: len(one)] == one
    assert {part["day"] for part in two[len(one) :]} == {"2025-11-21"}


def test_what_a_strategy_did_not_decide_is_a_reason_on_its_own_day_alone(run, trade, monkeypatch):
    """A day that was sound stays so, whatever became of the strategy on others."""
    made = run.made
    raises = (
        "class Tens:\n    def on_trade(self, trade, last):\n        raise ValueError(trade.id)\n"
    )
    made.strategy.write_text(raises)
    for day, name in enumerate(("tuesday", "wednesday", "thursday"), 1):
        made.runs = day * 86_400  # a second each
        now_ns = BASE_NS + made.runs * 10**9
        epoch = made.record([[trade(300 + day)]], run=name)
        if name == "tuesday":
            monkeypatch.setattr(clock.WallClock, "wall_at", lambda *_, now_ns=now_ns: now_ns)
            made.decide(name, epoch)
    # On Wednesday a strategy began, and all was killed before it came to the trade.
    start = Start("wednesday", {"sip": (epoch - 1, 0)})
    name = "decision:tens"
    with Writer(run.directory.journal(name), run.directory.positions(name)) as writer:
        writer.append([encode(start)], BASE_NS + 2 * 86_400 * 10**9, 5, kind=EntryKind.INPUT)
    run.store()
    found = run.find()
    reasons = [each["reasons"] for each in certificates(found, range(DAY, DAY + 4))]

    words = "tens: stopped itself: strategy tens: on_trade raised ValueError: 1301 (tens.py:3)"
    late = "tens: 5 entries of sip were recorded and not decided on"
    assert reasons == [[], [words], [late], []]
    assert verdict_of(found).reasons() == [words, late]


def test_a_damaged_journal_still_has_a_certificate_that_says_so(run):
    path = run.made.segments()[1]
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    made = run.certificate()

    assert not made["complete"]
    assert [words for words in made["reasons"] if "damaged block at epoch 0" in words]
    assert made["feeds"]["sip"]["torn"] == 1
    assert run.keep() == []


def test_a_journal_of_nothing_but_damage_still_has_a_certificate(run):
    for path in run.made.segments():
        path.write_bytes(b"\x00" * path.stat().st_size)
    made = run.certificate()

    assert not made["complete"]
    assert len(made["digests"]["sip"]) == len(run.made.segments())


# Digests.


def test_a_certificate_agrees_with_the_journals_it_was_made_of(run):
    assert run.keep() == []
    assert run.differences() == []


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_flipped_byte_of_any_segment_is_named(run, which):
    run.keep()
    path = run.made.segments()[which]
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 1
    path.write_bytes(raw)

    (words,) = run.differences()

    assert words.startswith(f"certificate of 2025-11-20: sip: {path.name}: bytes 0 to ")
    assert words.endswith("are not what they were")


def test_a_segment_that_is_gone_or_shorter_is_named(run):
    run.keep()
    path = run.made.segments()[2]
    path.write_bytes(path.read_bytes()[:-1])
    assert [words for words in run.differences() if path.name in words]
    path.unlink()
    assert [words for words in run.differences() if f"{path.name}: bytes 0" in words]


def test_a_certificate_is_not_replaced_when_its_bytes_have_changed(run):
    run.keep()
    kept = path_of(run.directory, "2025-11-20").read_bytes()
    path = run.made.segments()[1]
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)

    (difference,) = run.keep()

    assert path.name in str(difference)
    assert path_of(run.directory, "2025-11-20").read_bytes() == kept


def test_a_certificate_is_replaced_when_more_was_recorded_that_day(run, trade):
    run.keep()
    before = read_certificate(run.directory, "2025-11-20")
    run.made.record([[trade(300)]], run="monday")
    assert run.keep() == []
    after = read_certificate(run.directory, "2025-11-20")

    assert after["digests"]["sip"][: len(before["digests"]["sip"])] == before["digests"]["sip"]
    assert len(after["digests"]["sip"]) > len(before["digests"]["sip"])


@pytest.mark.parametrize("content", ["{", "{}", '{"digests": {"sip": [{"segment": 1}]}}'])
def test_a_certificate_that_cannot_be_read_is_left_and_named(run, content):
    run.keep()
    path_of(run.directory, "2025-11-20").write_text(content)

    (difference,) = run.keep()

    assert "cannot be read" in str(difference)


def test_a_day_without_a_certificate_is_a_config_error(run):
    with pytest.raises(ConfigError, match="no certificate of that day"):
        read_certificate(run.directory, "2025-11-20")


def test_a_certificate_of_a_run_at_work_takes_its_last_segment_as_far_as_it_was_read(run):
    with FileLock(run.directory.lock):
        made = run.certificate()

    assert made["live"]
    assert [part["open"] for part in made["digests"]["sip"]][-2:] == [False, True]


def test_rows_that_rest_was_asked_for_twice_are_all_stored_and_told_once(run):
    early = clock.iso_utc(BASE_NS - 10**10)
    lost = [trade_of(3, i=7, t=early, x="D"), trade_of(3, i=7, t=early, x="D")]
    run.write("sip.rest", [a_page(*lost), a_page(*lost)])
    run.store()
    verdict = verdict_of(run.find())

    assert verdict.reasons() == []
    sip = next(feed for feed in verdict.feeds if feed.name == "sip")
    assert [each.number for each in sip.lacking] == [2]


def test_what_the_ledger_counted_is_held_for_one_portion_of_its_journal_at_most(run, monkeypatch):
    """A month of ten thousand symbols fits into no memory."""
    counts = [Counts("sip", MINUTE_NS, {"trades": {f"S{n}": 1 for n in range(500)}}, (0, 1))]
    run.write(LEDGER, [counts[0]] * 40)
    held = []
    add = proof.Proof.add_counted
    monkeypatch.setattr(check, "_READ_BYTES", 20_000)
    monkeypatch.setattr(
        proof.Proof, "add_counted", lambda self, rows: held.append(len(rows)) or add(self, rows)
    )
    found = run.find()

    assert sum(held) == 40 * 500
    assert max(held) <= 5 * 500
    assert found.ledger.take_counted() == []
