"""What Prometheus reads: the format by its own parser, counters that never fall, rules that fit."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("prometheus_client", reason="needs prometheus-client")
from prometheus_client.parser import text_string_to_metric_families

from ticktape.dashboard.log_counts import LogCounts
from ticktape.dashboard.metrics import FeedMetrics, Grown, Latency, Snapshot, metrics_text

DOCS = Path(__file__).parent.parent.parent / "docs"
EVIL = 'sip"} 1\nticktape_feed_up{feed="\\other'


def latency_of(*values_ns, weights=None):
    latency = Latency()
    weights = weights or [1] * len(values_ns)
    latency.add(np.array(values_ns), np.array(weights))
    return latency


def everything(feed="sip"):
    """A snapshot in which every metric has a value."""
    return Snapshot(
        "0.1.0",
        is_live=True,
        feeds=[FeedMetrics(feed, "alpaca", up=True, heard_ns=1_500_000_000, journal="ok", gaps=2)],
        lag_s={"synced": 0.25},
        latency={"written": latency_of(20_000, 3_000_000)},
        alarms_open={(feed, "lag"): 1},
        alarms_raised={(feed, "lag"): 3},
        exits={"table": 1},
        troubles={"ledger": 2},
        disk_free_bytes=5_000,
        disk_reserve_bytes=1_000,
        certificate_complete=False,
    )


def parsed(snapshot):
    return list(text_string_to_metric_families(metrics_text(snapshot)))


def samples(snapshot):
    """(name, labels) -> value."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in parsed(snapshot)
        for sample in family.samples
    }


def names(snapshot):
    """Names as rules and the reference have them."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in parsed(snapshot)
    }


def test_prometheus_reads_what_we_write():
    found = samples(everything())
    assert found["ticktape_feed_up", "sip"] == 1
    assert found["ticktape_feed_heard_timestamp_seconds", "sip"] == 1.5
    assert found["ticktape_gaps_total", "sip"] == 2
    assert found["ticktape_journal_state", "ok", "sip"] == 1
    assert found["ticktape_journal_state", "dropping", "sip"] == 0
    assert found["ticktape_alarms_open", "lag", "sip"] == 1
    assert found["ticktape_child_exits_total", "table"] == 1
    assert found["ticktape_certificate_complete",] == 0


def test_every_metric_has_its_kind_and_words():
    families = parsed(everything())
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation.endswith(".") for family in families)
    assert {family.type for family in families} == {"gauge", "counter", "histogram"}


def test_names_say_their_units():
    units = re.compile(r"_(total|seconds|bytes|info|up|open|state|complete)$")
    assert [name for name in names(everything()) if not units.search(name)] == []


def test_what_is_not_known_is_left_out_and_not_zero():
    found = {
        name
        for name, *_ in samples(
            Snapshot("0.1.0", is_live=False, feeds=[FeedMetrics("sip", "alpaca")])
        )
    }
    assert "ticktape_feed_heard_timestamp_seconds" not in found
    assert "ticktape_disk_free_bytes" not in found
    assert "ticktape_certificate_complete" not in found
    assert "ticktape_journal_state" not in found


def test_a_name_cannot_make_a_line_of_its_own():
    families = parsed(everything(EVIL))
    up = next(family for family in families if family.name == "ticktape_feed_up")
    assert [sample.labels for sample in up.samples] == [{"feed": EVIL}]


def test_buckets_are_cumulative_and_end_in_all():
    latency = latency_of(10_000, 10_001, 60_000_000_000, weights=[2, 3, 5])
    buckets = dict(latency.buckets())
    assert buckets["1e-05"] == 2  # a bound belongs to its bucket
    assert buckets["2e-05"] == buckets["10"] == 5
    assert buckets["+Inf"] == 10
    assert latency.sum_s == pytest.approx(300.00005, abs=1e-6)
    counts = [count for _, count in latency.buckets()]
    assert counts == sorted(counts)


# Counters.


def test_a_counter_of_a_writer_grows_on_over_its_restarts():
    grown = Grown()
    seen = [grown.take(*each) for each in ((0, 5), (0, 9), (1, 0), (1, 4), (2, 1))]
    assert seen == [5, 9, 9, 13, 14]


def test_a_writer_that_is_just_starting_does_not_make_a_counter_fall():
    grown = Grown()
    # Its numbers are set to zero before its epoch is stored.
    assert [grown.take(0, 7), grown.take(0, 0), grown.take(1, 0), grown.take(1, 2)] == [7, 7, 7, 9]


def line(child, event, **more):
    return json.dumps(
        {"at": "2026-11-26T00:00:00.0Z", "child": child, "event": event, **more}
    ).encode()


def session(event, **more):
    return line("capture-sip", "session", content={"event": event, **more})


def gap(from_ns, to_ns, *, planned=False, symbol=""):
    return {"from_ns": from_ns, "to_ns": to_ns, "planned": planned, "symbol": symbol}


def counted(*lines):
    counts = LogCounts()
    for each in lines:
        counts.add(each)
    return counts


def test_a_feed_is_down_while_its_session_says_since_when():
    counts = counted(session("connecting", down_since_ns=5, planned=True), session("subscribed"))
    assert not counts.feeds["sip"].is_down
    counts.add(session("stalled", words="slow"))  # data comes all the same
    assert not counts.feeds["sip"].is_down
    counts.add(session("down", down_since_ns=9, gap=gap(9, None)))
    assert counts.feeds["sip"].is_down
    assert not counts.feeds["sip"].is_planned


def test_gaps_are_counted_when_they_end_and_planned_ones_never():
    counts = counted(
        session("down", down_since_ns=9, gap=gap(1_000_000_000, None)),
        session("subscribed", gaps=[gap(1_000_000_000, 3_500_000_000)]),
        session("healed", gap=gap(1_000_000_000, 3_500_000_000)),
        session("stopped", down_since_ns=9, planned=True, gap=gap(9, None, planned=True)),
        session("subscribed", gaps=[gap(9, 10_000_000_000, planned=True)]),
    )
    feed = counts.feeds["sip"]
    assert (feed.counts["gaps"], feed.gap_s, feed.counts["healed"]) == (1, 2.5, 1)


def test_symbols_that_are_missing_are_open_until_they_are_not():
    counts = counted(session("subscribed", gaps=[gap(5, None, symbol=s) for s in ("A", "B")]))
    assert len(counts.feeds["sip"].symbol_gaps) == 2
    counts.add(session("subscribed", gaps=[gap(5, 8, symbol="A")]))
    assert len(counts.feeds["sip"].symbol_gaps) == 1
    assert counts.feeds["sip"].gap_s == 0


def alarm(symbol, *, is_open):
    more = {"kind": "silence", "feed": "sip", "channel": "trades", "symbol": symbol}
    return line("ledger", "alarm", open=is_open, words="", hint="", **more)


def test_alarms_stand_until_they_end():
    counts = counted(alarm("A", is_open=True), alarm("B", is_open=True), alarm("A", is_open=False))
    assert counts.standing() == {("sip", "silence"): 1}
    assert counts.raised == {("sip", "silence"): 2}


def test_deaths_count_and_planned_ends_do_not():
    counts = counted(*(line("table", "exit", code=code) for code in (0, 4, 5, -9, 70)))
    assert counts.exits["table"] == 2


def test_counters_begin_at_the_first_question_and_states_do_not():
    counts = counted(
        session("connecting", down_since_ns=9),
        alarm("A", is_open=True),
        line("ledger", "trouble", words="", hint=""),
    )
    counts.begin()
    assert counts.feeds["sip"].is_down
    assert counts.standing() == {("sip", "silence"): 1}
    assert not counts.feeds["sip"].counts.total() + counts.raised.total() + counts.troubles.total()


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"{}", b'{"child": 5, "event": []}', session("down", gap=7, gaps=[8, {}])],
)
def test_a_line_that_is_none_of_ours_changes_nothing_and_raises_nothing(raw):
    assert not counted(raw).troubles


# Documents.


def test_every_metric_is_documented_and_no_other():
    text = (DOCS / "reference" / "metrics.md").read_text("utf-8")
    cells = re.findall(r"^\| ((?:`ticktape_\w+`(?:, )?)+)", text, re.M)
    documented = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(documented) == sorted(names(everything()))


def test_the_documented_types_are_those_that_are_served():
    text = (DOCS / "reference" / "metrics.md").read_text("utf-8")
    for family in parsed(everything()):
        row = re.search(rf"^\|[^|]*`{family.name}(?:_total)?`[^|]*\| (\w+)", text, re.M)
        assert row, family.name
        assert row[1] == family.type, family.name


def test_alert_rules_ask_for_metrics_and_states_that_exist():
    rules = (DOCS / "how-to" / "ticktape-alerts.yml").read_text("utf-8")
    asked = re.findall(r"^ +expr: (.*)$", rules, re.M)
    assert len(asked) == len(re.findall(r"^ +- alert: ", rules, re.M)) > 10
    named = set(re.findall(r"ticktape_\w+", " ".join(asked)))
    assert named <= names(everything())
    states = re.search(r'ticktape_journal_state\{state=~"([^"]+)"', rules)[1].split("|")
    found = {
        label
        for name, *labels in samples(everything())
        if name == "ticktape_journal_state"
        for label in labels
    }
    assert set(states) < found


def test_every_alert_is_explained_in_the_how_to():
    rules = (DOCS / "how-to" / "ticktape-alerts.yml").read_text("utf-8")
    page = (DOCS / "how-to" / "metrics.md").read_text("utf-8")
    assert set(re.findall(r"- alert: (\w+)", rules)) == set(re.findall(r"`(Ticktape\w+)`", page))
