"""What a journal holds around a moment: the venue's times on both sides, its lag, the symbols."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its module, also under pytest

from heal_world import GAP, LAG_NS, START_NS, TAPE, S, World, frames_of, iso

from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.ledger.heal_plan import Around
from ticktape.recorder.around import look_around


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("around") / "run")
    made.record()
    return made


def around(world, from_ns=GAP[0] + LAG_NS, to_ns=GAP[1] + LAG_NS, **options):
    def open_at(start):
        return Reader(world.run.journal("iex"), None, start)

    return look_around(open_at, "alpaca", "iex", from_ns, to_ns, **options)


def test_the_newest_event_before_a_gap_and_the_least_lag_are_found(world):
    before = [at for at, _ in frames_of(TAPE, ("trades", "quotes")) if at < GAP[0]]
    found = around(world)

    assert found.event_ns == max(before)
    assert found.lag_ns == LAG_NS
    assert found.symbols["trades"] == sorted(TAPE.symbols)


def test_only_what_is_near_is_looked_at(world):
    found = around(world, near_bytes=1)
    assert sum(len(symbols) for symbols in found.symbols.values()) <= 2
    assert found.lag_ns == LAG_NS


def test_a_moment_before_everything_or_behind_it_has_one_side_only(world):
    before = around(world, START_NS - 9 * S, START_NS - 8 * S)
    assert before.event_ns is None
    behind = around(world, world.ended_ns + 9 * S, world.ended_ns + 10 * S)
    # The last bar was sent half a second after its minute.
    assert behind.event_ns == world.ended_ns - LAG_NS - S // 2


def test_a_journal_without_data_says_nothing(tmp_path):
    world = World(tmp_path / "empty")
    assert around(world) == Around(None, 0, {})
    with world.writer() as writer:
        world.say(writer, START_NS, event="started")
    assert around(world) == Around(None, 0, {})


def test_segments_of_silence_are_stepped_over_backwards(tmp_path):
    world = World(tmp_path / "segments")
    config = WriterConfig(segment_bytes=65_536)
    frame = b'[{"T":"t","S":"A","i":1,"x":"V","p":1.5,"s":1,"t":"2025-06-15T15:06:40Z","z":"C"}]'
    with Writer(world.run.journal("iex"), world.run.positions("iex"), config) as writer:
        writer.append([frame], START_NS + LAG_NS, START_NS + LAG_NS)
        for number in range(3):
            world.say(writer, START_NS + (number + 1) * S, event="notice", words="x" * 70_000)
    found = around(world, START_NS + 9 * S, START_NS + 10 * S)

    assert (found.event_ns, found.symbols["trades"]) == (START_NS, ["A"])


def test_a_venue_whose_clock_is_ahead_cannot_stretch_the_window_without_end(tmp_path):
    world = World(tmp_path / "future")
    frame = b'[{"T":"t","S":"A","i":1,"x":"V","p":1.5,"s":1,"t":"2125-06-15T15:06:40Z","z":"C"}]'
    with world.writer() as writer:
        writer.append([frame], START_NS, START_NS)

    assert around(world, START_NS, START_NS + S).lag_ns >= -2 * S


def trade(event_ns):
    content = {"T": "t", "S": "A", "i": 1, "x": "V", "p": 1.5, "s": 1, "t": iso(event_ns), "z": "C"}
    return json.dumps([content]).encode()


def written(tmp_path, rows):
    """A journal with a trade of the venue's time `event_ns` received at `recv_ns`, for each row."""
    world = World(tmp_path / "rows")
    with world.writer() as writer:
        for recv_ns, event_ns in rows:
            writer.append([trade(event_ns)], recv_ns, recv_ns)
    return world


def test_a_clock_that_is_behind_is_known_as_such_however_far(tmp_path):
    behind_ns = 7200 * S
    rows = [(START_NS + n * S, START_NS + n * S + behind_ns) for n in range(20)]
    found = around(written(tmp_path, rows), START_NS + 9 * S, START_NS + 12 * S)

    assert (found.lag_ns, found.event_ns) == (-behind_ns, START_NS + 9 * S + behind_ns)
    assert "our clock was 7,200.0 s behind" in found.words()


def test_one_time_of_the_future_among_others_says_nothing(tmp_path):
    rows = [(START_NS + n * S, START_NS + n * S - 5) for n in range(20)]
    rows[4] = (rows[4][0], rows[4][1] + 86_400 * S)
    found = around(written(tmp_path, rows), START_NS + 9 * S, START_NS + 12 * S)

    assert (found.lag_ns, found.event_ns) == (5, START_NS + 9 * S - 5)
    assert found.words() == ""


def test_a_clock_that_was_set_in_the_gap_leaves_a_spread_that_is_said(tmp_path):
    rows = [(START_NS + n * S, START_NS + n * S) for n in range(10)]
    rows += [(START_NS + n * S, START_NS + n * S - 30 * S) for n in range(12, 20)]
    found = around(written(tmp_path, rows), START_NS + 9 * S, START_NS + 12 * S)

    assert (found.lag_ns, found.spread_ns) == (0, 30 * S)
    assert "0.0 to 30.0 s late" in found.words()


def test_a_bar_of_a_day_says_nothing_of_when_it_was_sent(tmp_path):
    world = World(tmp_path / "daily")
    bar = {
        "T": "d",
        "S": "A",
        "o": 1,
        "h": 1,
        "l": 1,
        "c": 1,
        "v": 1,
        "t": iso(START_NS - 9**5 * S),
    }
    with world.writer() as writer:
        for number in range(10):
            at_ns = START_NS + number * S
            writer.append([json.dumps([bar]).encode()], at_ns, at_ns)

    assert around(world, START_NS + 5 * S, START_NS + 6 * S) == Around(None, 0, {"bars": ["A"]})


def test_of_many_segments_a_few_are_looked_into_and_it_leaves_when_told(tmp_path, monkeypatch):
    world = World(tmp_path / "many")
    config = WriterConfig("os", segment_bytes=65_536)
    with Writer(world.run.journal("iex"), world.run.positions("iex"), config) as writer:
        for number in range(100):
            at_ns = START_NS + number * S
            writer.append([trade(at_ns) + b" " * 70_000], at_ns, at_ns)
    opened = []

    def open_at(start):
        opened.append(start)
        return Reader(world.run.journal("iex"), None, start)

    def look(**more):
        return look_around(
            open_at, "alpaca", "iex", START_NS + 90 * S, START_NS + 93 * S, near_bytes=1, **more
        )

    found = look()
    assert found.event_ns == START_NS + 90 * S
    assert len(opened) < 5
    assert look(is_leaving=lambda: True) is None
