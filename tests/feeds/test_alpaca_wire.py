"""Alpaca's bytes: which encoding a message is in, what the upgrade request says, frames' sizes."""

import json

import msgpack
import pytest

from ticktape.errors import ConfigError
from ticktape.feeds import protocol_maker, upgrade_headers
from ticktape.feeds.alpaca_wire import JSON, MSGPACK, by_channel, cut_to_size, wire_of
from ticktape.feeds.protocol import Send

PACKED = {"Content-Type": "application/msgpack"}
GREETING = [{"T": "success", "msg": "connected"}]


@pytest.mark.parametrize("count", [1, 15, 16, 70_000])
def test_encoding_of_a_message_is_seen_by_its_first_byte(count):
    messages = GREETING * count
    assert wire_of(msgpack.packb(messages)) is MSGPACK
    for indent in (None, 1):
        assert wire_of(json.dumps(messages, indent=indent).encode()) is JSON
    assert wire_of(b"\n " + json.dumps(messages).encode()) is JSON


@pytest.mark.parametrize(("encoding", "kind"), [("json", {}), ("msgpack", PACKED)])
def test_upgrade_request_names_the_encoding_and_the_keys_only_if_they_go_this_way(encoding, kind):
    def made(key="the-key", auth="headers"):
        return upgrade_headers("alpaca", key, "the-secret", encoding=encoding, auth=auth)

    assert made(auth="message") == kind
    assert made() == kind | {"APCA-API-KEY-ID": "the-key", "APCA-API-SECRET-KEY": "the-secret"}
    for token in ("oauth", "access_token"):
        assert made(token) == kind | {"Authorization": "Bearer the-secret"}
        assert made(token, "message") == kind


def test_the_retired_protocol_has_no_headers():
    assert upgrade_headers("alpaca_v1", "k", "s", encoding="msgpack", auth="headers") == {}


@pytest.mark.parametrize("key", ["oauth", "access_token"])
def test_token_goes_by_message_as_it_is(key):
    protocol = protocol_maker("alpaca")(key, "the-token", {})
    (send,) = protocol.receive(json.dumps(GREETING).encode())
    assert json.loads(send.payload) == {"action": "auth", "key": key, "secret": "the-token"}


def test_protocol_is_made_as_the_config_says():
    packed = msgpack.packb(GREETING)
    protocol = protocol_maker("alpaca", encoding="msgpack")("k", "s", {})
    (send,) = protocol.receive(packed)
    assert isinstance(send, Send) and send.is_binary
    assert msgpack.unpackb(send.payload) == {"action": "auth", "key": "k", "secret": "s"}
    by_headers = protocol_maker("alpaca", encoding="msgpack", auth="headers")("k", "s", {})
    assert by_headers.receive(packed) == []
    assert protocol_maker("alpaca_v1", encoding="json", auth="message")("k", "s", {}).open()
    with pytest.raises(ConfigError, match="is not known"):
        protocol_maker("alpacca")


def test_requests_hold_every_pair_once_in_its_order_and_fit_into_a_frame():
    pairs = [("trades", f"S{n:04}") for n in range(5000)] + [("bars", '"ü' * n) for n in range(200)]
    requests = cut_to_size(pairs)
    assert [pair for request in requests for pair in request] == pairs
    for request in requests:
        message = {"action": "unsubscribe", **by_channel(request)}
        assert max(len(MSGPACK.encode(message)), len(JSON.encode(message))) <= 32_768
    assert cut_to_size([]) == []
