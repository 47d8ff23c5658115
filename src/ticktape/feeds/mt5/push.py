"""Books that a bridge polls by itself: a thread there sends what is news, and what it counted.

The bridge connects back to us, with a token that it was given over RPyC. Its thread judges as
`books.PolledBooks` does; here its stamps are brought to our clock, and nothing else is changed.
"""

import struct
from collections.abc import Callable, Sequence

import msgspec

from ticktape import clock, mt5
from ticktape.errors import Disconnected, FeedError, ProtocolViolated
from ticktape.feeds.mt5 import remotepush
from ticktape.feeds.mt5.books import FAILING_NS, KEYFRAME_NS, RETRY_NS, Failing
from ticktape.feeds.mt5.bridge import BridgeTerminal
from ticktape.feeds.mt5.codes import PIPE_CODES, call_words, disconnected
from ticktape.feeds.mt5.frames import Frame, FrameReader, Heartbeat, Listener, PushedImage
from ticktape.feeds.mt5.terminal import Refusal
from ticktape.feeds.mt5.watch import GAP_NS
from ticktape.polls import PollCounts, add_counts

_DRAIN_S = 2.0
"""When it is told to stop, the thread sends what it has and ends within its longest sleep."""


class _Lane:
    """One symbol of one session: what was heard of it, and what was not counted yet."""

    __slots__ = ("counts", "marks", "poll", "symbol", "uncounted")

    def __init__(self, symbol: str, marks: int) -> None:
        self.symbol = symbol
        self.marks = marks
        self.counts = PollCounts(symbol)
        self.poll = 0  # of its last heartbeat
        self.uncounted: list[mt5.Image] = []  # since that heartbeat


class PushedBooks:
    """A bridge's own polls, as they come; made for one thread, the bridge's own.

    After `resume`, `start` has the bridge connect to us. `late` counts the thread's passes that
    began after their time, and only grows.

    Args:
        bridge: asked to start and to stop; its clock map brings the stamps to our clock.
        marks: set on every image: which leg this is.
        interval_ns: from pass to pass on the bridge; 0 is as fast as possible.
        monotonic_ns: the clock of silence.
    """

    def __init__(
        self,
        bridge: BridgeTerminal,
        marks: int = 0,
        interval_ns: int = 0,
        monotonic_ns: Callable[[], int] = clock.monotonic_ns,
    ) -> None:
        self.failing: dict[str, Failing] = {}
        self.late = 0
        self._bridge = bridge
        self._marks = marks
        self._interval_ns = interval_ns
        self._monotonic_ns = monotonic_ns
        self._silence_ns = int(bridge.call_timeout_s * clock.NS_PER_S)
        self._first_marks = mt5.Mark(0)
        self._lanes: list[_Lane] = []  # by their index in frames; one that is left stays
        self._indices: dict[str, int] = {}
        self._reader: FrameReader | None = None
        self._images: list[mt5.Image] = []
        self._gone: FeedError | None = None
        self._heard_ns = self._late_before = 0

    # The session.

    def resume(self, *, after_gap: bool) -> None:
        """A session begins: nothing that was known before says how a book stands now."""
        self._leave()
        self._lanes, self._indices, self.failing = [], {}, {}
        self._images, self._gone = [], None
        self._first_marks = mt5.Mark.AFTER_GAP if after_gap else mt5.Mark(0)

    def start(self) -> Refusal | None:
        """Have the bridge connect to us and poll; None when it does, else why it cannot.

        Raises:
            Disconnected: the bridge is gone.
        """
        family, address = self._bridge.local_address()
        try:
            listener = Listener(family, address)
        except OSError as error:
            return _cannot(f"nothing can listen at {address}: {error}")
        with listener:
            words = self._bridge.ask(
                "push_start",
                address,
                listener.port,
                listener.token,
                self._interval_ns,
                (KEYFRAME_NS, FAILING_NS, GAP_NS, RETRY_NS),
            )[0]
            if words:
                return _cannot(f"it cannot reach {address}, port {listener.port}: {words}")
            connection = listener.accept(self._bridge.call_timeout_s)
        if connection is None:
            self._bridge.ask("push_stop")
            return _cannot(f"it reached another at {address}, port {listener.port}")
        self._reader = FrameReader(connection)
        self._heard_ns = self._monotonic_ns()
        self._late_before = self.late
        self._ask_watch()
        return None

    def watch(self, symbols: Sequence[str]) -> None:
        """Have these polled from the next pass on; one that was polled before goes on."""
        if list(self._indices) == list(symbols):
            return
        known, self._indices = self._indices, {}
        for symbol in symbols:
            index = known.get(symbol)
            if index is None:
                index = len(self._lanes)
                self._lanes.append(_Lane(symbol, self._marks | self._first_marks))
            self._indices[symbol] = index
        self.failing = {symbol: why for symbol, why in self.failing.items() if symbol in symbols}
        if self._reader is not None:
            self._ask_watch()

    def _ask_watch(self) -> None:
        wanted = tuple((index, symbol) for symbol, index in self._indices.items())
        self._bridge.ask("push_watch", wanted)

    def set_interval_ns(self, interval_ns: int) -> None:
        """Change the pace of the bridge's passes.

        Raises:
            Disconnected: the bridge is gone.
        """
        if interval_ns != self._interval_ns:
            self._interval_ns = interval_ns
            if self._reader is not None:
                self._bridge.ask("push_interval", interval_ns)

    def close(self) -> None:
        """Stop the bridge's polling; `rest` then has what it had sent, and `counts` all of it."""
        reader, wait_s = self._reader, _DRAIN_S
        if reader is None:
            return
        try:
            self._bridge.ask("push_stop")
        except FeedError:
            wait_s = 0.0  # what is here already is all that comes
        until_ns = self._monotonic_ns() + int(wait_s * clock.NS_PER_S)
        while self._read(wait_s / 10) or self._monotonic_ns() < until_ns:
            if reader.ended:
                break
        self._leave()

    def rest(self) -> list[mt5.Image]:
        """Images that came but were not taken, after the close or the end; never raises."""
        images, self._images = self._images, []
        return images

    def _leave(self) -> None:
        """Close our end; what was polled after the last heartbeat is counted by its images."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            for lane in self._lanes:
                _settle(lane)

    # The data.

    def take(self, wait_s: float) -> list[mt5.Image]:
        """The images of one read, which waits for up to `wait_s`.

        Raises:
            Disconnected: the terminal or the bridge is gone; images before that were given.
            ProtocolViolated: the bridge sends what is no frame.
        """
        if not self._images:
            if self._gone is not None:
                raise self._gone
            if self._reader is None:
                return []
            self._look(wait_s)
        images, self._images = self._images, []
        if not images and self._gone is not None:
            raise self._gone
        return images

    def _look(self, wait_s: float) -> None:
        self._read(wait_s)
        if self._gone is not None:
            self._leave()
            return
        now_ns = self._monotonic_ns()
        silent_s = (now_ns - self._heard_ns) / clock.NS_PER_S
        if now_ns - self._heard_ns >= self._silence_ns:
            self._gone = Disconnected(
                f"the bridge sent nothing for {silent_s:.0f} s: {self._bridge.where}",
                hint="It says something every second: the terminal or the bridge hangs.",
            )
            self._leave()
        elif self._bridge.clock_map.is_due(now_ns):
            try:
                self._bridge.ask("hello")
            except Disconnected as error:
                self._gone = error

    def _read(self, wait_s: float) -> bool:
        """Read once and take what came; an end is remembered in `_gone`. False for nothing."""
        reader = self._reader
        assert reader is not None
        has_read = reader.wait(wait_s)
        if has_read:
            self._heard_ns = self._monotonic_ns()
            try:
                for frame in reader.frames():
                    if isinstance(frame, PushedImage):
                        self._images.append(self._image(frame))
                    else:
                        self._hear(frame)
            except (ValueError, IndexError, struct.error, msgspec.MsgspecError) as error:
                self._gone = ProtocolViolated(
                    f"the bridge at {self._bridge.where} sends what is no frame: {error}",
                    hint="The connection is opened anew.",
                )
        if reader.ended and self._gone is None:
            self._gone = Disconnected(
                f"the bridge at {self._bridge.where} is gone: {reader.ended}",
                hint="Look whether it runs; the connection is opened anew.",
            )
        return has_read

    def _image(self, frame: PushedImage) -> mt5.Image:
        index, marks, before, after, previous, poll, unchanged, rows = frame
        lane, clocks = self._lanes[index], self._bridge.clock_map
        symbol, marks = lane.symbol, marks | lane.marks
        lane.marks = self._marks
        if symbol in self.failing:
            del self.failing[symbol]
        # It cannot have happened after we have heard of it.
        after_ns = min(clocks.latest_ns(after), self._heard_ns)
        before_ns = min(clocks.earliest_ns(before), after_ns)
        previous_ns = None
        if previous is not None:
            previous_ns = min(clocks.earliest_ns(previous), before_ns)
        stamp = mt5.RemoteStamp(before, after, clocks.map.number)
        image = mt5.Image(
            symbol, before_ns, after_ns, previous_ns, poll, unchanged, marks, rows, stamp
        )
        lane.uncounted.append(image)
        return image

    # What it says of itself.

    def _hear(self, frame: Frame) -> None:
        if frame.heartbeat is not None:
            self._beat(self._lanes[frame.symbol], frame.heartbeat)
        elif frame.kind == remotepush.CLOCK_KIND:
            self.late = self._late_before + frame.late
            self._bridge.clock_map.heard(frame.counter, self._heard_ns)
        elif frame.code in PIPE_CODES:
            self._gone = disconnected(call_words(frame.code, frame.text))
        elif frame.code:
            self._gone = Disconnected(
                f"the bridge at {self._bridge.where} failed in its polling: {frame.text}",
                hint="The connection is opened anew.",
            )

    def _beat(self, lane: _Lane, heartbeat: Heartbeat) -> None:
        if heartbeat.gap_end:
            heartbeat.counts.gap_end_ns = self._bridge.clock_map.latest_ns(heartbeat.gap_end)
        _add(lane.counts, heartbeat.counts)
        lane.poll = heartbeat.poll
        lane.uncounted.clear()
        if heartbeat.failing is None:
            self.failing.pop(lane.symbol, None)
        elif lane.symbol in self._indices and lane.symbol not in self.failing:
            since, code, text = heartbeat.failing
            since_ns = self._bridge.clock_map.earliest_ns(since)
            self.failing[lane.symbol] = Failing(since_ns, call_words(code, text)[0])

    def counts(self) -> list[PollCounts]:
        """What the bridge counted since the last time, by symbol; it counts once a second."""
        found = []
        for index, lane in enumerate(self._lanes):
            if lane.counts.polls or self._indices.get(lane.symbol) == index:
                found.append(lane.counts)
                lane.counts = PollCounts(lane.symbol)
        return found


def _cannot(words: str) -> Refusal:
    return Refusal(
        f"the bridge cannot send books by itself: {words}",
        "It is asked for each book instead, which is slower. The bridge must reach the recorder at"
        " the address that the recorder's own connection has; through a tunnel it does not.",
    )


def _add(into: PollCounts, counts: PollCounts) -> None:
    if counts.stored:
        into.rows_min = min(into.rows_min, counts.rows_min) if into.stored else counts.rows_min
    into.rows_max = max(into.rows_max, counts.rows_max)
    into.polls += counts.polls
    into.changed += counts.changed
    into.unchanged += counts.unchanged
    into.stored += counts.stored
    into.empty += counts.empty
    into.call_max_ns = max(into.call_max_ns, counts.call_max_ns)
    if counts.gap_end_ns and counts.gap_max_ns >= into.gap_max_ns:
        into.gap_end_ns = counts.gap_end_ns
    into.gap_max_ns = max(into.gap_max_ns, counts.gap_max_ns)
    into.after_one += counts.after_one
    into.after_two += counts.after_two
    # An untouched PollCounts shares nothing: msgspec copies its empty dicts.
    add_counts(into.errors, counts.errors.items())
    add_counts(into.calls, counts.calls.items())
    add_counts(into.gaps, counts.gaps.items())


def _settle(lane: _Lane) -> None:
    """Count the images whose heartbeat never came: the polls up to the last of them.

    How long those polls took nobody knows, nor whether one failed: they stand as unchanged.
    """
    if not lane.uncounted:
        return
    images = lane.uncounted
    sizes = [len(image.rows) // mt5.ROW_BYTES for image in images]
    polls = images[-1].poll - lane.poll
    changed = sum(
        not image.marks & mt5.Mark.KEYFRAME or image.previous_ns is None for image in images
    )
    tail = PollCounts(
        lane.symbol,
        polls=polls,
        changed=changed,
        unchanged=polls - changed,
        stored=len(images),
        empty=sizes.count(0),
        rows_min=min(sizes),
        rows_max=max(sizes),
    )
    _add(lane.counts, tail)
    lane.uncounted.clear()
