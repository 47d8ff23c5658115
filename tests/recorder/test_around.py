"""What a journal holds around a moment: the venue's times on both sides, its lag, the symbols."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its module, also under pytest

from heal_world import GAP, LAG_NS, START_NS, TAPE, S, World, frames_of

from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer, WriterConfig
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
    assert around(world) == (None, 0, {})
    with world.writer() as writer:
        world.say(writer, START_NS, event="started")
    assert around(world) == (None, 0, {})


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
