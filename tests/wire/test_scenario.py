"""All that a venue and a network do to a recording, in one run: what was lost is named and healed.

Four feeds, each with a simulated venue of its own, the REST interface of that venue, and a truth
that nobody else sees:

    cut      90 s of the tape are cut out: the venue holds the slot of the dead connection so long
    mute     the busiest of 30 symbols is not sent for some seconds, the next one never more
    repeat   after a reconnect the last messages come again
    drop     single rows are never sent, and nobody says so; REST lacks some that were streamed

On all but `mute` trades come out of order and late, corrections and cancels come after, before and
without their trade, and ids are used again on exchange D, also within a nanosecond.
"""

import json
import re
import time
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from ticktape import clock
from ticktape.clock import NS_PER_S
from ticktape.directory import LEDGER, RunDirectory
from ticktape.records import EntryKind
from ticktape.replay.tail import connect_run
from ticktape.sim import Tape, generate_tape, parse_faults
from ticktape.sim.rest import RestConfig, RestTwin
from ticktape.sim.rest.amended import CORRECTED, amended_trades
from ticktape.sim.tricks import unsent_rows

pytestmark = pytest.mark.timeout(900)

MINUTE_NS = 60 * NS_PER_S
SEED, WAIT_S = 6, 240
SPEED, CUT_S = 15, 90  # 90 s of that tape are 6 s
REPEATED = 60
DROP = "silent_drop=3"
TRICKS = [
    *("out_of_order=10", "late=3", "id_collisions=4"),
    *("changes_after=4", "changes_before=4", "changes_without=3"),
]
TOP, NEXT = "AAPL", "MSFT"
SYMBOLS = (TOP, NEXT, *(f"S{number:02}" for number in range(28)))
# A rhythm is learned in some twenty seconds; of the next one nothing comes again.
MUTED_S = 10
MUTES = [f"mute_symbol@22s={TOP}/{MUTED_S}", f"mute_symbol@29s={NEXT}"]
NOTICED_WITHIN_S, LEDGER_LATE_S = 5, 30
UNEVEN_S = 0.5  # between two trades of the top symbols, of which some 25 are due in a second
SILENT = re.compile(r"nothing came of .* for ([\d.]+) s; .* and ([\d.]+) s of silence")
FEEDS = ("cut", "mute", "repeat", "drop")
CONTENT = ("symbol", "event_ns", "exchange", "id", "price", "size", "conditions", "tape")


# The venues.


def with_twins(tape):
    """The tape with pairs of trades besides, of one nanosecond and id on exchange D."""
    trades = tape.tables["trades"]
    twins = []
    for number, row in enumerate(trades.to_pylist()[::25]):
        row |= {"exchange": "D", "id": 900_000_000 + number}
        twins += [row, row | {"price": row["price"] + 0.25}]
    both = pa.concat_tables([trades, pa.Table.from_pylist(twins, schema=trades.schema)])
    return Tape({"trades": both.sort_by("event_ns")})


def tapes():
    """Of the present: a certificate is of a day."""
    now_ns = clock.wall_now_ns()
    shape = {"symbols": 6, "events_per_s": 15.0, "start_ns": now_ns - 20 * MINUTE_NS}
    kinds = {"trades", "quotes", "bars"}  # the corrections are the tricks'
    short = with_twins(generate_tape(seed=5, events=6_000, **shape))
    names = (*[TOP] * 10, *[NEXT] * 9, *SYMBOLS[2:])
    return {
        "cut": generate_tape(seed=3, events=8_500, **shape).only(kinds),
        "mute": generate_tape(
            seed=4, symbols=names, events=17_000, events_per_s=400.0, start_ns=now_ns
        ).only({"trades"}),
        "repeat": short,
        "drop": short,
    }


PATHS = {"cut": "/v2/sip", "mute": "/v2/iex", "repeat": "/v2/iex", "drop": "/v2/iex"}
FAULTS = {
    "cut": ["disconnect@10s", *TRICKS],
    "mute": MUTES,
    "repeat": ["disconnect@1500", f"duplicate_after_reconnect={REPEATED}", *TRICKS],
    "drop": [DROP, *TRICKS],
}
PLAYED = {
    "cut": {"rate": 0.0, "speed": float(SPEED), "reap_s": CUT_S / SPEED},
    "mute": {"rate": 0.0, "speed": 1.0},
    "repeat": {"rate": 112.0, "hold": True},
    "drop": {"rate": 112.0},
}
WANTED = {name: {"trades": ["*"], "quotes": [], "bars": []} for name in FEEDS}
WANTED["cut"] = {"trades": ["*"], "quotes": ["*"], "bars": ["*"]}
WANTED["mute"] |= {"trades": list(SYMBOLS)}


class Less:
    """What a stream has played as a REST interface shows it that lacks some rows of trades."""

    def __init__(self, stream, rows):
        tape = self._of = stream.tape
        self._stream = stream
        self._rows = np.setdiff1d(np.arange(len(tape)), rows)
        kept = np.setdiff1d(np.arange(tape.tables["trades"].num_rows), tape.kind_rows[rows])
        due = {kind: tape.due_of(kind) for kind in tape.tables}
        trades = tape.tables["trades"].take(pa.array(kept))
        self.tape = Tape(
            dict(tape.tables) | {"trades": trades}, due=due | {"trades": due["trades"][kept]}
        )

    @property
    def rows_played(self):
        return int(np.searchsorted(self._rows, self._stream.rows_played))


def sent_and_unchanged(tape, count):
    """Some rows of the tape: trades that are streamed, and that no correction or cancel names."""
    flagged = {flag.row for flag in amended_trades(tape).flags}
    rows = [row for number, row in enumerate(tape.places("trades")) if number not in flagged]
    rows = np.setdiff1d(rows, unsent_rows(parse_faults([DROP]), len(tape), SEED))
    return rows[100 :: len(rows) // count][:count]


def start_venue(name, tape, wire, loop):
    faults = parse_faults(FAULTS[name])
    venue = wire.Venue(loop, tape, PATHS[name], faults=faults, seed=SEED, **PLAYED[name])
    stream, only = venue.sim.streams[PATHS[name]], []
    shown = stream
    if name == "drop":
        only = sent_and_unchanged(stream.tape, 5)
        shown = Less(stream, only)
    rest = RestTwin({PATHS[name]: shown}, RestConfig(keys={wire.KEY: wire.SECRET}))
    loop.run(rest.start())
    loop.later(rest.close)
    return SimpleNamespace(venue=venue, rest=rest, tape=stream.tape, only=len(only))


# The run.


@pytest.fixture(scope="module")
def run(wire, loop, tmp_path_factory):
    feeds = {name: start_venue(name, tape, wire, loop) for name, tape in tapes().items()}
    asked = {"heal_delay_s": 1.0, "backoff_max_s": 0.5, "stagger_s": 0, "hours": "always"}
    settings = {
        name: {"url": feed.venue.url, "heal": feed.rest.url} | asked | WANTED[name]
        for name, feed in feeds.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APCA_API_KEY_ID", wire.KEY)
        patch.setenv("APCA_API_SECRET_KEY", wire.SECRET)
        recorder = wire.Recorder(tmp_path_factory.mktemp("scenario"), settings)
        try:
            for name in ("cut", "repeat", "mute"):
                wait_healed(recorder, name)
            recorder.wait_tapes(*(feed.venue for feed in feeds.values()))
            ended = recorder.stop()
        finally:
            recorder.close()
        prove(ended, wire, clock.iso_utc(int(feeds["cut"].tape.due_ns[0]))[:10])
    ended.truth = {name: Truth(feed) for name, feed in feeds.items()}
    with connect_run(RunDirectory(ended.directory)) as ended.con:
        yield ended


def prove(ended, wire, day):
    """What a user does afterwards: heal what is left, compare the day, look at the proofs."""
    place = str(ended.directory)
    ended.healed = wire.verb("heal", place)
    ended.compared = wire.verb("heal", place, "--day", day)
    ended.checked = wire.verb("check", place)
    ended.certificate = wire.verb("certificate", place)


def wait_healed(recorder, name):
    until = time.monotonic() + WAIT_S
    while not any(
        (line["event"], line.get("feed")) == ("healed", name) for line in recorder.lines()
    ):
        late = time.monotonic() > until or recorder.process.poll() is not None
        assert not late, [line for line in recorder.lines() if line["child"] in ("heal", "ledger")]
        time.sleep(0.1)  # the recorder's log is all that there is to wait on


class Truth:
    """What the simulator knows of a feed: what it sent, and what REST has in the end."""

    def __init__(self, feed):
        tape = feed.tape
        amended = amended_trades(tape)
        void = {flag.row for flag in amended.flags if flag.word != CORRECTED}
        self.tape = tape
        self.only_streamed = feed.only
        self.told = [content(row) for row in amended.table.to_pylist()]
        self.standing = [row for number, row in enumerate(self.told) if number not in void]
        self.sent = [row for row in feed.venue.sent() if row["kind"] != "unknown"]
        corrections = self._rows("corrections")
        named = [_named(row, "original_id") for row in corrections]
        named += [_named(row, "id") for row in self._rows("cancels")]
        self.twice = {trade for trade, number in Counter(named).items() if number > 1}
        self.twice |= {
            _named(row, "corrected_id")
            for row in corrections
            if _named(row, "original_id") in self.twice
        }
        self.replaced = {
            _named(corrections[row["kind_row"]], "corrected_id")
            for row in self.sent
            if row["kind"] == "corrections"
        }

    def _rows(self, kind):
        return self.tape.tables[kind].to_pylist() if kind in self.tape.tables else []

    def count_sent(self, kind, fault=None):
        return sum(row["kind"] == kind and fault in (None, row["fault"]) for row in self.sent)

    def lacking(self, kind):
        """(symbol, minute) -> rows of REST that were never sent.

        The replacement of a trade is no row more where its correction was sent.
        """
        if kind == "trades":
            rows = [row for row in self.told if (row[0], row[2], row[3]) not in self.replaced]
            missed = Counter(rows) - Counter(
                content(row) for row in self.sent if row["kind"] == kind
            )
        else:
            rows = [row for row in self._rows(kind) if row.get("span", "minute") == "minute"]
            missed = Counter((row["symbol"], row["event_ns"]) for row in rows) - Counter(
                (row["symbol"], row["event_ns"]) for row in self.sent if row["kind"] == kind
            )
        found = Counter()
        for row, number in missed.items():
            found[row[0], row[1] // MINUTE_NS * MINUTE_NS] += number
        return found


def _named(row, column):
    return row["symbol"], row["exchange"], row[column]


def content(row):
    return tuple((row[name] or "") if name == "conditions" else row[name] for name in CONTENT)


def shown(run, name, kind, columns):
    text = f"SELECT {', '.join(columns)} FROM {kind} WHERE feed = $feed"
    return run.con.execute(text, {"feed": name}).fetchall()


def feed_of(run, name):
    return run.certificate[1]["feeds"][name]


def gaps_of(run, name, *, suspected):
    return [
        gap
        for gap in feed_of(run, name)["gap_list"]
        if not gap["planned"] and gap["suspected"] == suspected
    ]


# What must be so.


@pytest.mark.parametrize("name", FEEDS)
def test_the_view_has_every_trade_that_rest_has_exactly_once(run, name):
    truth = run.truth[name]

    def known(row):
        # Of a trade that was changed twice the venue and we may give the new one another time.
        return (row[0], 0, *row[2:]) if (row[0], row[2], row[3]) in truth.twice else row

    expected = Counter(known(row) for row in truth.standing)
    found = Counter(known(row) for row in shown(run, name, "trades", CONTENT))
    assert found - expected == Counter(), "more than REST has"
    assert expected - found == Counter(), "less than REST has"
    assert sum(found.values()) > 3_000 and len(truth.twice) < 60


def test_quotes_and_bars_of_the_cut_come_back_as_well(run):
    columns = ("symbol", "event_ns", "bid_price", "bid_size", "ask_price", "ask_size")
    truth = run.truth["cut"].tape.tables
    sent = truth["quotes"].select(columns).to_pylist()
    assert Counter(shown(run, "cut", "quotes", columns)) == Counter(
        tuple(row.values()) for row in sent
    )
    minutes = [row for row in truth["bars"].to_pylist() if row["span"] == "minute"]
    bars = shown(run, "cut", "bars", ("symbol", "event_ns"))
    assert Counter(bars) == Counter((row["symbol"], row["event_ns"]) for row in minutes)


def test_the_cut_is_a_gap_that_is_healed_and_was_as_long_as_asked(run):
    (gap,) = gaps_of(run, "cut", suspected=False)
    assert gap["state"] == "healed" and gap["symbol"] == ""
    assert gap["cause"] == "connection lost without a close frame"
    assert "trades" in gap["words"] and "quotes" in gap["words"]
    # Who stands still reads the last before the cut so much later.
    least_ns = CUT_S / SPEED * NS_PER_S - longest_pause_ns(run, "cut")
    assert gap["to_ns"] - gap["from_ns"] >= least_ns > 0
    truth = run.truth["cut"]
    due_ns = truth.tape.due_ns[[row["row"] for row in truth.sent]]
    assert np.diff(due_ns).max() >= (CUT_S - 1) * NS_PER_S


@pytest.mark.parametrize("name", FEEDS)
def test_what_the_stream_had_not_is_named_with_stage_minute_symbol_and_count(run, name):
    of_run = run.checked[1]["feeds"][name]["lacking"]
    for kind in ("trades", "quotes", "bars"):
        wanted = kind in WANTED[name] and WANTED[name][kind]
        truth = run.truth[name].lacking(kind) if wanted else Counter()
        named = Counter()
        for place in of_run:
            if place["kind"] == kind:
                named[place["symbol"], place["minute_ns"]] += place["number"]
        assert named == truth, kind
    lost = run.truth[name].lacking("trades").total()
    assert (lost == 0) if name == "repeat" else (lost > 80)
    day = run.certificate[1]["day"]
    of_day = [each for each in of_run if clock.iso_utc(each["minute_ns"])[:10] == day]
    assert feed_of(run, name)["lacking"] == of_day


def test_what_was_silently_never_sent_was_lost_at_the_venue(run):
    found = Counter()
    # A tape that ended may have been suspected to be mute; its last minutes are healed as well.
    for each in (*run.healed[1]["found"], *run.compared[1]["found"]):
        assert (each["kind"], each["stage"]) == ("trades", "venue")
        if each["feed"] == "drop":
            found[each["symbol"], each["minute_ns"]] += each["rows"]
    assert {each["feed"] for each in run.compared[1]["found"]} == {"drop"}
    assert found == run.truth["drop"].lacking("trades")


def test_what_came_again_is_counted_and_no_other_trade_is_taken_for_it(run):
    again = run.truth["repeat"].count_sent("trades", "duplicate_after_reconnect")
    assert again > REPEATED // 3
    for name in FEEDS:
        trades = feed_of(run, name)["counts"]["trades"]
        assert trades["duplicates"] == (again if name == "repeat" else 0)
        assert trades["received"] == run.truth[name].count_sent("trades")
        assert trades["stored"] == trades["received"] - trades["duplicates"]
    assert feed_of(run, "repeat")["conflicts"] > 100  # the pairs on exchange D


@pytest.mark.parametrize("kind", ["corrections", "cancels"])
def test_corrections_and_cancels_are_counted(run, kind):
    for name in ("cut", "repeat", "drop"):
        sent = run.truth[name].count_sent(kind)
        assert feed_of(run, name)["counts"][kind]["received"] == sent > 100


def test_trades_that_rest_has_not_stay_and_are_counted(run):
    only = {name: run.checked[1]["feeds"][name]["only_streamed"] for name in FEEDS}
    assert only.pop("drop") == {"trades": run.truth["drop"].only_streamed}
    assert run.truth["drop"].only_streamed > 0
    assert set(map(str, only.values())) == {"{}"}


def suspicions(run, feed):
    """What the ledger suspected of a feed: (when that was journaled, the gap)."""
    said = [
        (at, json.loads(payload))
        for at, kind, payload in run.entries(LEDGER)
        if kind == EntryKind.SESSION
    ]
    return [(at, each["gap"]) for at, each in said if each["feed"] == feed]


def longest_pause_ns(run, name):
    """How long nothing at all of a feed came, at most: some milliseconds, and more under load."""
    return int(np.diff([at for at, _, _ in run.raw(name)]).max())


@pytest.mark.parametrize("symbol", [TOP, NEXT])
def test_a_muted_top_symbol_is_noticed_within_five_seconds(run, symbol):
    said = [each for each in suspicions(run, "mute") if each[1]["symbol"] == symbol]
    noticed_ns, gap = said[0]
    assert gap["to_ns"] is None and gap["channels"] == "trades"

    rows = shown(run, "mute", "trades_raw", ("recv_ns", "symbol"))
    before = np.sort([ns for ns, whose in rows if whose == symbol and ns < noticed_ns])
    last_ns = int(before[-1])
    assert gap["from_ns"] == last_ns + 1
    silent_s, improbable_s = map(float, SILENT.search(gap["cause"]).groups())
    # What is usual is learned: where a busy machine once received nothing for so long, it takes
    # longer, and so does the ledger's process, which is the last to get a CPU there.
    if np.diff(before).max() <= UNEVEN_S * NS_PER_S:
        assert silent_s <= NOTICED_WITHIN_S
    assert silent_s <= improbable_s + 1
    assert silent_s - 0.1 <= (noticed_ns - last_ns) / NS_PER_S <= silent_s + LEDGER_LATE_S


def test_only_what_was_muted_was_suspected_while_the_tapes_played(run):
    # A correction, which is not listened for, may come after the last trade, quote and bar.
    ends = {name: max(shown(run, name, "trades_raw", ("recv_ns",)))[0] for name in FEEDS}
    suspected = {
        (name, gap["symbol"])
        for name in FEEDS
        for _, gap in suspicions(run, name)
        if gap["from_ns"] < ends[name]
    }
    muted = {("mute", TOP), ("mute", NEXT)}
    assert suspected >= muted
    for name, _ in suspected - muted:
        assert longest_pause_ns(run, name) > NS_PER_S, suspected  # it did stand still


def test_a_muted_symbol_is_suspected_and_healed_when_it_speaks_again_or_by_hand(run):
    gaps = {gap["symbol"]: gap for gap in gaps_of(run, "mute", suspected=True)}
    assert {gaps[symbol]["state"] for symbol in (TOP, NEXT)} == {"healed"}
    seconds = (gaps[TOP]["to_ns"] - gaps[TOP]["from_ns"]) / NS_PER_S
    late_s = longest_pause_ns(run, "mute") / NS_PER_S
    assert MUTED_S - 1 - late_s < seconds < MUTED_S + 5 + late_s
    by_hand = {(gap["feed"], gap["symbol"], gap["state"]) for gap in run.healed[1]["gaps"]}
    assert ("mute", NEXT, "healed") in by_hand and ("mute", TOP, "healed") not in by_hand
    assert run.healed[1]["left"] == []
    lost = run.truth["mute"].lacking("trades")
    assert {symbol for symbol, _ in lost} == {TOP, NEXT}


def test_all_that_could_be_healed_makes_the_run_complete(run):
    for code, _ in (run.healed, run.compared, run.checked, run.certificate):
        assert code == 0
    verdict = run.checked[1]
    assert verdict["complete"], verdict["reasons"]
    assert (verdict["gaps"], verdict["gaps_healed"], verdict["torn"]) == (2, 2, 0)
    assert run.certificate[1]["complete"]
