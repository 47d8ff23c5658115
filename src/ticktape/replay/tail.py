"""What `sql` sees: the committed tables and the tail that is not in them yet, each row once."""

import duckdb
import msgspec
import pyarrow as pa

from ticktape.directory import RunDirectory
from ticktape.journal.position_file import load_positions
from ticktape.replay.places import decoders_of, is_live, reader_of
from ticktape.table.builder import TableBuilder
from ticktape.table.query import connect
from ticktape.table.store import TableStore


def read_tails(directory: RunDirectory, store: TableStore) -> dict[str, pa.Table]:
    """Kind -> rows that are journaled and not in the store's snapshot, de-duplicated against it.

    The saved position is read before the snapshot is taken: the other way round, rows could be
    missed.
    """
    saved, counts = load_positions(directory.reader_file("table"))
    received = msgspec.convert(counts, dict[str, dict[str, int]])
    live = is_live(directory)
    decoders = decoders_of(directory)
    builder = TableBuilder(store, decoders)
    for name in decoders:
        start = builder.start_position(name, saved.get(name), received.get(name))
        with reader_of(directory, name, start, live=live) as reader:
            while blocks := reader.read(4 << 20):
                builder.add(name, blocks)
    return builder.tails()


def connect_run(
    directory: RunDirectory, as_of_ns: int | None = None, asked: str | None = None
) -> duckdb.DuckDBPyConnection:
    """A connection with a view per kind over the tables and the tail; the caller closes it.

    `as_of_ns`: show only what had been received by then. `asked`: a text of SQL that names
    whatever will be asked for; of other views nothing is sure then.
    """
    store = TableStore(directory.root, read_only=True)
    return connect(store, read_tails(directory, store), as_of_ns, asked)
