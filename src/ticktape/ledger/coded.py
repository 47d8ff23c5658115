"""A column of texts in which few different ones stand: each once, and a number for every row; pure.

So nothing is made or compared for a row by itself.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Picked = slice | npt.NDArray[np.int64]
"""Which rows: a stretch of them, or their places."""

_Value = TypeVar("_Value", bound=np.generic)


class Coded:
    """Row i has the text `texts[codes[i]]`; a text may have no row at all.

    `texts` differ, and stand in the order in which they first came. Neither is changed.
    """

    __slots__ = ("codes", "texts")

    def __init__(self, texts: Sequence[str], codes: npt.NDArray[np.int64]) -> None:
        self.texts = texts
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Picked) -> "Coded":
        return Coded(self.texts, self.codes[rows])

    def counts(self) -> dict[str, int]:
        """How many rows each text has, for those that have any."""
        count = np.bincount(self.codes, minlength=len(self.texts))
        return {self.texts[code]: int(count[code]) for code in np.flatnonzero(count).tolist()}

    def spread(self, valued: Callable[[list[str]], npt.NDArray[_Value]]) -> npt.NDArray[_Value]:
        """The value of each row's text; `valued` gives those of the texts that have a row."""
        present = np.flatnonzero(np.bincount(self.codes, minlength=len(self.texts)))
        values = valued([self.texts[code] for code in present.tolist()])
        if len(present) == len(self.texts):
            return values[self.codes]
        places = np.zeros(len(self.texts), np.int64)
        places[present] = np.arange(len(present))
        return values[places[self.codes]]


def coded(values: "Sequence[str] | pa.ChunkedArray[Any]") -> Coded:
    """Make a coded column of texts; none may be null."""
    column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values], _TEXT)
    found = column.combine_chunks().dictionary_encode()
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    codes = found.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return Coded(cast("list[str]", found.dictionary.to_pylist()), codes)


_TEXT = pa.string()
