"""What does one hop between two processes cost: the journal, a pipe, or multiprocessing's queue?

Workload: messages of 200 bytes from a process that sends each when it is due, 5,000 a second for
two seconds, and then as fast as possible. Ours: one block a message, its reader blocked as the
hot readers are, or spinning. Peers: `multiprocessing.Pipe` read blocked or spinning, and
`multiprocessing.Queue`. Every message carries when it was due, so that nothing late is hidden. In
turn; ratios against the pipe that waits in the same way.
What would change our mind: a blocked journal slower than a blocked pipe, or a spinning one slower
than a spinning pipe.
"""

import multiprocessing
import queue
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from bench import options
from bench.decide import paced
from bench.figures import paired, percentile_us, print_table

_RATE = 5_000
_FLOOD = 100_000
_PAYLOAD_BYTES = 200
_WAYS = ("journal blocked", "pipe blocked", "queue", "journal spinning", "pipe spinning")
_FLOORS = {way: f"pipe {'spinning' if 'spinning' in way else 'blocked'}" for way in _WAYS}
_POLL_S = 0.25

Send = Callable[[bytes, int], None]
Receive = Callable[[], list[bytes]]


def answer(rounds: int) -> list[dict[str, object]]:
    """Percentiles of a hop and messages a second of each way."""
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in _WAYS}
    for _ in range(rounds):
        for way in _WAYS:
            runs[way].append(_run(way))
    found = []
    for way in _WAYS:
        floor = runs[_FLOORS[way]]
        row: dict[str, object] = {"way": way}
        for name in ("p50 µs", "p99 µs", "messages/s"):
            row[name] = median(run[name] for run in runs[way])
        for name in ("p50 µs", "p99 µs", "messages/s"):
            ratio = paired([run[name] for run in runs[way]], [run[name] for run in floor])
            row[f"{name.partition(' ')[0]}/pipe"] = ratio
        found.append(row)
    print_table(found)
    return found


def _run(way: str) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    kind, _, wait = way.partition(" ")
    count, flood = int(options.rate(_RATE) * options.seconds(2)), options.rows(_FLOOD)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ours, theirs = context.Pipe()
        with _sender(kind, context, Path(folder)) as (send, other_end):
            arguments = (kind, wait, other_end, folder, count, flood, theirs)
            reader = context.Process(target=_read, args=arguments, daemon=True)
            reader.start()
            theirs.close()
            ours.recv()
            tail = bytes(_PAYLOAD_BYTES - 8)
            paced(count, options.rate(_RATE), lambda ns: send(ns.to_bytes(8, "little") + tail, ns))
            took_ns: list[int] = ours.recv()
            began_ns = time.perf_counter_ns()
            for _ in range(flood):
                send(bytes(_PAYLOAD_BYTES), began_ns)
            ended_ns = ours.recv()
            reader.join(10)
    warm = took_ns[count // 5 :]
    return {
        "p50 µs": percentile_us(warm, 50),
        "p99 µs": percentile_us(warm, 99),
        "messages/s": flood * 1e9 / (ended_ns - began_ns),
    }


@contextmanager
def _sender(kind: str, context, folder: Path) -> Iterator[tuple[Send, object]]:
    """How to send a message, and the reader's end."""
    if kind == "journal":
        from ticktape.journal.writer import Writer

        with Writer(folder / "journal", folder / "positions") as writer:
            yield lambda message, ns: writer.append([message], ns, ns), None  # type: ignore[misc]
    elif kind == "pipe":
        incoming, outgoing = context.Pipe(duplex=False)
        yield lambda message, ns: outgoing.send_bytes(message), incoming
    else:
        messages = context.Queue()
        yield lambda message, ns: messages.put(message), messages


def _read(kind: str, wait: str, end, folder: str, count: int, flood: int, pipe: Connection) -> None:
    receive = {"journal": _from_journal, "pipe": _from_pipe, "queue": _from_queue}[kind](
        end, Path(folder), wait
    )
    pipe.send("ready")
    took_ns: list[int] = []
    while len(took_ns) < count:
        messages = receive()
        now_ns = time.perf_counter_ns()
        took_ns += [now_ns - int.from_bytes(message[:8], "little") for message in messages]
    pipe.send(took_ns)
    seen = 0
    while seen < flood:
        seen += len(receive())
    pipe.send(time.perf_counter_ns())


def _from_journal(_end: object, folder: Path, wait: str) -> Receive:
    from ticktape.journal.reader import Reader, wait_any
    from ticktape.journal.wakeup import Sleeper

    reader, sleeper = Reader(folder / "journal", folder / "positions"), Sleeper()
    reader.read()

    def receive() -> list[bytes]:
        blocks = reader.read(1 << 16)
        if not blocks and wait == "blocked":
            wait_any([reader], sleeper, _POLL_S)
            blocks = reader.read(1 << 16)
        return [payload for block in blocks for _, payload in block.entries()]

    return receive


def _from_pipe(end: Connection, _folder: Path, wait: str) -> Receive:
    def spin() -> list[bytes]:
        return [end.recv_bytes()] if end.poll(0) else []

    return spin if wait == "spinning" else lambda: [end.recv_bytes()]


def _from_queue(end: "multiprocessing.Queue[bytes]", _folder: Path, _wait: str) -> Receive:
    def receive() -> list[bytes]:
        try:
            return [end.get(timeout=_POLL_S)]
        except queue.Empty:
            return []

    return receive
