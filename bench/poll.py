"""What does a recorded poll of a book cost over the bare call, and how many bytes does one keep?

Workload: a simulated terminal in this process, no latency added, books of 20 and of 64 levels a
side. `still`: the book never changes. `moving`: it is another one at every call. Floor: a loop of
two clock readings and `market_book_get`. Ours: `PolledBooks` and the journal's writer as in a
capture, the image packed and written with its block. In turn, A B A B.
Bytes: the 6,547 real images of 20+20 levels that ship, polled at their own times and at 2 ms, in
the journal as zstd-3 blocks of 4 MiB, and in the table as `TableStore` writes it.
What would change our mind: a recorded poll of a still book above 1.3 of the bare call.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq
from backports import zstd

from bench.figures import paired, print_table
from ticktape import mt5
from ticktape.decoders import decoder_for
from ticktape.feeds.mt5.books import PolledBooks
from ticktape.feeds.mt5.terminal import Account, LocalTerminal
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer
from ticktape.records import EntryKind, Position
from ticktape.sim.mt5 import BookDescription, Connection, Description, Terminal
from ticktape.table.store import TableStore, Tally

_CELL_S = 1.0
_SEAL_BYTES = 4 << 20
_LEVELS = (20, 64)
_SYMBOL = "BTCUSDT"


def answer(rounds: int) -> list[dict[str, object]]:
    """µs a poll of both sides, and the paired ratio; then bytes an image."""
    found: list[dict[str, object]] = []
    for levels in _LEVELS:
        for kind, rate in (("still", 0.001), ("moving", 1e6)):
            figures: dict[str, list[float]] = {"floor": [], "ours": []}
            for _ in range(rounds):
                for side in figures:
                    figures[side].append(_run(side, levels, rate))
            floor, ours = (
                median(figures["floor"]),
                median(figures["ours"]),
            )
            found.append(
                {
                    "levels": levels,
                    "book": kind,
                    "bare µs/poll": floor,
                    "recorded µs/poll": ours,
                    "recorded/bare": paired(figures["ours"], figures["floor"]),
                }
            )
    print_table(found)
    sizes = _sizes()
    print_table([sizes])
    return [*found, sizes]


def _run(side: str, levels: int, rate: float) -> float:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        books = {_SYMBOL: BookDescription(kind="generated", levels=levels, rate=rate)}
        world = folder / "world"
        with Terminal(world, Description(books=books, latency_us=0, warm_s=0.0)) as terminal:
            terminal.start()
            local = LocalTerminal(Account(str(terminal.world.executable)), Connection())
            local.open()
            refusal = local.subscribe(_SYMBOL, book=True)
            assert refusal is None, refusal
            return _ours(local, folder) if side == "ours" else _floor(local)


def _floor(local: LocalTerminal) -> float:
    get, now_ns = local._module.market_book_get, time.perf_counter_ns
    end_ns = now_ns() + int(_CELL_S * 1e9)
    polls, before_ns = 0, now_ns()
    start_ns = before_ns
    while before_ns < end_ns:
        before_ns = now_ns()
        get(_SYMBOL)
        now_ns()
        polls += 1
    return (now_ns() - start_ns) / polls / 1000


def _ours(local: LocalTerminal, folder: Path) -> float:
    books = PolledBooks(local)
    books.resume(after_gap=False)
    books.watch([_SYMBOL])
    with Writer(folder / "journal", folder / "positions") as writer:
        now_ns = time.perf_counter_ns
        start_ns = now_ns()
        end_ns = start_ns + int(_CELL_S * 1e9)
        polls = 0
        mono_ns = start_ns
        while mono_ns < end_ns:
            images = books.take()
            mono_ns = now_ns()
            if images:
                payloads = [mt5.pack_image(image, mono_ns) for image in images]
                writer.append(payloads, mono_ns, mono_ns, 1, EntryKind.BINARY)
            polls += 1
        return (now_ns() - start_ns) / polls / 1000


class _Paced:
    """A clock for the recording's own pace: it jumps from poll to poll."""

    def __init__(self) -> None:
        self.now_ns = 1_723_161_255_000_000_000

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns


def _sizes() -> dict[str, object]:
    """Bytes of a real image in the sealed journal and in the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder, clock = Path(name), _Paced()
        books = {_SYMBOL: BookDescription(kind="recorded", file="shipped")}
        description = Description(books=books, latency_us=0, warm_s=0.0)
        with Terminal(folder / "world", description, clock=clock) as terminal:
            terminal.start()
            images, raw = _poll_paced(terminal, clock, folder)
        sealed = sum(
            len(zstd.compress(raw[at : at + _SEAL_BYTES], 3))
            for at in range(0, len(raw), _SEAL_BYTES)
        )
        return {
            "real images": images,
            "journal B": len(raw) / images,
            "sealed B": sealed / images,
            "table B": _table_bytes(folder) / images,
        }


def _poll_paced(terminal: Terminal, clock: _Paced, folder: Path) -> tuple[int, bytes]:
    connection = Connection(clock=clock, hold=lambda wait_ns, with_lock: None)
    local = LocalTerminal(Account(str(terminal.world.executable)), connection, clock.monotonic_ns)
    local.open()
    local.subscribe(_SYMBOL, book=True)
    polled = PolledBooks(local, monotonic_ns=clock.monotonic_ns)
    polled.resume(after_gap=False)
    polled.watch([_SYMBOL])
    count, start_ns = 0, clock.now_ns
    with Writer(folder / "journal", folder / "positions") as writer:
        while clock.now_ns - start_ns < 345 * 10**9:
            # A poll every 2 ms; a call of 40 to 80 µs; both with the jitter of a real machine.
            jitter = time.perf_counter_ns() % 40_000
            clock.now_ns += 2_000_000 + jitter
            images = polled.take()
            if images:
                image = images[0]._replace(before_ns=images[0].before_ns - 40_000 - jitter)
                payload = mt5.pack_image(image, clock.now_ns)
                writer.append([payload], clock.now_ns, clock.now_ns, 1, EntryKind.BINARY)
                count += 1
    segments = sorted((folder / "journal").glob("*.seg"))
    return count, b"".join(segment.read_bytes() for segment in segments)


def _table_bytes(folder: Path) -> int:
    with Reader(folder / "journal", None) as reader:
        blocks = reader.read(1 << 30)
    rows = decoder_for("mt5", "rts").tables(blocks)["books"]
    store = TableStore(folder)
    store.append("books", rows, "rts", Position(0, 1), Tally(rows.num_rows))
    files = store.files("books")
    assert sum(pq.read_metadata(file).num_rows for file in files) == rows.num_rows
    return sum(Path(file).stat().st_size for file in files)
