"""What every state change of a session means for the gaps: pure, the makings of entries.

Each entry of our own carries whether we are down and since when, so that after a crash the
journal's last block alone says where the gap began. No file, no socket and no clock here.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ticktape.feeds.protocol import Channels
from ticktape.journal.blocks import Block
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


_STARTING = "starting"
_KILLED = "the recorder was killed"
_content = msgspec.json.Decoder(Content)


class GapKeeper:
    """Knows whether the feed is down, since when and why; one per feed and process."""

    def __init__(self) -> None:
        self.down_since_ns = 0
        self.cause = ""
        self.planned = False
        self._symbol_gaps: dict[str, tuple[int, str]] = {}  # since when, why

    def start(self, last: Block | None, now_ns: int, killed: str = "") -> Content:
        """The first entry of a start, from the journal's last whole block.

        A journal without one begins here: no gap, unless the first session fails. `killed` is why
        the process before this one ended, if it did not say so itself.
        """
        content = Content(event="started")
        if last is None:
            self.down_since_ns, self.cause, self.planned = now_ns, _STARTING, True
        else:
            self._take_up(last, killed or _KILLED)
            if self.planned:
                # The pause was planned up to this start; what follows must stand for itself.
                content.gap = self._gap(now_ns)
                self.down_since_ns, self.cause = now_ns, _STARTING
            else:
                content.gap = self._gap(None)
            content.previous = {
                "epoch": last.epoch,
                "last_seq": last.seq + last.count - 1,
                "last_recv_ns": last.recv_ns,
            }
        return self._stamped(content)

    def _take_up(self, last: Block, killed: str) -> None:
        kind, payload = last.entries()[-1]
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
            self.down_since_ns, self.planned = last.recv_ns, False
            self.cause = killed

    def down(self, content: Content, last_recv_ns: int) -> Content:
        """The session ended or never came to stand."""
        if not self.down_since_ns:
            self.down_since_ns, self.planned = last_recv_ns, False
            self.cause = content.words
            content.gap = self._gap(None)
        elif self.planned:
            # A planned pause that does not end as planned is no longer planned.
            self.planned = False
            self.cause = content.words
            content.gap = self._gap(None)
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
                gaps.append(self._gap(now_ns))
            self.down_since_ns, self.cause, self.planned = 0, "", False
        gaps += self._symbols(content, now_ns, since_ns or {})
        content.gaps = gaps or None
        return self._stamped(content)

    def _symbols(
        self, content: Content, now_ns: int, since_ns: Mapping[str, int]
    ) -> list[dict[str, Any]]:
        """Gaps of symbols that were asked for and not acknowledged, one per symbol."""
        channels: dict[str, list[str]] = {}
        for channel, symbols in (content.missing or {}).items():
            for symbol in symbols:
                channels.setdefault(symbol, []).append(channel)
        missing = {
            symbol: f"{', '.join(sorted(found))} not subscribed: {content.words}"
            for symbol, found in channels.items()
        }
        ended = [s for s, gap in self._symbol_gaps.items() if missing.get(s) != gap[1]]
        gaps = self._close_symbols(ended, now_ns)
        for symbol in sorted(missing.keys() - self._symbol_gaps.keys()):
            # One with another cause goes on from here.
            from_ns = now_ns if symbol in ended else since_ns.get(symbol, now_ns)
            self._symbol_gaps[symbol] = (from_ns, missing[symbol])
            gaps.append(_symbol_gap(symbol, from_ns, None, missing[symbol]))
        return gaps

    def _close_symbols(self, symbols: list[str], now_ns: int) -> list[dict[str, Any]]:
        closed = []
        for symbol in sorted(symbols):
            from_ns, cause = self._symbol_gaps.pop(symbol)
            closed.append(_symbol_gap(symbol, from_ns, now_ns, cause))
        return closed

    def stop(
        self, content: Content, now_ns: int, cause: str = "", *, refused: bool = False
    ) -> Content:
        """We stop: on purpose, or because of `cause`; what the venue `refused` stays a gap."""
        gaps = self._close_symbols(list(self._symbol_gaps), now_ns)
        if cause:
            if not self.down_since_ns or self.cause == _STARTING:
                self.down_since_ns = self.down_since_ns or now_ns
                self.cause, self.planned = cause, False
                content.gap = self._gap(None)
        elif not refused:
            if self.down_since_ns:
                # What we missed while we ran ends here: the pause that begins now is planned.
                if self.cause == _STARTING:
                    self.cause, self.planned = "stopped before any session stood", False
                gaps.append(self._gap(now_ns))
            self.down_since_ns, self.cause, self.planned = now_ns, "planned stop", True
            content.gap = self._gap(None)
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

    def _gap(self, to_ns: int | None) -> dict[str, Any]:
        return {
            "from_ns": self.down_since_ns,
            "to_ns": to_ns,
            "cause": self.cause,
            "planned": self.planned,
            "symbol": "",
            "state": "open",
        }


def _symbol_gap(symbol: str, from_ns: int, to_ns: int | None, cause: str) -> dict[str, Any]:
    return {"from_ns": from_ns, "to_ns": to_ns, "cause": cause, "symbol": symbol}
