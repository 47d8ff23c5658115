"""What the last-value writer counted, kept in the file's head so that any process can read it.

A counter only grows for as long as the file lives, also over restarts of its writer.
"""

import struct
from typing import Final

import msgspec

from ticktape.lastvalue.layout import WORD_BYTES, WORD_CAPACITY, WORD_COUNT, WORD_COUNTERS
from ticktape.lastvalue.mapfile import Mapping

COUNTERS: Final = (
    "records",
    "written",
    "conflated",
    "late",
    "ignored",
    "full",
    "oversize",
    "unfit",
    "cut",
    "unkept",
    "top_only",
    "lost",
)
_COUNTERS = struct.Struct(f"={len(COUNTERS)}Q")
_START: Final = WORD_COUNTERS * WORD_BYTES
_END: Final = _START + _COUNTERS.size


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the file was made.

    records = written + conflated + late + ignored + full + oversize + unfit.
    """

    cells: int
    capacity: int
    records: int = 0  # given to the writer
    written: int = 0  # cell writes that brought a record
    conflated: int = 0  # replaced by a later one of the same batch, before being written
    late: int = 0  # not later than what the cell had; also what is read again after a restart
    ignored: int = 0  # of a kind that has no cell, or a change of an order book that is not valid
    full: int = 0  # no cell left for it
    oversize: int = 0  # feed or symbol longer than its field
    unfit: int = 0  # a number outside its field
    cut: int = 0  # of the written: a text or a book was cut
    unkept: int = 0  # positions that found no place
    top_only: int = 0  # of the written: books whose whole image found no room
    lost: int = 0  # cell writes beside the records: order books that became invalid


def store_counters(mapping: Mapping, counters: dict[str, int]) -> None:
    """Publish the counters; `counters` holds exactly the names of COUNTERS, in their order."""
    mapping.view[_START:_END] = _COUNTERS.pack(*counters.values())


def load_statistics(mapping: Mapping) -> Statistics:
    """The counters as they stand in the head."""
    values = _COUNTERS.unpack(mapping.view[_START:_END])
    return Statistics(
        cells=mapping.words[WORD_COUNT],
        capacity=mapping.words[WORD_CAPACITY],
        **dict(zip(COUNTERS, values, strict=True)),
    )
