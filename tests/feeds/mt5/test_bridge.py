"""A terminal over RPyC: what crosses, what cannot, and that every wait ends."""

import os
import signal
import socket
import sys
import threading

import pytest

from ticktape import mt5
from ticktape.errors import Disconnected, Refused
from ticktape.feeds.mt5.bridge import BridgeTerminal
from ticktape.feeds.mt5.terminal import Account, Facts, Health

# What a server of rpyc 5.3.1 sends to a client of rpyc 6.0.2 that connects: it cannot read the
# request for its root, and asks to close. Recorded by a proxy between the two on loopback.
RPYC_5_ANSWER = bytes.fromhex("000000080012515011521151020a")


def rows(number, levels=3):
    return mt5.pack_rows(
        (1 + (i >= levels), 100.0 + levels - i, number, number + 0.25) for i in range(2 * levels)
    )


class Answering:
    """A plain server that answers whatever connects with the same bytes, and closes."""

    def __init__(self, answer):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run, args=(answer,))
        self.thread.start()

    def run(self, answer):
        connection, _ = self.socket.accept()
        with connection:
            connection.recv(4_096)
            connection.sendall(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.thread.join()
        self.socket.close()


# Opening.


def test_opens_with_the_account_and_says_what_it_found(served):
    account = {"login": "4711", "password": 'it\'s "secret"', "server": "Broker-Demo"}
    terminal = served.terminal(**account, timeout_ms=1_000)
    assert terminal.open() == Facts(5320, "5.0.6231", "Broker-Demo", "A Broker")
    given = served.market.arguments
    assert (given["login"], given["password"], given["timeout"]) == (
        4711,
        account["password"],
        1_000,
    )
    terminal.close([])


def test_another_account_is_refused_without_its_number(served):
    with pytest.raises(Refused) as caught:
        served.terminal(login="99").open()
    assert "4711" not in str(caught.value)
    with pytest.raises(Refused, match="logged in at 'Broker-Demo'"):
        served.terminal(server="Other").open()


def test_a_terminal_nobody_is_logged_in_to_is_said_in_words(served):
    served.market.open_code = -10_005
    with pytest.raises(Disconnected, match="nobody is logged in"):
        served.terminal().open()


def test_nothing_that_listens_is_said_with_how_to_start_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Disconnected, match="no bridge at rpyc://") as caught:
        BridgeTerminal(Account(), "127.0.0.1", port).open()
    assert "rpyc.cli.rpyc_classic --host 127.0.0.1" in caught.value.hint


def test_without_rpyc_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rpyc", None)
    with pytest.raises(Refused) as caught:
        BridgeTerminal(Account(), "127.0.0.1", 1).open()
    assert caught.value.hint == "pip install 'ticktape[mt5-linux]'"


def test_another_major_version_of_rpyc_is_refused_in_words():
    pytest.importorskip("rpyc", minversion="6")
    with (
        Answering(RPYC_5_ANSWER) as server,
        pytest.raises(Refused, match="another major version than 6"),
    ):
        BridgeTerminal(Account(), "127.0.0.1", server.port).open()


def test_a_server_that_only_closes_is_one_that_is_gone():
    pytest.importorskip("rpyc")
    with Answering(b"") as server, pytest.raises(Disconnected, match="closed the connection"):
        BridgeTerminal(Account(), "127.0.0.1", server.port).open()


def test_a_server_without_the_package_is_refused_with_what_to_install(served):
    served.kill()
    served.start("-P")  # the stand-in's folder is not on its path
    with pytest.raises(Refused, match="cannot import MetaTrader5") as caught:
        served.terminal().open()
    assert "numpy<2" in caught.value.hint


def test_our_side_exposes_nothing_to_the_server(bridge):
    service = bridge._link.connection._local_root
    exposed = [name for name in dir(service) if name.startswith("exposed_")]
    assert sorted(exposed) == ["exposed_get_service_aliases", "exposed_get_service_name"]


# Asking.


def test_books_come_byte_for_byte_and_an_empty_one_is_no_error(served, bridge):
    served.market.clear("SiZ6")
    first, second = bridge.poll(["RIZ6", "SiZ6"])
    assert (first.symbol, first.image, first.code) == ("RIZ6", rows(1), 0)
    assert (second.symbol, second.image, second.code) == ("SiZ6", b"", 0)
    assert bridge.poll([]) == []


def test_an_error_is_its_symbols_own_with_code_and_text(served, bridge):
    served.market.codes["RIZ6"] = -1
    first, second = bridge.poll(["RIZ6", "SiZ6"])
    assert (first.image, first.code, first.text) == (None, -1, "Terminal: Call failed")
    assert second.image == rows(1)


def test_nothing_is_asked_after_the_link_to_the_terminal_broke(served, bridge):
    served.market.codes["RIZ6"] = -10_002
    (only,) = bridge.poll(["RIZ6", "SiZ6"])
    assert (only.image, only.code) == (None, -10_002)


def test_brackets_enclose_the_true_ones_and_stay_within_the_request(bridge):
    """Both processes read one clock here, so that the server's stamps are the truth."""
    clock = bridge._monotonic_ns
    for _ in range(200):
        sent_ns = clock()
        answers = bridge.poll(["RIZ6", "SiZ6"])
        arrived_ns = clock()
        for answer in answers:
            before, after, _ = answer.remote
            assert sent_ns <= answer.before_ns <= before
            assert after <= answer.after_ns <= arrived_ns


def test_every_stamp_names_a_clock_map_that_was_told(bridge):
    (answer, _) = bridge.poll(["RIZ6", "SiZ6"])
    maps = bridge.clock_maps()
    assert answer.remote.clock_map in [note.number for note in maps]
    assert sorted(maps[0]._asdict()) == ["error_ns", "number", "offset_ns", "taken_mono_ns"]
    # One clock: the truth is no offset at all.
    assert all(abs(note.offset_ns) <= note.error_ns for note in maps)


def test_ticks_come_byte_for_byte(served, bridge):
    served.market.put_ticks((1_000, 1_500, 2_000))
    answer = bridge.copy_ticks("RIZ6", 1, 10)
    times = [tick[5] for tick in mt5.TICK.iter_unpack(answer.rows)]
    assert (times, answer.code) == ([1_000, 1_500, 2_000], 0)
    assert answer.before_ns <= answer.after_ns
    assert bridge.copy_ticks("RIZ6", 3, 10).rows == b""
    assert bridge.last_tick_msc("RIZ6") == 2_000
    served.market.codes["RIZ6"] = -1
    answer = bridge.copy_ticks("RIZ6", 1, 10)
    assert (answer.rows, answer.code) == (None, -1)
    assert bridge.last_tick_msc("RIZ6") == 0


def test_a_link_that_broke_ends_every_call_but_a_poll(served, bridge):
    served.market.codes[""] = -10_004
    for call in (
        bridge.health,
        lambda: bridge.copy_ticks("RIZ6", 1, 10),
        lambda: bridge.last_tick_msc("RIZ6"),
        lambda: bridge.subscribe("RIZ6", book=True),
    ):
        with pytest.raises(Disconnected, match="the terminal is gone"):
            call()
    served.market.codes.clear()
    assert bridge.open().build == 5320


def test_subscribes_once_and_releases_on_leaving(served, bridge):
    assert bridge.subscribe("RIZ6", book=True) is None
    assert bridge.subscribe("SiZ6", book=False) is None
    assert list(served.market.added) == ["RIZ6"]
    bridge.close(["RIZ6"])
    assert list(served.market.added) == []
    bridge.close(["RIZ6"])  # twice does no harm


def test_a_symbol_that_is_not_there_is_named_with_what_is_near(bridge):
    refusal = bridge.subscribe("RIZ6.x", book=True)
    assert "no symbol RIZ6.x (-4" in refusal.words
    assert "RIZ6" in refusal.hint


def test_what_a_config_holds_is_an_argument_and_never_code(served, bridge):
    refusal = bridge.subscribe("X'); market.opened = 99; ('", book=True)
    assert "has no symbol X');" in refusal.words
    assert served.market.opened == 1


def test_a_book_that_cannot_be_subscribed_is_said_in_words(served, bridge):
    served.market.books["EURUSD"] = None
    assert "no depth of market" in bridge.subscribe("EURUSD", book=True).words
    served.market.connected = False
    assert "no link to its trade server" in bridge.subscribe("EURUSD", book=True).words
    assert bridge.health() == Health(False, 1_500, 5320)


def test_an_instrument_has_its_lasting_fields(bridge):
    assert bridge.instrument("RIZ6") == {"digits": 5, "point": 0.00001}
    assert bridge.instrument("NOPE") == {}


# Ends.


def test_a_killed_server_is_gone_in_words_and_the_next_one_is_opened(served, bridge):
    served.kill()
    with pytest.raises(Disconnected, match=r"the bridge at rpyc://.* is gone"):
        bridge.poll(["RIZ6"])
    with pytest.raises(Disconnected, match="is not connected"):
        bridge.poll(["RIZ6"])
    with pytest.raises(Disconnected, match="no bridge at"):
        bridge.open()
    served.restart()
    served.market.put("RIZ6", 5)
    bridge.open()
    assert bridge.poll(["RIZ6"])[0].image == rows(5)


def test_a_hung_terminal_ends_the_session_within_the_call_timeout(served):
    served.market.put("RIZ6", 1)
    terminal = served.terminal(call_timeout_s=0.3)
    terminal.open()
    served.market.hangs = True
    with pytest.raises(Disconnected, match=r"did not answer for 0\.3 s"):
        terminal.poll(["RIZ6"])
    served.market.hangs = False
    terminal.open()
    assert terminal.poll(["RIZ6"])[0].image == rows(1)
    terminal.close([])


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no stopped process")
def test_a_frozen_server_ends_every_wait_also_that_of_leaving(served):
    served.market.put("RIZ6", 1)
    terminal = served.terminal(call_timeout_s=0.3)
    terminal.open()
    served.process.send_signal(signal.SIGSTOP)
    os.waitpid(served.process.pid, os.WUNTRACED)  # until it stands still
    try:
        with pytest.raises(Disconnected, match="did not answer"):
            terminal.poll(["RIZ6"])
        with pytest.raises(Disconnected, match="did not answer"):
            terminal.open()
        terminal.close(["RIZ6"])
    finally:
        served.process.send_signal(signal.SIGCONT)


def test_what_the_server_raises_is_said_and_the_connection_made_anew(served, bridge):
    served.market.books["RIZ6"] = ((1, "no price", 1, 1.0),)
    with pytest.raises(Disconnected, match="failed in books"):
        bridge.poll(["RIZ6"])
    served.market.put("RIZ6", 2)
    bridge.open()
    assert bridge.poll(["RIZ6"])[0].image == rows(2)
