"""A coded column is the column of its texts."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ticktape.ledger.coded import coded

TEXTS = st.lists(st.sampled_from(["A", "B", "", "\u00e9", "AA"]), min_size=1)


def texts_of(column):
    return [column.texts[code] for code in column.codes.tolist()]


@given(texts=TEXTS, begin=st.integers(0, 10), length=st.integers(0, 10))
def test_a_part_of_it_counts_and_spreads_as_that_part_of_the_texts(texts, begin, length):
    part = coded(texts)[begin : begin + length]
    wanted = texts[begin : begin + length]
    asked = []

    def lengths(each):
        asked.extend(each)
        return np.array([len(text) for text in each], np.int64)

    assert (texts_of(part), len(part)) == (wanted, len(wanted))
    assert part.counts() == Counter(wanted)
    assert part.spread(lengths).tolist() == [len(text) for text in wanted]
    assert sorted(asked) == sorted(set(wanted)), "of those only that have a row"


@given(texts=TEXTS, keep=st.integers(0, 2**10))
def test_rows_can_be_picked_one_by_one(texts, keep):
    rows = np.array([row for row in range(len(texts)) if keep >> row & 1], np.int64)
    assert texts_of(coded(texts)[rows]) == [texts[row] for row in rows.tolist()]


@given(parts=st.lists(TEXTS, min_size=1, max_size=4))
def test_the_chunks_of_a_column_do_not_show(parts):
    column = coded(pa.chunked_array([pa.array(part) for part in parts]))
    texts = [text for part in parts for text in part]
    assert texts_of(column) == texts
    assert list(column.texts) == list(dict.fromkeys(texts)), "as they first came"
