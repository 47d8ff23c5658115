"""The venue's condition codes as one text: its list joined by commas, in its order.

A feed uses a few dozen different lists, so each is parsed once and remembered by its bytes. The
memory is bounded: a venue that sends ever new lists must not make it grow.
"""

import msgspec

_REMEMBERED_MAX = 4_096
_PACKED_FROM = 0x80  # JSON begins with ASCII, a MessagePack list, text or null does not

_Codes = list[str] | str | None


class Conditions(dict[bytes, str]):
    """`conditions[raw]` is the joined text of `raw`: a list of texts, one text, or null.

    `raw` is JSON or MessagePack; with `numbers` it is JSON, and a list of texts or whole numbers.

    Raises:
        ValueError: it is none of these.
    """

    def __init__(self, *, numbers: bool = False) -> None:
        super().__init__()
        self._decoder: msgspec.json.Decoder[list[str | int] | list[str] | str | None] = (
            msgspec.json.Decoder(list[str | int] | None if numbers else _Codes)
        )
        self._packed: msgspec.msgpack.Decoder[list[str] | str | None] = msgspec.msgpack.Decoder(
            _Codes
        )

    def __missing__(self, raw: bytes) -> str:
        codes = (self._packed if raw[0] >= _PACKED_FROM else self._decoder).decode(raw) or ()
        joined = codes if isinstance(codes, str) else ",".join(map(str, codes))
        if len(self) >= _REMEMBERED_MAX:
            self.clear()
        self[raw] = joined
        return joined

    def joined(self, raws: list[msgspec.Raw]) -> list[str]:
        """Give the joined text of each, in the same order."""
        return [self[bytes(raw)] for raw in raws]
