"""Every message of the simulated venue: in the journal, counted as dropped, or inside a gap.

The gaps are those of the journal, read as `check` reads them. Their bounds are in our clock's time,
and are held to true time: what that clock was wrong by while the gap came about is all that a bound
may be wrong by.
"""

import bisect
from typing import NamedTuple

import msgspec
from power_proof import notes
from simulation_disk import Violation
from simulation_readers import FEED
from simulation_time import SECOND_NS
from simulation_venue import messages_in

from ticktape.decoders import decoder_for
from ticktape.decoders.session import GAPS
from ticktape.ledger import fold_gaps
from ticktape.records import EntryKind, Position

_SLACK_NS = 2 * SECOND_NS // 1000  # below half a millisecond a drift of the wall is left alone
_FOR_EVER = 1 << 62


class Span(NamedTuple):
    """A gap in true time: its bounds at the least and at the most, as the clock may be wrong."""

    from_least: int
    from_most: int
    to_least: int
    to_most: int
    told_ns: int
    words: str


class Told(NamedTuple):
    """A row of a gap, and when in true time it was told, and what came before it was heard."""

    row: object
    before_ns: int
    told_ns: int


class Ledger:
    """The books of one world, from its journal as it is at the end."""

    def __init__(self, world, blocks):
        self.world = world
        self.blocks = blocks
        self.journaled = self.dropped = 0
        self.gaps = []
        self._boots = {at.epoch: each.boot_ns for at, each in world.book.blocks.items()}
        anchors = sorted(each for life in world.lives for each in life.anchors)
        self._anchor_times = [at_ns for at_ns, _ in anchors]
        self._anchor_errors = [ahead_ns for _, ahead_ns in anchors]

    def prove(self, given_up):
        """Hold the journal to lines 8 and 9; `given_up` are blocks of which it says so itself.

        Raises:
            Violation: a message is nowhere, twice, or in a gap with wrong bounds.
        """
        times, kept = self._times(), self._kept()
        self._hold_tables(len(kept))
        spans = self._spans(times)
        holes = list(self._holes(times))
        told = set(self._keys(given_up))
        begin_ns = self._begin_ns(times)
        for key, message in self.world.venue.messages.items():
            if key in kept or key in told or message.arrived_ns <= begin_ns:
                continue
            self._hold_inside(key, message, [*spans, *holes])
        self._hold_tight(times, spans, holes)
        self.journaled = len(kept)
        self.dropped = sum(
            msgspec.json.decode(payload)["frames"]
            for block in self.blocks
            for kind, payload in block.entries()
            if kind == EntryKind.DROPPED
        )

    # What is there.

    def _times(self):
        """True time of each block's receipt."""
        return [block.recv_mono_ns + self._boots[block.epoch] for block in self.blocks]

    def _keys(self, blocks):
        for block in blocks:
            for kind, payload in block.entries():
                if kind <= EntryKind.BINARY:
                    yield from messages_in(payload)

    def _kept(self):
        kept = set()
        for key in self._keys(self.blocks):
            if key in kept:
                raise Violation(f"line 8: message {key} stands twice")
            if key not in self.world.venue.messages:
                raise Violation(f"line 8: message {key} was never sent")
            kept.add(key)
        return kept

    def _hold_tables(self, count):
        """The decoder finds a row for each message, so that the tables' sums are the venue's."""
        tables = decoder_for("alpaca", FEED).tables(self.blocks)
        rows = len(tables["trades"]) if "trades" in tables else 0
        if rows != count:
            raise Violation(f"line 8: {count} messages are journaled, {rows} are decoded")

    def _begin_ns(self, times):
        """Since when the journal answers for what is missing: its first word of either kind."""
        for block, at_ns in zip(self.blocks, times, strict=True):
            for kind, payload in block.entries():
                if kind == EntryKind.SESSION:
                    said = msgspec.json.decode(payload)
                    if said["event"] == "subscribed" or said.get("gap") or said.get("gaps"):
                        return at_ns
        return _FOR_EVER

    # What is missing.

    def _spans(self, times):
        rows, told, kinds = [], {}, {}
        heard = [0, *(at_ns for at_ns, _ in self._heard(times))]
        for block, at_ns in zip(self.blocks, times, strict=True):
            for index, (kind, payload) in enumerate(block.entries()):
                if kind in GAPS:
                    made = GAPS[kind](payload, FEED, block.recv_ns, block.epoch, block.seq + index)
                    before_ns = heard[max(bisect.bisect_left(heard, at_ns) - 1, 0)]
                    for row in made:
                        rows.append(row)
                        key = row.symbol, row.from_ns
                        if kinds.setdefault(key, kind) != kind:
                            raise Violation(f"line 9: a loss and an outage pass for one: {row}")
                        told.setdefault(key, []).append(Told(row, before_ns, at_ns))
        self.gaps = fold_gaps(rows)
        return [self._span(gap, told[gap.symbol, gap.from_ns]) for gap in self.gaps]

    def _holes(self, times):
        """Where numbers lack, or a note gives up what a failed sync left: from and to when.

        What stood there may have been messages, and entries of gaps.
        """
        before = None
        for block, at_ns in zip(self.blocks, times, strict=True):
            if before is not None and block.seq != before[0].next_seq:
                yield Span(before[1], before[1], at_ns, at_ns, at_ns, "numbers lack")
            before = (block, at_ns)
            for note in notes([block], EntryKind.NOTE):
                place = Position(note["suspect"]["epoch"], note["suspect"]["from_offset"])
                index = bisect.bisect_left([each.position for each in self.blocks], place)
                from_ns = times[max(index - 1, 0)]
                yield Span(from_ns, from_ns, at_ns, at_ns, at_ns, "suspect")

    def _span(self, gap, told):
        first = told[0]
        errors = self._errors(first.before_ns, first.told_ns)
        from_least, from_most = gap.from_ns - max(errors), gap.from_ns - min(errors)
        to_least = to_most = _FOR_EVER
        if gap.to_ns is not None:
            if gap.to_ns < gap.from_ns:
                raise Violation(f"line 9: a gap that ends before it begins: {gap}")
            last = [each for each in told if each.row.to_ns is not None][-1]
            # One that was cut short, since the clock was set back, may end by either setting.
            is_cut = gap.to_ns == gap.from_ns and "set back" in gap.cause
            errors = self._errors(first.before_ns if is_cut else last.before_ns, last.told_ns)
            to_least, to_most = gap.to_ns - max(errors), gap.to_ns - min(errors)
        return Span(from_least, from_most, to_least, to_most, first.told_ns, str(gap))

    def _errors(self, from_ns, to_ns):
        """By how much our clock was ahead of true time at any moment of these."""
        first = max(bisect.bisect_right(self._anchor_times, from_ns) - 1, 0)
        last = bisect.bisect_right(self._anchor_times, to_ns)
        return self._anchor_errors[first : max(last, first + 1)]

    def _hold_inside(self, key, message, spans):
        for span in spans:
            if (
                message.sent_ns <= span.to_most + _SLACK_NS
                and message.arrived_ns >= span.from_least - _SLACK_NS
            ):
                return
        sent, arrived = message.sent_ns / SECOND_NS, message.arrived_ns / SECOND_NS
        raise Violation(
            f"line 9: message {key}, sent {sent:.6f}, there {arrived:.6f}, is in no journal, not "
            f"counted, and in no gap"
        )

    def _hold_tight(self, times, spans, holes):
        """No data came within a gap, and only the last one lasts."""
        data_ns = [at_ns for at_ns, is_data in self._heard(times) if is_data]
        last_ns = max((span.told_ns for span in spans), default=0)
        for span in spans:
            is_last = span.told_ns == last_ns
            is_torn = any(hole.told_ns >= span.told_ns for hole in holes) and self.world.cuts
            if span.to_least == _FOR_EVER and not is_last and not is_torn:
                raise Violation(f"line 9: a gap that never ends: {span.words}")
            first = bisect.bisect_right(data_ns, span.from_most + _SLACK_NS)
            end_ns = min(span.to_least, span.told_ns) if is_last else span.to_least
            if end_ns == _FOR_EVER:
                continue
            if bisect.bisect_left(data_ns, end_ns - _SLACK_NS) > first:
                raise Violation(f"line 9: data came within a gap: {span.words}")

    def _heard(self, times):
        """When something came while a session stood, and whether it was data.

        Behind a hole nobody knows how the session stood until an entry of ours says it again.
        """
        is_down, next_seq = True, 0
        for block, at_ns in zip(self.blocks, times, strict=True):
            is_down |= block.seq != next_seq
            next_seq = block.next_seq
            for kind, payload in block.entries():
                if kind in (EntryKind.SESSION, EntryKind.CLOCK):
                    is_down = msgspec.json.decode(payload).get("down_since_ns", 0) > 0
                elif kind <= EntryKind.BINARY and not is_down:
                    yield at_ns, bool(messages_in(payload))
