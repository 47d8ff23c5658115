"""Gives a strategy its inputs again, from the journals, in the logged order.

Nothing here writes, and nothing but the log decides what comes next.
"""

from collections.abc import Callable, Iterator

from ticktape.decisions.log import Blocks, InputLog, Logged, Timer
from ticktape.decisions.runner import DecisionRunner, Outcome
from ticktape.errors import Corrupt
from ticktape.journal.blocks import Block
from ticktape.journal.reader import Reader
from ticktape.records import Position


def give_logged(
    runner: DecisionRunner,
    open_reader: Callable[[str], Reader],
    log: InputLog,
    pace: Callable[[Logged], None] | None = None,
) -> Iterator[tuple[Logged, Outcome]]:
    """Every logged input, in order, with its outcome now.

    Args:
        runner: a fresh instance.
        open_reader: gives a reader of a feed's journal; each is closed.
        log: what to give.
        pace: called before each input; it may wait.

    Raises:
        Corrupt: blocks that the strategy was given are no longer whole in the feed's journal.
    """
    runner.next_number = log.start.first_number
    readers: dict[str, Reader] = {}
    try:
        for logged in log.inputs():
            if pace is not None:
                pace(logged)
            said = logged.input
            if isinstance(said, Timer):
                yield logged, runner.fire_timer(said.now_ns)
            elif isinstance(said, Blocks):
                if said.feed not in readers:
                    readers[said.feed] = open_reader(said.feed)
                yield logged, runner.give(said.feed, read_blocks(readers[said.feed], said))
    finally:
        for reader in readers.values():
            reader.close()


def read_blocks(reader: Reader, said: Blocks) -> list[Block]:
    """The blocks that one input names.

    Raises:
        Corrupt: not all of them are there.
    """
    start, end = Position(said.epoch, said.from_offset), Position(said.epoch, said.to_offset)
    if reader.position != start:
        reader.seek(start)
    found: list[Block] = []
    while len(found) < said.count and reader.position < end:
        # No byte further: what is read beyond the end would be read and parsed again for the next.
        blocks = reader.read_until(end, end.offset - max(reader.position, start).offset)
        if not blocks:
            break
        found += blocks
    if len(found) != said.count:
        raise Corrupt(
            f"feed {said.feed}: {said.count - len(found)} of {said.count} blocks at epoch "
            f"{said.epoch} offset {said.from_offset} are gone that a strategy was given",
            hint="A power cut or damage took them: what was decided on them is suspect.",
        )
    return found
