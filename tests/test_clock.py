"""The clock that a test may set on another day."""

import os
import subprocess
import sys
import time

from ticktape import clock

LOOK = """
from ticktape import clock
wall = clock.WallClock()
print(clock.wall_now_ns(), wall.wall_ns(), wall.drift_ns(), clock.parse_until("00:00"))
"""


def test_a_process_can_live_on_another_day_and_does_not_notice():
    shift_ns = -40 * 86_400 * clock.NS_PER_S
    environment = os.environ | {"TICKTAPE_CLOCK_SHIFT_S": str(shift_ns / clock.NS_PER_S)}
    before_ns = time.time_ns() + shift_ns
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, capture_output=True, check=True
    )
    now_ns, wall_ns, drift_ns, midnight_ns = map(int, done.stdout.split())

    assert before_ns <= now_ns <= wall_ns <= time.time_ns() + shift_ns
    assert abs(drift_ns) < 60 * clock.NS_PER_S
    assert now_ns < midnight_ns <= now_ns + 86_400 * clock.NS_PER_S


def test_without_the_variable_the_wall_is_the_systems():
    before_ns = time.time_ns()
    assert before_ns <= clock.wall_now_ns() <= time.time_ns()
