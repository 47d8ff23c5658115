"""What every state change of a session means for the gaps: pure, the makings of entries.

Each entry of our own carries whether we are down and since when, so that after a crash the
journal's last block alone says where the gap began. No file, no socket and no clock here.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from ticktape import clock
from ticktape.feeds.alpaca_wire import OUR_WORDS
from ticktape.feeds.protocol import Channels, shortened
from ticktape.journal.blocks import Block
from ticktape.journal.standing import Standing
from ticktape.records import EntryKind


class Content(msgspec.Struct, omit_defaults=True):
    """The JSON of a session entry."""

    event: str
    session: int = 0
    code: int = 0
    words: str = ""
    hint: str = ""
    run: str = ""
    wait_s: float = 0.0
    down_since_ns: int = 0
    cause: str = ""
    planned: bool = False
    channels: Channels | None = None
    missing: Channels | None = None
    gap: dict[str, Any] | None = None
    gaps: list[dict[str, Any]] | None = None
    previous: dict[str, Any] | None = None

    def all_gaps(self) -> list[dict[str, Any]]:
        """Every gap that it tells of; a new list."""
        return [*([] if self.gap is None else [self.gap]), *(self.gaps or ())]


class _SymbolGap(NamedTuple):
    """An open gap of one symbol; `channels` are the config's, joined by commas."""

    from_ns: int
    cause: str
    channels: str


_BOOKS = "orderbooks"  # of which one that is not subscribed any more nobody knows
_UNSUBSCRIBED = "unsubscribed on purpose"
_CAUSE_MAX = 200  # characters: of many symbols each has it; the entry's own words have it all
_UNKNOWN = Standing(None, None)
_STARTING = "starting"
_KILLED = "the recorder was killed"
_content = msgspec.json.Decoder(Content)


class GapKeeper:
    """Knows whether the feed is down, since when and why; one per feed and process."""

    def __init__(self) -> None:
        self.down_since_ns = 0
        self.cause = ""
        self.planned = False
        self._symbol_gaps: dict[str, _SymbolGap] = {}
        self._books: set[str] = set()  # symbols whose order books stood with the last session
        self._ended_books: dict[str, int] = {}  # symbols that are not among them now: since when
        self._pause: dict[str, Any] | None = None  # a planned one, until the first session stands

    def start(
        self,
        last: Block | None,
        now_ns: int,
        killed: str = "",
        standing: Standing = _UNKNOWN,
    ) -> Content:
        """The first entry of a start, from the journal's last whole block.

        A journal without one begins here: no gap, unless the first session fails. `killed` is why
        the process before this one ended, if it did not say so itself; `standing` what it said and
        heard last, where the last block does not tell.
        """
        content = Content(event="started")
        if last is None:
            self.down_since_ns, self.cause, self.planned = now_ns, _STARTING, True
        else:
            self._take_up(last, standing, killed or _KILLED)
            if self.planned:
                # The pause was planned up to this start; what follows must stand for itself.
                self._pause = self._gap()
                content.gap = _ended(self._pause, now_ns)
                self.down_since_ns, self.cause = now_ns, _STARTING
            else:
                content.gap = self._gap()
            content.previous = {
                "epoch": last.epoch,
                "last_seq": last.seq + last.count - 1,
                "last_recv_ns": last.recv_ns,
            }
        return self._stamped(content)

    def _take_up(self, last: Block, standing: Standing, killed: str) -> None:
        kind, payload = (standing.said or last).entries()[-1]
        said = None
        if kind in (EntryKind.SESSION, EntryKind.CLOCK, EntryKind.DROPPED, EntryKind.NOTE):
            try:
                said = _content.decode(payload)
            except msgspec.DecodeError:
                said = None
        if said is not None and said.down_since_ns:
            self.down_since_ns, self.cause = said.down_since_ns, said.cause
            self.planned = said.planned
            if said.cause == _STARTING:
                # The start before this one came to nothing, and nobody had planned that.
                self.planned, self.cause = False, "the recorder was killed while starting"
        else:
            # What we wrote ourselves after that is no sign that the line was alive.
            self.down_since_ns, self.planned = (standing.heard or last).recv_ns, False
            self.cause = killed

    def down(self, content: Content, last_recv_ns: int) -> Content:
        """The session ended or never came to stand."""
        self._pause = None
        if not self.down_since_ns:
            self.down_since_ns, self.planned = last_recv_ns, False
            self.cause = content.words
            content.gap = self._gap()
        elif self.planned:
            # A planned pause that does not end as planned is no longer planned.
            self.planned = False
            self.cause = content.words
            content.gap = self._gap()
        return self._stamped(content)

    def ready(
        self, content: Content, now_ns: int, since_ns: Mapping[str, int] | None = None
    ) -> Content:
        """Data is coming: the gap, if there was one, ends here.

        `since_ns` says of missing symbols since when, where that was before `now_ns`.
        """
        gaps = []
        if self.down_since_ns:
            if self.cause != _STARTING:
                gaps.append(_ended(self._gap(), now_ns))
            elif self._pause is not None:
                # Until now nobody listened, and nothing failed: the planned pause was that long.
                gaps.append(_ended(self._pause, now_ns))
            self._pause = None
            self.down_since_ns, self.cause, self.planned = 0, "", False
        gaps += self._symbols(content, now_ns, since_ns or {})
        gaps += self._order_books(content, now_ns)
        content.gaps = gaps or None
        return self._stamped(content)

    def _symbols(
        self, content: Content, now_ns: int, since_ns: Mapping[str, int]
    ) -> list[dict[str, Any]]:
        """Gaps of symbols that were asked for and not acknowledged, one per symbol."""
        channels: dict[str, list[str]] = {}
        for channel, symbols in (content.missing or {}).items():
            for symbol in symbols:
                channels.setdefault(symbol, []).append(OUR_WORDS.get(channel, channel))
        missing = {symbol: sorted(found) for symbol, found in channels.items()}
        causes = {
            symbol: shortened(f"{', '.join(found)} not subscribed: {content.words}", _CAUSE_MAX)
            for symbol, found in missing.items()
        }
        ended = [s for s, gap in self._symbol_gaps.items() if causes.get(s) != gap.cause]
        gaps = self._close_symbols(ended, now_ns)
        for symbol in sorted(missing.keys() - self._symbol_gaps.keys()):
            # One with another cause goes on from here.
            from_ns = now_ns if symbol in ended else since_ns.get(symbol, now_ns)
            gap = _SymbolGap(from_ns, causes[symbol], ",".join(missing[symbol]))
            self._symbol_gaps[symbol] = gap
            gaps.append(_symbol_gap(symbol, gap))
        return gaps

    def _close_symbols(self, symbols: list[str], now_ns: int) -> list[dict[str, Any]]:
        found = [_symbol_gap(s, self._symbol_gaps.pop(s)) for s in sorted(symbols)]
        return [_ended(gap, now_ns) for gap in found]

    def _order_books(self, content: Content, now_ns: int) -> list[dict[str, Any]]:
        """Planned gaps of order books that stood and do not any more, until they stand again.

        One that is missing has a gap that nobody planned, and a star has every symbol's.
        """
        stands = set((content.channels or {}).get(_BOOKS, ()))
        missing = set((content.missing or {}).get(_BOOKS, ()))
        again = [s for s in self._ended_books if s in stands | missing or "*" in stands]
        gaps = self._close_books(again, now_ns)
        ended = set() if "*" in stands else self._books - stands - missing
        for symbol in sorted(ended):
            other = self._symbol_gaps.get(symbol)
            # A symbol's gaps are told apart by where they begin.
            from_ns = now_ns + (other is not None and other.from_ns == now_ns)
            self._ended_books[symbol] = from_ns
            gaps.append(_book_gap(symbol, from_ns))
        self._books = stands
        return gaps

    def _close_books(self, symbols: list[str], now_ns: int) -> list[dict[str, Any]]:
        found = [_book_gap(s, self._ended_books.pop(s)) for s in sorted(symbols)]
        return [_ended(gap, now_ns) for gap in found]

    def stop(
        self, content: Content, now_ns: int, cause: str = "", *, refused: bool = False
    ) -> Content:
        """We stop: on purpose, or because of `cause`; what the venue `refused` stays a gap."""
        gaps = self._close_symbols(list(self._symbol_gaps), now_ns)
        gaps += self._close_books(list(self._ended_books), now_ns)
        if cause:
            if not self.down_since_ns or self.cause == _STARTING:
                self.down_since_ns = self.down_since_ns or now_ns
                self.cause, self.planned = cause, False
                content.gap = self._gap()
        elif not refused:
            if self.down_since_ns:
                # What we missed while we ran ends here: the pause that begins now is planned.
                if self.cause == _STARTING:
                    self.cause, self.planned = "stopped before any session stood", False
                gaps.append(_ended(self._gap(), now_ns))
            self.down_since_ns, self.cause, self.planned = now_ns, "planned stop", True
            content.gap = self._gap()
        content.gaps = gaps or None
        return self._stamped(content)

    def stamped(self, content: Content) -> Content:
        """Any other entry of ours, with the present state."""
        return self._stamped(content)

    def _stamped(self, content: Content) -> Content:
        content.down_since_ns = self.down_since_ns
        content.cause = self.cause
        content.planned = self.planned
        return content

    def _gap(self) -> dict[str, Any]:
        return {
            "from_ns": self.down_since_ns,
            "to_ns": None,
            "cause": self.cause,
            "planned": self.planned,
            "symbol": "",
            "state": "open",
        }


def _symbol_gap(symbol: str, gap: _SymbolGap) -> dict[str, Any]:
    return gap._asdict() | {"to_ns": None, "symbol": symbol}


def _book_gap(symbol: str, from_ns: int) -> dict[str, Any]:
    gap = _SymbolGap(from_ns, _UNSUBSCRIBED, _BOOKS)
    return _symbol_gap(symbol, gap) | {"planned": True}


def _ended(gap: dict[str, Any], to_ns: int) -> dict[str, Any]:
    """The gap with its end, which never lies before its beginning.

    Where the clock was set back meanwhile nobody knows how long it was; its cause says so.
    """
    back_ns = gap["from_ns"] - to_ns
    if back_ns <= 0:
        return gap | {"to_ns": to_ns}
    words = f"the clock was set back meanwhile, by {back_ns / clock.NS_PER_S:.3f} s or more"
    return gap | {"to_ns": gap["from_ns"], "cause": f"{gap['cause']}; {words}"}
