"""Each fault does what the menu says, and the truth knows it."""

import asyncio
import json
from itertools import pairwise

import msgpack
import numpy as np
import pytest
import websockets

from ticktape.errors import ConfigError
from ticktape.sim import AlpacaSim, SimConfig, generate_tape, parse_faults
from ticktape.sim.server import programs_of
from ticktape.sim.tape import CHANNELS

KEY = {"action": "auth", "key": "demo-key", "secret": "demo-secret"}


def run(work):
    return asyncio.run(asyncio.wait_for(work, 240))


@pytest.fixture(scope="module")
def tape():
    return generate_tape(seed=1, events=600, events_per_s=1000)


def sim_with(tape, *faults, **config):
    config = {"speed": 0} | config
    return AlpacaSim(programs_of(tape), SimConfig(faults=parse_faults(faults), **config))


async def listener(client, sim, path="/v2/iex", **options):
    mine = await (await client.open(sim, path, **options)).login()
    await mine.listen()
    return mine


@pytest.mark.parametrize("path", ["/v2/iex", "/stream"])
@pytest.mark.parametrize("batch", [1, 50])
def test_disconnect_is_exactly_after_its_message_and_a_held_tape_goes_on(
    tape, client, truth, path, batch
):
    trades = tape.only(frozenset({"trades"}))

    async def scenario():
        async with sim_with(trades, "disconnect@123", batch=batch, hold=True) as sim:
            first = await listener(client, sim, path)
            assert await first.read_to_the_end() == 1006
            assert len(first.rows()) == 123
            second = await listener(client, sim, path)
            await second.read_messages(len(trades) - 123)
            sent = sim.truth.table()
            assert first.rows() == truth(sent, 0) and second.rows() == truth(sent, 1)
            assert sent["row"].to_pylist() == list(range(len(trades)))

    run(scenario())


def test_without_hold_the_tape_runs_on_and_who_is_away_misses_it(tape, client, truth):
    async def scenario():
        async with sim_with(tape, "disconnect@100") as sim:
            mine = await listener(client, sim)
            await mine.read_to_the_end()
            await sim.wait_tape_end()
            assert sim.truth.table().num_rows == len(mine.rows()) == 100

    run(scenario())


def test_fault_by_time_strikes_once(tape, client):
    trades = tape.only(frozenset({"trades"}))

    async def scenario():
        async with sim_with(trades, "disconnect@0.05s", speed=1, hold=True) as sim:
            first = await listener(client, sim)
            assert await first.read_to_the_end() == 1006
            second = await listener(client, sim)
            await second.read_messages(len(trades) - len(first.rows()))

    run(scenario())


def test_fault_of_another_path_does_not_strike_here(tape, client):
    async def scenario():
        async with sim_with(tape, "disconnect@5@/v2/sip") as sim:
            mine = await listener(client, sim)
            await mine.read_messages(len(tape))
            other = await listener(client, sim, "/v2/sip")
            await other.read_to_the_end()
            assert len(other.rows()) == 5

    run(scenario())


def test_mute_stops_the_data_but_not_the_pings(tape, client, truth):
    async def scenario():
        faults = ["mute@200"]
        async with sim_with(tape, *faults, hold=True, ping_s=0.02) as sim:
            mine = await listener(client, sim)
            await mine.read_messages(200)
            # An answer to a ping of our own proves that all data sent before it has come.
            await (await mine.socket.ping())
            assert len(mine.rows()) == 200
            state = await mine.answer({"action": "subscribe", "trades": ["SPY"]})
            assert "SPY" in state["trades"]
            assert len(mine.rows()) == 200
            await mine.socket.close()
            second = await listener(client, sim)
            await second.read_messages(len(tape) - 200)
            assert second.rows() == truth(sim.truth.table(), 1)

    run(scenario())


def test_half_open_neither_answers_nor_closes_and_its_slot_is_reaped(tape, client):
    async def scenario():
        async with sim_with(tape, "half_open@50", hold=True, reap_s=0.05, ping_s=0.02) as sim:
            mine = await listener(client, sim)
            await mine.read_messages(50)
            pong = await mine.socket.ping()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pong, 0.2)
            assert mine.socket.close_code is None
            second = await client.open(sim)
            await second.answer()
            while (await second.answer(KEY)).get("code") == 406:
                pass
            await second.listen()
            await second.read_messages(len(tape) - 50)

    run(scenario())


def test_silence_pauses_the_tape(tape, client):
    async def scenario():
        async with sim_with(tape, "silence@100=0.2") as sim:
            mine = await listener(client, sim)
            await mine.read_messages(len(tape))
            return sim.truth.table()["sent_mono_ns"].to_pylist()

    sent = run(scenario())
    assert sent[100] - sent[99] >= 200_000_000


@pytest.mark.parametrize("path", ["/v2/iex", "/stream"])
def test_malformed_frame_stands_between_good_ones(tape, client, truth, path):
    async def scenario():
        async with sim_with(tape, "malformed@10", batch=3) as sim:
            mine = await listener(client, sim, path)
            await sim.wait_tape_end(path)
            sent = sim.truth.table().to_pylist()
            bad = [row for row in sent if row["kind"] == "unknown"]
            await mine.read_messages(len(sent) - 1)
            assert [row["text"] for row in bad] == [t for t in mine.raw if not is_json(t)]
            assert [row["fault"] for row in bad] == ["malformed"]
            good = [row[2:] for row in truth(sim.truth.table()) if row[2] != "unknown"]
            assert [row[2:] for row in mine.rows()] == good

    run(scenario())


def is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("path", ["/v2/iex", "/stream"])
def test_unknown_type_is_a_message_of_its_own(tape, client, truth, path):
    async def scenario():
        async with sim_with(tape, "unknown_type@10=1000") as sim:
            mine = await listener(client, sim, path)
            await sim.wait_tape_end(path)
            sent = sim.truth.table()
            await mine.read_messages(sent.num_rows)
            assert mine.rows() == truth(sent)
            (row,) = [row for row in sent.to_pylist() if row["kind"] == "unknown"]
            assert row["text"] == mine.raw[row["frame"]] and len(row["text"]) > 1000

    run(scenario())


@pytest.mark.parametrize("path", ["/v2/iex", "/stream"])
@pytest.mark.parametrize(("fault", "size"), [("unknown_field@77", 1), ("huge@77", 5_000_000)])
def test_message_has_a_field_nobody_knows_and_is_otherwise_whole(
    tape, client, truth, path, fault, size
):
    trades = tape.only(frozenset({"trades"}))

    async def scenario():
        async with sim_with(trades, fault, batch=10) as sim:
            mine = await listener(client, sim, path)
            await mine.read_messages(len(trades))
            sent = sim.truth.table()
            assert mine.rows() == truth(sent)
            messages = [m.get("data", m) for frame in mine.frames for m in frame]
            assert [n for n, m in enumerate(messages) if "note" in m] == [76]
            assert len(messages[76]["note"]) == size
            assert sent["fault"][76].as_py() == fault.partition("@")[0]

    run(scenario())


@pytest.mark.parametrize("path", ["/v2/iex", "/stream"])
def test_fragments_are_joined_by_the_client(tape, client, truth, path):
    async def scenario():
        async with sim_with(tape, "fragment@20=7", batch=10) as sim:
            mine = await listener(client, sim, path)
            await sim.wait_tape_end(path)
            sent = sim.truth.table()
            await mine.read_messages(sent.num_rows)
            assert mine.rows() == truth(sent)
            assert "fragment" in sent["fault"].to_pylist()

    run(scenario())


@pytest.mark.parametrize("path", ["/v2/iex", "/stream"])
@pytest.mark.parametrize("hold", [True, False])
def test_half_a_frame_then_nothing(tape, client, truth, path, hold):
    trades = tape.only(frozenset({"trades"}))

    async def scenario():
        async with sim_with(trades, "close_mid_frame@55", batch=10, hold=hold) as sim:
            first = await listener(client, sim, path)
            assert await first.read_to_the_end() == 1006
            whole = 50 if path == "/v2/iex" else 54
            assert len(first.rows()) == whole
            if hold:
                # The tape goes on with the frame that nobody got whole.
                second = await listener(client, sim, path)
                await second.read_messages(len(trades) - whole)
            sent = sim.truth.table()
            assert first.rows() == truth(sent, 0)
            cut = [row["row"] for row in sent.to_pylist() if not row["whole"]]
            assert cut == (list(range(50, 60)) if path == "/v2/iex" else [54])
            if hold:
                assert second.rows() == truth(sent, 1)

    run(scenario())


def test_error_arrives_amid_the_data_and_closes_nothing(tape, client, truth):
    async def scenario():
        async with sim_with(tape, "error:405@50", "error:500@60") as sim:
            mine = await listener(client, sim)
            await mine.read_messages(len(tape))
            assert [m["code"] for m in mine.control if m["T"] == "error"] == [405, 500]
            assert mine.rows() == truth(sim.truth.table())

    run(scenario())


def test_slow_waits_before_each_frame(client):
    tape = generate_tape(seed=1, events=40)

    async def scenario():
        async with sim_with(tape, "slow@1=5") as sim:
            mine = await listener(client, sim)
            await mine.read_messages(len(tape))
            return sim.truth.table()["sent_mono_ns"].to_pylist()

    sent = run(scenario())
    assert all(later - earlier >= 4_500_000 for earlier, later in pairwise(sent[1:]))


def sent_at(tape, *faults, client, **config):
    """Play the tape to its end; return when each row was sent, from the first one on."""

    async def scenario():
        async with sim_with(tape, *faults, **config) as sim:
            mine = await listener(client, sim)
            await mine.read_messages(len(tape))
            sent = sim.truth.table()
            assert sent["row"].to_pylist() == list(range(len(tape)))
            return sent["sent_mono_ns"].to_numpy()

    sent = run(scenario())
    return sent - sent[0]


def test_delay_makes_all_that_follows_later_in_order(client):
    trades = generate_tape(seed=1, events=600, events_per_s=1000).only({"trades"})
    sent = sent_at(trades, "delay@100=300", client=client, speed=1)
    # Without it a row is sent when it is due; the first one's own lateness is what may be missing.
    late = sent[100:] - (trades.due_ns[100:] - trades.due_ns[0])
    assert late.min() > 250_000_000


def test_delay_at_full_speed_is_a_pause(tape, client):
    sent = sent_at(tape, "delay@100=200", client=client)
    assert sent[100] - sent[99] >= 200_000_000


def test_burst_holds_data_back_and_then_sends_it_at_once(client):
    trades = generate_tape(seed=1, events=600, events_per_s=1000).only({"trades"})
    sent = sent_at(trades, "burst@100=0.2", client=client, speed=1)
    assert sent[100] - sent[99] >= 200_000_000
    held = trades.due_ns[100:] - trades.due_ns[100] < 200_000_000
    assert 20 < held.sum() < 500
    assert (sent[100:][held] == sent[100]).all()


@pytest.mark.parametrize("packed", [False, True])
def test_slow_drain_ends_with_407_and_what_was_in_the_buffer_never_comes(
    tape, client, truth, packed
):
    trades = tape.only({"trades"})

    async def scenario():
        async with sim_with(trades, "slow_drain@100=5000", hold=True, batch=10) as sim:
            first = await listener(client, sim, packed=packed)
            assert await first.read_to_the_end() == 1006
            assert [m["code"] for m in first.control if m["T"] == "error"] == [407]
            assert len(first.rows()) == 100
            second = await listener(client, sim)
            await sim.wait_tape_end()
            sent = sim.truth.table().to_pylist()
            lost = [row for row in sent if row["fault"] == "slow_drain"]
            assert lost and not any(row["whole"] for row in lost)
            assert [row["row"] for row in lost] == list(range(100, 100 + len(lost)))
            await second.read_messages(len(trades) - 100 - len(lost))
            assert first.rows() == truth(sim.truth.table(), 0)
            assert second.rows() == truth(sim.truth.table(), 1)

    run(scenario())


@pytest.mark.parametrize("more", [0, 7])
@pytest.mark.parametrize("left", [["ZAAA"], ["ZAAA", "ZAAB"]])
def test_unsubscribed_symbols_still_come_for_so_many_messages(client, truth, more, left):
    trades = generate_tape(seed=1, events=600, symbols=2).only({"trades"})
    faults = ["silence@50=1", *([f"data_after_unsubscribe={more}"] if more else [])]

    async def scenario():
        async with sim_with(trades, *faults, batch=10) as sim:
            mine = await (await client.open(sim)).login()
            await mine.listen(trades=["ZAAA", "ZAAB"])
            await mine.read_messages(50)
            # The tape is silent now, so that all that comes next was sent after the answer.
            await mine.answer({"action": "unsubscribe", "trades": left})
            await sim.wait_tape_end()
            sent = sim.truth.table()
            await mine.read_messages(len(truth(sent)))
            after = [row for row in mine.rows()[50:] if row[3] in left]
            assert mine.rows() == truth(sent) and len(after) == more
            rest = [row for row in sent.to_pylist() if row["symbol"] not in left]
            wanted = 0 if len(left) == 2 else trades.mask({"trades": {"ZAAB"}}).sum()
            assert len([row for row in rest if row["row"] >= 50]) <= wanted
            if len(left) == 1:
                assert len(rest) == wanted

    run(scenario())


@pytest.mark.parametrize(
    ("path", "packed"), [("/v2/iex", False), ("/v2/iex", True), ("/stream", False)]
)
@pytest.mark.parametrize(("fault", "struck"), [("corrupt@55", 1), ("corrupt=20", None)])
def test_corrupt_frame_arrives_and_costs_only_itself(
    tape, client, truth, path, packed, fault, struck
):
    trades = tape.only({"trades"})

    async def scenario():
        async with sim_with(trades, fault, batch=5) as sim:
            mine = await listener(client, sim, path, packed=packed)
            await sim.wait_tape_end(path)
            sent = sim.truth.table()
            broken = [row for row in sent.to_pylist() if row["kind"] == "unknown"]
            whole = [row[2:] for row in truth(sent) if row[2] != "unknown"]
            lost = [row["row"] for row in sent.to_pylist() if not row["whole"]]
            # A frame is in `raw` if it was data or could not be read at all.
            frames = len({(row["frame"]) for row in sent.to_pylist()})
            while len(mine.raw) < frames:
                await mine.read()
            assert [row[2:] for row in mine.rows()] == whole
            unread = [raw for raw in mine.raw if not is_readable(raw, packed=packed)]
            assert [as_text(raw) for raw in unread] == [row["text"] for row in broken]
            assert len(unread) == struck if struck else len(unread) > 1
            assert len(lost) == len(unread) * (5 if path == "/v2/iex" else 1)
            assert len(lost) + len(whole) == len(trades)
            assert struck is None or 54 in lost

    run(scenario())


def is_readable(raw, *, packed):
    try:
        msgpack.unpackb(raw) if packed else json.loads(raw)
    except ValueError:
        return False
    return True


def as_text(raw):
    return raw if isinstance(raw, str) else raw.decode(errors="replace")


STOCK_TRICKS = [
    *("out_of_order=20", "late=5", "duplicates=5", "id_collisions=5", "null_conditions=20"),
    *("changes_after=5", "changes_before=5", "changes_without=5"),
    "daily_bar_repeats=3",
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("trick", STOCK_TRICKS)
def test_trick_arrives_as_the_truth_has_it(tape, client, truth, trick, packed):
    async def scenario():
        async with sim_with(tape, trick, batch=7, seed=3) as sim:
            mine = await listener(client, sim, packed=packed)
            await mine.read_messages(sim.streams["/v2/iex"].rows)
            sent = sim.truth.table()
            assert sent.num_rows == sim.streams["/v2/iex"].rows
            assert mine.rows() == truth(sent)
            return mine.messages(), sent.to_pylist()

    messages, sent = run(scenario())
    coded = [n for n, row in enumerate(sent) if row["kind"] in ("trades", "quotes")]
    null = [n for n in coded if sent[n]["conditions"] is None]
    assert null == [n for n in coded if messages[n]["c"] is None]
    assert bool(null) == trick.startswith("null")


@pytest.mark.parametrize("batch", [1, 10])
def test_silently_dropped_rows_happen_and_nobody_hears_them(tape, client, truth, batch):
    async def scenario():
        async with sim_with(tape, "silent_drop=10", batch=batch, passes=2) as sim:
            mine = await listener(client, sim)
            await sim.wait_tape_end()
            sent = sim.truth.table()
            await mine.read_messages(sent.num_rows)
            assert mine.rows() == truth(sent)
            missing = set(range(2 * len(tape))) - set(sent["row"].to_pylist())
            assert len(missing) == 2 * round(len(tape) / 10)

    run(scenario())


def muted(tape, symbol, first, stop=None):
    """Which rows of a tape are a symbol's, from one row on."""
    rows = np.flatnonzero(tape.mask({channel: {symbol} for channel in CHANNELS}))
    return set(rows[(rows >= first) & (rows < (stop or len(tape)))].tolist())


@pytest.mark.parametrize(("path", "batch"), [("/v2/iex", 1), ("/v2/iex", 50), ("/stream", 1)])
def test_muted_symbol_happens_and_no_connection_hears_it_any_more(client, truth, path, batch):
    only = generate_tape(seed=1, events=600, events_per_s=1000).only({"trades", "quotes"})

    async def scenario():
        faults = ["mute_symbol@200=ZAAA", "disconnect@300"]
        config = {"batch": batch, "passes": 2, "hold": True}
        async with sim_with(only, *faults, **config) as sim:
            first = await listener(client, sim, path)
            await first.read_to_the_end()
            second = await listener(client, sim, path)
            await sim.wait_tape_end(path)
            sent = sim.truth.table()
            assert sim.streams[path].rows_played == 2 * len(only)
            await second.read_messages(len(truth(sent, 1)))
            assert first.rows() == truth(sent, 0) and second.rows() == truth(sent, 1)
            missing = set(range(2 * len(only))) - set(sent["row"].to_pylist())
            of_next = {row + len(only) for row in muted(only, "ZAAA", 0)}
            assert missing == muted(only, "ZAAA", 200) | of_next

    run(scenario())


def test_muted_symbol_speaks_again_when_its_time_is_over(client, truth):
    only = generate_tape(seed=1, events=600, events_per_s=1000).only({"trades"})

    async def scenario():
        faults = ["mute_symbol@100=ZAAA/1", "silence@200=2"]
        async with sim_with(only, *faults) as sim:
            mine = await listener(client, sim)
            await sim.wait_tape_end()
            sent = sim.truth.table()
            await mine.read_messages(sent.num_rows)
            assert mine.rows() == truth(sent)
            missing = set(range(len(only))) - set(sent["row"].to_pylist())
            last = max(missing)
            assert missing == muted(only, "ZAAA", 100, last + 1) and last < 200

    run(scenario())


def test_who_left_another_symbol_does_not_hear_the_muted_one(client):
    trades = generate_tape(seed=1, events=600, symbols=3).only({"trades"})
    faults = ["silence@50=1", "data_after_unsubscribe=1", "mute_symbol@60=ZAAB"]

    async def scenario():
        async with sim_with(trades, *faults) as sim:
            mine = await (await client.open(sim)).login()
            await mine.listen(trades=["ZAAA", "ZAAB"])
            await mine.read_messages(50)
            await mine.answer({"action": "unsubscribe", "trades": ["ZAAA"]})
            await sim.wait_tape_end()
            sent = sim.truth.table().to_pylist()
            await mine.read_messages(len(sent))
            assert [
                row["row"] for row in sent if row["row"] >= 60 and row["symbol"] == "ZAAB"
            ] == []

    run(scenario())


def test_duplicates_come_after_a_reconnect_and_only_then(tape, client, truth):
    async def scenario():
        faults = ["disconnect@100", "duplicate_after_reconnect=30"]
        async with sim_with(tape, *faults, hold=True, batch=10) as sim:
            first = await listener(client, sim)
            await first.read_to_the_end()
            second = await listener(client, sim)
            await second.read_messages(len(tape) - 100 + 30)
            sent = sim.truth.table()
            assert second.rows() == truth(sent, 1)
            again = [row["row"] for row in sent.to_pylist() if row["fault"]]
            assert again == list(range(70, 100))
            assert [row[2:] for row in second.rows()[:30]] == [row[2:] for row in first.rows()[70:]]

    run(scenario())


def test_ack_missing_names_fewer_symbols_and_sends_none_of_them(tape, client):
    async def scenario():
        async with sim_with(tape, "ack_missing=ZAAA,ZAAB") as sim:
            mine = await (await client.open(sim)).login()
            state = await mine.listen(trades=["ZAAA", "ZAAB", "ZAAC"])
            assert state["trades"] == ["ZAAC"]
            await sim.wait_tape_end()
            assert set(sim.truth.table()["symbol"].to_pylist()) == {"ZAAC"}

    run(scenario())


def test_data_may_come_before_the_acknowledgement(tape, client, truth):
    async def scenario():
        async with sim_with(tape, "data_before_ack=20") as sim:
            mine = await (await client.open(sim)).login()
            state = await mine.listen()
            assert state["T"] == "subscription" and len(mine.rows()) >= 20
            await mine.read_messages(len(tape))
            assert mine.rows() == truth(sim.truth.table())

    run(scenario())


def test_short_tape_acknowledges_at_its_end(client):
    tape = generate_tape(seed=1, events=3)

    async def scenario():
        async with sim_with(tape, "data_before_ack=20") as sim:
            mine = await (await client.open(sim)).login()
            assert (await mine.listen())["T"] == "subscription"

    run(scenario())


def test_not_entitled_is_409(tape, client):
    async def scenario():
        async with sim_with(tape, "not_entitled@/v2/sip") as sim:
            mine = await client.open(sim, "/v2/sip")
            await mine.answer()
            assert (await mine.answer(KEY))["code"] == 409
            await (await client.open(sim)).login()

    run(scenario())


def test_http_errors_come_first_and_then_no_more(tape, client):
    async def scenario():
        async with sim_with(tape, "http:429x2", "http:503x1") as sim:
            statuses = []
            for _ in range(3):
                with pytest.raises(websockets.InvalidStatus) as caught:
                    await client.open(sim)
                statuses.append(caught.value.response.status_code)
            assert statuses == [429, 429, 503]
            await (await client.open(sim)).login()

    run(scenario())


def test_http_error_of_a_path_is_for_that_path(tape, client):
    async def scenario():
        async with sim_with(tape, "http:503x1@/v2/sip") as sim:
            await (await client.open(sim)).login()
            with pytest.raises(websockets.InvalidStatus):
                await client.open(sim, "/v2/sip")
            await (await client.open(sim, "/v2/sip")).login()

    run(scenario())


def test_symbol_is_missing_only_on_the_path_that_was_named(tape, client):
    async def scenario():
        async with sim_with(tape, "ack_missing@/v2/sip=ZAAA") as sim:
            for path, symbols in (("/v2/iex", ["ZAAA", "ZAAB"]), ("/v2/sip", ["ZAAB"])):
                mine = await (await client.open(sim, path)).login()
                assert sorted((await mine.listen(trades=["ZAAA", "ZAAB"]))["trades"]) == symbols

    run(scenario())


def test_fault_of_a_path_where_nothing_is_played_is_refused(tape):
    with pytest.raises(ConfigError, match="mute: nothing is played on /v2/otc"):
        sim_with(tape, "mute@5@/v2/otc")


def test_two_faults_in_one_place_both_strike(tape, client, truth):
    async def scenario():
        faults = ["unknown_type@30", "malformed@30", "huge@31=10", "unknown_field@32"]
        async with sim_with(tape, *faults, batch=10) as sim:
            mine = await listener(client, sim)
            await mine.read_messages(len(tape) + 1)
            found = {row["fault"] for row in sim.truth.table().to_pylist()}
            assert found == {"", "unknown_type", "malformed", "huge", "unknown_field"}

    run(scenario())


def test_proper_close_sends_close_frames(tape, client):
    async def scenario():
        async with sim_with(tape, "disconnect@5", proper_close=True) as sim:
            mine = await listener(client, sim)
            assert await mine.read_to_the_end() in (1000, 1005)

    run(scenario())
