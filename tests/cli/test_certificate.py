"""The verb `certificate`, and its page, which is harmless whatever a venue calls a symbol."""

import json
import shutil
from html.parser import HTMLParser

import pytest

from ticktape.cli import certify
from ticktape.cli.certificate_page import page, sentence
from ticktape.cli.certificate_timeline import percent, timeline
from ticktape.errors import ConfigError
from ticktape.ledger import (
    Day,
    FeedDay,
    FeedVerdict,
    GapInterval,
    Lacking,
    Part,
    Standing,
    Verdict,
    chained,
)
from ticktape.ledger import certify as certificate_of

S = 1_000_000_000
EVIL = "<script>alert('x')</script>"
HIDDEN = 'IBM\u202e&"'


def a_certificate(symbols=("IBM",), gaps=(), reasons=(), lacking=(), torn=(), words=""):
    counts = {"trades": dict.fromkeys(symbols, 1)}
    own = FeedVerdict(
        "sip", "alpaca", [], 0, 1, None, None, 0, list(torn), [], list(gaps), 1, lacking=lacking
    )
    standing = Standing(0, 90 * S, {"trades": tuple(symbols)}, {})
    feed = FeedDay(own, (standing,), words={("", 90 * S): words}, symbols=counts)
    verdict = Verdict([own], [], {}, list(reasons))
    about = {"runs": [EVIL], "version": "9", "made_ns": 0, "live": False}
    digests = {"sip": chained([Part("0.seg", "1970-01-01", 0, 1, "00" * 32)])}
    return certificate_of(Day("1970-01-01", 0, 100 * S), verdict, {"sip": feed}, digests, about)


def a_gap(state="open", cause="down", symbol=""):
    return GapInterval("sip", symbol, 90 * S, 95 * S, cause, False, state)


class Tags(HTMLParser):
    """What a browser would make of the page's tags."""

    def __init__(self):
        super().__init__()
        self.seen = set()
        self.asked = []

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.asked += [
            (tag, name) for name, value in attributes if name in ("src", "href") or name[:2] == "on"
        ]


def tags_of(text):
    found = Tags()
    found.feed(text)
    return found


def test_what_a_venue_calls_a_symbol_or_a_cause_is_harmless():
    lacking = (Lacking("sip", "trades", EVIL, 0, False, 3),)
    evil = a_certificate(
        (EVIL, HIDDEN), [a_gap("healed", EVIL, EVIL)], [EVIL], lacking, [EVIL], words=EVIL
    )
    text = page(evil)

    found = tags_of(text)
    assert "script" not in found.seen
    assert found.asked == []
    assert "&lt;script&gt;" in text
    assert "\u202e" not in text


def test_the_page_asks_for_nothing_and_may_not():
    text = page(a_certificate())

    found = tags_of(text)
    assert found.asked == []
    assert not found.seen & {"link", "img", "iframe", "script", "object"}
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert "://" not in text
    assert "url(" not in text


def test_the_verdict_is_one_sentence():
    assert sentence(a_certificate()) == (
        "COMPLETE: all 0 messages that came are stored, and no gap stands open."
    )
    healed = a_certificate(gaps=[a_gap("healed")])
    assert sentence(healed).endswith("and 1 gap was healed.")
    assert sentence(a_certificate(gaps=[a_gap()])).startswith("INCOMPLETE for 1 reason: 0 messages")


def test_a_gap_stands_in_the_table_with_its_state_and_who_found_what():
    text = page(a_certificate(gaps=[a_gap("healed")], words="12 trades were found"))

    for words in ("1970-01-01 00:01:30.000", "5.00 s", "healed", "down", "12 trades were found"):
        assert f">{words}<" in text


def test_of_ten_thousand_symbols_the_worst_are_shown_and_the_page_stays_small():
    symbols = tuple(f"S{number:05}" for number in range(10_000))
    gaps = [a_gap(symbol=symbol) for symbol in symbols[5000:5200]]
    text = page(a_certificate(symbols, gaps))

    assert len(text) < 300_000
    assert "and 9,796 more" in text
    assert "more; the JSON beside this page has all" in text


def test_a_moment_is_wide_enough_to_be_seen_and_what_is_worst_lies_on_top():
    drawn = timeline({"missing": [(50, 51)], "unverifiable": [(0, 100_000)]}, 0, 100_000)

    assert drawn.index('class="unverifiable"') < drawn.index('class="missing"')
    assert 'class="missing" x="0.50" y="0" width="3.00"' in drawn


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "100 %"), (0.0, "0 %"), (0.999999, "99.99 %"), (1e-9, "<0.01 %"), (0.5, "50.00 %")],
)
def test_a_share_is_never_rounded_to_all_or_to_nothing(share, words):
    assert percent(share) == words


# The verb.


@pytest.fixture
def copied(demo, tmp_path):
    return shutil.copytree(demo, tmp_path / "demo")


def the_day(copied):
    (path,) = (copied / "certificate").glob("*.json")
    return path.stem


def test_the_certificate_is_written_shown_and_checked(copied, capsys):
    assert certify.certificate(copied) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith("COMPLETE  received")
    assert "100 %" in out
    made = json.loads((copied / "certificate" / f"{the_day(copied)}.json").read_bytes())
    assert made["feeds"]["sip"]["counts"]["trades"]["received"] > 30_000
    assert set(made["feeds"]["mt5"]["subscription"]["acknowledged"]) == {"books", "ticks"}
    assert made["feeds"]["mt5"]["polls"]["BTCUSDT"]["gap_us"]["max"] > 0
    assert sum(made["shares"].values()) == pytest.approx(1.0)
    assert (copied / "certificate" / f"{the_day(copied)}.html").read_text().startswith("<!doctype")

    assert certify.certificate(copied, check=True) == 0
    assert "the same: " in capsys.readouterr().out


def test_a_flipped_byte_is_named_by_check_and_nothing_is_replaced(copied, capsys):
    certify.certificate(copied)
    (path,) = (copied / "feeds" / "sip" / "journal").glob("*.seg")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    capsys.readouterr()

    assert certify.certificate(copied, check=True) == 1
    assert f"sip: {path.name}: bytes 0 to {len(raw)} are not what they were" in (
        capsys.readouterr().out
    )
    assert certify.certificate(copied, check=True, json=True) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["same"], said["differences"][0]["journal"]) == (False, "sip")
    before = (copied / "certificate" / f"{the_day(copied)}.json").read_bytes()
    assert certify.certificate(copied) == 1
    assert (copied / "certificate" / f"{the_day(copied)}.json").read_bytes() == before


def test_a_run_that_cannot_be_written_to_is_said_with_what_to_do(copied):
    shutil.rmtree(copied / "certificate")
    (copied / "certificate").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be written") as refused:
        certify.certificate(copied)
    assert "ticktape check" in refused.value.hint


def test_json_is_the_whole_certificate_on_the_last_line(copied, capsys):
    assert certify.certificate(copied, json=True) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])

    written = json.loads((copied / "certificate" / f"{said['day']}.json").read_bytes())
    assert said == {**written, "differences": []}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"day": "yesterday"}, "is not a day"),
        ({"day": "1999-01-01"}, "nothing was recorded on 1999-01-01"),
        ({"day": "1999-01-01", "check": True}, "no certificate of that day"),
    ],
)
def test_a_day_that_is_not_there_is_said(demo, options, words):
    with pytest.raises(ConfigError, match=words):
        certify.certificate(demo, **options)
