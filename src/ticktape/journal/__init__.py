"""The append-only journal: raw store, queue between processes, and replay source in one.

Nothing here looks into a payload. `format` draws the bytes, `writer` appends, `reader` follows or
replays, `scan`
reads a whole journal for proof, `positions` is the small mapped file through which the two meet.
"""

from ticktape.journal.blocks import Block
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer

__all__ = ["Block", "Reader", "Writer"]
