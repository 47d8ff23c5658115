"""Blocks as the journal's reader gives them, made from payloads."""

import struct

import pytest

from ticktape.journal.blocks import Block
from ticktape.journal.format import KIND_SHIFT


def block_of(*entries, seq=0, epoch=1, offset=0, recv_ns=1_700_000_000_000_000_000):
    """A block of payloads (text frames) or (kind, payload) pairs."""
    pairs = [entry if isinstance(entry, tuple) else (0, entry) for entry in entries]
    words = [kind << KIND_SHIFT | len(payload) for kind, payload in pairs]
    body = struct.pack(f"<{len(words)}I", *words) + b"".join(payload for _, payload in pairs)
    return Block(
        epoch, offset, offset + 64 + len(body), seq, len(pairs), recv_ns, recv_ns // 7, 1, body
    )


@pytest.fixture(scope="session")
def make_block():
    return block_of
