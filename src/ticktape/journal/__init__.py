"""The append-only journal: raw store, queue between processes, and replay source in one.

Nothing here looks into a payload. `format` draws the bytes, `writer` appends, `reader` follows or
replays, `recovery` finds where a journal ended, `positions` is the small mapped file through which
writer and readers meet.
"""

from ticktape.journal.blocks import Block
from ticktape.journal.damage import Damage
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer, WriterConfig

__all__ = ["Block", "Damage", "Reader", "Writer", "WriterConfig"]
