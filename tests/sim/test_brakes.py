from ticktape.sim.brakes import Brakes
from ticktape.sim.faults import parse_faults


def braked(*texts, unbounded=False):
    brakes = Brakes()
    for fault in parse_faults(texts):
        brakes.pull(fault, unbounded=unbounded)
    return brakes


def test_silence_stops_the_tape_once():
    brakes = braked("silence@1=2.5")
    assert brakes.take_pause() == (2.5, True)
    assert brakes.take_pause() == (0, False)


def test_burst_stops_the_data_and_the_time_of_the_tape_goes_on():
    assert braked("burst@1=2").take_pause() == (2, False)


def test_delays_add_up_and_stay():
    brakes = braked("delay@1=200", "delay@2=50.5")
    assert brakes.late_ns == 250_500_000
    assert brakes.take_pause() == (0, False)


def test_delay_of_a_tape_at_full_speed_is_a_pause():
    brakes = braked("delay@1=200", unbounded=True)
    assert brakes.late_ns == 0 and brakes.take_pause() == (0.2, True)


def test_slow_stays_and_other_faults_do_not_brake():
    brakes = braked("slow@1=20", "mute@3", "malformed@4")
    assert brakes.slow_s == 0.02 and brakes.take_pause() == (0, False)
