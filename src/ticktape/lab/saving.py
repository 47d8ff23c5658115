"""Files of captures: CSV as the notebook wrote them, or Parquet; read back by `reading`.

One row a level, each with its capture's brackets, sequence, checksum and leg. An empty book has one
row, of type 0. A message has one row, with its text in `message` instead of the book's columns.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ticktape import mt5
from ticktape.lab.packing import parts_of

BOOK_COLUMNS = (
    "time_before",
    "time_after",
    "type",
    "price",
    "volume",
    "volume_dbl",
    "sequence",
    "checksum",
    "leg",
)
STREAM_COLUMNS = ("time_before", "time_after", "message", "sequence", "checksum", "leg")
NO_ROW = (0, 0.0, 0, 0.0)


class FileWriter:
    """Writes numbered files, `000000.csv` and so on.

    Straight into the file, as the notebook did: what a kill leaves of one is what survives of it.
    """

    def __init__(self, folder: Path, form: str, *, stream: bool) -> None:
        self._folder = folder
        self._form = form
        self._number = 0
        writers: dict[tuple[str, bool], Callable[[Path, Sequence[bytes]], None]] = {
            ("csv", False): write_books_csv,
            ("csv", True): write_stream_csv,
            ("parquet", False): write_books_parquet,
            ("parquet", True): write_stream_parquet,
        }
        self._write = writers[form, stream]

    def prepare(self) -> None:
        """Load what writing needs: before the first capture, and only where it is saved."""
        if self._form == "parquet":
            import_module("pyarrow.parquet")

    def write(self, captures: Sequence[bytes]) -> None:
        """Write one file.

        Raises:
            OSError: the disk refuses.
        """
        self._write(self._folder / f"{self._number:06}.{self._form}", captures)
        self._number += 1


def write_books_csv(path: Path, captures: Sequence[bytes]) -> None:
    """One row a level."""
    with path.open("w", encoding="ascii", newline="") as file:
        file.write(",".join(BOOK_COLUMNS) + "\n")
        for packed in captures:
            sequence, before_ns, after_ns, leg, checksum, body = parts_of(packed)
            head, tail = f"{before_ns},{after_ns},", f",{sequence},{checksum},{leg}\n"
            rows = mt5.ROW.iter_unpack(body) if body else (NO_ROW,)
            file.write(
                "".join(
                    [
                        f"{head}{kind},{price!r},{volume},{exact!r}{tail}"
                        for kind, price, volume, exact in rows
                    ]
                )
            )


def write_stream_csv(path: Path, captures: Sequence[bytes]) -> None:
    """One row a message, in quotes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(STREAM_COLUMNS) + "\n")
        for packed in captures:
            sequence, before_ns, after_ns, leg, checksum, body = parts_of(packed)
            text = body.decode(errors="replace").replace('"', '""')
            file.write(f'{before_ns},{after_ns},"{text}",{sequence},{checksum},{leg}\n')


def write_books_parquet(path: Path, captures: Sequence[bytes]) -> None:
    """The same rows as columns."""
    numpy = import_module("numpy")
    parts = [parts_of(packed) for packed in captures]
    rows = b"".join([each[5] or mt5.ROW.pack(*NO_ROW) for each in parts])
    names = ["type", "price", "volume", "volume_dbl"]
    formats = ["<u4", "<f8", "<u8", "<f8"]
    levels = numpy.frombuffer(rows, list(zip(names, formats, strict=True)))
    counts = [max(len(each[5]) // mt5.ROW_BYTES, 1) for each in parts]
    columns = {name: levels[name] for name in names}
    for at, name in enumerate(("sequence", "time_before", "time_after", "leg", "checksum")):
        columns[name] = numpy.repeat([each[at] for each in parts], counts)
    _write_table(path, {name: columns[name] for name in BOOK_COLUMNS})


def write_stream_parquet(path: Path, captures: Sequence[bytes]) -> None:
    """The same messages as columns."""
    parts = [parts_of(packed) for packed in captures]
    sequence, before_ns, after_ns, leg, checksum, body = zip(*parts, strict=True)
    text = [each.decode(errors="replace") for each in body]
    columns = (before_ns, after_ns, text, sequence, checksum, leg)
    _write_table(path, dict(zip(STREAM_COLUMNS, columns, strict=True)))


def _write_table(path: Path, columns: dict[str, Any]) -> None:
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    parquet.write_table(arrow.table(columns), path, compression="zstd")
