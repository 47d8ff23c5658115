"""The terminal's view: what fits, what is said, and that no name can steer the terminal."""

import json
import os
import select
import signal
import subprocess
import sys
import time

import pytest
from rich.cells import cell_len

from ticktape.cli.watch_keys import key_of
from ticktape.cli.watch_state import Order, WatchState
from ticktape.cli.watch_view import view
from ticktape.dashboard.disk import DiskState
from ticktape.dashboard.events import Happening
from ticktape.dashboard.sources import Sample
from ticktape.dashboard.standing import Facts, standing
from ticktape.dashboard.timeline import Percentiles

NOW_MS = 1_795_650_000_000
STAGES = ("written", "synced", "last", "stored")
EVIL = "A\x1b[2J\x07\u202e[bold]\r\n"
GB = 1_000_000_000


def a_feed(name, state="receiving", **more):
    known = {"since": "", "words": "", "sessions": 1, "planned": False, "kind": "alpaca"}
    counts = {"entries": 1_234_567, "bytes": 9_900_000, "journal": "ok"}
    return {"name": name, "state": state, "heard_ms": NOW_MS - 40, **known, **counts, **more}


def a_happening(number, **more):
    at = f"2026-11-26T00:00:{number % 60:02}.5Z"
    known = {"who": "sip", "event": "down", "words": f"for the time {number}", "tone": "doubtful"}
    return Happening(at, *({**known, **more}.values()))


def a_sample(rows=(), *, feeds=("sip",), log=(), said=None, points=(), disk=None, lags=True):
    """A sample; rows as {symbol: (price, milliseconds since it was received)}."""
    rows = dict(rows)
    facts = said or Facts(
        NOW_MS * 1_000_000, is_live=True, heard_ns=NOW_MS * 1_000_000, stopped=False
    )
    figures = Percentiles(120.0, 900.0, 2_500.0, 40_000.0, 1000)
    parts = {
        "run": {"directory": "runs/demo", "version": "0"},
        "standing": standing(facts)._asdict(),
        "feeds": [each if isinstance(each, dict) else a_feed(each) for each in feeds],
        "history": {},
        "log": list(log),
        "stages": {
            "names": list(STAGES),
            "lag_s": dict.fromkeys(STAGES, 0.0) if lags else {},
            "latency": dict.fromkeys(STAGES, figures),
        },
        "disk": disk or DiskState(GB, GB, 0, 0, 80 * GB, GB, 1_000_000.0, 79_000.0),
        "certificate": None,
    }
    values = {
        number: [price, 100.0, price, 3.0, price, 4.0, float(NOW_MS - ago), float(NOW_MS), None]
        for number, (price, ago) in enumerate(rows.values())
    }
    symbols = [("sip", symbol) for symbol in rows]
    return Sample(NOW_MS, parts, symbols, values, list(points), [], {})


def shown(sample, width=80, height=24, symbols=(), **more):
    state = WatchState(symbols)
    state.take(sample)
    return [line.plain for line in view(state, width, height, **more)]


MANY = {f"SYM{number:03}": (10.5 + number, number) for number in range(300)}


@pytest.mark.parametrize("width", [1, 60, 80, 140])
@pytest.mark.parametrize("height", [1, 12, 24, 50])
@pytest.mark.parametrize("feeds", [["sip"], [f"feed-{number:02}" for number in range(40)]])
def test_the_view_fits_the_terminal_exactly(width, height, feeds):
    lines = shown(a_sample(MANY, feeds=feeds, log=map(a_happening, range(50))), width, height)
    assert len(lines) <= height
    assert height < 24 or len(lines) == height
    assert max(map(cell_len, lines)) <= width


def test_at_80_by_24_everything_that_matters_is_there():
    text = "\n".join(shown(a_sample(MANY, log=map(a_happening, range(50)))))
    for words in (
        "RECORDING  runs/demo",
        "Recording; every stage keeps up.",
        "1,234,567",
        "written",
        "stored",
        "120 µs",
        "40.0 ms",
        "SYM000",
        "10.50",
        "00:00:49 sip down  for the time 49",
        "free 80.0 GB",
        "full in 22 h",
        "q ends this view alone",
    ):
        assert words in text


def test_a_stale_run_says_so_in_words():
    hour_ago = (NOW_MS - 3_600_000) * 1_000_000
    live = Facts(NOW_MS * 1_000_000, is_live=True, heard_ns=hour_ago, stopped=False)
    lines = shown(a_sample(said=live))
    assert lines[0].startswith("STALE")
    assert "nothing heard for 60 min: these values are old." in " ".join(lines[1:3])
    lines = shown(a_sample(said=live._replace(is_live=False), lags=False))
    gone = " ".join(lines)
    assert "The recorder is gone and did not say goodbye; last heard 60 min ago." in gone
    assert "gone" in next(line for line in lines if line.startswith("sip"))
    assert "receiving" not in gone


def test_names_cannot_steer_the_terminal():
    evil_feed = a_feed(EVIL, EVIL, words=EVIL, journal=EVIL)
    log = [a_happening(1, who=EVIL, words=EVIL)]
    for height in (24, None):
        lines = shown(a_sample({EVIL: (1.0, 5)}, feeds=[evil_feed], log=log), 200, height)
        assert any("\\x1b[2J" in line for line in lines)
        assert all(line.isprintable() for line in lines)


def test_of_many_feeds_those_in_trouble_are_shown_and_the_rest_is_counted():
    feeds = [a_feed(f"good-{number}") for number in range(30)] + [a_feed("bad", "down")]
    lines = shown(a_sample(feeds=feeds))
    assert any(line.startswith("bad") for line in lines)
    assert any(line.startswith("… and ") for line in lines)


def test_what_was_dropped_is_said_beside_the_feed():
    line = next(
        line for line in shown(a_sample(feeds=[a_feed("sip", dropped=1_200)])) if "sip " in line
    )
    assert "1,200 dropped" in line


def test_what_changed_stands_newest_first_without_the_steps_of_connecting():
    log = [a_happening(1), a_happening(2, event="connecting"), a_happening(3, event="alarm")]
    lines = shown(a_sample(log=log))
    at = next(number for number, line in enumerate(lines) if "newest first" in line)
    assert [line.split()[2] for line in lines[at + 1 : at + 3]] == ["alarm", "down"]


def test_a_disk_without_room_is_said():
    disk = DiskState(GB, GB, 0, 0, GB // 2, GB, None, None)
    assert any("less than reserve_bytes is free" in line for line in shown(a_sample(disk=disk)))


# Symbols.


def test_only_the_symbols_that_are_named_are_shown_in_their_order():
    lines = shown(a_sample(MANY), symbols=("SYM200", "NOPE", "SYM003"))
    found = [line.split()[1] for line in lines if line.startswith("sip ") and "SYM" in line]
    assert found == ["SYM200", "SYM003"]
    assert "no value of NOPE" in lines


def test_the_busiest_symbol_is_the_one_whose_values_are_youngest_as_a_rule():
    state = WatchState()
    for look in range(40):
        # B comes at each look, A at every eighth; at the end A is the newer one.
        ages = {"A": (1.0, 0 if look % 8 == 7 else 9_000), "B": (2.0, 300)}
        state.take(a_sample(ages))
    assert [row.symbol for row in state.rows()] == ["B", "A"]
    state.next_order()
    assert state.order is Order.NEWEST
    assert [row.symbol for row in state.rows()] == ["A", "B"]
    state.next_order()
    assert [row.symbol for row in state.rows()] == ["A", "B"]
    state.next_order()
    assert state.order is Order.BUSIEST


def test_a_symbol_that_appears_later_is_shown_at_once():
    state = WatchState()
    state.take(a_sample({"A": (1.0, 5)}))
    state.take(a_sample({"A": (1.0, 5), "B": (2.0, 1)}))
    assert {row.symbol for row in state.rows()} == {"A", "B"}


def test_scrolling_ends_at_the_last_symbol():
    few = shown(a_sample(MANY), skip=10_000)
    assert any("SYM299" in line for line in few)


def test_rates_are_of_the_newest_final_seconds():
    state = WatchState()
    points = [[second, [second * 10, 0, 0, 0], [0] * 4] for second in range(1, 11)]
    state.take(a_sample(points=points))
    assert state.rates()["written"] == (60 + 70 + 80 + 90 + 100) / 5


# Keys.


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"q", "q"),
        (b"\x1b", "q"),
        (b"\x1b[A", "up"),
        (b"\x1bOB", "down"),
        (b"\x1b[6~", "page down"),
        (b"\x1b[B\x1b[B", "down"),
        (b"\x1b[24~", "other"),
        (b"\xff", ""),
        (b"", "q"),
    ],
)
def test_keys_are_known_by_what_terminals_send(raw, key):
    assert key_of(raw) == key


# The verb.


def test_without_a_terminal_the_present_state_is_printed_once(said, demo):
    code, out, _ = said("watch", demo)
    assert code == 0
    assert "No recorder" in out or "Ended" in out
    assert "IBM" in out
    assert "\x1b" not in out
    assert all(len(line) <= 120 for line in out.splitlines())


def test_json_has_what_the_page_has(said, demo):
    code, out, _ = said("watch", demo, "IBM", "NOPE", "--json")
    state = json.loads(out)
    assert code == 0
    assert {feed["name"] for feed in state["feeds"]} == {"sip", "mt5"}
    assert [row["symbol"] for row in state["values"]] == ["IBM"]
    assert state["missing"] == ["NOPE"]
    assert state["latency_us"]["written"]["count"] > 0


def test_a_folder_without_a_run_is_a_fault(said, tmp_path):
    code, _, err = said("watch", tmp_path)
    assert code == 2
    assert "no ticktape run here" in err


# A real terminal, as ssh gives one.

WATCH = """
import sys
from pathlib import Path
from ticktape.cli.watch import watch
sys.exit(watch(Path(sys.argv[1])))
"""


class Terminal:
    """`watch` on a terminal of 80 by 24."""

    def __init__(self, directory):
        import fcntl
        import struct
        import termios

        self._ours, its = os.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", WATCH, str(directory)],
            stdin=its,
            stdout=its,
            stderr=subprocess.PIPE,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        os.close(its)
        self.shown = b""

    def until(self, words, seconds=240):
        """Read until these words are shown since the last time."""
        until = time.monotonic() + seconds
        begin = len(self.shown)
        while words not in self.shown[begin:]:
            assert time.monotonic() < until, self.shown[begin:]
            if select.select([self._ours], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self._ours, 65_536)
                except OSError:  # Linux says so when the other end is closed
                    assert words in self.shown[begin:], self.shown[begin:]

    def press(self, key):
        os.write(self._ours, key)

    def close(self):
        self.process.kill()
        self.process.communicate()
        os.close(self._ours)


@pytest.fixture
def terminal(demo):
    pytest.importorskip("termios", reason="this system has no terminals of that kind")
    opened = Terminal(demo)
    yield opened
    opened.close()


def test_keys_sort_and_end_the_view_and_the_terminal_is_as_before(terminal):
    terminal.until(b"q ends this view alone")
    assert b"\x1b[?1049h" in terminal.shown
    terminal.press(b"s")
    terminal.until(b"(newest)")
    terminal.press(b"q")
    terminal.until(b"\x1b[?1049l")
    assert terminal.process.wait(240) == 0


def test_a_signal_leaves_the_terminal_as_before(terminal):
    terminal.until(b"q ends this view alone")
    terminal.process.send_signal(signal.SIGTERM)
    terminal.until(b"\x1b[?1049l")
    assert terminal.process.wait(240) == 0
