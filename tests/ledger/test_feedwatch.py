"""What one journal holds reaches the watchdog in the journal's order."""

import msgspec
import pytest

from ticktape.decoders import decoder_for
from ticktape.journal.blocks import parse_blocks
from ticktape.journal.format import pack_block, pack_body
from ticktape.ledger.counting import Brought
from ticktape.ledger.feedwatch import FeedWatch, SessionState, own_entries
from ticktape.ledger.sessions import Hours
from ticktape.ledger.watchdog import Watchdog
from ticktape.polls import PollCounts, Polls
from ticktape.records import EntryKind

NS = 1_000_000_000
NONCE = bytes(range(8))
TRADE = b'[{"T":"t","S":"A","i":1,"x":"N","p":1.5,"s":100,"t":"2026-11-20T15:00:00Z","z":"A"}]'
QUOTE = (
    b'[{"T":"q","S":"B","bx":"N","bp":1,"bs":1,"ax":"N","ap":2,"as":1,'
    b'"t":"2026-11-20T15:00:00Z","c":["R"],"z":"A"}]'
)


class Heard:
    """Writes down what the watchdog is told, and has nothing to say."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def call(feed, *arguments, **options):
            self.calls.append((name, *arguments))
            return []

        return call

    def names(self):
        return [call[0] for call in self.calls]


@pytest.fixture
def heard():
    return Heard()


def blocks_of(entries):
    """Blocks from [(second, kind, payload)]; a payload that is no bytes is written as JSON."""
    data = b""
    for seq, (second, kind, payload) in enumerate(entries):
        plain = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        body = pack_body([plain], kind, None)
        data += pack_block(NONCE, len(data), seq, int(second * NS), 1, 1, 0, body)
    blocks, bad = parse_blocks(data, 0, 0, NONCE)
    assert bad is None
    return blocks


def give(watch, entries, kind="alpaca"):
    blocks = blocks_of(entries)
    brought = Brought(blocks, decoder_for(kind, "sip").tables(blocks))
    return watch.take(brought, own_entries(blocks))


def text(second, payload=TRADE):
    return second, EntryKind.TEXT, payload


def session(second, event, **content):
    return second, EntryKind.SESSION, {"event": event, **content}


def test_sessions_stand_between_the_rows_between_which_they_came(heard):
    watch = FeedWatch("sip", heard, SessionState())
    give(
        watch,
        [
            session(1, "subscribed", channels={"trades": ["A"]}),
            text(1.1),
            session(1.2, "down", down_since_ns=NS),
            session(1.3, "connecting", down_since_ns=NS),
            session(1.5, "subscribed"),
            text(1.6),
        ],
    )
    assert heard.names() == [
        *("connected", "observe", "disconnected", "connected", "observe", "advance")
    ]
    assert [call[1] for call in heard.calls if "connected" in call[0]] == [
        *(1 * NS, 1_200_000_000, 1_500_000_000)
    ]
    assert heard.calls[-1] == ("advance", 1_600_000_000)


@pytest.mark.parametrize("event", ["subscribed", "flowing"])
def test_data_that_stands_before_its_sessions_word_makes_no_silence_of_the_time_before(event):
    watch = FeedWatch("sip", Watchdog({"sip": Hours.ALWAYS}), SessionState())
    give(watch, [session(1, "subscribed"), *(text(1 + step / 20) for step in range(600))])
    alarms = give(
        watch,
        [
            session(31, "down", down_since_ns=31 * NS),
            text(91),
            session(91, event),
            *(text(91 + step / 20) for step in range(1, 40)),
        ],
    )
    assert alarms == []
    assert give(watch, [text(103)])[0].kind == "mute", "it is watched again"


def test_the_hours_from_a_power_cut_to_the_next_start_are_a_gap_and_no_silence():
    """The ledger reads what it had not read, and behind it the next start, hours later."""
    watch = FeedWatch("sip", Watchdog({"sip": Hours.ALWAYS}), SessionState())
    give(watch, [session(1, "subscribed"), *(text(1 + step / 20) for step in range(600))])
    alarms = give(
        watch,
        [
            *(text(31 + step / 20) for step in range(20)),
            session(40_000, "started", down_since_ns=32 * NS),
            session(40_001, "connecting", down_since_ns=32 * NS),
            session(40_002, "subscribed"),
            *(text(40_002 + step / 20) for step in range(40)),
        ],
    )
    assert alarms == []
    assert give(watch, [text(40_020)])[0].kind == "mute", "it is watched again"


def test_kinds_that_have_no_rhythm_are_not_watched(heard):
    give(FeedWatch("sip", heard, SessionState()), [text(1, b'[{"T":"?"}]'), text(1, QUOTE)])
    assert [call[1] for call in heard.calls if call[0] == "observe"] == ["quotes"]


def test_bars_of_a_day_are_no_minute_bars_that_could_fall_silent(heard):
    daily = b'[{"T":"%s","S":"A","o":1,"h":1,"l":1,"c":1,"v":1,"t":"2026-11-20T15:00:00Z"}]'
    kinds = (b"d", b"u", b"b")
    give(
        FeedWatch("sip", heard, SessionState()),
        [text(at, daily % kind) for at, kind in enumerate(kinds, 1)],
    )
    seen = [(call[1], (call[4] // NS).tolist()) for call in heard.calls if call[0] == "observe"]
    assert seen == [("bars", [3])]


def test_rows_are_given_by_the_second_so_that_kinds_do_not_overtake_one_another(heard):
    give(FeedWatch("sip", heard, SessionState()), [text(1), text(2), text(1.5, QUOTE), text(2.5)])
    seen = [(call[1], (call[4] // NS).tolist()) for call in heard.calls if call[0] == "observe"]
    assert seen == [("trades", [1]), ("trades", [2]), ("quotes", [1]), ("trades", [2])]


@pytest.mark.parametrize(
    ("before", "after", "forgotten"),
    [
        ({"trades": ["A", "B"]}, {"trades": ["B"]}, [("trades", ["A"])]),
        ({"orderbooks": ["A"]}, {"trades": ["A"]}, [("crypto_books", ["A"])]),
        ({"bars": ["A"], "dailyBars": ["A"]}, {"dailyBars": ["A"]}, [("bars", ["A"])]),
        ({"trades": ["A"]}, {"trades": ["*"]}, []),
        ({"trades": ["*"]}, {"trades": ["A"]}, []),
        ({"trades": ["A"], "news": ["*"]}, {"trades": ["A"]}, []),
    ],
)
def test_symbols_that_are_not_subscribed_any_more_are_forgotten(heard, before, after, forgotten):
    watch = FeedWatch("sip", heard, SessionState())
    give(watch, [session(1, "subscribed", channels=before)])
    give(watch, [session(2, "subscribed", channels=after)])
    assert [call[1:3] for call in heard.calls if call[0] == "forget"] == forgotten
    assert heard.names().count("connected") == 1, "it stood all the while"


def test_a_lost_link_is_a_disconnect_until_it_is_back(heard):
    watch = FeedWatch("sip", heard, SessionState(True, {}))
    give(watch, [session(1, "unlinked", down_since_ns=NS), session(2, "linked")])
    assert heard.names() == ["connected", "disconnected", "connected", "advance"]


def test_a_clock_that_is_set_forward_makes_no_silence(heard):
    watch = FeedWatch("sip", heard, SessionState(True, {}))
    step = {"event": "clock", "step_ns": 60 * NS, "before_ns": 2 * NS}
    give(watch, [text(1), (62, EntryKind.CLOCK, step)])
    assert ("stepped", 60 * NS) in heard.calls
    assert heard.calls[-3:-1] == [("disconnected", 2 * NS), ("connected", 62 * NS)]
    assert watch.steps == 1


def test_a_clock_that_is_set_back_is_watched_anew_from_there():
    watch = FeedWatch("sip", Watchdog({"sip": Hours.ALWAYS}), SessionState())
    give(watch, [session(1, "subscribed"), *(text(10_001 + step / 20) for step in range(600))])
    step = {"event": "clock", "step_ns": -8_000 * NS, "before_ns": 10_032 * NS}
    alarms = give(
        watch,
        [
            *(text(10_031 + step / 20) for step in range(20)),
            (2_032, EntryKind.CLOCK, step),
            *(text(2_032 + step / 20) for step in range(40)),
        ],
    )
    assert alarms == []
    assert give(watch, [text(2_060)])[0].kind == "mute", "it is not deaf for 8,000 s"


def test_a_polled_book_that_does_not_change_is_no_mute_feed():
    watch = FeedWatch("rts", Watchdog({"rts": Hours.ALWAYS}), SessionState())
    changes = []
    for second in range(200):
        polls = Polls(second * NS, second * NS + 1, books=[PollCounts("RIZ6", polls=500)])
        changes += give(watch, [(second, EntryKind.POLLS, polls)], "mt5")
    assert changes == []
    (alarm,) = watch.pass_time(260 * NS)
    assert alarm.kind == "mute", "nobody polls any more"


def test_polls_that_all_failed_are_no_sign_of_life(heard):
    failed = Polls(1, 2, books=[PollCounts("RIZ6", polls=5, errors={"-1": 5})])
    give(FeedWatch("rts", heard, SessionState()), [(1, EntryKind.POLLS, failed)], "mt5")
    assert "observe" not in heard.names()


@pytest.mark.parametrize("kind", [EntryKind.SESSION, EntryKind.CLOCK, EntryKind.POLLS])
def test_what_cannot_be_read_is_passed_over(heard, kind):
    give(FeedWatch("sip", heard, SessionState()), [(1, kind, b"{"), (1, kind, b"[" * 5000)])
    assert heard.names() == ["advance"]


def test_frames_that_were_dropped_are_told_by_their_entry():
    dropped = own_entries(
        blocks_of([(1, EntryKind.DROPPED, {"frames": 7}), (1, EntryKind.DROPPED, b"x"), text(1)])
    )
    assert [(entry.index, entry.dropped) for entry in dropped] == [(0, 7), (1, 0)]
