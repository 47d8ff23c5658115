"""`ticktape heal` on runs made by hand, against a REST interface on this machine."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "recorder"))  # for its module, under pytest, too

from heal_world import GAP, LAG_NS, START_NS, TAPE, S, World, iso, served, trades_in, venue_of

from ticktape import clock
from ticktape.cli import healing
from ticktape.directory import LEDGER
from ticktape.replay import bring_in
from ticktape.replay.tail import connect_run

DAY = "2025-06-15"
TRADES = """
SELECT symbol, event_ns, exchange, id, count(*) FROM trades GROUP BY ALL ORDER BY ALL
"""


@pytest.fixture
def rest(monkeypatch):
    """A REST interface of the tape: its address; and the keys for it."""
    monkeypatch.setenv("APCA_API_KEY_ID", "demo-key")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "demo-secret")
    server, url = served(venue_of())
    yield url
    server.shutdown()
    server.server_close()


@pytest.fixture
def world(tmp_path, rest):
    return World(tmp_path / "run", url=rest)


def shown(world):
    """The trades of a run as `sql` shows them."""
    with connect_run(world.run) as con:
        return con.execute(TRADES).fetchall()


def played():
    rows = [
        (row["symbol"], row["event_ns"], row["exchange"], row["id"])
        for row in TAPE.tables["trades"].to_pylist()
    ]
    return sorted((*row, rows.count(row)) for row in set(rows))


def last_json(out):
    return json.loads(out.splitlines()[-1])


def test_what_a_gap_took_is_in_the_tables_afterwards_each_trade_once(said, world):
    world.record()
    assert shown(world) != played()
    code, out, err = said("heal", world.run.root, "--json")

    assert code == 0, err
    found = last_json(out)
    assert shown(world) == played()
    assert (found["left"], found["feeds"][0]["healed"]) == ([], 1)
    lost = sum(trades_in(TAPE, *GAP).values())
    assert sum(f["rows"] for f in found["found"] if f["kind"] == "trades") == lost
    assert {f["stage"] for f in found["found"]} == {"venue"}
    assert {f["minute_ns"] for f in found["found"]} <= {START_NS // (60 * S) * 60 * S}
    ((gap,),) = (found["gaps"],)
    assert (gap["feed"], gap["state"], gap["from_ns"]) == ("iex", "healed", GAP[0] + LAG_NS)


def test_a_second_time_there_is_nothing_to_do(said, world):
    world.record()
    said("heal", world.run.root)
    pages = world.asked()
    code, out, _ = said("heal", world.run.root)

    assert code == 0
    assert out.splitlines()[-1] == "0 rows that only REST had; 0 rows came into the tables"
    assert world.asked() == pages


def test_it_says_per_symbol_and_minute_what_only_rest_had(said, world):
    world.record()
    code, out, err = said("heal", world.run.root, "iex")

    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("healed      iex: gap from 2025-06-15T15:06:50.003")
    symbol = TAPE.symbols[0]
    (line,) = [line for line in lines if line.split()[:3] == ["iex", "trades", symbol]]
    assert "2025-06-15T15:06" in line and line.endswith("venue")
    assert "asking REST for the gap" in err


def test_a_day_is_compared_and_what_was_silently_never_sent_is_found(said, world):
    dropped = []

    def without(kind, row):
        if kind == "trades" and row["id"] % 40 == 7:
            dropped.append(row)
        return bool(dropped) and dropped[-1] is row

    world.record(cut=(0, 0), without=without)
    code, out, err = said("heal", world.run.root, "--day", DAY, "--json")

    assert code == 0, err
    assert dropped
    found = last_json(out)["found"]
    assert sum(each["rows"] for each in found if each["kind"] == "trades") == len(dropped)
    assert shown(world) == played()
    assert world.events()[-2:] == ["compared", "stopped"]


def test_what_a_gap_took_is_not_found_again_when_the_day_is_compared(said, tmp_path, rest):
    world = World(tmp_path / "bars", url=rest, bars=["*"])
    world.channels |= {"bars": ["*"]}
    minute_ns = START_NS // (60 * S) * 60 * S + 60 * S
    world.record(cut=(minute_ns, minute_ns + 2 * S))  # the first minute's bars are sent then
    found = last_json(said("heal", world.run.root, "--json")[1])["found"]
    assert {each["kind"] for each in found} == {"trades", "quotes", "bars"}
    code, out, err = said("heal", world.run.root, "--day", DAY, "--json")

    assert code == 0, err
    assert last_json(out)["found"] == []


def test_a_trade_that_was_lost_and_then_cancelled_is_found_although_no_view_shows_it(said, world):
    lost = TAPE.tables["trades"].to_pylist()[200]
    world.record(cut=(0, 0), without=lambda kind, row: kind == "trades" and row == lost)
    cancel = {"T": "x", "S": lost["symbol"], "x": lost["exchange"], "i": lost["id"], "a": "C"}
    cancel |= {"p": lost["price"], "s": int(lost["size"]), "z": "C", "t": iso(world.ended_ns)}
    with world.writer() as writer:
        writer.append([json.dumps([cancel]).encode()], world.ended_ns, world.ended_ns)
    code, out, err = said("heal", world.run.root, "--day", DAY, "--json")

    assert code == 0, err
    (compared,) = [entry for entry in world.said() if entry["event"] == "compared"]
    assert compared["to_ns"] == world.ended_ns  # the cancel is the last that was heard
    ((kind, rows),) = [(each["kind"], each["rows"]) for each in last_json(out)["found"]]
    assert (kind, rows) == ("trades", 1)
    assert lost["id"] not in [row[3] for row in shown(world) if row[0] == lost["symbol"]]


def test_a_day_of_which_nothing_is_there_is_refused(said, world):
    world.record()
    assert said("heal", world.run.root, "--day", "2025-06-16")[0] == 2
    assert said("heal", world.run.root, "--day", "yesterday")[0] == 2


def test_a_gap_that_cannot_be_healed_is_exit_1_and_can_be_tried_again(said, world, monkeypatch):
    world.record()
    monkeypatch.setenv("APCA_API_SECRET_KEY", "wrong")
    code, out, _ = said("heal", world.run.root)
    assert code == 1
    assert out.startswith("unhealable  iex: gap")

    monkeypatch.setenv("APCA_API_SECRET_KEY", "demo-secret")
    assert "healed" not in said("heal", world.run.root)[1]
    code, out, _ = said("heal", world.run.root, "--again")
    assert code == 0
    assert out.startswith("healed      iex: gap")
    assert shown(world) == played()


def test_a_suspicion_that_cannot_be_settled_is_exit_1_and_stays_a_suspicion(said, world):
    world.channels = {"statuses": ["*"]}
    world.record(cut=(0, 0))
    gap = {"from_ns": START_NS + 20 * S, "to_ns": START_NS + 22 * S, "cause": "mute", "symbol": ""}
    gap |= {"channels": "", "planned": False, "state": "suspect"}
    with world.writer(LEDGER) as writer:
        world.say(writer, START_NS + 22 * S, event="suspect", feed="iex", gap=gap)
    code, out, _ = said("heal", world.run.root, "--json")

    assert code == 1
    ((told,),) = (last_json(out)["gaps"],)
    assert told["state"] == "suspect" and "statuses cannot be asked again" in told["words"]
    assert last_json(out)["feeds"][0]["unsettled"] == 1
    with connect_run(world.run) as con:
        assert con.execute("SELECT state FROM gaps WHERE NOT planned").fetchall() == [("suspect",)]
    assert said("heal", world.run.root)[0] == 0, "it is not tried again by itself"


def test_a_day_whose_stream_ended_within_the_usual_hours_is_compared_to_their_end(
    said, world, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        "ticktape.replay.found.session_end_ns",
        lambda con, feed, last_ns, *_: asked.append((feed, last_ns)) or last_ns + 9 * S,
    )
    world.record(cut=(0, 0))
    code, out, _ = said("heal", world.run.root, "--day", DAY)

    assert code == 0
    ((feed, last_ns),) = asked
    assert (feed, world.said()[-2]["to_ns"]) == ("iex", last_ns + 9 * S)
    assert f"to {iso(last_ns + 9 * S)[:-7]}Z of the venue's time" in out


def test_the_journals_of_the_feeds_are_only_read(said, world):
    world.record()
    folder = world.run.journal("iex")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.suffix == ".seg"}
    assert said("heal", world.run.root)[0] == 0

    assert {path: path.read_bytes() for path in folder.iterdir() if path.suffix == ".seg"} == before
    assert not list(folder.glob("*.manifest.json")), "that is for the next writer to say"


def test_a_rest_interface_that_is_away_leaves_the_gap_for_another_time(
    said, tmp_path, rest, monkeypatch
):
    monkeypatch.setattr(healing, "_FAILURES_MAX", 1)
    world = World(tmp_path / "away", url="http://127.0.0.1:1")
    world.record()
    code, out, err = said("heal", world.run.root)

    assert code == 1
    assert "not healed  iex: gap from" in out
    assert "no answer from http://127.0.0.1:1/v2/stocks" in err


def test_what_is_not_due_yet_is_left_with_the_time_to_ask(said, tmp_path, rest):
    world = World(tmp_path / "soon", url=rest, heal_delay_s=86_400.0)
    now_ns = clock.wall_now_ns()
    with world.writer() as writer:
        gap = {"from_ns": now_ns - S, "to_ns": now_ns, "cause": "down", "planned": False}
        world.say(writer, now_ns, event="subscribed", channels={"trades": ["A"]}, gaps=[gap])
    code, out, _ = said("heal", world.run.root, "--json")

    assert code == 1
    (left,) = last_json(out)["left"]
    assert "to be asked from" in left


def test_it_is_refused_while_another_healer_is_at_work(said, world, monkeypatch):
    world.record()
    monkeypatch.setattr(bring_in, "_LOCK_S", 0.01)
    with world.writer("iex.rest"):
        code, _, err = said("heal", world.run.root)

    assert code == 3
    assert "A recorder heals by itself while it runs" in err


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends the process there")
def test_ctrl_c_ends_it_in_order_and_the_next_one_goes_on(said, tmp_path, rest):
    def gate(number):
        if number == 0:
            os.kill(os.getpid(), signal.SIGINT)

    server, url = served(venue_of(), gate)
    world = World(tmp_path / "run", url=url)
    world.record()
    try:
        code, out, err = said("heal", world.run.root)
        assert (code, world.events()[-1]) == (130, "stopped")
        assert "not healed  iex: gap" in out and "goes on with the next heal" in err
        assert said("heal", world.run.root)[0] == 0
    finally:
        server.shutdown()
        server.server_close()

    assert set(world.asked().values()) == {1}
    assert shown(world) == played()


def test_a_feed_that_is_not_there_or_cannot_be_healed_is_refused(said, world, demo):
    world.record()
    assert "no feed" not in said("heal", world.run.root, "iey")[2]
    code, _, err = said("heal", world.run.root, "iey")
    assert (code, 'did you mean "iex"' in err) == (2, True)
    code, _, err = said("heal", demo)
    assert (code, "has a REST interface" in err) == (2, True)


def test_missing_keys_are_refused_before_anything_is_asked(said, world, monkeypatch):
    world.record()
    monkeypatch.delenv("APCA_API_KEY_ID")
    assert said("heal", world.run.root)[0] == 2
