"""Every stream of the venue, over loopback and in both encodings, heard by a plain client."""

import asyncio
import itertools
import json

import msgpack
import pyarrow.parquet as pq
import pytest
import websockets

from ticktape.errors import ConfigError
from ticktape.orderbook import OrderBook
from ticktape.records import CryptoBook
from ticktape.sim import AlpacaSim, Program, SimConfig, generate_family, parse_faults, read_truth
from ticktape.sim.families import CRYPTO, NEWS, OPTIONS, PATHS, STOCKS, V1_PATH
from ticktape.sim.layouts import LAYOUTS, SPANS, Form
from ticktape.sim.server import programs_of

KEY = {"action": "auth", "key": "demo-key", "secret": "demo-secret"}
HEADERS = {"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": "demo-secret"}
PATH_OF = {
    "stocks": "/v1beta1/overnight",
    "crypto": "/v1beta3/crypto/us",
    "options": "/v1beta1/indicative",
    "news": "/v1beta1/news",
}
NAMES = [*PATH_OF]


def run(work):
    return asyncio.run(asyncio.wait_for(work, 240))


@pytest.fixture(scope="module")
def tapes():
    families = {"stocks": STOCKS, "crypto": CRYPTO, "options": OPTIONS, "news": NEWS}
    return {
        name: generate_family(
            family, seed=4, symbols=3, events=1500, events_per_s=20, long_ids=True
        )
        for name, family in families.items()
    }


def everything(tape):
    """A subscription to all of a family's channels."""
    channels = {name: ["*"] for name in tape.family.channels}
    return channels | {name: tape.symbols for name in tape.family.starless}


def expected(tape, kind, row):
    """A message of the tape's row, made by hand from the layout; times as nanoseconds."""
    found = {}
    for key, form, column in LAYOUTS[tape.family][kind]:
        match form:
            case Form.TYPE:
                found[key] = column
            case Form.SPAN:
                found[key] = SPANS[row[column]]
            case Form.CODES:
                found[key] = row[column].split(",") if row[column] else []
            case Form.LEVELS:
                pairs = zip(row[f"{column}_prices"], row[f"{column}_sizes"], strict=True)
                found[key] = [{"p": price, "s": size} for price, size in pairs]
            case Form.IF_TRUE:
                found |= {key: True} if row[column] else {}
            case _:
                found[key] = row[column]
    return found


def rows_of(tape):
    rows = {kind: table.to_pylist() for kind, table in tape.tables.items()}
    kinds = [*dict.fromkeys(kind for family in (STOCKS, CRYPTO, NEWS) for kind in family.kinds)]
    for code, row in zip(tape.kind_codes, tape.kind_rows, strict=True):
        yield kinds[code], rows[kinds[code]][row]


# Options speak MessagePack only.
SPOKEN = [
    (name, packed) for name in NAMES for packed in (False, True) if packed or name != "options"
]


@pytest.mark.parametrize("batch", [1, 50])
@pytest.mark.parametrize(("name", "packed"), SPOKEN)
def test_client_receives_every_channel_exactly(tapes, client, truth, name, batch, packed):
    tape, path = tapes[name], PATH_OF[name]

    async def scenario():
        config = SimConfig(speed=0, batch=batch)
        async with AlpacaSim(programs_of(tape, (path,)), config) as sim:
            mine = await (await client.open(sim, path, packed=packed)).login()
            state = await mine.listen(**everything(tape))
            assert {key for key in state if key != "T"} >= set(tape.family.channels)
            await mine.read_messages(len(tape))
            sent = sim.truth.table()
            assert mine.rows() == truth(sent)
            assert sim.statistics().frames == len(mine.frames)
            return mine.messages()

    messages = run(scenario())
    assert messages == [expected(tape, kind, row) for kind, row in rows_of(tape)]
    assert {next(iter(message)) for message in messages} == {"T"}


def test_json_and_msgpack_listeners_share_a_stream(tapes, client, truth):
    tape, path = tapes["crypto"], PATH_OF["crypto"]

    async def scenario():
        config = SimConfig(speed=0, batch=7, connection_limit=2, wait_for=2)
        async with AlpacaSim(programs_of(tape, (path,)), config) as sim:
            both = [
                await (await client.open(sim, path, packed=packed)).login()
                for packed in (False, True)
            ]
            for mine in both:
                await mine.listen()
            for number, mine in enumerate(both):
                await mine.read_messages(len(tape))
                assert mine.rows() == truth(sim.truth.table(), number)
            assert both[0].messages() == both[1].messages()

    run(scenario())


@pytest.mark.parametrize("packed", [False, True], ids=["json", "msgpack"])
def test_passes_go_on_in_the_encoding_of_the_listener(tapes, client, truth, packed):
    tape, path = tapes["crypto"].only({"trades", "crypto_books"}), PATH_OF["crypto"]

    async def scenario():
        config = SimConfig(speed=0, passes=3, batch=10)
        async with AlpacaSim(programs_of(tape, (path,)), config) as sim:
            mine = await (await client.open(sim, path, packed=packed)).login()
            await mine.listen()
            await mine.read_messages(3 * len(tape))
            assert mine.rows() == truth(sim.truth.table())
            ids = [m["i"] for m in mine.messages() if m["T"] == "t"]
            assert len(ids) == len(set(ids)) and min(ids) > 10**18

    run(scenario())


@pytest.mark.parametrize(
    "headers",
    [
        HEADERS,
        {"Authorization": "Bearer tok"},
        {"Authorization": "Basic ZGVtby1rZXk6ZGVtby1zZWNyZXQ="},
    ],
)
def test_header_login_over_msgpack(tapes, client, headers):
    async def scenario():
        path = PATH_OF["options"]
        config = SimConfig(tokens=frozenset({"tok"}))
        async with AlpacaSim(programs_of(tapes["options"], (path,)), config) as sim:
            mine = await client.open(sim, path, packed=True, additional_headers=headers)
            said = [(await mine.answer())["msg"] for _ in range(2)]
            assert said == ["connected", "authenticated"]

    run(scenario())


@pytest.mark.parametrize("key", ["oauth", "access_token"])
def test_tokens_by_message_over_msgpack(tapes, client, key):
    async def scenario():
        config = SimConfig(tokens=frozenset({"tok"}))
        path = PATH_OF["news"]
        async with AlpacaSim(programs_of(tapes["news"], (path,)), config) as sim:
            mine = await client.open(sim, path, packed=True)
            await mine.answer()
            said = await mine.answer({"action": "auth", "key": key, "secret": "tok"})
            assert said["msg"] == "authenticated"

    run(scenario())


def test_options_over_json_are_412_as_answer_to_auth(tapes, client):
    path = PATH_OF["options"]

    async def scenario():
        async with AlpacaSim(programs_of(tapes["options"], (path,)), SimConfig()) as sim:
            mine = await client.open(sim, path)
            assert (await mine.answer())["msg"] == "connected"
            assert (await mine.answer(KEY))["code"] == 412
            assert (await mine.answer({"action": "subscribe", "trades": ["*"]}))["code"] == 401

    run(scenario())


def test_option_quotes_of_all_symbols_are_413_and_change_nothing(tapes, client):
    path = PATH_OF["options"]

    async def scenario():
        async with AlpacaSim(programs_of(tapes["options"], (path,)), SimConfig()) as sim:
            mine = await (await client.open(sim, path, packed=True)).login()
            assert (await mine.listen(quotes=["*"], trades=["*"]))["code"] == 413
            assert await mine.listen(trades=["*"]) == {"T": "subscription", "trades": ["*"]}

    run(scenario())


def test_fragmented_msgpack_subscription_is_joined_and_garbage_is_400(tapes, client):
    path = PATH_OF["crypto"]

    async def scenario():
        config = SimConfig(auth_s=200)
        async with AlpacaSim(programs_of(tapes["crypto"], (path,)), config) as sim:
            mine = await (await client.open(sim, path, packed=True)).login()
            symbols = [f"S{number}/USD" for number in range(9000)]
            content = msgpack.packb({"action": "subscribe", "trades": symbols})
            pieces = [content[at : at + 32_768] for at in range(0, len(content), 32_768)]
            assert len((await mine.answer_fragments(pieces))["trades"]) == 9000
            for bad in (b"", b"\xc1", b"\x91" * 50_000, b"\x81\x80\x01", b'{"action":"x"}', "{}"):
                assert (await mine.answer(bad))["code"] == 400

    run(scenario())


def test_articles_are_heard_by_each_of_their_symbols(tapes, client):
    tape, path = tapes["news"], PATH_OF["news"]
    articles = [row for _, row in rows_of(tape)]
    symbol = next(row["symbols"][1] for row in articles if len(row["symbols"]) > 1)

    async def scenario():
        async with AlpacaSim(programs_of(tape, (path,)), SimConfig(speed=0)) as sim:
            mine = await (await client.open(sim, path)).login()
            await mine.listen(news=[symbol])
            await sim.wait_tape_end(path)
            await mine.read_messages(sim.truth.table().num_rows)
            return [message["id"] for message in mine.messages()]

    heard = run(scenario())
    assert heard == [row["id"] for row in articles if symbol in row["symbols"]]
    assert 0 < len(heard) < len(articles)


def book_of(message, times):
    sides = {}
    for key, side in (("b", "bid"), ("a", "ask")):
        sides[f"{side}_prices"] = tuple(level["p"] for level in message[key])
        sides[f"{side}_sizes"] = tuple(level["s"] for level in message[key])
    places = {"recv_ns": 0, "epoch": 0, "seq": next(times), "index": 0, "feed": ""}
    reset = message.get("r", False)
    return CryptoBook(symbol=message["S"], event_ns=message["t"], reset=reset, **sides, **places)


def books_of(messages):
    """The books that a client holds after these messages."""
    books, times = {}, itertools.count()
    for message in messages:
        if message["T"] == "o":
            books.setdefault(message["S"], OrderBook()).apply(book_of(message, times))
    return books


@pytest.mark.parametrize("packed", [False, True], ids=["json", "msgpack"])
def test_who_joins_late_gets_whole_books_and_ends_with_the_same(tapes, client, truth, packed):
    tape, path = tapes["crypto"].only({"trades", "crypto_books"}), PATH_OF["crypto"]
    half = len(tape) // 2

    async def scenario():
        faults = parse_faults([f"disconnect@{half}"])
        config = SimConfig(speed=0, faults=faults, hold=True)
        async with AlpacaSim(programs_of(tape, (path,)), config) as sim:
            first = await (await client.open(sim, path, packed=packed)).login()
            await first.listen()
            assert await first.read_to_the_end() == 1006
            second = await client.open(sim, path, packed=packed)
            await second.login()
            await second.listen(orderbooks=["BTC/USD"])
            # The tape goes on at once, so that this symbol may be late by some rows.
            assert (await second.listen(trades=["*"], orderbooks=["*"]))["orderbooks"] == [
                "*",
                "BTC/USD",
            ]
            await sim.wait_tape_end(path)
            sent = sim.truth.table()
            mine = truth(sent, 1)
            await second.read_messages(len(mine))
            return second.messages(), sent.to_pylist()

    second, sent = run(scenario())
    assert [message["S"] for message in second[:1]] == ["BTC/USD"] and second[0]["r"] is True
    whole = books_of(m for m in (expected(tape, k, row) for k, row in rows_of(tape)))
    found = books_of(second)
    assert set(found) == set(whole) == {"BTC/USD", "ETH/USD", "SOL/USD"}
    for symbol, book in whole.items():
        assert (found[symbol].bids(), found[symbol].asks()) == (book.bids(), book.asks())
        assert found[symbol].is_valid
    # The truth has each of the books that were made for this listener, whatever its encoding.
    extras = [row for row in sent if row["row"] == -1 and row["connection"] == 1]
    assert len(extras) == 4 and {row["kind"] for row in extras} == {"crypto_books"}
    by_place = {(row["frame"], row["place"]): row for row in sent if row["connection"] == 1}
    for number, message in enumerate(second):
        row = by_place[number, 0]
        if row["row"] == -1:
            (noted,) = json.loads(row["text"])
            assert (noted["S"], noted["b"], noted["a"], noted["r"]) == (
                message["S"],
                message["b"],
                message["a"],
                True,
            )
            assert (row["symbol"], row["event_ns"]) == (message["S"], message["t"])


def test_book_sent_late_is_the_one_at_its_row(tapes, client):
    """With the data before the acknowledgement, the whole book comes after it, and is right."""
    tape, path = tapes["crypto"].only({"crypto_books"}), PATH_OF["crypto"]

    async def scenario():
        faults = parse_faults(["disconnect@300", "data_before_ack=20"])
        # At a rate, so that the acknowledgement comes long before the tape's end.
        config = SimConfig(rate=2000.0, faults=faults, hold=True)
        async with AlpacaSim(programs_of(tape, (path,)), config) as sim:
            first = await (await client.open(sim, path)).login()
            await first.listen()
            await first.read_to_the_end()
            second = await (await client.open(sim, path)).login()
            await second.listen()
            before = sum(map(len, second.frames))
            await sim.wait_tape_end(path)
            rows = sim.truth.table().to_pylist()
            await second.read_messages(sum(row["connection"] == 1 for row in rows))
            return before, second.messages()

    before, messages = run(scenario())
    assert before >= 20
    assert [m["S"] for m in messages[before:] if m.get("r")][:3] == tape.symbols
    whole = books_of(expected(tape, kind, row) for kind, row in rows_of(tape))
    found = books_of(messages)
    assert {s: (b.bids(), b.asks()) for s, b in found.items()} == {
        s: (b.bids(), b.asks()) for s, b in whole.items()
    }


@pytest.mark.parametrize("packed", [False, True], ids=["json", "msgpack"])
def test_faults_strike_in_both_encodings(tapes, client, packed):
    tape, path = tapes["stocks"], PATH_OF["stocks"]

    async def scenario():
        texts = (
            "malformed@10",
            "unknown_type@20",
            "unknown_field@33",
            "error:405@40",
            "fragment@50",
        )
        config = SimConfig(speed=0, faults=parse_faults(texts))
        async with AlpacaSim(programs_of(tape, (path,)), config) as sim:
            mine = await (await client.open(sim, path, packed=packed)).login()
            await mine.listen()
            await mine.read_messages(len(tape) + 1)
            assert mine.control[-1]["code"] == 405
            assert mine.frames[32][0].get("note") == "x" or mine.frames[33][0].get("note") == "x"
            unknown = [row for row in sim.truth.table().to_pylist() if row["kind"] == "unknown"]
            assert [row["fault"] for row in unknown] == ["malformed", "unknown_type"]
            assert json.loads(unknown[1]["text"])[0]["T"] == "zz"

    run(scenario())


@pytest.mark.parametrize("path", sorted(set(PATHS) - {V1_PATH}))
def test_every_path_greets_and_takes_its_channels(tapes, client, path):
    family = PATHS[path]

    async def scenario():
        programs = {path: Program(tapes[family.name])}
        async with AlpacaSim(programs, SimConfig(wait_for=2)) as sim:
            mine = await (await client.open(sim, path, packed=True)).login()
            state = await mine.listen(**{name: ["A"] for name in family.channels})
            assert {key for key in state if key != "T"} == {*family.channels, *family.implied}

    run(scenario())


def test_several_families_share_a_venue_and_unknown_paths_are_404(tapes, client):
    paths = tuple(PATH_OF.values())

    async def scenario():
        async with AlpacaSim(programs_of(tapes, paths), SimConfig(speed=0)) as sim:
            for name, path in PATH_OF.items():
                mine = await (await client.open(sim, path, packed=True)).login()
                await mine.listen(**everything(tapes[name]))
                await mine.read_messages(len(tapes[name]))
            with pytest.raises(websockets.InvalidStatus):
                await client.open(sim, "/v1beta3/crypto/us-1")

    run(scenario())


def test_tape_of_another_family_is_refused_before_anything_opens(tapes):
    with pytest.raises(ConfigError, match="carries crypto, its tape has stocks"):
        AlpacaSim({"/v1beta3/crypto/us": Program(tapes["stocks"])})
    with pytest.raises(ConfigError, match="none of the venue's"):
        programs_of(tapes, ("/v1beta9/crypto",))


def test_truth_on_disk_points_into_the_rows_of_every_kind(tapes, client, tmp_path):
    tape, path = tapes["crypto"], PATH_OF["crypto"]

    async def scenario():
        sim = AlpacaSim(programs_of(tape, (path,)), SimConfig(speed=0), truth_directory=tmp_path)
        async with sim:
            mine = await (await client.open(sim, path)).login()
            await mine.listen()
            await mine.read_messages(len(tape))
            return mine.messages()

    messages = run(scenario())
    folder = tmp_path / "tape" / "v1beta3-crypto-us-0"
    rows = {file.stem: pq.read_table(file).to_pylist() for file in folder.glob("*.parquet")}
    assert set(rows) == set(CRYPTO.kinds)
    for message, sent in zip(messages, read_truth(tmp_path).to_pylist(), strict=True):
        assert message == expected(tape, sent["kind"], rows[sent["kind"]][sent["kind_row"]])
