"""Where a block is missing a gap stands before what follows; where none is there is nothing."""

import pytest

from ticktape.decoders.alpaca import AlpacaWire
from ticktape.decoders.drafts import DraftingProjection
from ticktape.decoders.holes import HoleTeller
from ticktape.journal import Block


class Numbers:
    """A decoder whose records are the blocks' numbers."""

    def decode(self, block):
        return [block.seq]


def block(seq, count=1, epoch=0):
    return Block(epoch, 0, 0, seq, count, 1_000 + seq, 0, 1, b"")


def told(blocks, next_seq=-1):
    teller = HoleTeller("sip", Numbers(), next_seq)
    return [record for each in blocks for record in teller.decode(each)]


@pytest.mark.parametrize("next_seq", [-1, 5])
def test_whole_journals_have_no_gaps(next_seq):
    blocks = [block(5, 3), block(8), block(9, epoch=1)]
    assert told(blocks, next_seq) == [5, 8, 9]


@pytest.mark.parametrize("behind", [block(9), block(9, epoch=1), block(7, epoch=1)])
def test_a_missing_block_is_a_gap_from_the_one_before_it_to_the_one_behind(behind):
    first, gap, last = told([block(5, 3), behind])
    assert (first, last) == (5, behind.seq)
    assert (gap.feed, gap.symbol, gap.cause) == ("sip", "", "the journal is damaged")
    assert (gap.from_ns, gap.to_ns, gap.recv_ns) == (1_005, behind.recv_ns, behind.recv_ns)
    assert (gap.epoch, gap.seq, gap.index) == (behind.epoch, behind.seq, -1)


def test_a_first_block_that_is_not_the_expected_one_is_behind_a_gap():
    gap, seq = told([block(5)], next_seq=4)
    assert (gap.from_ns, gap.to_ns, seq) == (1_005, 1_005, 5)


def test_what_passed_another_way_is_not_missing():
    teller = HoleTeller("sip", Numbers(), 5)
    teller.passed(block(5, 3))
    assert teller.decode(block(8)) == [8]
    assert teller.decode(block(10))[0].from_ns == 1_008


def test_drafts_are_of_whole_journals_and_of_decoders_that_have_them():
    whole, behind = block(5), block(7)
    assert HoleTeller("sip", Numbers()).drafts([block(5)]) is None
    assert HoleTeller("sip", Drafting()).drafts([whole]) == [5]
    assert HoleTeller("sip", Drafting(), 4).drafts([whole]) is None
    assert HoleTeller("sip", Drafting(), 5).drafts([whole, behind]) is None


class Drafting(DraftingProjection):
    """Its drafts are the blocks' numbers."""

    def __init__(self):
        super().__init__("sip", AlpacaWire())

    def drafts(self, blocks):
        return [each.seq for each in blocks]
