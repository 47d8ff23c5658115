"""Every layout carries every capture into the files, and keeps order if it says so."""

import pytest

from ticktape.lab.layouts import LAYOUTS
from ticktape.lab.measure import faults_of

INTERLEAVING = {"pipe-4", "queue-4", "queue-4x2", "queue-4x2to1"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_capture_is_saved_once_and_whole(run, name):
    result = run(name)
    assert result.acquired > 50
    assert result.saved == result.acquired
    faults = [fault for fault in faults_of(result) if "stood still" not in fault]
    if name in INTERLEAVING:
        faults = [fault for fault in faults if "out of order" not in fault]
    assert faults == []
    assert result.gaps.count == result.acquired - 1
    assert result.missed.true > 0
    assert 0 <= result.missed.share < 1
    assert result.files >= 1
    assert result.written_bytes > 0
    assert set(result.cpu_s) == set(LAYOUTS[name].roles)
    assert result.notes == []


@pytest.mark.parametrize("changes", [{"format": "parquet"}, {"acquirer": "busy"}], ids=str)
def test_parquet_and_a_busy_acquirer_carry_the_same(run, changes):
    result = run("pipe-2", **changes)
    assert result.acquired == result.saved > 50
    assert [fault for fault in faults_of(result) if "stood still" not in fault] == []


def test_every_layout_has_its_processes_and_nobody_is_killed_that_is_not_there():
    for layout in LAYOUTS.values():
        assert set(layout.victims) <= set(layout.roles)
        assert layout.acquirers
