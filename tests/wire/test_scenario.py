"""All that a venue and a network do to a recording, in one run: what was lost is named and healed.

Four feeds, each with a simulated venue of its own, its REST interface, and its private truth:

    cut      90 s of the tape are cut out: the venue holds the dead connection's slot for so long
    mute     the busiest of 30 symbols is not sent for some seconds
    repeat   after a reconnect the last messages come again
    drop     single rows are never sent, and nobody says so; REST lacks some that were streamed

On all but `mute` trades come out of order and late, corrections and cancels before, after and
without their trade, and ids are used twice on exchange D.
"""

import json
import time
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from ticktape.clock import NS_PER_S
from ticktape.directory import LEDGER, RunDirectory
from ticktape.replay.places import reader_of
from ticktape.replay.tail import connect_run
from ticktape.sim import Tape, generate_tape, parse_faults
from ticktape.sim.rest import RestConfig, RestTwin
from ticktape.sim.rest.amended import CORRECTED, amended_trades
from ticktape.sim.tricks import unsent_rows

SPEED = 15  # of the tape that is cut: 90 s of it are 6 s
CUT_S = 90
MUTE_FROM_S, MUTE_S = 10, 8
REPEATED = 60
DROP = "silent_drop=3"
SEED = 6
NOTICED_WITHIN_S = 5
TOP = "AAPL"
CONTENT = ("symbol", "event_ns", "exchange", "id", "price", "size", "conditions", "tape")
MINUTE_NS = 60 * NS_PER_S
WAIT_S = 120
TRICKS = [
    *("out_of_order=10", "late=3", "id_collisions=4"),
    *("changes_after=4", "changes_before=4", "changes_without=3"),
]


def with_twins(tape, every=25):
    """The tape with trades of one id within one nanosecond on exchange D: two prints each."""
    trades = tape.tables["trades"]
    about = trades.take(pa.array(range(0, trades.num_rows, every)))
    twins = []
    for number, row in enumerate(about.to_pylist()):
        row |= {"exchange": "D", "id": 900_000_000 + number}
        twins += [row, row | {"price": row["price"] + 0.25}]
    added = pa.Table.from_pylist(twins, schema=trades.schema)
    both = pa.concat_tables([trades, added]).sort_by("event_ns")
    return Tape(dict(tape.tables) | {"trades": both})


class Lacking:
    """What a stream has played, without some of its rows: REST leaves out what was streamed."""

    def __init__(self, stream, rows):
        self._stream = stream
        tape = stream.tape
        self._kept = np.setdiff1d(np.arange(len(tape)), rows)
        gone = tape.kind_rows[rows]
        keep = np.setdiff1d(np.arange(tape.tables["trades"].num_rows), gone)
        tables = dict(tape.tables) | {"trades": tape.tables["trades"].take(pa.array(keep))}
        due = {kind: tape.due_of(kind) for kind in tape.tables}
        due["trades"] = due["trades"][keep]
        self.tape = Tape(tables, due=due)

    @property
    def rows_played(self):
        return int(np.searchsorted(self._kept, self._stream.rows_played))


class Feed(SimpleNamespace):
    """A feed's venue, and what its private truth says."""

    @property
    def tape(self):
        return self.venue.sim.streams[self.venue.path].tape


def feeds_of(wire, loop):
    """Start the venues and their REST interfaces."""
    long = generate_tape(seed=3, symbols=6, events=5_400, events_per_s=16.0)
    names = (*[TOP] * 10, *(f"S{number:02}" for number in range(29)))
    busy = generate_tape(seed=4, symbols=names, events=6_000, events_per_s=200.0)
    short = with_twins(generate_tape(seed=5, symbols=6, events=4_000, events_per_s=16.0))
    paced = {"rate": 0.0}
    cut = ["disconnect@8s", *TRICKS]
    mute = [f"mute_symbol@{MUTE_FROM_S}s={TOP}/{MUTE_S}"]
    repeat = ["disconnect@1500", f"duplicate_after_reconnect={REPEATED}", *TRICKS]
    drop = [DROP, *TRICKS]
    made = {
        "cut": (long, "/v2/sip", cut, paced | {"speed": SPEED, "reap_s": CUT_S / SPEED}),
        "mute": (busy, "/v2/iex", mute, paced | {"speed": 1.0}),
        "repeat": (short, "/v2/iex", repeat, {"rate": 250.0, "hold": True}),
        "drop": (short, "/v2/iex", drop, {"rate": 250.0}),
    }
    feeds = {}
    for name, (tape, path, faults, settings) in made.items():
        venue = wire.Venue(loop, tape, path, faults=parse_faults(faults), seed=SEED, **settings)
        streams = dict(venue.sim.streams)
        only = []
        if name == "drop":
            only = only_streamed(streams[path])
            streams[path] = Lacking(streams[path], only)
        twin = RestTwin(streams, RestConfig(keys={wire.KEY: wire.SECRET}))
        loop.run(twin.start())
        loop.later(twin.close)
        feeds[name] = Feed(name=name, venue=venue, rest=twin, only=only)
    return feeds


def only_streamed(stream, count=5):
    """Rows of the tape, trades that are streamed and that no change is about."""
    tape = stream.tape
    dropped = unsent_rows(parse_faults([DROP]), len(tape), SEED)
    flagged = {flag.row for flag in amended_trades(tape).flags}
    places = tape.places("trades")
    free = [int(row) for number, row in enumerate(places) if number not in flagged]
    return np.array(sorted(set(free) - set(dropped.tolist()))[100 :: len(free) // count][:count])


CHANNELS = {
    "cut": {"trades": ["*"], "quotes": ["*"], "bars": ["*"]},
    "mute": {"trades": [TOP, *(f"S{number:02}" for number in range(29))], "quotes": []},
}
ONLY_TRADES = {"trades": ["*"], "quotes": [], "bars": []}


@pytest.fixture(scope="module")
def run(wire, loop, tmp_path_factory):
    feeds = feeds_of(wire, loop)
    settings = {
        name: {
            "url": feed.venue.url,
            "heal": feed.rest.url,
            "heal_delay_s": 1.0,
            "backoff_max_s": 0.5,
            "stagger_s": 0,
            "hours": "always",
        }
        | ONLY_TRADES
        | CHANNELS.get(name, {})
        for name, feed in feeds.items()
    }
    recorder = wire.Recorder(tmp_path_factory.mktemp("scenario"), settings)
    try:
        recorder.wait_tapes(*(feed.venue for feed in feeds.values()))
        for feed in ("cut", "repeat", "mute"):
            wait_healed(recorder, feed)
        ended = recorder.stop()
    finally:
        recorder.close()
    ended.feeds = feeds
    ended.day = datetime.fromtimestamp(feeds["cut"].tape.due_ns[0] / NS_PER_S, UTC).date()
    return ended


def wait_healed(recorder, feed):
    until = time.monotonic() + WAIT_S
    while not any(
        (line["event"], line.get("feed")) == ("healed", feed) for line in recorder.lines()
    ):
        late = time.monotonic() > until or recorder.process.poll() is not None
        assert not late, [line for line in recorder.lines() if line["child"] == "heal"]
        time.sleep(0.1)  # the recorder's log is all that there is to wait on


def test_explore(run, wire):
    import shutil, time as t
    print(run.exit_code, json.dumps(run.verdict)[:3000])
    for l in run.lines:
        if l["child"] in ("heal","ledger") or "cut" in l["child"] : print(l)
    a=t.monotonic()
    heal = wire.verb("heal", str(run.directory))
    print("HEAL", heal[0], json.dumps(heal[1])[:1500]); print(t.monotonic()-a)
    heal = wire.verb("heal", str(run.directory), "--day", str(run.day))
    print("DAY", heal[0], json.dumps(heal[1])[:1500]); print(t.monotonic()-a)
    c = wire.check(run.directory)
    print("CHECK", c[0], json.dumps(c[1])[:2500]); print(t.monotonic()-a)
    cert = wire.verb("certificate", str(run.directory))
    print("CERT", cert[0], json.dumps(cert[1])[:500]); print(t.monotonic()-a)
    json.dump({"run": run.verdict, "check":c[1], "cert":cert[1]}, open("/tmp/h6/scen/out.json","w"))
    shutil.rmtree("/tmp/h6/scen/tape", ignore_errors=True)
    shutil.copytree(run.directory, "/tmp/h6/scen/tape")
    import pickle
    pickle.dump({n:(f.tape.tables, {k:f.tape.due_of(k) for k in f.tape.tables}, f.venue.sent(), f.only) for n,f in run.feeds.items()}, open("/tmp/h6/scen/truth.pkl","wb"))
