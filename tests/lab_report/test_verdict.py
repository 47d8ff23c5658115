import re

import pytest

from ticktape.lab.report import load_verdict
from ticktape.lab.results import NOTEBOOK_LAYOUTS, Gaps, Threshold

WITHOUT_X2 = (*NOTEBOOK_LAYOUTS, "threads", "journal")
ONE = (Threshold(bytes=10_000_000),)


def ratio_in(sentence):
    found = re.search(r"ratio ([\d.]+), 95 % ([\d.]+) to ([\d.]+)", sentence)
    return tuple(map(float, found.groups()))


def test_a_clear_winner_is_named_with_by_how_much_and_an_interval(lab):
    verdict = load_verdict(lab.make(WITHOUT_X2, ONE))
    sentence = verdict.overall.sentence
    assert sentence.startswith("journal is the fastest layout that is safe at 10MB: it misses 4.")
    assert "% of the states against 24 % for queue-2 (ratio 0.1" in sentence
    middle, low, high = ratio_in(sentence)
    assert low < middle < high < 0.3
    assert sentence.endswith("killed, journal loses up to 0.1 % (acquirer at 10MB).")
    assert verdict.overall.tied == ["journal"]
    assert not verdict.each, "one threshold has no sentences of its own"


def test_the_whole_verdict_stands_over_all_thresholds_and_each_has_its_own(lab):
    verdict = load_verdict(lab.make(WITHOUT_X2))
    assert "is the fastest layout that is safe at every threshold (1MB and 10MB)" in (
        verdict.overall.sentence
    )
    assert [ranking.thresholds for ranking in verdict.rankings] == [["1MB"], ["10MB"]]
    assert all("journal is the fastest" in sentence for sentence in verdict.each)
    assert verdict.best_threshold.startswith("journal is ")


def test_layouts_that_overlap_are_not_told_apart(lab):
    even = {"journal": (0.22, 1.0, 900), "queue-2": (0.22, 1.0, 900)}
    verdict = load_verdict(lab.make(("pipe-2", "queue-2", "journal"), figures=even))
    assert verdict.overall.sentence.startswith("No difference at every threshold (1MB and 10MB)")
    assert set(verdict.overall.tied) == {"pipe-2", "queue-2", "journal"}
    _, low, high = ratio_in(verdict.overall.sentence)
    assert low < 1 < high


def test_who_is_behind_those_that_overlap_is_said(lab):
    even = {"pipe-2": (0.04, 0.12, 8000)}
    verdict = load_verdict(lab.make(("pipe-2", "queue-2", "journal"), figures=even))
    assert set(verdict.overall.tied) == {"pipe-2", "journal"}
    assert re.search(
        r"overlap.*; behind them come 2\d % for queue-2 \(ratio", verdict.overall.sentence
    )


def test_an_unsafe_layout_does_not_win_however_fast_it_is(lab):
    fast = {"queue-4": (0.0001, 0.001, 90_000)}
    verdict = load_verdict(lab.make(WITHOUT_X2, figures=fast))
    assert "queue-4" not in verdict.overall.safe
    assert verdict.overall.sentence.startswith("journal is the fastest")


@pytest.mark.parametrize(
    "fault",
    ["lost_in_run", "lost_at_stop", "duplicated", "corrupted", "out_of_order", "left_behind"],
)
def test_one_fault_in_one_repeat_makes_a_layout_unsafe(lab, fault):
    def spoil(result):
        key = result.key
        if (key.layout, key.repeat, key.victim) == ("journal", 1, ""):
            setattr(result, fault, 1)

    verdict = load_verdict(lab.make(("pipe-2", "journal"), ONE, change=spoil))
    assert verdict.overall.safe == ["pipe-2"]
    assert verdict.overall.sentence.startswith("pipe-2 is the only layout that is safe at 10MB")
    assert verdict.journal.startswith("journal is not safe: 1 ")


def test_a_layout_that_acquired_nothing_is_not_safe(lab):
    def idle(result):
        if result.key.layout == "threads":
            result.acquired = result.saved = 0
            result.gaps, result.captures_per_s = Gaps(), 0.0

    verdict = load_verdict(lab.make(("threads", "journal"), ONE, change=idle))
    assert verdict.overall.safe == ["journal"]


def test_what_a_killed_cell_lost_does_not_make_its_layout_unsafe(lab):
    def lose(result):
        if result.key.victim:
            result.lost_in_run = 500

    assert "journal" in load_verdict(lab.make(("pipe-2", "journal"), change=lose)).overall.safe


def test_when_nothing_is_safe_the_verdict_says_so(lab):
    def spoil(result):
        result.lost_at_stop = 1

    verdict = load_verdict(lab.make(WITHOUT_X2, change=spoil))
    assert verdict.overall.sentence == "No layout is safe at every threshold (1MB and 10MB)."
    assert verdict.overall.safe == []
    assert verdict.best_threshold == ""


def test_layouts_that_are_safe_at_some_threshold_alone_are_found_there(lab):
    def spoil(result):
        small = result.key.threshold.bytes == 1_000_000
        if small == (result.key.layout == "journal"):
            result.lost_at_stop = 1

    verdict = load_verdict(lab.make(("pipe-2", "journal"), change=spoil))
    assert verdict.overall.sentence == "No layout is safe at every threshold; at some there is one."
    assert [ranking.safe for ranking in verdict.rankings] == [["pipe-2"], ["journal"]]


def test_one_repeat_names_a_leader_and_no_interval(lab):
    verdict = load_verdict(lab.make(WITHOUT_X2, repeats=1))
    assert "journal leads the layouts that are safe" in verdict.overall.sentence
    assert "which may be chance" in verdict.overall.sentence
    assert "one repeat, so no interval" in verdict.overall.sentence
    assert "95 %" not in " ".join(verdict.sentences)


def test_without_a_truth_the_gap_decides(lab):
    verdict = load_verdict(lab.make(("pipe-2", "journal"), truth=False))
    assert verdict.overall.measure == "p99.9 gap"
    assert re.search(
        r"it has a p99\.9 gap of \d+ µs against 4\.\d+ ms for pipe-2 \(ratio 0\.1",
        verdict.overall.sentence,
    )


def test_few_missed_states_are_not_taken_for_a_sure_difference(lab):
    def count(result):
        result.missed.true = 1_500
        result.missed.missed = 0 if result.key.layout == "journal" else 2

    verdict = load_verdict(lab.make(("pipe-2", "journal"), ONE, change=count))
    assert verdict.overall.sentence.startswith("No difference")
    assert "misses 0 % of the states" in verdict.overall.sentence


# Two captures in parallel.


def doubled(lab, figures=None, **options):
    return load_verdict(lab.make(("journal", "journal-x2"), figures=figures, **options)).doubled


def test_two_captures_that_miss_more_and_save_nothing_are_only_slower(lab):
    def lose_nothing(result):
        result.survived = result.at_kill

    slow = {"journal-x2": (0.08, 0.3, 4_000)}
    assert " is only slower: it misses 8." in doubled(lab, slow, change=lose_nothing)


def test_two_captures_that_survive_a_kill_are_safer(lab):
    def lose(result):
        if result.key.victim and result.key.layout == "journal":
            result.survived = result.at_kill // 2

    sentence = doubled(lab, change=lose)
    assert " is safer and no slower: " in sentence
    assert "killed, it loses up to 0 % against 50 %" in sentence
    slow = {"journal-x2": (0.08, 0.3, 4_000)}
    lab.folder = lab.folder.with_name("slow")
    assert " is safer, but slower: " in doubled(lab, slow, change=lose)


def test_two_captures_that_lose_what_one_does_not_are_not_safe(lab):
    def spoil(result):
        if result.key.layout == "journal-x2" and not result.key.victim:
            result.duplicated = 2

    assert "is not safe and no slower (12 twice)" in doubled(lab, change=spoil)


def test_one_repeat_does_not_settle_what_two_captures_are_worth(lab):
    assert "one repeat, which settles nothing" in doubled(lab, repeats=1)


# Journal's place.


def test_journal_is_placed_among_the_notebooks_layouts(lab):
    verdict = load_verdict(lab.make())
    assert [row.layout for row in verdict.standings] == ["journal", *NOTEBOOK_LAYOUTS]
    assert "3rd of 6 on p99.9 gap, 1st of 6 on missed states, 1st of 6 on loss on kill" in (
        verdict.journal
    )
    own, sequential = verdict.standings[:2]
    assert own.ratios["missed states"] is None
    times = sequential.ratios["missed states"]
    shown = own.figures["missed states"] / sequential.figures["missed states"]
    assert times.middle == pytest.approx(shown)
    assert times.low < times.middle < times.high < 0.2


def test_it_is_said_by_how_much_journal_is_not_the_best(lab):
    ahead = {"pipe-2": (0.01, 0.05, 20_000)}
    verdict = load_verdict(lab.make(("pipe-2", "journal"), figures=ahead))
    assert verdict.journal.startswith(
        "journal is safe, but not the best: pipe-2 is ahead: it misses 4."
    )
    assert ratio_in(verdict.journal)[0] == pytest.approx(4, abs=0.5)


# What is not there.


def test_a_partial_lab_is_judged_by_what_is_done_and_says_so(lab):
    verdict = load_verdict(lab.make(WITHOUT_X2, skip=lambda key: key.repeat == 2))
    assert verdict.partial.startswith("Only 56 of 70 cells are done")
    assert verdict.sentences[0] == verdict.partial
    assert "journal is the fastest" in verdict.overall.sentence


def test_a_layout_that_was_not_run_everywhere_is_not_judged_overall(lab):
    def skip(key):
        return key.layout == "journal" and key.threshold.bytes == 1_000_000

    verdict = load_verdict(lab.make(("pipe-2", "queue-2", "journal"), skip=skip))
    assert "journal" not in verdict.overall.safe
    assert verdict.journal.startswith("journal has not been run at every threshold")


def test_a_lab_without_a_cell_has_nothing_to_judge(lab):
    verdict = load_verdict(lab.make(skip=lambda key: True))
    assert verdict.overall.sentence.startswith("Nothing to judge")
    assert verdict.doubled == ""
    assert verdict.journal == ""
