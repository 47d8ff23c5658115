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


def text_lists(values: list[list[str]]) -> Column:
    """Make a column of lists of strings."""
    return pa.array(values, pa.list_(pa.string()))


def float_lists(values: list[list[float]]) -> Column:
    """Make a column of lists of float64."""
    return pa.array(values, pa.list_(pa.float64()))
