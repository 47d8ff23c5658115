"""A plain client over loopback: the handshake, the rules, and that it gets exactly the truth."""

import asyncio
import contextlib
import ssl
import struct

import pyarrow.parquet as pq
import pytest
import trustme
import websockets
from picows import WSListener, ws_connect

from ticktape.errors import ConfigError
from ticktape.sim import AlpacaSim, Program, SimConfig, generate_tape, read_truth, shipped_tape
from ticktape.sim.families import STOCKS
from ticktape.sim.generate import fakepaca_tape
from ticktape.sim.server import programs_of

HEADERS = {"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": "demo-secret"}


def run(work):
    return asyncio.run(asyncio.wait_for(work, 240))


@pytest.fixture(scope="module")
def tape():
    return generate_tape(seed=1, events=2500, events_per_s=50)


@pytest.mark.parametrize("batch", [1, 50])
@pytest.mark.parametrize("path", ["/v2/iex", "/stream"])
def test_client_receives_exactly_the_truth(tape, client, truth, path, batch):
    async def scenario():
        config = SimConfig(speed=0, batch=batch)
        async with AlpacaSim(programs_of(tape), config) as sim:
            mine = await (await client.open(sim, path)).login()
            await mine.listen()
            await sim.wait_tape_end(path)
            sent = sim.truth.table()
            await mine.read_messages(sent.num_rows)
            assert mine.rows() == truth(sent)
            assert sim.statistics().frames == len(mine.frames)
            return sent

    sent = run(scenario())
    if path == "/v2/iex":
        assert set(sent["kind"].to_pylist()) == set(STOCKS.kinds) and sent.num_rows == len(tape)
    else:
        bars = tape.tables["bars"]["span"].to_pylist().count("minute")
        rows = bars + sum(tape.tables[kind].num_rows for kind in ("trades", "quotes"))
        assert set(sent["kind"].to_pylist()) == {"trades", "quotes", "bars"}
        assert sent.num_rows == rows
    assert sent["seq"].to_pylist() == list(range(sent.num_rows))


def test_whole_shipped_tape_arrives(client, truth):
    async def scenario():
        tape = shipped_tape()
        async with AlpacaSim(programs_of(tape), SimConfig(speed=0, batch=50)) as sim:
            mine = await (await client.open(sim)).login()
            await mine.listen()
            await mine.read_messages(len(tape))
            assert mine.rows() == truth(sim.truth.table())

    run(scenario())


def test_only_what_was_subscribed_is_sent(tape, client, count_kinds, truth):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig(speed=0, batch=7)) as sim:
            mine = await (await client.open(sim)).login()
            assert await mine.listen(trades=["ZAAA"], bars=["*"]) == {
                "T": "subscription",
                "trades": ["ZAAA"],
                "bars": ["*"],
                "corrections": ["ZAAA"],
                "cancelErrors": ["ZAAA"],
            }
            await sim.wait_tape_end()
            sent = sim.truth.table()
            await mine.read_messages(sent.num_rows)
            assert mine.rows() == truth(sent)
            return sent

    sent = run(scenario())
    assert "quotes" not in count_kinds(sent)
    assert {row["symbol"] for row in sent.to_pylist() if row["kind"] != "bars"} == {"ZAAA"}


def test_paths_have_their_own_cursors_and_a_partition_loses_nothing(tape, client, truth):
    async def scenario():
        config = SimConfig(speed=0, connection_limit=2, wait_for=2)
        programs = {"/v2/sip": Program(tape), "/v2/iex": Program(tape)}
        async with AlpacaSim(programs, config) as sim:
            halves = [["ZAAA", "ZAAB"], ["ZAAC", "ZAAD", "ZAAE"]]
            legs = [await (await client.open(sim, "/v2/sip")).login() for _ in halves]
            for leg, symbols in zip(legs, halves, strict=True):
                await leg.listen(**dict.fromkeys(STOCKS.channels, symbols))
            await sim.wait_tape_end("/v2/sip")
            assert not sim.streams["/v2/iex"].started.is_set()
            sent = sim.truth.table()
            assert sent.num_rows == len(tape)
            for number, leg in enumerate(legs):
                await leg.read_messages(len(truth(sent, number)))
                assert leg.rows() == truth(sent, number)

    run(scenario())


def test_tape_does_not_start_before_enough_listen(tape, client):
    async def scenario():
        config = SimConfig(speed=0, wait_for=2, connection_limit=2)
        async with AlpacaSim(programs_of(tape), config) as sim:
            first = await (await client.open(sim)).login()
            await first.listen()
            assert not sim.streams["/v2/iex"].started.is_set()
            second = await (await client.open(sim)).login()
            await second.listen()
            await sim.wait_tape_end()
            await first.read_messages(len(tape))
            await second.read_messages(len(tape))
            assert first.rows() == second.rows()

    run(scenario())


@pytest.mark.parametrize("headers", [HEADERS, {"Authorization": "Bearer tok"}])
def test_header_login_needs_no_message(tape, client, headers):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig(tokens=frozenset({"tok"}))) as sim:
            mine = await client.open(sim, additional_headers=headers)
            assert [(await mine.answer())["msg"] for _ in range(2)] == [
                "connected",
                "authenticated",
            ]

    run(scenario())


def test_wrong_key_is_402_and_the_socket_stays_open(tape, client):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig()) as sim:
            mine = await client.open(sim)
            await mine.answer()
            wrong = {"action": "auth", "key": "demo-key", "secret": "no"}
            assert (await mine.answer(wrong))["code"] == 402
            assert (await mine.answer(b"{broken"))["code"] == 400
            assert (await mine.answer(wrong | {"secret": "demo-secret"}))["msg"] == "authenticated"

    run(scenario())


@pytest.mark.parametrize("path", ["/v2/iex", "/stream"])
def test_who_does_not_log_in_is_dropped_without_a_close_frame(tape, client, path):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig(auth_s=0.05)) as sim:
            mine = await client.open(sim, path)
            assert await mine.read_to_the_end() == 1006
            return mine.control

    heard = run(scenario())
    assert [message.get("code") for message in heard] == ([None, 404] if path == "/v2/iex" else [])


def test_second_connection_is_406_and_dropped_and_the_first_undisturbed(tape, client):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig(auth_s=2, speed=0)) as sim:
            first = await (await client.open(sim)).login()
            second = await client.open(sim, additional_headers=HEADERS)
            assert await second.read_to_the_end() == 1006
            assert [m.get("code") for m in second.control] == [None, 406]
            await first.listen()
            await first.read_messages(len(tape))

    run(scenario())


def test_slot_is_free_at_once_after_a_goodbye_and_after_the_reaping_of_the_dead(tape, client):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig(reap_s=2, auth_s=200)) as sim:
            polite = await (await client.open(sim)).login()
            await polite.socket.close()
            dead = await (await client.open(sim)).login()
            dead.socket.transport.abort()
            newcomer = await client.open(sim)
            await newcomer.answer()
            answers = []
            key = {"action": "auth", "key": "demo-key", "secret": "demo-secret"}
            while not answers or answers[-1].get("code") == 406:
                answers.append(await newcomer.answer(key))
                await asyncio.sleep(0.01)
            assert answers[0]["code"] == 406 and answers[-1]["msg"] == "authenticated"

    run(scenario())


def test_unknown_path_is_404(tape, client):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig()) as sim:
            with pytest.raises(websockets.InvalidStatus) as caught:
                await client.open(sim, "/v2/nonsense")
            assert caught.value.response.status_code == 404
            assert sim.statistics().refused_upgrades == 1

    run(scenario())


class Deaf(WSListener):
    """A picows client that answers no pings."""

    def __init__(self):
        self.gone = asyncio.Event()

    def on_ws_disconnected(self, transport):
        self.gone.set()


def test_client_that_does_not_pong_is_dropped_and_one_that_does_is_kept(tape, client):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig(ping_s=0.05, pong_s=2)) as sim:
            lively = await (await client.open(sim, "/v2/sip")).login()
            transport, deaf = await ws_connect(Deaf, sim.url(), enable_auto_pong=False)
            await deaf.gone.wait()
            assert transport.close_handshake is None or transport.close_handshake.recv is None
            assert (await lively.listen(trades=["SPY"]))["trades"] == ["SPY"]

    run(scenario())


def test_fragmented_subscription_is_joined(tape, client):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig(auth_s=200)) as sim:
            mine = await (await client.open(sim)).login()
            symbols = [f"S{number}" for number in range(9000)]
            text = '{"action":"subscribe","trades":["' + '","'.join(symbols) + '"]}'
            pieces = [text[at : at + 32_768] for at in range(0, len(text), 32_768)]
            state = await mine.answer_fragments(pieces)
            assert len(state["trades"]) == 9000

    run(scenario())


def test_malformed_clients_do_not_kill_the_server(tape, client):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig(speed=0)) as sim:
            garbage = [
                b"GET / HTTP/1.1\r\n\r\n",
                b"\x16\x03\x01" + bytes(range(256)),
                b"GET /v2/iex HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                b"Host: x\r\n\r\n" + struct.pack("!BBQ", 0x81, 0xFF, 1 << 62),
            ]
            for content in garbage:
                reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
                writer.write(content)
                writer.write_eof()
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
            mine = await (await client.open(sim)).login()
            for bad in (b"\xff\xfe", "null", "[]", '{"action":{}}', "[" * 50_000, '"\\ud800"'):
                assert (await mine.answer(bad))["code"] == 400
            await mine.listen()
            await mine.read_messages(len(tape))

    run(scenario())


def test_slow_client_hears_407_and_is_dropped(client):
    # Without bars, which would leave a minute later.
    tape = generate_tape(seed=2, events=200_000, events_per_s=1e6).only(frozenset({"trades"}))

    async def scenario():
        config = SimConfig(speed=1, buffer_bytes=1 << 20, batch=100)
        async with AlpacaSim(programs_of(tape), config) as sim:
            mine = await (await client.open(sim, max_queue=1)).login()
            await mine.listen()
            await sim.wait_tape_end()  # nobody reads meanwhile
            assert await mine.read_to_the_end() == 1006
            received = sum(map(len, mine.frames))
            assert 0 < received < sim.statistics().messages < len(tape)

    run(scenario())


def test_full_speed_waits_for_a_slow_client_and_loses_nothing(client):
    tape = generate_tape(seed=2, events=60_000)

    async def scenario():
        config = SimConfig(speed=0, buffer_bytes=1, batch=100)
        async with AlpacaSim(programs_of(tape), config) as sim:
            mine = await (await client.open(sim, max_queue=1)).login()
            await mine.listen()
            await mine.read_messages(len(tape))

    run(scenario())


def test_paced_tape_takes_its_time(client):
    tape = generate_tape(seed=2, events=200, events_per_s=1000)
    span_s = (int(tape.due_ns[-1]) - int(tape.due_ns[0])) / 1e9

    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig(speed=200, jitter_ms=1)) as sim:
            mine = await (await client.open(sim)).login()
            await mine.listen()
            await mine.read_messages(len(tape))
            return sim.truth.table()

    sent = run(scenario())["sent_mono_ns"].to_pylist()
    assert sent == sorted(sent)
    assert (sent[-1] - sent[0]) / 1e9 >= span_s / 200


def test_passes_are_different_and_all_in_the_truth(tape, client, truth):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig(speed=0, passes=3)) as sim:
            mine = await (await client.open(sim)).login()
            await mine.listen(trades=["*"])
            await sim.wait_tape_end()
            sent = sim.truth.table()
            await mine.read_messages(sent.num_rows)
            assert mine.rows() == truth(sent)
            return sent

    sent = run(scenario())
    trades = sent.filter(sent["kind"].to_numpy(zero_copy_only=False) == "trades")
    keys = trades.select(["symbol", "event_ns", "exchange", "id"])
    assert keys.group_by(keys.column_names).aggregate([]).num_rows == trades.num_rows
    assert sent["row"].to_pylist() == sorted(set(sent["row"].to_pylist()))


def test_linger_ends_after_the_tape(tape, client):
    async def scenario():
        async with AlpacaSim(programs_of(tape), SimConfig(speed=0, linger_s=0.01)) as sim:
            mine = await (await client.open(sim)).login()
            await mine.listen()
            await sim.finished.wait()
            await mine.read_messages(len(tape))

    run(scenario())


def test_test_stream_plays_fakepaca(client):
    async def scenario():
        programs = {"/v2/test": Program(fakepaca_tape(2), speed=1000.0, passes=0)}
        async with AlpacaSim(programs) as sim:
            mine = await (await client.open(sim, "/v2/test")).login()
            await mine.listen(quotes=["FAKEPACA"])
            await mine.read_messages(100)
            assert {message["S"] for frame in mine.frames for message in frame} == {"FAKEPACA"}

    run(scenario())


def test_tls_with_a_private_authority(tape, client, truth):
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)

    async def scenario():
        config = SimConfig(speed=0, batch=50)
        async with AlpacaSim(programs_of(tape), config, ssl_context=server) as sim:
            assert sim.url().startswith("wss://")
            mine = await (await client.open(sim, ssl=trusting)).login()
            await mine.listen()
            await mine.read_messages(len(tape))
            assert mine.rows() == truth(sim.truth.table())

    run(scenario())


def test_same_seed_same_bytes(client):
    async def scenario():
        tape = generate_tape(seed=9, events=500)
        async with AlpacaSim(programs_of(tape), SimConfig(speed=0, batch=3)) as sim:
            mine = await (await client.open(sim)).login()
            await mine.listen()
            await mine.read_messages(len(tape))
            return mine.raw

    assert run(scenario()) == run(scenario())


def test_truth_is_on_disk_and_points_into_the_tape(tape, client, truth, tmp_path):
    async def scenario():
        config = SimConfig(speed=0, batch=50)
        async with AlpacaSim(programs_of(tape), config, truth_directory=tmp_path) as sim:
            mine = await (await client.open(sim)).login()
            await mine.listen()
            await mine.read_messages(len(tape))
            return mine.rows()

    rows = run(scenario())
    sent = read_truth(tmp_path)
    assert rows == truth(sent)
    quotes = pq.read_table(tmp_path / "tape" / "v2-iex-0" / "quotes.parquet")
    assert quotes.equals(tape.tables["quotes"])
    for row in sent.to_pylist():
        if row["kind"] == "quotes":
            assert quotes["event_ns"][row["kind_row"]].as_py() == row["event_ns"]
            assert row["sent_mono_ns"] > 0 and row["sent_ns"] > 1_700_000_000 * 10**9


def test_config_mistakes_are_told_together(tape):
    with pytest.raises(ConfigError) as caught:
        AlpacaSim(programs_of(tape), SimConfig(batch=0, speed=-1, ack_style="x"))
    assert len(caught.value.faults) == 3
    with pytest.raises(ConfigError, match="carries news, its tape has stocks"):
        AlpacaSim({"/v1beta1/news": Program(tape)})


def test_close_may_be_called_twice_and_frees_the_port(tape, client):
    async def scenario():
        sim = await AlpacaSim(programs_of(tape)).start()
        mine = await client.open(sim)
        config = SimConfig(port=sim.port)
        await sim.close()
        await sim.close()
        assert await mine.read_to_the_end() == 1006
        async with AlpacaSim(programs_of(tape), config) as again:
            assert again.port == config.port

    run(scenario())
