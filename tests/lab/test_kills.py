"""What is left after `kill -9` of one process: what was in a file, or in a journal."""

import pytest

CASES = [
    ("sequential", "process"),
    ("pipe-4", "saver"),
    ("pipe-4", "packer-1"),
    ("pipe-4", "acquirer"),
]


@pytest.mark.parametrize(("layout", "victim"), CASES)
def test_what_survives_a_kill_is_what_stands_in_files(run, layout, victim):
    result = run(layout, victim)
    assert 0 < result.survived <= result.at_kill
    assert result.files > 0


@pytest.mark.parametrize("victim", ["saver", "acquirer"])
def test_a_journal_loses_nothing_but_the_capture_in_hand(run, victim):
    result = run("journal", victim)
    assert result.at_kill > 50
    assert result.at_kill - result.survived <= (victim == "acquirer")
    if victim == "saver":
        assert any("the next start saves them" in note for note in result.notes)


def test_the_other_leg_goes_on_when_one_is_killed(run):
    result = run("journal-x2", "acquirer-A")
    assert result.at_kill - result.survived <= 1
    assert result.out_of_order == 0


def test_what_a_killed_process_held_is_lost(run):
    result = run("threads", "process")
    assert result.survived <= result.at_kill
    assert result.lost_in_run + result.lost_at_stop == result.at_kill - result.survived
