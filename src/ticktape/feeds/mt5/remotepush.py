"""The second half of the helper that a bridge runs for us: a thread that polls and pushes books.

It is executed after `remote.SOURCE` and uses its names. What it does with an answer is what
`books.PolledBooks` does, so that a recording does not show which of them polled. It does not poll
while the recorder does not read: nothing is kept here but what one pass found.

Frames, little-endian; `length` counts the whole frame:

     0  length u32   4  kind u8   5  marks u8   6  symbol u16
     8  image:  before i64, after i64, previous i64, poll u64, unchanged u64, 28 bytes a row
        counts: JSON, see `frames.Heartbeat`; once a second for every symbol
        clock:  counter i64, late u64; once a second
        end:    code i32, text
"""

import struct
from typing import Final

HEAD = struct.Struct("<IBBH")
IMAGE = struct.Struct("<IBBHqqqQQ")
CLOCK = struct.Struct("<IBBHqQ")
END = struct.Struct("<IBBHi")
IMAGE_KIND: Final = 1
COUNTS_KIND: Final = 2
CLOCK_KIND: Final = 3
END_KIND: Final = 4
NO_PREVIOUS = 128
"""A mark of a frame alone: the image is of a symbol's first poll."""

SOURCE = r"""
import json, socket

_HEAD, _IMAGE = struct.Struct("<IBBH"), struct.Struct("<IBBHqqqQQ")
_CLOCK, _END = struct.Struct("<IBBHqQ"), struct.Struct("<IBBHi")
_SECOND = 1000000000
_pushes = []


def push_start(host, port, token, interval_ns, limits):
    received = _now()
    _push_end()
    try:
        connection = socket.create_connection((host, port), 5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(60)  # a recorder that does not read for so long is gone
        connection.sendall(token)
    except OSError as error:
        return received, _now(), str(error) or type(error).__name__
    _pushes.append(_Push(connection, interval_ns, limits))
    return received, _now(), ""


def push_watch(symbols):
    received = _now()
    for push in _pushes:
        push.wanted = symbols
    return received, _now()


def push_interval(interval_ns):
    received = _now()
    for push in _pushes:
        push.interval_ns = interval_ns
    return received, _now()


def push_stop():
    received = _now()
    for push in _pushes:
        push.is_stopping = True  # not waited for: it may wait for the recorder to read
    return received, _now()


def _push_end():
    while _pushes:
        push = _pushes.pop()
        push.is_stopping = True
        push.thread.join(2)


def _bucket(ns):
    if ns < 8:
        return max(ns, 0)
    octave = ns.bit_length() - 4
    return (octave << 3) + (ns >> octave)


class _Book:
    def __init__(self, index, symbol):
        self.index, self.symbol = index, symbol
        self.poll = self.unchanged_run = 0
        self.book, self.packed = None, b""
        self.previous = None
        self.keyframe_at = 0
        self.failed = self.failing_since = self.retry_at = 0
        self.failing = None
        self.clear()

    def clear(self):
        self.polls = self.changed = self.unchanged = self.stored = self.empty = 0
        self.errors, self.calls, self.gaps = {}, {}, {}
        self.rows_min, self.rows_max = -1, 0
        self.call_max = self.gap_max = 0
        self.after_one = self.after_two = self.gap_end = 0

    def heartbeat(self):
        said = {"poll": self.poll, "counts": {
            "symbol": self.symbol, "polls": self.polls, "changed": self.changed,
            "unchanged": self.unchanged, "stored": self.stored, "empty": self.empty,
            "errors": self.errors, "rows_min": max(self.rows_min, 0), "rows_max": self.rows_max,
            "calls": self.calls, "gaps": self.gaps,
            "call_max_ns": self.call_max, "gap_max_ns": self.gap_max,
            "after_one": self.after_one, "after_two": self.after_two}}
        if self.gap_end:
            said["gap_end"] = self.gap_end
        if self.failing is not None:
            said["failing"] = self.failing
        self.clear()
        return json.dumps(said).encode()


class _Push:
    # Polls books, and sends those that are news; ends when the recorder does not listen.

    def __init__(self, connection, interval_ns, limits):
        self.connection = connection
        self.interval_ns = interval_ns
        self.keyframe_ns, self.failing_ns, self.gap_ns, self.retry_ns = limits
        self.wanted = self.applied = ()
        self.books = []
        self.out = []
        self.late = 0
        self.beat_at = _now()
        self.is_stopping = False
        self.end = (0, "")
        self.thread = threading.Thread(target=self.run, name="ticktape-push", daemon=True)
        self.thread.start()

    def run(self):
        try:
            try:
                self.loop()
            except OSError:
                raise
            except Exception as error:
                self.end = (-1, "%s: %s" % (type(error).__name__, error))
            self.beat()
            text = self.end[1].encode()
            self.out.append(_END.pack(_END.size + len(text), 4, 0, 0, self.end[0]) + text)
            self.flush()
        except OSError:
            pass  # nobody is there to be told
        finally:
            self.connection.close()

    def loop(self):
        begun = _now()
        while not self.is_stopping and not self.end[0]:
            if self.wanted is not self.applied:
                self.apply()
            polled = self.look()
            self.beat_if_due()
            self.flush()
            if not polled and not self.interval_ns:
                time.sleep(0.02)
            begun = self.wait(begun)

    def wait(self, begun):
        # Until the next pass, or until other symbols are wanted; when it was meant to begin.
        now = _now()
        if not self.interval_ns:
            return now
        if begun + self.interval_ns <= now:
            self.late += 1
            return now  # it is not made up for by a burst
        while not self.is_stopping and self.wanted is self.applied:
            due = begun + self.interval_ns
            if due <= now:
                return due
            time.sleep(min(due - now, 50000000) / 1e9)
            self.beat_if_due()
            self.flush()
            now = _now()
        return now

    def apply(self):
        self.applied = self.wanted
        known = {each.index: each for each in self.books}
        books = [known.pop(index, None) or _Book(index, name) for index, name in self.applied]
        for each in known.values():
            self.count(each)
        self.books = books

    def look(self):
        polled = 0
        first = _now()
        for each in self.books:
            if each.failed and _now() < each.retry_at:
                continue
            polled += 1
            after = self.poll(each)
            if self.end[0]:
                break
            if after - first > 500000:  # what is there is not kept waiting for the slow rest
                self.flush()
                first = after
        return polled

    def poll(self, each):
        with _turn:
            pass
        with _calling:
            before = _now()
            book = _get(each.symbol)
            after = _now()
            if book is None:
                code, text = _last_error()
        each.poll += 1
        each.polls += 1
        spent = after - before
        bucket = _bucket(spent)
        each.calls[bucket] = each.calls.get(bucket, 0) + 1
        if spent > each.call_max:
            each.call_max = spent
        if book is None:
            # This poll saw nothing: what comes next changed after the one before it.
            self.fail(each, before, after, int(code), str(text))
            return after
        previous, each.previous = each.previous, before
        if previous is not None:
            gap = before - previous
            bucket = _bucket(gap)
            each.gaps[bucket] = each.gaps.get(bucket, 0) + 1
            if gap > each.gap_max:
                each.gap_max = gap
                if gap >= self.gap_ns:
                    each.gap_end = before
        if each.failed:
            each.failed = each.failing_since = each.retry_at = 0
            each.failing = None
        if not book:
            each.empty += 1
        if book == each.book and before < each.keyframe_at:
            each.unchanged_run += 1
            each.unchanged += 1
        else:
            self.news(each, book, before, after, previous)
        return after

    def news(self, each, book, before, after, previous):
        packed = _pack(book)
        is_first = each.book is None
        each.book = book
        # By the bytes: a price that is not a number never equals itself.
        same = packed == each.packed and not is_first
        if same:
            each.unchanged_run += 1
            each.unchanged += 1
            if before < each.keyframe_at:
                return
        else:
            each.changed += 1
            # The first one says nothing of how soon a change follows a change.
            each.after_one += each.unchanged_run == 0 and not is_first
            each.after_two += each.unchanged_run == 1 and not is_first
        count = len(book)
        each.rows_min = count if each.rows_min < 0 else min(each.rows_min, count)
        each.rows_max = max(each.rows_max, count)
        each.stored += 1
        marks = 1 if same or is_first else 0
        if previous is None:
            marks, previous = marks | 128, 0
        self.out.append(_IMAGE.pack(
            _IMAGE.size + len(packed), 1, marks, each.index, before, after, previous,
            each.poll, each.unchanged_run) + packed)
        each.packed, each.unchanged_run = packed, 0
        each.keyframe_at = before + self.keyframe_ns

    def fail(self, each, before, after, code, text):
        each.errors[str(code)] = each.errors.get(str(code), 0) + 1
        if _is_pipe(code):
            self.end = (code, text)
            return
        each.failing_since = each.failing_since or before
        each.retry_at = after + self.retry_ns[min(each.failed, len(self.retry_ns) - 1)]
        each.failed += 1
        if after - each.failing_since >= self.failing_ns:
            since = each.failing_since if each.previous is None else each.previous
            each.failing = (since, code, text)

    def count(self, each):
        said = each.heartbeat()
        self.out.append(_HEAD.pack(_HEAD.size + len(said), 2, 0, each.index) + said)

    def beat_if_due(self):
        if _now() >= self.beat_at:
            self.beat_at = _now() + _SECOND
            self.beat()

    def beat(self):
        for each in self.books:
            self.count(each)
        self.out.append(_CLOCK.pack(_CLOCK.size, 3, 0, 0, _now(), self.late))

    def flush(self):
        if self.out:
            self.connection.sendall(b"".join(self.out))
            self.out = []
"""
