"""By drafts or by records: cells and counts of the last values are the same, whatever comes."""

import json
import struct
import tempfile
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.decoders import decoder_for, drafts, text_drafts
from ticktape.decoders.holes import HoleTeller
from ticktape.journal.blocks import Block
from ticktape.journal.format import KIND_SHIFT
from ticktape.lastvalue import LastValueWriter, layout
from ticktape.recorder import bringing
from ticktape.records import EntryKind

BOOT = bytes(range(16))
USUAL = "usual"  # text, too, of which the messages need not be read
FEEDS = ("sip", "crypto")
SYMBOLS = ("A", "B", "C", "Ä" * 20)  # the last is longer than a cell's field
SECOND_NS = 1_700_000_000_000_000_000
SESSION = EntryKind.SESSION, b'{"event": "gap", "gap": {"from_ns": 1, "cause": "the cable"}}'
# Texts of different lengths, of which the longer is not the later one.
TIMES = tuple(
    (f"2023-11-14T22:13:20{fraction}Z", msgpack.Timestamp.from_unix_nano(SECOND_NS + ns))
    for fraction, ns in (
        *(("", 0), (".000000001", 1), (".00000001", 10), (".1", 10**8), (".099999999", 99_999_999)),
        (".10", 10**8),
    )
)
BAR = {"o": 1, "h": 2, "l": 1, "c": 2, "v": 5}
OWN = {
    "t": {"p": 1.5, "s": 2, "i": 7, "c": ["@"], "x": "V"},
    "q": {"bp": 1, "bs": 2, "ap": 3, "as": 4, "c": ["R"]},
    "b": BAR,
    "u": BAR,
    "d": BAR,
    "o": {"b": [{"p": 1, "s": 2}], "a": [], "r": True},
    "s": {"sc": "H", "sm": "halted"},
    "x": {"i": 1, "p": 1, "s": 1},
}
BAD = {"badtime": {"T": "t", "t": "yesterday"}, "badcodes": {"T": "q", "c": 5}, "odd": {"T": "?"}}
PLAIN, ALL = ("t",), (*OWN, *BAD, "success")
ALPHABETS = (PLAIN, ("t", "q"), ("t", "q", "b", "u", "d"), ("t", "o", "success"), ALL)


def message(kind, symbol, moment, number, *, packed):
    if kind == "success":
        return {"T": kind, "msg": "authenticated"}
    more = BAD.get(kind, {"T": kind})
    common = {"S": symbol, "t": TIMES[moment][packed]}
    own = OWN.get(more["T"], {})
    return {**common, **own, **({"s": float(number)} if more["T"] == "t" else {}), **more}


def usual_text(kind, symbol, moment, number):
    """A message as the venue's own program writes it, as far as there is a form of it."""
    made = message(kind, symbol.replace("Ä", "LL"), moment, number, packed=False)
    keys = {"t": "TSixpsczt", "q": ("T", "S", "bx", "bp", "bs", "ax", "ap", "as", "c", "z", "t")}
    more = {"x": "V", "bx": "V", "ax": "", "z": "C"}
    ordered = {key: (made | more | made)[key] for key in keys.get(made["T"], made)}
    return json.dumps(ordered, separators=(",", ":"))


def frame(packed, messages):
    if packed is USUAL:
        made = [usual_text(*each, number) for number, each in enumerate(messages)]
        return EntryKind.TEXT, f"[{','.join(made)}]".encode()
    made = [message(*each, number, packed=packed) for number, each in enumerate(messages)]
    if packed:
        return EntryKind.BINARY, msgpack.packb(made)
    return EntryKind.TEXT, json.dumps(made).encode()


def block_of(entries, seq, epoch):
    words = [kind << KIND_SHIFT | len(payload) for kind, payload in entries]
    body = struct.pack(f"<{len(words)}I", *words) + b"".join(payload for _, payload in entries)
    at, recv_ns = seq * 100_000, SECOND_NS + seq
    return Block(epoch, at, at + 64 + len(body), seq, len(entries), recv_ns, seq, 1, body)


@st.composite
def messages_of(draw, alphabet):
    one = st.tuples(
        st.sampled_from(alphabet),
        st.sampled_from(SYMBOLS if alphabet is ALL else SYMBOLS[: draw(st.integers(1, 4))]),
        st.integers(0, len(TIMES) - 1),
    )
    return draw(st.lists(one, max_size=6))


@st.composite
def streams(draw):
    """Chunks: of which feed, how its blocks come, and each block's entries."""
    alphabet = draw(st.sampled_from(ALPHABETS))
    encodings = draw(st.sampled_from([(False,), (True,), (False, True), (USUAL,), (USUAL, True)]))
    frames = st.tuples(st.sampled_from(encodings), messages_of(alphabet)).map(lambda x: frame(*x))
    entries = st.one_of(frames, st.just(SESSION)) if alphabet is ALL else frames
    blocks = st.lists(st.lists(entries, min_size=1, max_size=3), min_size=1, max_size=4)
    how = st.sampled_from(["on", "on", "on", "on", "behind a hole", "new epoch", "read again"])
    return draw(st.lists(st.tuples(st.sampled_from(FEEDS), how, blocks), max_size=8))


class Journal:
    """The blocks of one feed as they come; `last` are those of the last chunk."""

    def __init__(self):
        self.seq = self.epoch = 0
        self.last = []

    def blocks(self, how, entries_of_blocks):
        if how == "read again":
            return self.last
        self.seq += how == "behind a hole"
        self.last = []
        for number, entries in enumerate(entries_of_blocks):
            self.epoch += how == "new epoch" and number < 2
            self.last.append(block_of(entries, self.seq, self.epoch))
            self.seq += len(entries)
        return self.last


class Side:
    """One way from blocks to cells."""

    def __init__(self, path, capacity, *, by_drafts):
        self.path, self.capacity, self.by_drafts = path, capacity, by_drafts
        self.start({})

    def start(self, next_seqs):
        self.last = LastValueWriter(self.path, BOOT, self.capacity)
        self.decoders = {
            feed: HoleTeller(feed, decoder_for("alpaca", feed), next_seqs.get(feed, -1))
            for feed in FEEDS
        }

    def take(self, feed, blocks):
        decoder = self.decoders[feed]
        if self.by_drafts:
            total = bringing.bring(self.last, decoder, blocks)
        else:
            records = [record for block in blocks for record in decoder.decode(block)]
            self.last.update(records)
            total = len(records)
        return total, self.last.statistics(), cells_of(self.last)


def cells_of(last):
    mapping = last._mapping
    cells = [mapping.peek_cell(number) for number in range(mapping.words[layout.WORD_COUNT])]
    return {layout.decode_key(payload): (is_whole, payload) for is_whole, payload in cells}


@pytest.fixture(autouse=True, scope="module")
def always_drafts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bringing, "_DRAFT_BYTES", 0)
        patch.setattr(drafts, "DRAFTS_PER_SYMBOL_MIN", 0)
        patch.setattr(text_drafts, "DRAFTS_PER_SYMBOL_MIN", 0)
        patch.setattr(text_drafts, "_TEXT_BYTES_MIN", 0)
        patch.setattr(drafts, "_PASSES", 0)
        yield


@given(streams(), st.sampled_from([1, 3, 5, 64]))
def test_cells_and_counts_are_those_of_all_records_made(chunks, capacity):
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch)
        one_by_one = Side(path / "records" / "last.map", capacity, by_drafts=False)
        in_bulk = Side(path / "drafts" / "last.map", capacity, by_drafts=True)
        journals = {feed: Journal() for feed in FEEDS}
        for feed, how, entries_of_blocks in chunks:
            blocks = journals[feed].blocks(how, entries_of_blocks)
            if not blocks:
                continue
            if how == "read again":  # as after a kill before the position was set
                for side in (one_by_one, in_bulk):
                    side.last.close()
                    side.start({feed: blocks[0].seq})
            assert in_bulk.take(feed, blocks) == one_by_one.take(feed, blocks)
        one_by_one.last.close()
        in_bulk.last.close()


def test_few_bytes_go_by_records_and_many_by_drafts(monkeypatch, tmp_path):
    monkeypatch.setattr(bringing, "_DRAFT_BYTES", 1_000)
    few, many = (
        block_of([frame(False, [("t", "A", 0)] * count)], seq, 0)
        for seq, count in ((0, 4), (1, 40))
    )
    side = Side(tmp_path / "last.map", 4, by_drafts=True)
    with side.last:
        for block, is_decoded in ((few, True), (many, False)):
            decoded = []
            decoder = side.decoders["sip"]
            with monkeypatch.context() as patch:
                patch.setattr(decoder, "decode", lambda _, decoded=decoded: decoded.append(1) or [])
                bringing.bring(side.last, decoder, [block])
            assert bool(decoded) == is_decoded
