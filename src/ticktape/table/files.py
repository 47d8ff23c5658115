"""One Parquet file of a table: written, synced, and described to the Delta log.

deltalake writes Parquet too, but does not sync it, and its commit would then point at bytes that a
power loss takes away. So the file is written and synced here first. A file never appears under its
name in part.
"""

import json
import os
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

GROUP_ROWS = 122_880
"""DuckDB gives a row group of this size to each of its threads."""

# Columns by which readers and the anti-join skip whole files.
_STATISTICS = ("feed", "symbol", "event_ns", "recv_ns", "epoch", "seq")
# Texts by which readers skip parts of a file; the ranges of others cost a tenth of the writing.
_RANGED = ("feed", "symbol", "witness")
# Level 1 was within 2 % of level 3 in size on trades, at half the time.
_ZSTD_LEVEL = 1
# An image of a book repeats most of the one before it. On 6,547 real ones of 40 rows level 9 made
# 54 bytes of what level 3 made 62 and level 1 made 70 of, in 7 µs an image.
_ZSTD_LEVEL_LISTS = 9


def write_file(root: Path, name: str, rows: pa.Table) -> AddAction:
    """Write `rows` (all of one day) as `root/name` and sync it and its directory.

    A file left there by an attempt that died is replaced.

    Raises:
        OSError: the disk refused; nothing is left under the name.
    """
    path = root / name
    make_directory(path.parent)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            pq.write_table(rows, file, GROUP_ROWS, **parquet_options(rows.schema))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            modified_ms = int(os.fstat(file.fileno()).st_mtime * 1000)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    day = path.parent.name.partition("=")[2]
    return AddAction(name, size, {"day": day}, modified_ms, True, statistics_of(rows))


def make_directory(path: Path) -> None:
    """Make a directory and sync its name into its parent, if it is not there yet."""
    if path.is_dir():
        return
    path.mkdir(parents=True, exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, where the system can."""
    if os.name == "nt":  # Windows opens no directories; NTFS journals names by itself
        return
    _sync(path, os.O_RDONLY)


def sync_file(path: Path) -> None:
    """Make a file's bytes durable."""
    _sync(path, os.O_RDWR)


def sync_log(root: Path, version: int) -> None:
    """Make a commit to the table at `root` durable, and the checkpoint that it may have brought."""
    log = root / "_delta_log"
    sync_file(log / f"{version:020}.json")
    checkpoint = log / f"{version:020}.checkpoint.parquet"
    if checkpoint.exists():
        sync_file(checkpoint)
        sync_file(log / "_last_checkpoint")
    sync_directory(log)
    sync_directory(root)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """How a table's files are written, as arguments of pyarrow's writers."""
    # Whole numbers as differences: Arrow's defaults try a dictionary for each of them, too, and
    # take five times as long. Prices and sizes repeat: on recorded trades dictionaries made 6.7
    # bytes a row of what BYTE_STREAM_SPLIT made 8.5 of, on quotes 5.4 of 6.4, in the same time, and
    # DuckDB reads them in two thirds of it. Sizes of eight decimals alone become larger by it.
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    ranged = [name for name in schema.names if name in _RANGED or name not in texts]
    encodings = {
        field.name: "DELTA_BINARY_PACKED" for field in schema if pa.types.is_integer(field.type)
    }
    has_lists = any(pa.types.is_list(field.type) for field in schema)
    return {
        "compression": "zstd",
        "compression_level": _ZSTD_LEVEL_LISTS if has_lists else _ZSTD_LEVEL,
        "use_dictionary": texts + floats,
        "write_statistics": ranged,
        "column_encoding": encodings,
    }


def statistics_of(rows: pa.Table) -> str:
    """What the Delta log says of a file's rows, in JSON."""
    low, high, nulls = {}, {}, {}
    for name in _STATISTICS:
        column = rows.column(name)
        nulls[name] = column.null_count
        if pa.types.is_string(column.type):
            column = pc.unique(column)  # a third of the time that comparing every text takes
        found = cast("dict[str, Any]", pc.min_max(column).as_py())
        if found["min"] is not None:
            low[name], high[name] = found["min"], found["max"]
    return json.dumps(
        {"numRecords": rows.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}
    )
