"""What a reader had to pass over, and how many entries were lost with it.

The writer leaves no hole in `seq`: so what follows a damaged part says how much was in it. A number
that nothing tells stays None; it is never guessed here.
"""

from typing import NamedTuple

from ticktape.journal.blocks import Block, TrueHeader


class Damage(NamedTuple):
    """Bytes of a journal that are not a whole block.

    `entries` is how many entries were lost there, None when nothing tells; of several parts in a
    row the first carries the sum. `torn` marks the end of a segment that a dying writer or a
    refusing disk left; anything else was damaged later. No bytes and some entries: a part that is
    no longer there.
    """

    epoch: int
    offset: int
    bytes: int
    entries: int | None
    torn: bool

    def __str__(self) -> str:
        lost = "an unknown number of" if self.entries is None else str(self.entries)
        what = "torn end" if self.torn else "damaged block" if self.bytes else "missing part"
        return (
            f"{what} at epoch {self.epoch} offset {self.offset}: "
            f"{self.bytes} bytes, {lost} entries lost"
        )


class DamageList:
    """The damage that one reader met, in its order; counts are corrected as it reads on."""

    __slots__ = ("_epoch", "_next_seq", "_recent", "found")

    def __init__(self) -> None:
        self.found: list[Damage] = []
        self._next_seq: int | None = None
        self._epoch = -1  # of the last whole block
        self._recent = 0  # index of the first damage since the last whole block

    def forget_seq(self) -> None:
        """Go on from elsewhere: what comes next says nothing of what was before."""
        self._next_seq = None
        self._recent = len(self.found)

    def pass_over(
        self, epoch: int, offset: int, count_bytes: int, header: TrueHeader | None, *, torn: bool
    ) -> None:
        """Note that `count_bytes` are no whole block; `header` is that of the block, if true."""
        if header is None:
            self.found.append(Damage(epoch, offset, count_bytes, None, torn))
            return
        # A writer that died as it wrote a refused block again left one copy whole and one torn.
        is_read = self._settle(epoch, offset, header.seq) == header.entries
        entries = 0 if is_read else header.entries
        self.found.append(Damage(epoch, offset, count_bytes, entries, torn))
        self._next_seq = header.seq + header.entries

    def miss(self, epoch: int, offset: int, count_bytes: int) -> None:
        """Note that `count_bytes` are not there, which were or should be."""
        self.found.append(Damage(epoch, offset, count_bytes, None, torn=False))

    def pass_header(self, epoch: int, base: int, count_bytes: int) -> None:
        """Note that a segment's own header is damaged; there was no entry in it."""
        self.found.append(Damage(epoch, base, count_bytes, 0, torn=False))

    def resume(self, first: Block, next_seq: int) -> None:
        """Go on with whole blocks, of which `first` is the first and `next_seq` follows the last.

        Raises nothing: a hole in `seq` where no damage was seen is a part that has gone.
        """
        if self._next_seq != first.seq or len(self.found) > self._recent:
            self._settle(first.epoch, first.offset, first.seq)
            self._recent = len(self.found)
        self._next_seq = next_seq
        self._epoch = first.epoch

    def _settle(self, epoch: int, offset: int, seq: int) -> int:
        """Correct the latest counts by the number that comes next.

        Returns how many from there on were read before, of this epoch.
        """
        if self._next_seq is None:
            return 0
        lost = seq - self._next_seq
        recent = range(self._recent, len(self.found))
        unknown = [index for index in recent if self.found[index].entries is None]
        # Numbers do not go on between epochs as they do within one: a writer that found only half
        # a header gives them again. A hole tells of a loss there, too; its absence tells nothing.
        if lost == 0:
            unknown = [index for index in unknown if self.found[index].epoch == epoch]
        if lost < 0:
            mine = [index for index in recent if self.found[index].epoch == epoch]
            again = self._written_again(mine, -lost)
            return again if self._epoch == epoch else 0
        elif unknown:
            self._set_entries(unknown[0], lost)
            for index in unknown[1:]:
                self._set_entries(index, 0)
        elif lost > 0:
            self.found.append(Damage(epoch, offset, 0, lost, torn=False))
        return 0

    def _written_again(self, torn: list[int], count: int) -> int:
        """What a refusing disk tore was held in memory, and stands whole in the next segment.

        Returns what is left of `count`.
        """
        for index in reversed(torn):
            entries = self.found[index].entries or 0
            again = min(entries, count)
            self._set_entries(index, entries - again)
            count -= again
        return count

    def _set_entries(self, index: int, entries: int) -> None:
        self.found[index] = self.found[index]._replace(entries=entries)
