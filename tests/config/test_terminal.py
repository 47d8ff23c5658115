"""Where a terminal is, in the three forms that a config may say it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.config.terminal import bridge_of, polled_symbol_fault, with_absolute_terminal

BASE = Path("/config")


@pytest.mark.parametrize(
    ("terminal", "place"),
    [
        ("rpyc://127.0.0.1:18812", ("127.0.0.1", 18812)),
        ("rpyc://wine-host:1", ("wine-host", 1)),
        ("rpyc://[::1]:8001", ("::1", 8001)),
        ("module", None),
        ("C:/Program Files/MetaTrader 5/terminal64.exe", None),
        (r"\\host\share\terminal64.exe", None),
        ("rpyc", None),
    ],
)
def test_a_bridge_is_told_from_a_terminal_of_this_machine(terminal, place):
    assert bridge_of(terminal) == place


@pytest.mark.parametrize(
    "terminal",
    [
        "rpyc://",
        "rpyc://127.0.0.1",
        "rpyc://127.0.0.1:",
        "rpyc://:18812",
        "rpyc://127.0.0.1:0",
        "rpyc://127.0.0.1:65536",
        "rpyc://127.0.0.1:port",
        "rpyc://127.0.0.1:18812/",
        "rpyc://127.0.0.1:18812?ssl=1",
        "rpyc://127.0.0.1:18812#x",
        "rpyc://user@127.0.0.1:18812",
        "rpyc://[::1:18812",
        # What looks like a bridge must never be taken for the terminal of this machine.
        "rpc://127.0.0.1:18812",
        "RPYC://127.0.0.1:18812",
        "http://127.0.0.1:18812",
        "tcp://rpyc://127.0.0.1:18812",
    ],
)
def test_what_should_be_a_bridge_and_is_none_is_refused(terminal):
    with pytest.raises(ValueError, match=r"."):
        bridge_of(terminal)


@given(st.text())
def test_no_text_is_more_than_a_bridge_a_terminal_or_a_value_error(terminal):
    try:
        place = bridge_of(terminal)
    except ValueError:
        assert "://" in terminal
        return
    assert (place is None) == ("://" not in terminal)


@pytest.mark.parametrize(
    ("terminal", "wanted"),
    [
        ("module", "module"),
        ("", ""),
        ("rpyc://host:1", "rpyc://host:1"),
        ("C:/mt5/terminal64.exe", "C:/mt5/terminal64.exe"),
        ("c:\\mt5\\terminal64.exe", "c:\\mt5\\terminal64.exe"),
        ("mt5/terminal64.exe", str(BASE / "mt5" / "terminal64.exe")),
        ("./module", str(BASE / "module")),
        ("/opt/terminal64.exe", str(Path("/opt/terminal64.exe"))),
    ],
)
def test_only_a_relative_path_counts_from_the_config(terminal, wanted):
    assert with_absolute_terminal(terminal, BASE) == wanted


@pytest.mark.parametrize("symbol", ["EURUSD", "GOLD.i#", "Öl", "a b", "A" * 30, "\U0001f600" * 15])
def test_brokers_call_symbols_as_they_like(symbol):
    assert polled_symbol_fault(symbol) == ""


@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        ("", "as Market Watch shows it"),
        ("  ", "as Market Watch shows it"),
        ("*", "as Market Watch shows it"),
        ("A" * 31, "longer than the 30 characters"),
        # Of each such sign the package counts two.
        ("\U0001f600" * 16, "longer than the 30 characters"),
    ],
)
def test_what_no_terminal_takes_as_a_symbol_is_refused(symbol, words):
    assert words in polled_symbol_fault(symbol)
