"""Alpaca's v2 streams, JSON and MessagePack: stocks, crypto, options and news.

A field that the venue adds is ignored here and kept in the journal; a message of a type that is not
known becomes a row of `unknown`. Where a map repeats a key, the last one counts. A frame is read as
what its first byte says whenever the entry's kind does not fit.
"""

from typing import TYPE_CHECKING, Any

from ticktape.decoders.alpaca_messages import CONTROLS, JSON, PACKED, Encoding
from ticktape.decoders.alpaca_notices import NoticeRows
from ticktape.decoders.alpaca_prices import PriceRows
from ticktape.decoders.conditions import Conditions
from ticktape.decoders.frames import unreadable
from ticktape.decoders.instants import InstantParser
from ticktape.decoders.packed import PackedInstants, is_list, is_map, readable

if TYPE_CHECKING:
    from ticktape.decoders.projection import Reader, Shape


class AlpacaWire:
    """The v2 grammar; `shapes` are bound to this instance's memories."""

    controls = CONTROLS

    def __init__(self) -> None:
        # Without a call of ours between: they are called once per frame.
        self.reads: tuple[Reader, Reader] = (JSON.frame, PACKED.frame)
        conditions = Conditions()
        self.shapes: dict[type, Shape] = {}
        texts = InstantParser()
        for encoding, instant, instants in (
            (JSON, texts.parse, texts.parse_all),
            (PACKED, PackedInstants().parse, None),
        ):
            prices = PriceRows(instant, conditions, instants)
            rows = prices.shapes | NoticeRows(instant, conditions).shapes
            self.shapes |= {encoding.types[tag]: shape for tag, shape in rows.items()}

    def salvage(self, payload: bytes, reason: str) -> list[Any]:
        """Read a frame message by message; one Unreadable for a frame that is no array."""
        encoding = _encoding_of(payload)
        try:
            pieces = encoding.split(payload)
        except (ValueError, RecursionError) as error:
            text = readable(payload) if is_map(payload) else payload
            return [unreadable(f"not an array of messages: {error}", text)]
        return [_read_piece(encoding, bytes(piece)) for piece in pieces]

    def text(self, payload: bytes, index: int) -> bytes:
        """Cut one message out of a frame; what was MessagePack is written as JSON."""
        encoding = _encoding_of(payload)
        try:
            piece = bytes(encoding.split(payload)[index])
        except RecursionError:  # a frame that could be read with a little more of the stack
            return payload
        return _text_of(encoding, piece)


def _encoding_of(payload: bytes) -> Encoding:
    return PACKED if is_list(payload) else JSON


def _text_of(encoding: Encoding, piece: bytes) -> bytes:
    return readable(piece) if encoding is PACKED else piece


def _read_piece(encoding: Encoding, piece: bytes) -> object:
    try:
        return encoding.message(piece)
    except (ValueError, RecursionError) as error:
        return unreadable(str(error), _text_of(encoding, piece))
