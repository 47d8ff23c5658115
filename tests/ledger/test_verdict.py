"""The certificate: complete only when nothing at all speaks against it; then the sums say so."""

import pytest

from ticktape.ledger import FeedVerdict, GapInterval, KindCount, Verdict


def count(kind="trades", received=10, stored=10, **others):
    fields = {"duplicates": 0, "conflicts": 0, "missing": 0, "behind": 0, "surplus": 0}
    fields |= {"altered": 0, **others}
    return KindCount("sip", kind, received=received, stored=stored, **fields)


def feed(**changes):
    fields = {
        "name": "sip",
        "kind": "alpaca",
        "counts": [count()],
        "control": 3,
        "sessions": 1,
        "first_ns": 1,
        "last_ns": 2,
        "dropped_frames": 0,
        "torn": [],
        "suspect": [],
        "gaps": [],
        "epochs": 1,
    }
    return FeedVerdict(**(fields | changes))


def gap(*, planned=False, state="open", to_ns=5_000_000_000):
    return GapInterval("sip", "", 1_000_000_000, to_ns, "the recorder was killed", planned, state)


def verdict(only, extra=()):
    return Verdict([only], [], {}, list(extra))


def test_a_run_where_all_adds_up_is_complete_and_its_last_line_is_the_equation():
    found = verdict(feed(counts=[count(received=12, duplicates=2)]))

    assert found.complete
    assert found.last_line() == (
        "COMPLETE  received 12 = stored 10 + duplicates 2 + dropped 0, gaps 0, torn 0"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"counts": [count(missing=1)]}, "1 trades are in the journal and not in the table"),
        ({"counts": [count(behind=2)]}, "2 trades are journaled and not yet in the table"),
        ({"counts": [count(surplus=3)]}, "3 trades are in the table and not in the journal"),
        ({"counts": [count(altered=4)]}, "4 trades differ from what the journal says"),
        ({"dropped_frames": 5}, "5 frames were dropped"),
        ({"torn": ["torn end at epoch 0"]}, "sip: torn end at epoch 0"),
        ({"suspect": ["epoch 0 offsets 1 to 2"]}, "sip: suspect epoch 0 offsets 1 to 2"),
        ({"notes": ("a segment is missing",)}, "sip: a segment is missing"),
        ({"gaps": [gap()]}, "gap 1970-01-01T00:00:01.000000000Z (4.000 s): the recorder was"),
        ({"gaps": [gap(to_ns=None)]}, "(still open): the recorder was killed"),
    ],
)
def test_each_defect_makes_it_incomplete_and_is_named(changes, words):
    found = verdict(feed(**changes))

    assert not found.complete
    assert found.last_line().startswith("INCOMPLETE ")
    assert [reason for reason in found.reasons() if words in reason], found.reasons()


@pytest.mark.parametrize("harmless", [gap(planned=True), gap(state="healed")])
def test_planned_stops_and_healed_gaps_do_not_count_against_it(harmless):
    assert verdict(feed(gaps=[harmless])).complete


def test_a_reason_that_no_journal_shows_makes_it_incomplete():
    found = verdict(feed(), ["decide-slow was cut off"])

    assert found.reasons() == ["decide-slow was cut off"]


def test_a_strategy_that_is_behind_makes_the_run_incomplete():
    strategy = feed(name="slow", kind="decision", notes=("9 entries were not decided on",))

    assert Verdict([feed()], [strategy], {}, []).reasons() == [
        "slow: 9 entries were not decided on"
    ]


def test_only_what_the_venue_sent_is_counted_as_received():
    found = verdict(feed(counts=[count(), count("gaps", received=2, stored=2)]))

    assert found.totals()["received"] == 10
    assert found.to_json()["feeds"]["sip"]["tables"] == {"trades": 10, "gaps": 2}


def test_dropped_frames_of_which_no_journal_tells_are_counted():
    found = verdict(feed(dropped_frames=1)).with_lost({"sip": 41, "other": 3})

    assert found.totals() | {"dropped": 42, "received": 52} == found.totals()
    assert "sip: 42 frames were dropped (disk refused)" in found.reasons()


def test_json_names_what_a_program_needs():
    part = verdict(feed(gaps=[gap(), gap(planned=True)])).to_json()["feeds"]["sip"]

    assert (part["complete"], part["gaps"], part["gaps_healed"], part["sessions"]) == (
        False,
        1,
        0,
        1,
    )
    assert part["gaps_open"][0]["cause"] == "the recorder was killed"
