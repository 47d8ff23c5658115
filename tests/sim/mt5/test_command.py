"""The command `ticktape sim mt5`, as a program that starts it sees it."""

import signal
import sys

import pyarrow.parquet as pq
import pytest

from ticktape.sim.mt5 import AS_MODULE, BookDescription, Description, Terminal

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def test_a_client_attaches_to_the_command_and_sees_its_truth(command, tmp_path, ask):
    child = command(
        tmp_path / "world",
        *("--book", "EURUSD=generated:levels=5,rate=200", "--book", "BTC=shipped"),
        *("--warm-s", "0", "--truth", tmp_path / "truth", "--until-stdin-closes"),
    )
    ready = child.next()
    assert ready["event"] == "ready" and ready["pythonpath"] == str(AS_MODULE)
    assert ready["rpyc_port"] is None
    assert ready["path"] == str(tmp_path / "world" / "terminal64.exe")
    lines = ask(
        f"""
import MetaTrader5 as mt5
from time import perf_counter_ns
print(mt5.initialize({ready["path"]!r}), mt5.__version__, mt5.TICK_FLAG_BID, mt5.BOOK_TYPE_BUY)
print(mt5.market_book_add("EURUSD"), mt5.market_book_add("BTC"), mt5.account_info().server)
for _ in range(300):
    before = perf_counter_ns()
    book = mt5.market_book_get("EURUSD")
    print(before, perf_counter_ns(), book[-1].volume_dbl)
"""
    )
    assert lines[:2] == ["True 5.0.6231 2 2", "True True Demo-Server"]
    assert child.end() == 0
    table = pq.read_table(tmp_path / "truth" / "books.parquet")
    rows = [row for row in table.to_pylist() if row["symbol"] == "EURUSD"]
    changed = {row["state"]: row["change_mono_ns"] for row in rows}
    assert len(lines) == 302
    for line in lines[2:]:
        before, after, volume = line.split()
        number = round(float(volume) * 100) - 1
        assert changed[number] <= int(after) and changed[number + 1] > int(before)
    assert {row["symbol"] for row in table.to_pylist()} == {"EURUSD", "BTC"}


def test_the_environment_names_the_terminal(tmp_path, ask):
    description = Description(books={"E": BookDescription(kind="empty")})
    with Terminal(tmp_path / "world", description) as terminal:
        terminal.start()
        script = "import MetaTrader5 as m; print(m.initialize(), m.last_error()[0])"
        assert ask(script, tmp_path / "world") == ["True 1"]
        assert ask(script, terminal.world.executable) == ["True 1"]
        assert ask(script) == ["False -10003"]


def test_the_end_of_a_recording_is_told_and_ends_the_command(command, tmp_path):
    child = command(tmp_path, "--book", "A=shipped", "--speed", "1000x", "--linger-s", "0")
    assert child.next()["event"] == "ready"
    assert child.next() == {"event": "tape_end", "symbol": "A", "start": 1, "states": 6547}
    assert child.process.wait(240) == 0


@needs_posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_on_a_signal_and_marks_the_terminal_dead(command, tmp_path, number, ask):
    child = command(tmp_path)
    child.next()
    child.process.send_signal(number)
    assert child.process.wait(240) == 0
    script = "import MetaTrader5 as m; print(m.initialize(), m.last_error()[0])"
    assert ask(script, tmp_path) == ["False -10003"]


def test_all_mistakes_are_told_together(command, tmp_path):
    child = command(
        tmp_path / "world",
        *("--book", "A=generated:odd=1", "--fault", "explode@1s", "--speed", "fast"),
        *("--spikes", "2", "--latency-us", "-1"),
    )
    out, err = child.process.communicate(timeout=240)
    assert child.process.returncode == 2 and out == ""
    for word in ("5 faults", "odd", "explode", "fast", "--spikes", "--latency-us", "disconnect@T"):
        assert word in err
    assert not (tmp_path / "world").exists()


def test_a_second_terminal_in_the_same_directory_is_refused(command, tmp_path):
    command(tmp_path).next()
    second = command(tmp_path)
    _, err = second.process.communicate(timeout=240)
    assert second.process.returncode == 2 and "already runs" in err
