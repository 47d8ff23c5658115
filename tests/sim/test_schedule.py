from random import Random

from ticktape.sim.faults import parse_faults
from ticktape.sim.schedule import Schedule

ROWS = 10_000


def schedule(*texts, frame_rows=1, seed=0):
    return Schedule(parse_faults(texts), frame_rows, Random(seed))


def struck(made, frame_rows=1):
    """Play all rows, frame by frame; return at which row each fault struck."""
    cursor, found = 0, []
    while cursor < ROWS:
        cursor = max(cursor, made.stop(0, cursor, min(cursor + frame_rows, ROWS)))
        while (fault := made.take(0, cursor, min(cursor + frame_rows, ROWS))) is not None:
            found.append((cursor, fault.name))
            if fault.name == "corrupt":
                cursor += frame_rows
    return found


def test_one_after_a_message_stops_there_and_one_in_a_frame_before_it():
    made = schedule("mute@25", "huge@47", frame_rows=10)
    assert made.stop(0, 0, 100) == 25
    assert made.take(0, 20, 30) is None
    assert made.take(0, 25, 30).name == "mute"
    assert made.stop(0, 25, 100) == 40
    assert made.take(0, 40, 50).name == "huge"
    assert made.stop(0, 50, 100) == 100


def test_frame_that_may_not_be_sent_yet_is_not_spoilt():
    made = schedule("huge@47", frame_rows=10)
    assert made.take(0, 40, 0) is None
    assert made.take(0, 40, 50).name == "huge"


def test_rows_count_over_all_passes():
    made = schedule("mute@125")
    assert made.stop(0, 0, 100) == 100
    assert made.stop(100, 0, 100) == 25


def test_time_becomes_the_place_where_the_tape_is():
    made = schedule("mute@2.5s", "huge@9")
    assert made.timed and made.stop(0, 0, 100) == 8
    made.arm(2.4, 3)
    assert made.take(0, 3, 4) is None
    made.arm(2.5, 3)
    assert not made.timed and made.take(0, 3, 4).name == "mute"


def test_one_frame_in_so_many_is_struck_again_and_again_the_same_for_a_seed():
    found = struck(schedule("corrupt=100", frame_rows=10), frame_rows=10)
    assert 6 <= len(found) <= 16  # of 1,000 frames; 10 are expected
    assert len({row for row, _ in found}) == len(found)
    assert found == struck(schedule("corrupt=100", frame_rows=10), frame_rows=10)
    assert found != struck(schedule("corrupt=100", frame_rows=10, seed=1), frame_rows=10)


def test_every_frame_may_be_struck():
    assert len(struck(schedule("corrupt=1"))) == ROWS
