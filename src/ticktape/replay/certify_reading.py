"""What `check` gathers from the ledger's journal and from those of healing."""

from ticktape.journal.blocks import Block
from ticktape.ledger import Window
from ticktape.ledger.entries import (
    Asked,
    Compared,
    Counts,
    Healed,
    Identity,
    Page,
    Unhealable,
    Unsettled,
    read_ledger_entry,
    read_rest_entry,
)
from ticktape.records import EntryKind, Position
from ticktape.replay.reading import JournalReading, Told

Counted = tuple[str, str, int, str, int]
"""Feed, kind, minute_ns, symbol, number."""

_SHORT = 20  # kinds of a difference that are named


class RestReading(JournalReading):
    """What the journal of healing a feed says: what was asked, and what came of each gap.

    `pages` are (epoch, seq of the body, number of its chain of requests); `windows` is what REST
    was asked to its end, `compared` those of them that were asked though no gap was there, `asked`
    those of each gap by (symbol, from_ns); `words` say by the same what was found.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[tuple[int, int, int]] = []
        self.compared: list[Window] = []
        self.asked: dict[tuple[str, int], list[Window]] = {}
        self.words: dict[tuple[str, int], str] = {}
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self._chains: dict[str, tuple[int, int]] = {}
        self._symbols: dict[frozenset[str], frozenset[str]] = {}
        self._chain_count = 0

    def see(self, block: Block) -> None:
        """Take in a block."""
        chain = None
        for seq, (kind, payload) in enumerate(block.entries(), block.seq):
            if kind <= EntryKind.BINARY:
                self.first_ns = self.first_ns or block.recv_ns
                self.last_ns = block.recv_ns
                if chain is not None:
                    self.pages.append((block.epoch, seq, chain))
            elif kind == EntryKind.SESSION:
                said = read_rest_entry(kind, payload)
                if isinstance(said, Page):
                    chain = self._chain_of(said)
                elif isinstance(said, Healed | Unhealable | Unsettled):
                    self._see_end(said, block.recv_ns)
                elif isinstance(said, Compared):
                    self.compared += self._windows_of(said, block.recv_ns)
            else:
                self.see_own(kind, payload, block.recv_ns)

    def _chain_of(self, page: Page) -> int:
        """The number of the chain that a page goes on with; one that goes back begins another."""
        query = sorted(item for item in page.request.query.items() if item[0] != "page_token")
        key = f"{page.request.path} {query}"
        before = self._chains.get(key)
        if before is None or page.page <= before[0]:
            self._chain_count += 1
            before = (page.page, self._chain_count)
        self._chains[key] = (page.page, before[1])
        return before[1]

    def _see_end(self, said: Healed | Unhealable | Unsettled, said_ns: int) -> None:
        gap = said.gap
        self.words[gap.symbol, gap.from_ns] = said.words
        if said.asked is not None:
            windows = self._windows_of(said.asked, said_ns)
            self.asked.setdefault((gap.symbol, gap.from_ns), []).extend(windows)

    def _windows_of(self, said: Asked | Compared, said_ns: int) -> list[Window]:
        found = []
        for channel, symbols in said.channels.items():
            # Thousands of symbols, the same ones for most gaps: kept once.
            asked = frozenset(symbols)
            asked = self._symbols.setdefault(asked, asked)
            found.append(Window(channel, asked, said.from_ns, said.to_ns, said_ns))
        return found

    @property
    def windows(self) -> list[Window]:
        """All that REST was asked to its end."""
        return [*self.compared, *(each for windows in self.asked.values() for each in windows)]


class LedgerReading(JournalReading):
    """What the ledger's own journal says: its counts, and where a stage did not have them.

    `counted_to` says by feed where what it has not counted begins.
    """

    def __init__(self) -> None:
        super().__init__()
        self._counted: list[Counted] = []
        self.counted_to: dict[str, Position] = {}
        self.identities: dict[str, list[Told]] = {}

    def see(self, block: Block) -> None:
        """Take in a block."""
        for kind, payload in block.entries():
            said = read_ledger_entry(kind, payload)
            if isinstance(said, Counts):
                self._counted += [
                    (said.feed, rows, said.minute_ns, symbol, number)
                    for rows, symbols in said.kinds.items()
                    for symbol, number in symbols.items()
                ] or [(said.feed, "", said.minute_ns, "", 0)]
                self.counted_to[said.feed] = Position(*said.until)
            elif isinstance(said, Identity):
                told = Told(block.recv_ns, block.recv_ns, _identity_words(said))
                self.identities.setdefault(said.feed, []).append(told)
            elif said is None:
                self.see_own(kind, payload, block.recv_ns)

    def take_counted(self) -> list[Counted]:
        """What it counted in the blocks since the last call: a month of it fits into no memory."""
        counted, self._counted = self._counted, []
        return counted


def _identity_words(said: Identity) -> str:
    kinds = sorted({*said.received, *said.expected})
    parts = [
        f"{said.received.get(kind, 0):,} {kind} where {said.expected.get(kind, 0):,} were counted"
        for kind in kinds[:_SHORT]
    ]
    epoch, offset = said.position
    return (
        f"the ledger found {', '.join(parts)}, up to epoch {epoch} offset {offset} "
        f"(stage {said.stage})"
    )
