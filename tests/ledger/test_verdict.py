"""The certificate: complete only when nothing at all speaks against it; then the sums say so."""

import pytest

from ticktape.ledger import FeedVerdict, GapInterval, KindCount, Lacking, Place, Verdict


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


def place(symbol="AAPL", minute=871, number=3, field="missing"):
    return Place(field, symbol, minute * 60_000_000_000, number)


def test_a_reason_names_stage_kind_symbol_minute_and_number():
    found = verdict(feed(counts=[count(missing=3, places=(place(),))]))

    assert found.reasons() == [
        "sip: 3 trades of AAPL at 1970-01-01 14:31 are in the journal and not in the table "
        "(stage stored)"
    ]


def test_a_reason_with_many_places_names_the_first_and_how_many_more():
    places = tuple(place(minute=minute, number=2) for minute in range(25))
    (reason,) = verdict(feed(counts=[count(missing=50, places=places)])).reasons()

    assert reason.count("2 of AAPL at") == 20
    assert "1970-01-01 00:19" in reason
    assert reason.endswith(", and 10 at 5 more places")


def suspicion(state="suspect"):
    return gap(state=state)._replace(suspected=True, symbol="AAPL")


@pytest.mark.parametrize("state", ["suspect", "healing"])
def test_a_suspicion_is_shown_and_counted_apart(state):
    found = verdict(feed(gaps=[suspicion(state)]))

    assert found.complete
    assert found.last_line().endswith("gaps 0, suspects 1, torn 0")
    part = found.to_json()["feeds"]["sip"]
    assert (part["suspects"], part["gaps"], part["gaps_open"]) == (1, 0, [])
    assert part["suspects_open"][0]["symbol"] == "AAPL"


def test_a_gap_that_nobody_can_heal_counts_and_says_so():
    (reason,) = verdict(feed(gaps=[gap(state="unhealable")])).reasons()

    assert reason.endswith("the recorder was killed (unhealable)")


def test_what_rest_had_and_the_stream_had_not_is_told_and_no_reason():
    lacking = (
        Lacking("sip", "trades", "AAPL", 871 * 60_000_000_000, False, 3),
        Lacking("sip", "trades", "IBM", 872 * 60_000_000_000, True, 9),
    )
    found = feed(lacking=lacking)

    assert verdict(found).complete
    assert found.lacking_words() == [
        "sip: 9 trades of 1 symbol came from REST in its gaps",
        "sip: 3 trades of AAPL at 1970-01-01 14:31 came from REST and not in the stream "
        "(stage venue: outside of any known gap)",
    ]


def test_the_ledgers_own_journal_counts_as_any_other():
    ledger = feed(name="ledger", kind="ledger", torn=["torn end at epoch 0"])
    found = Verdict([feed()], [], {}, [], ledger)

    assert found.reasons() == ["ledger: torn end at epoch 0"]
    assert found.totals()["received"] == 10
