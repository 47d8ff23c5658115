"""A day's certificate: each instant of the asked time has one share, each byte one link."""

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.ledger import (
    Day,
    FeedDay,
    FeedVerdict,
    GapInterval,
    KindCount,
    Lacking,
    Part,
    Standing,
    Verdict,
    Window,
    certify,
    chained,
    first_difference,
)
from ticktape.ledger.certificate import streams_of
from ticktape.ledger.certificate_spans import length_ns, overlap, share_out, union, without

S = 1_000_000_000
DAY = Day("1970-01-01", 0, 100)


# Stretches of time, against a plain list of instants.

RANDOM = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def instants(spans):
    return {each for begin, end in spans for each in range(begin, end)}


@given(RANDOM, RANDOM)
def test_stretches_are_sets_of_instants(one, other):
    a, b = union(one), union(other)

    assert instants(a) == instants(one)
    assert instants(overlap(a, b)) == instants(a) & instants(b)
    assert instants(without(a, b)) == instants(a) - instants(b)
    assert length_ns(a) == len(instants(a))
    assert all(before[1] < after[0] for before, after in pairwise(a))


@given(RANDOM, RANDOM, RANDOM, RANDOM, RANDOM)
def test_each_asked_instant_has_exactly_one_share(covered, missing, healed, suspect, asked):
    shares = share_out(*(union(each) for each in (covered, missing, healed, suspect, asked)))

    found = [instants(each) for each in shares]
    assert set().union(*found) == instants(covered) | instants(missing) | instants(healed)
    assert sum(map(len, found)) == shares.asked_ns == len(set().union(*found))
    assert instants(shares.missing) == instants(missing)
    assert instants(shares.verified) <= instants(asked)


STATES = ("open", "healing", "healed", "unhealable", "suspect")


@st.composite
def gaps(draw):
    from_ns = draw(st.integers(-20, 110))
    length = draw(st.none() | st.integers(1, 60))
    return GapInterval(
        "sip",
        draw(st.sampled_from(["", "IBM", "AAPL"])),
        from_ns,
        None if length is None else from_ns + length,
        "down",
        draw(st.booleans()),
        state := draw(st.sampled_from(STATES)),
        draw(st.sampled_from(["", "trades", "trades,quotes"])),
        state == "suspect" or draw(st.booleans()),
    )


STANDINGS = st.lists(
    st.builds(
        lambda from_ns, length, symbols, missing: Standing(
            from_ns, from_ns + length, {"trades": symbols}, {"quotes": missing}
        ),
        st.integers(-20, 110),
        st.integers(0, 50),
        st.sampled_from([("IBM",), ("IBM", "AAPL"), ("*",)]),
        st.sampled_from([(), ("AAPL",)]),
    ),
    max_size=4,
).map(lambda found: tuple(sorted(found, key=lambda each: each.from_ns)))
WINDOWS = st.lists(
    st.builds(
        lambda symbols, from_ns, length: Window("trades", symbols, from_ns, from_ns + length),
        st.frozensets(st.sampled_from(["IBM", "AAPL", "MSFT"])),
        st.integers(-20, 110),
        st.integers(0, 50),
    ),
    max_size=3,
).map(tuple)


@given(STANDINGS, st.lists(gaps(), max_size=6), WINDOWS, WINDOWS, RANDOM)
def test_shares_add_up_to_one_whatever_happened(standings, found, windows, healing, damage):
    asked = {(each.symbol, each.from_ns): healing for each in found[::2]}
    feed = FeedDay(verdict(gaps=found), standings, windows, asked, union(damage))
    made = certify(DAY, Verdict([feed.verdict], [], {}, []), {"sip": feed}, {}, {})

    part = made["feeds"]["sip"]
    for stream in [*part["streams"], part, made]:
        if stream["shares"] and any(stream["shares"].values()):
            assert sum(stream["shares"].values()) == pytest.approx(1.0)
            assert all(0 <= share <= 1 for share in stream["shares"].values())
    for stream in part["streams"]:
        assert stream["asked_ns"] == sum(map(length_ns, stream["spans"].values())) > 0
        assert stream["asked_ns"] <= DAY.until_ns - DAY.from_ns


# What each part of a day becomes.


def verdict(**changes):
    fields = {"gaps": [], "counts": [], **changes}
    return FeedVerdict(
        "sip", "alpaca", fields.pop("counts"), 0, 1, None, None, 0, [], [], fields.pop("gaps"), 1
    )._replace(**fields)


def gap(from_ns, to_ns, state="open", **changes):
    fields = {"symbol": "", "planned": False, "channels": "", "suspected": False, **changes}
    return GapInterval("sip", from_ns=from_ns, to_ns=to_ns, cause="down", state=state, **fields)


def shares_of(found, *, standings=None, compared=(), asked=None, damaged=()):
    """Channel and symbol -> share -> stretches."""
    standings = standings or (Standing(0, 100, {"trades": ("IBM", "AAPL")}, {}),)
    feed = FeedDay(verdict(gaps=found), standings, tuple(compared), asked or {}, tuple(damaged))
    return {
        (stream.channel, symbol): {
            name: spans for name, spans in stream.shares._asdict().items() if spans
        }
        for stream in streams_of(DAY, feed)
        for symbol in stream.symbols
    }


def test_what_we_heard_is_unverifiable_until_rest_was_compared():
    found = shares_of([], compared=[Window("trades", frozenset(["IBM"]), 20, 40)])

    assert found["trades", "IBM"] == {
        "verified": ((20, 40),),
        "unverifiable": ((0, 20), (40, 100)),
    }
    assert found["trades", "AAPL"] == {"unverifiable": ((0, 100),)}


def test_a_gap_is_missing_until_it_is_healed():
    standings = (
        Standing(0, 30, {"trades": ("IBM",)}, {}),
        Standing(50, 100, {"trades": ("IBM",)}, {}),
    )
    heard = ((0, 30), (50, 100))

    assert shares_of([gap(30, 50)], standings=standings)["trades", "IBM"] == {
        "unverifiable": heard,
        "missing": ((30, 50),),
    }
    assert shares_of([gap(30, 50, "healed")], standings=standings)["trades", "IBM"] == {
        "unverifiable": heard,
        "healed": ((30, 50),),
    }


STOOD = (Standing(0, 30, {"trades": ("*",)}, {}), Standing(50, 100, {"trades": ("*",)}, {}))


def test_of_a_healed_gap_only_who_was_asked_for_is_healed():
    """A star: of a symbol that nobody had seen nobody knows."""
    healed = gap(30, 50, "healed", told_by="sip.rest")
    asked = {("", 30): [Window("trades", frozenset(["IBM"]), 1_000, 2_000)]}

    found = shares_of([healed], standings=STOOD, asked=asked)

    assert found["trades", "IBM"]["healed"] == ((30, 50),)
    assert found["trades", "*"] == {"unverifiable": ((0, 100),)}
    assert shares_of([healed], standings=STOOD)["trades", "*"] == {"unverifiable": ((0, 100),)}


def test_of_an_unhealable_gap_those_who_were_asked_for_are_healed_and_the_refused_are_missing():
    standings = tuple(
        each._replace(channels={"trades": ("IBM", "N-OPE"), "statuses": ("IBM",)}) for each in STOOD
    )
    asked = {("", 30): [Window("trades", frozenset(["IBM"]), 1_000, 2_000)]}

    lost = gap(30, 50, "unhealable", told_by="sip.rest")
    found = shares_of([lost], standings=standings, asked=asked)

    assert found["trades", "IBM"]["healed"] == ((30, 50),)
    assert found["trades", "N-OPE"]["missing"] == ((30, 50),)
    assert found["statuses", "IBM"]["missing"] == ((30, 50),)


def test_a_suspicion_is_verified_for_those_who_were_asked_for_alone():
    alarm = {"suspected": True, "told_by": "sip.rest"}
    asked = {("", 30): [Window("trades", frozenset(["IBM"]), 1_000, 2_000)]}

    for state, other in (("healed", "unverifiable"), ("suspect", "suspect")):
        found = shares_of([gap(30, 50, state, **alarm)], asked=asked)
        assert found["trades", "IBM"]["verified"] == ((30, 50),)
        assert (30, 50) in found["trades", "AAPL"][other] or state == "healed"
        assert "verified" not in found["trades", "AAPL"]


def test_what_the_terminal_gave_back_itself_is_healed_without_rest():
    found = shares_of([gap(30, 50, "healed", told_by="sip")], standings=STOOD)

    assert found["trades", "*"]["healed"] == ((30, 50),)


def test_a_gap_that_lasts_is_missing_until_the_day_ends():
    standings = (Standing(0, 30, {"trades": ("IBM",)}, {}),)

    assert shares_of([gap(30, None)], standings=standings)["trades", "IBM"]["missing"] == (
        (30, 100),
    )


def test_a_gap_of_the_day_before_says_who_was_to_be_heard():
    standings = (
        Standing(-90, -50, {"trades": ("IBM",)}, {}),
        Standing(40, 100, {"bars": ("*",)}, {}),
    )

    found = shares_of([gap(-50, 40)], standings=standings)

    assert found["trades", "IBM"] == {"missing": ((0, 40),)}


def test_what_was_dropped_is_missing_though_we_were_there():
    assert shares_of([gap(30, 50)])["trades", "IBM"]["missing"] == ((30, 50),)


def test_planned_stops_were_not_asked_for():
    standings = (Standing(0, 30, {"trades": ("IBM",)}, {}),)

    found = shares_of([gap(30, None, planned=True)], standings=standings)

    assert found["trades", "IBM"] == {"unverifiable": ((0, 30),)}


def test_a_suspicion_is_of_its_symbol_alone_and_ends_when_rest_was_compared():
    alarm = {"symbol": "IBM", "channels": "trades", "suspected": True}

    found = shares_of([gap(30, 50, "suspect", **alarm)])
    assert found["trades", "IBM"]["suspect"] == ((30, 50),)
    assert "suspect" not in found["trades", "AAPL"]
    found = shares_of([gap(30, 50, "healed", **alarm)])
    assert found["trades", "IBM"]["verified"] == ((30, 50),)
    found = shares_of([gap(30, 50, "unhealable", **alarm)])
    assert found["trades", "IBM"]["missing"] == ((30, 50),)


def test_a_damaged_stretch_of_the_journal_is_suspect():
    assert shares_of([], damaged=[(30, 50)])["trades", "IBM"]["suspect"] == ((30, 50),)


def test_a_symbol_that_was_not_acknowledged_is_missing():
    standings = (Standing(0, 100, {"trades": ("IBM",)}, {"trades": ("AAPL",)}),)
    found = shares_of([gap(0, None, symbol="AAPL", channels="trades")], standings=standings)

    assert found["trades", "AAPL"] == {"missing": ((0, 100),)}
    assert found["trades", "IBM"] == {"unverifiable": ((0, 100),)}


def test_beneath_a_star_a_symbol_with_a_gap_of_its_own_has_its_own_line():
    standings = (Standing(0, 100, {"trades": ("*",)}, {}),)
    found = shares_of([gap(30, 50, "suspect", symbol="IBM", suspected=True)], standings=standings)

    assert found["trades", "*"] == {"unverifiable": ((0, 100),)}
    assert found["trades", "IBM"]["suspect"] == ((30, 50),)


def test_a_feed_that_never_stood_is_missing_as_a_whole():
    feed = FeedDay(verdict(gaps=[gap(10, None)]))
    (stream,) = streams_of(DAY, feed)

    assert (stream.channel, stream.symbols, stream.shares.missing) == ("", [""], ((10, 100),))


def test_symbols_that_fared_the_same_are_one_stream():
    standings = (Standing(0, 100, {"trades": ("A", "B", "C")}, {}),)
    feed = FeedDay(verdict(gaps=[gap(30, 50, symbol="B")]), standings)

    assert [each.symbols for each in streams_of(DAY, feed)] == [["A", "C"], ["B"]]


def test_the_certificate_says_what_was_asked_what_came_and_what_was_healed():
    lacking = (Lacking("sip", "trades", "IBM", 0, True, 4),)
    counts = [KindCount("sip", "trades", 12, 2, 1, 10, 0, 0, 0, 0)]
    standing = Standing(0, 90, {"trades": ("IBM",)}, {"trades": ("XX",)})
    healed = gap(90, 95, "healed")
    feed = FeedDay(
        verdict(gaps=[healed], counts=counts, lacking=lacking),
        (standing,),
        words={("", 90): "4 trades found"},
        symbols={"trades": {"IBM": 12}},
    )
    made = certify(DAY, Verdict([feed.verdict], [], {}, []), {"sip": feed}, {}, {"version": "9"})

    part = made["feeds"]["sip"]
    assert made["complete"]
    assert made["version"] == "9"
    assert part["subscription"] == {
        "asked": {"trades": ["IBM", "XX"]},
        "acknowledged": {"trades": ["IBM"]},
        "missing": {"trades": ["XX"]},
    }
    assert part["counts"]["trades"] == {
        "received": 12,
        "stored": 10,
        "duplicates": 2,
        "conflicts": 1,
        "healed": 4,
        "symbols": {"IBM": 12},
    }
    assert part["gap_list"][0]["words"] == "4 trades found"


# Digests.


def parts(*contents):
    return [
        Part(f"{number}.seg", "1970-01-01", 0, len(content), sha256(content).hexdigest())
        for number, content in enumerate(contents)
    ]


def hashes(*contents):
    return [None if content is None else sha256(content).hexdigest() for content in contents]


def test_each_link_covers_all_that_was_before_it():
    one = chained(parts(b"a", b"b", b"c"))
    other = chained(parts(b"x", b"b", b"c"))

    assert [each["sha256"] for each in one[1:]] == [each["sha256"] for each in other[1:]]
    assert [a["link"] == b["link"] for a, b in zip(one, other, strict=True)] == [False] * 3


def test_the_first_segment_that_differs_is_named():
    said = chained(parts(b"a", b"b", b"c"))

    assert first_difference(said, hashes(b"a", b"b", b"c")) is None
    assert first_difference(said, hashes(b"a", b"X", b"Y")).startswith(
        "1.seg: bytes 0 to 1 are not"
    )
    assert "not there any more" in first_difference(said, hashes(b"a", b"b", None))


@pytest.mark.parametrize("key", ["sha256", "link"])
def test_a_certificate_that_was_changed_itself_is_found(key):
    said = chained(parts(b"a", b"b"))
    said[1][key] = sha256(b"planted").hexdigest()
    now = hashes(b"a", b"b")
    if key == "sha256":
        now[1] = said[1][key]

    assert "its link is wrong" in first_difference(said, now)
