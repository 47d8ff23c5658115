"""Where everything of a run lies (DESIGN §9); names only, nothing is made or opened here."""

from pathlib import Path

DECISION = "decision"
"""Prefix, with a colon, of a strategy's name where feeds and strategies stand side by side."""

LEDGER = "ledger:"
"""Name of the ledger's own journal where it stands beside those of feeds and strategies."""


LOG_FILES = 5
"""So many files are kept of each log, the one that grows among them."""


def older_log(path: Path, number: int) -> Path:
    """Where what a log held before lies: 1 is the newest of its older files."""
    return path.with_name(f"{path.name}.{number}")


class RunDirectory:
    """The paths of one run's directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "run.toml"
        self.lock = root / "run.lock"
        self.live = root / "live"
        self.requests = self.live / "requests"
        self.readers = root / "readers"
        self.stages = root / "stages"
        self.pauses = root / "pauses"
        self.table = root / "table"
        self.log = root / "log"
        self.events = self.log / "events.jsonl"
        self.certificates = root / "certificate"
        self.last = self.live / "last.map"
        self.ballast = root / "ballast"

    def feed_journal(self, feed: str) -> Path:
        """Segments of a feed."""
        return self.root / "feeds" / feed / "journal"

    def feed_positions(self, feed: str) -> Path:
        """The mapped positions of a feed's writer."""
        return self.live / f"feed.{feed}.positions"

    def decision_journal(self, decision: str) -> Path:
        """Segments of a strategy: what it was given, and what it returned."""
        return self.root / "decisions" / decision / "journal"

    def decision_positions(self, decision: str) -> Path:
        """The mapped positions of a strategy's writer."""
        return self.live / f"decision.{decision}.positions"

    def journal(self, name: str) -> Path:
        """Segments of a feed, of a strategy when the name begins with `decision:`, or `LEDGER`."""
        if name == LEDGER:
            return self.root / "ledger" / "journal"
        kind, colon, rest = name.partition(":")
        if colon and kind == DECISION:
            return self.decision_journal(rest)
        return self.feed_journal(name)

    def positions(self, name: str) -> Path:
        """The mapped positions that belong to `journal(name)`."""
        if name == LEDGER:
            return self.live / "ledger.positions"
        kind, colon, rest = name.partition(":")
        if colon and kind == DECISION:
            return self.decision_positions(rest)
        return self.feed_positions(name)

    def reader_file(self, reader: str) -> Path:
        """Where a reader keeps its positions."""
        return self.readers / f"{reader}.pos"

    def feeds(self) -> list[str]:
        """Names of the feeds that have a journal, those of healed gaps among them, sorted."""
        return _names(self.root / "feeds")

    def decisions(self) -> list[str]:
        """Names of the strategies that have a journal, sorted."""
        return _names(self.root / "decisions")


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if (entry / "journal").is_dir())
    except FileNotFoundError:
        return []
