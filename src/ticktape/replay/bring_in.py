"""Brings into the tables what the journals have and they have not, while no recorder is at work.

As the table's process does it, by the same builder and with the same saved position, so that the
next recorder goes on where this ended. A recorder that starts meanwhile is never turned away: its
table's process waits until this is over, and its writers are not disturbed.
"""

from contextlib import AbstractContextManager

import msgspec

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.journal.disk import write_error
from ticktape.journal.position_file import load_positions, save_positions
from ticktape.journal.recovery import make_all_durable
from ticktape.records import Position
from ticktape.replay.alone import hold
from ticktape.replay.places import decoders_of, reader_of
from ticktape.table.builder import TableBuilder
from ticktape.table.store import TableStore

_READER = "table"
_READ_BYTES = 4 << 20
_LOCK_S = 5.0  # children of a recorder that was killed finish their work by themselves


def bring_in(directory: RunDirectory) -> int:
    """Commit what is journaled; the number of rows.

    Raises:
        Locked: a recorder is at work, and brings it in by itself.
        ConfigError: run.toml is unreadable.
        TableError: the disk refused; the journals have it all.
        JournalError: the saved position cannot be written.
    """
    with _alone(directory):
        saved, counts = load_positions(directory.reader_file(_READER))
        received = msgspec.convert(counts, dict[str, dict[str, int]])
        decoders = decoders_of(directory)
        builder = TableBuilder(TableStore(directory.root), decoders)
        positions = dict(saved)

        def commit() -> None:
            result = builder.commit()
            positions.update(result.positions)
            received.update(result.received)

        starts = {
            name: builder.start_position(name, saved.get(name), received.get(name))
            for name in decoders
        }
        for name in decoders:
            end = _durable_end(directory, name)
            with reader_of(directory, name, starts[name], live=False) as reader:
                while blocks := reader.read_until(end, _READ_BYTES):
                    builder.add(name, blocks)
                    if builder.due(clock.monotonic_ns()):
                        commit()
        commit()
        path = directory.reader_file(_READER)
        try:
            save_positions(path, positions, received)
        except OSError as error:
            raise write_error(error, str(path)) from error
        return builder.statistics().rows


def _durable_end(directory: RunDirectory, name: str) -> Position:
    """Where a journal ends now; all before it survives power loss.

    Rows are made of synced entries alone, and a writer that was killed leaves others. How its last
    segment ended is for the next writer to say, which may be starting now.
    """
    found = make_all_durable(directory.journal(name), directory.positions(name))
    return Position(0, 0) if found.last is None else found.last.end


def _alone(directory: RunDirectory) -> AbstractContextManager[None]:
    """Keep the table's other writers out; not the recorder, whose own lock is left alone."""
    hint = "It brings the rows into the tables by itself."
    return hold(directory.root, [directory.live / "table.lock"], _LOCK_S, hint)
