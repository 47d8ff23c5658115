"""How many bytes does a trade take: journaled, sealed, and in the table?

Workload: the trades of the real close that ships with the package, as Alpaca's JSON, at 1 and at 50
per frame. Ours: the journal's segments, one frame in a block; the sealed journal (where nothing
seals yet, what zstd makes of it in blocks of 4 MiB); and the table, full schema, times in
nanoseconds. Floors: the frames alone, the same as lines in gzip, and pyarrow's own Parquet of the
table's rows.
What would change our mind: a sealed journal above 22 bytes at 50 per frame or 34 at 1, a table
above 14.
"""

import gzip
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq

from bench.figures import print_table
from bench.frames import frames, real_trades
from bench.table import make_table, write_journal

_SEAL_BYTES = 4 << 20
_SEALING = "ticktape.journal.sealing"


def answer(rounds: int) -> list[dict[str, object]]:
    """Bytes a trade; the same in every round, so there is one."""
    del rounds
    trades = real_trades()
    found = [_sizes(frames(trades, per_frame), per_frame, len(trades)) for per_frame in (1, 50)]
    print_table(found)
    return found


def _sizes(payloads: list[bytes], per_frame: int, trades: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        write_journal(folder, payloads)
        journal = _bytes(folder / "journal", "*.seg")
        store = make_table(folder, folder)
        files = store.files("trades")
        table = sum(Path(file).stat().st_size for file in files)
        plain = folder / "plain.parquet"
        pq.write_table(ds.dataset(files).to_table(), plain)
        how, sealed = _sealed(folder / "journal")
        lines = gzip.compress(b"\n".join(payloads), 6)
        return {
            "trades/frame": per_frame,
            "trades": trades,
            "frames B": sum(map(len, payloads)) / trades,
            "journal B": journal / trades,
            "gzip lines B": len(lines) / trades,
            "sealed B": sealed / trades,
            "sealed by": how,
            "plain Parquet B": plain.stat().st_size / trades,
            "table B": table / trades,
        }


def _bytes(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern))


def _sealed(journal: Path) -> tuple[str, int]:
    """By what, and how many bytes."""
    if find_spec(_SEALING) is not None:
        sealer = import_module(_SEALING).Sealer(journal, None)
        while sealer.seal_next() is not None:
            pass
        return "ticktape", _bytes(journal, "*.seg.zst")
    from backports import zstd

    raw = b"".join(path.read_bytes() for path in sorted(journal.glob("*.seg")))
    parts = [raw[at : at + _SEAL_BYTES] for at in range(0, len(raw), _SEAL_BYTES)]
    return "zstd 3", sum(len(zstd.compress(part, 3)) for part in parts)
