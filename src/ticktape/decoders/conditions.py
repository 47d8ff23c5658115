"""The venue's condition codes as one text: its JSON list joined by commas, in its order.

A feed uses a few dozen different lists, so each is parsed once and remembered by its bytes. The
memory is bounded: a venue that sends ever new lists must not make it grow.
"""

import msgspec

_REMEMBERED_MAX = 4_096


class Conditions(dict[bytes, str]):
    """`conditions[raw]` is the joined text of the JSON list `raw`, which may be null.

    Raises:
        ValueError: it is no list of texts (with `numbers`: of texts or whole numbers).
    """

    def __init__(self, *, numbers: bool = False) -> None:
        super().__init__()
        self._decoder: msgspec.json.Decoder[list[str | int] | None] = msgspec.json.Decoder(
            list[str | int] | None if numbers else list[str] | None
        )

    def __missing__(self, raw: bytes) -> str:
        codes = self._decoder.decode(raw) or ()
        joined = ",".join(map(str, codes))
        if len(self) >= _REMEMBERED_MAX:
            self.clear()
        self[raw] = joined
        return joined
