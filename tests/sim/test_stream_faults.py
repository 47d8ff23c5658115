"""Each fault does what the menu says, and the truth knows it."""

import asyncio
import json
from itertools import pairwise

import pytest
import websockets

from ticktape.sim import AlpacaSim, SimConfig, generate_tape, parse_faults
from ticktape.sim.server import programs_of

KEY = {"action": "auth", "key": "demo-key", "secret": "demo-secret"}


def run(work):
    return asyncio.run(asyncio.wait_for(work, 30))


@pytest.fixture(scope="module")
def tape():
    return generate_tape(seed=1, events=600, events_per_s=1000)


def sim_with(tape, *faults, **config):
    config = {"speed": 0} | config
    return AlpacaSim(programs_of(tape), SimConfig(faults=parse_faults(faults), **config))


async def listener(client, sim, path="/v2/iex"):
    mine = await (await client.open(sim, path)).login()
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
        async with sim_with(tape, *faults, hold=True, ping_s=0.02, pong_s=0.02) as sim:
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
