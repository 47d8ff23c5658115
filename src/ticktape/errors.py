"""What can go wrong, named by who must act; nothing here is raised for flow control.

    TickTapeError
    ├── ConfigError          operator, before the start      exit 2
    ├── FeedError            the venue or the network        a gap, then a new session
    │   ├── Disconnected
    │   ├── Stale
    │   ├── Refused          fatal: this feed stops
    │   └── ProtocolViolated
    ├── DecodeError          us, later: the bytes are safe
    ├── JournalError         operator, now                   exit 3
    │   ├── Locked
    │   ├── OutOfOrder
    │   ├── Corrupt
    │   ├── Full
    │   ├── WriteFailed
    │   └── SyncFailed
    ├── TableError           operator, later: the journal is safe
    └── DecisionError        the author of the strategy

Everything else that is raised is our own bug: exit 70. Every message names the thing, its place,
and `hint` says what to do next.
"""

EXIT_COMPLETE = 0
EXIT_INCOMPLETE = 1
EXIT_CONFIG = 2
EXIT_JOURNAL = 3
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h


class TickTapeError(Exception):
    """Anything that ticktape itself names; `hint` is the next step for whoever must act."""

    exit_code = EXIT_INCOMPLETE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  → {self.hint}" if self.hint else message


class ConfigError(TickTapeError):
    """The config or the command line is wrong; `faults` lists all of it, nothing was opened."""

    exit_code = EXIT_CONFIG

    def __init__(self, faults: list[str], *, hint: str = "") -> None:
        self.faults = faults
        if len(faults) == 1:
            message = faults[0]
        else:
            message = "\n".join([f"{len(faults)} faults:", *(f"  - {fault}" for fault in faults)])
        super().__init__(message, hint=hint)


class FeedError(TickTapeError):
    """The venue or the network failed us; recorded as a gap, then a new session."""


class Disconnected(FeedError):
    """The connection ended without our asking."""


class Stale(FeedError):
    """The connection stands, but nothing came for longer than the config allows."""


class Refused(FeedError):
    """The venue will not serve us; trying again would not help."""


class ProtocolViolated(FeedError):
    """The venue said what its protocol does not know."""


class DecodeError(TickTapeError):
    """Bytes that a decoder cannot read; they are in the journal and in `unknown`."""


class JournalError(TickTapeError):
    """The journal cannot go on as it is; the operator must look now."""

    exit_code = EXIT_JOURNAL


class Locked(JournalError):
    """Another recorder has this directory."""


class OutOfOrder(JournalError):
    """A position or `seq` that should follow does not."""


class Corrupt(JournalError):
    """Bytes on the disk are not what was written."""


class Full(JournalError):
    """The disk has no room (ENOSPC, EDQUOT, EFBIG)."""


class WriteFailed(JournalError):
    """The disk refused a write."""


class SyncFailed(JournalError):
    """The disk refused a sync: what was written since the last one is suspect."""


class TableError(TickTapeError):
    """The table cannot be written or read; the journal is untouched."""


class DecisionError(TickTapeError):
    """The user's strategy raised or cannot be loaded."""

    def __init__(self, message: str, *, decision: str, seq: int = -1, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.decision = decision
        self.seq = seq
