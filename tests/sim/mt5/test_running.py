"""Faults at their times, and how a run tells of recordings that are through."""

import pytest

from ticktape.errors import ConfigError
from ticktape.sim.mt5 import BookDescription, Truth
from ticktape.sim.mt5.faults import FAULTS, Fault, parse_faults
from ticktape.sim.mt5.running import Run

S = 10**9


def play(terminal, clock, texts, seconds, *, linger_ns=None, look=lambda: None):
    """Turn as the command does; return what was said, with seconds since the start."""
    said = []
    begin_ns = clock.now_ns

    def say(event):
        said.append((round((clock.now_ns - begin_ns) / S, 3), event))

    run = Run(terminal, parse_faults(texts), say, linger_ns)
    while clock.now_ns - begin_ns < seconds * S and (wait_s := run.turn()) is not None:
        look()
        clock.pass_s(max(wait_s, 0.001))
    return said


def test_faults_are_read_in_the_order_of_their_time():
    assert parse_faults(["kill@1m:5s", "stall@2.5:500ms", "hang@30s"]) == (
        Fault("stall", 2_500_000_000, 500_000_000),
        Fault("hang", 30 * S, None),
        Fault("kill", 60 * S, 5 * S),
    )


@pytest.mark.parametrize("text", ["explode@1s", "stall@1s", "kill@", "kill@x", "kill@1s:", "kill"])
def test_what_is_no_fault_is_refused_with_the_menu(text):
    with pytest.raises(ConfigError) as caught:
        parse_faults([text])
    assert text in str(caught.value)
    assert all(form in str(caught.value) for form, _ in FAULTS.values())


def test_a_terminal_is_killed_and_starts_again(run, connect, clock):
    terminal = run()
    alive = []
    said = play(
        terminal, clock, ["kill@1s:2s"], 5, look=lambda: alive.append(terminal.world.control.alive)
    )
    assert [event["name"] for _, event in said] == ["kill", "starts_again"]
    assert {0, 1} == set(alive) and alive[-1] == 1
    assert terminal.world.control.start == 2
    first, second = terminal.world.starts()
    assert second.end_mono_ns is None
    assert (first.end_mono_ns - first.mono_ns) / S == pytest.approx(1, abs=0.01)


def test_a_link_is_down_from_exactly_then_to_exactly_then(run, connect, clock):
    terminal = run()
    begin_ns = clock.now_ns
    play(terminal, clock, ["disconnect@1s:2s"], 5)
    assert terminal.world.starts()[0].frozen == ((begin_ns + S, begin_ns + 3 * S),)
    truth = Truth(terminal.world, "EURUSD")
    assert truth.count(begin_ns + S, begin_ns + 3 * S - 1) == 0
    assert len(truth) > 100


def test_an_account_is_logged_out_and_in(run, connect, clock):
    terminal = run()
    play(terminal, clock, ["logout@1s:2s"], 2)
    assert connect().initialize(str(terminal.world.executable)) is False
    play(terminal, clock, ["logout@1s:2s"], 5)
    assert connect().initialize(str(terminal.world.executable)) is True


def test_a_stall_takes_the_next_call(run, connect, clock):
    terminal = run()
    mt5 = connect(terminal)
    play(terminal, clock, ["stall@1s:700ms"], 2)
    before_ns = clock.now_ns
    mt5.market_book_get("EURUSD")
    assert clock.now_ns - before_ns == 700_000_000


def test_a_recording_s_end_is_told_once_and_the_run_ends_after_it(run, connect, clock):
    terminal = run({"A": BookDescription(), "G": BookDescription(kind="generated")}, speed=100.0)
    said = play(terminal, clock, [], 100, linger_ns=2 * S)
    assert said == [
        (
            pytest.approx(3.45, abs=0.06),
            {"event": "tape_end", "symbol": "A", "start": 1, "states": 6547},
        )
    ]
    begin_ns = terminal.world.control.start_mono_ns
    assert (clock.now_ns - begin_ns) / S == pytest.approx(5.45, abs=0.2)


def test_a_run_without_a_recording_does_not_end_by_itself(run, clock):
    begin_ns = clock.now_ns
    assert play(run(), clock, [], 20, linger_ns=0) == []
    assert clock.now_ns - begin_ns >= 20 * S
