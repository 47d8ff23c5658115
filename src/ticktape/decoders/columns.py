"""Python lists to Arrow columns of one type; no conversion here may ever change a value."""

from typing import Any

import pyarrow as pa

from ticktape.decoders.instants import Column


def texts(values: list[Any]) -> Column:
    """Make a string column; None, which the wire may have where a text belongs, becomes empty."""
    made = pa.array(values, pa.string())
    return made.fill_null("") if made.null_count else made


def floats(values: list[Any]) -> Column:
    """Make a float64 column; None stays null."""
    return pa.array(values, pa.float64())


def ints(values: list[Any]) -> Column:
    """Make an int64 column; None stays null."""
    return pa.array(values, pa.int64())
