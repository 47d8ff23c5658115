"""Keys, and what is left of a cell whose writer died in it."""

import pytest

from ticktape.lastvalue import cells, layout
from ticktape.lastvalue.layout import CellKind
from ticktape.records import Trade


@pytest.mark.parametrize("text", ["", "x" * 33, "é" * 17, "A\0", "\0"])
def test_a_name_that_would_not_come_back_is_no_key(text):
    assert layout.key_text(text, 32) is None


def test_an_emptied_cell_keeps_its_key_and_holds_no_record():
    trade = Trade(
        feed="sip", symbol="AAPL", event_ns=1, recv_ns=2, epoch=0, seq=0, index=0, price=1.0, size=1
    )
    payload = cells.encode(trade, b"sip", b"AAPL", CellKind.TRADE)
    empty = layout.encode_empty(payload[: layout.FLAGS_AT])
    assert cells.decode(empty) is None
    assert layout.decode_key(empty) == ("sip", "AAPL", CellKind.TRADE)


@pytest.mark.parametrize("shape", [layout.CELLS, layout.IMAGES])
def test_every_cell_begins_at_a_whole_word_after_the_one_before(shape):
    assert shape.cell_bytes % layout.WORD_BYTES == 0
    assert shape.cell_word(0) * layout.WORD_BYTES == layout.HEAD_BYTES
    assert shape.cell_word(7) * layout.WORD_BYTES == shape.file_bytes(7)
