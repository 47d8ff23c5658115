"""Giving a strategy its logged inputs again: the same blocks, in the same order, or a clear no."""

import pytest

from ticktape.decisions import DecisionRunner, InputLog, give_logged
from ticktape.decisions.log import Blocks, Logged, Start, Timer
from ticktape.decisions.rerun import read_blocks
from ticktape.errors import Corrupt
from ticktape.journal import Reader, Writer
from ticktape.journal.writer import WriterConfig
from ticktape.records import Position

SUMS = """
    class Sums:
        timer_s = 1
        def __init__(self):
            self.total = 0
        def on_trade(self, trade, last):
            self.total += trade.price
        def on_timer(self, now_ns, last):
            return [now_ns, self.total]
"""


@pytest.fixture
def feed(tmp_path):
    """A feed's journal of twelve blocks in several small segments; and how to open it."""
    config = WriterConfig(segment_bytes=600)
    with Writer(tmp_path / "feed", tmp_path / "positions", config) as writer:
        for number in range(12):
            writer.append([b"%d" % number * 20, b"second"], number, number)
    with Reader(tmp_path / "feed", None) as reader:
        blocks = []
        while found := reader.read():
            blocks += found
    assert len({block.offset - block.seq for block in blocks}) > 2
    return blocks


@pytest.fixture
def reader(tmp_path, feed):
    with Reader(tmp_path / "feed", None) as opened:
        yield opened


def named(blocks):
    first, last = blocks[0], blocks[-1]
    return Blocks("feed", first.epoch, first.offset, last.end_offset, len(blocks))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 12])
def test_every_split_gives_the_same_blocks_again(feed, reader, size):
    parts = [feed[at : at + size] for at in range(0, len(feed), size)]

    assert [block for part in parts for block in read_blocks(reader, named(part))] == feed


def test_inputs_may_jump_back_and_forth(feed, reader):
    for part in (feed[8:10], feed[0:3], feed[11:], feed[3:8]):
        assert read_blocks(reader, named(part)) == part


def test_no_byte_beyond_the_input_is_read(feed, reader):
    """A replay of a day reads each byte once: else small inputs would cost a chunk each."""
    asked = []
    plain = reader.read
    reader.read = lambda max_bytes: asked.append(max_bytes) or plain(max_bytes)

    for block in feed[:3]:
        read_blocks(reader, named([block]))

    assert asked == [block.end_offset - block.offset for block in feed[:3]]


def test_blocks_that_are_gone_are_named(tmp_path, feed, reader):
    first = sorted((tmp_path / "feed").glob("*.seg"))[0]
    whole = first.read_bytes()
    first.write_bytes(whole[:-10] + b"##########")
    in_first = [block for block in feed if block.end_offset <= len(whole)]

    with pytest.raises(Corrupt, match=r"feed feed: 1 of \d blocks at epoch 0 offset \d+ are gone"):
        read_blocks(reader, named(in_first))


def test_inputs_are_given_in_the_logged_order_with_numbers_from_the_start(feed, tmp_path, load):
    log = InputLog(
        Start("run", {}, "", 5),
        lambda: iter(
            Logged(said, [], [], Position(0, 0), 0)
            for said in (Timer(1), named(feed[:2]), Timer(2), named(feed[2:]), Timer(3))
        ),
    )
    from types import SimpleNamespace

    class PricesOfBlocks:
        def decode(self, block):
            return [SimpleNamespace(kind="trades", price=block.seq, seq=block.seq)]

    runner = DecisionRunner(load(SUMS), {"feed": PricesOfBlocks()})
    opened = []

    def open_reader(name):
        opened.append(Reader(tmp_path / name, None))
        return opened[-1]

    paced = []
    given = [outcome for _, outcome in give_logged(runner, open_reader, log, paced.append)]

    values = [payload for outcome in given for payload in outcome.decisions]
    assert b'"n":5' in values[0] and values[0].endswith(b'"value":[1,0]}')
    assert values[1].endswith(b'"value":[2,%d]}' % sum(block.seq for block in feed[:2]))
    assert values[2].endswith(b'"value":[3,%d]}' % sum(block.seq for block in feed))
    assert len(paced) == 5
    assert len(opened) == 1
