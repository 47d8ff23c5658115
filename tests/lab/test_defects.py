"""A planted defect of each kind is found, and named."""

import pytest

from ticktape.lab.measure import faults_of

CASES = {
    "Swap": "1 out of order",
    "Drop": "1 lost in the run",
    "Duplicate": "1 twice",
    "Twice": "1 twice",
    "Flip": "1 corrupted",
    "LeaveBacklog": "25 lost at the stop",
}


@pytest.mark.parametrize("name", CASES)
def test_a_planted_defect_is_found_and_named(run, planted, name):
    result = run("sequential", defect=planted(name))
    named = [fault for fault in faults_of(result) if "stood still" not in fault]
    assert named == [CASES[name]]
    assert not result.is_safe


def test_a_stall_of_a_second_is_found_and_named(run, planted):
    result = run("sequential", defect=planted("Stall"), seconds=1.5)
    assert result.gaps.max >= 1_000_000_000
    assert any(fault.startswith("stood still for ") for fault in faults_of(result))


def test_a_defect_behind_several_processes_is_found_as_well(run, planted):
    result = run("queue-4-ordered", defect=planted("Drop"))
    assert (result.lost_in_run, result.lost_at_stop) == (1, 0)
    assert result.acquired == result.saved + 1
