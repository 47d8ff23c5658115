"""The module over a real rpyc server, as a client of the bridge under Wine sees it."""

import json
import os
import signal
import subprocess
import sys

import pytest

rpyc = pytest.importorskip("rpyc")


@pytest.fixture
def bridge(tmp_path):
    """The command's process and its ready line."""
    options = ["--book", "A=generated:levels=4", "--warm-s", "0", "--rpyc-port", "0"]
    child = subprocess.Popen(
        [sys.executable, "-m", "ticktape.cli.sim", "mt5", str(tmp_path), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        yield child, json.loads(child.stdout.readline())
        child.terminate()


def connect(ready):
    from rpyc.core.service import MasterService

    return rpyc.connect("127.0.0.1", ready["rpyc_port"], service=MasterService)


REMOTE = """
import struct
import MetaTrader5 as mt5
def book(symbol):
    rows = mt5.market_book_get(symbol)
    return None if rows is None else b"".join(struct.pack("<IdQd", *row) for row in rows)
def call(name, *arguments):
    return getattr(mt5, name)(*arguments), mt5.last_error()
"""


def test_a_book_comes_as_bytes_through_the_bridge(bridge):
    _, ready = bridge
    with connect(ready) as server:
        server.execute(REMOTE)
        call, book = server.namespace["call"], server.namespace["book"]
        assert call("market_book_add", "A") == (False, (1, "Success"))
        assert book("A") is None
        assert call("initialize") == (True, (1, "Success"))
        assert call("market_book_add", "A") == (True, (1, "Success"))
        assert len(book("A")) == 8 * 28
        assert call("version")[0] == (500, 6231, "27 Sep 2026")
        # A struct sequence is no plain tuple: it stays over there, and only a name comes.
        assert server.eval("type(mt5.market_book_get('A')[0]).__name__") == "BookInfo"
        assert type(server.eval("mt5.market_book_get('A')[0]")) is not tuple


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_server_s_death_is_an_end_of_file_and_not_the_terminal_s(bridge):
    child, ready = bridge
    server = connect(ready)
    os.kill(ready["rpyc_pid"], signal.SIGKILL)
    with pytest.raises(EOFError):
        server.eval("1")
    server.close()
    assert child.poll() is None


def test_the_server_ends_with_the_command(bridge):
    child, ready = bridge
    server = connect(ready)
    child.terminate()
    assert child.wait(240) == 0
    with pytest.raises(EOFError):
        server.eval("1")
    server.close()
