"""A column of conditions says of each list what the look-up of it alone says."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.decoders.conditions import Conditions

LISTS = [
    *(b"null", b"[]", b'""', b'["@"]', b'["@","I"]', b'"a"', b'["@", "I"]'),
    *(b'["@",\n"I"]', b'"\\n"', '["\u00e9"]'.encode()),
    *(msgspec.msgpack.encode(each) for each in (None, [], ["@", "I"], "a", ["\n"])),
]


@given(st.lists(st.sampled_from(LISTS), min_size=1))
def test_a_column_says_of_each_what_the_look_up_of_it_says(lists):
    conditions = Conditions()
    column = Conditions().column([msgspec.Raw(each) for each in lists])
    assert column.to_pylist() == [conditions[each] for each in lists]


@pytest.mark.parametrize("bad", [b"5", b'["@",5]', b'["@",\n5]'])
def test_one_that_is_none_is_refused(bad):
    raws = [msgspec.Raw(each) for each in (*LISTS, bad)]
    for refuse in (Conditions().column, Conditions().check):
        with pytest.raises(ValueError, match="Expected"):
            refuse(raws)


@given(st.lists(st.sampled_from(LISTS)))
def test_a_check_passes_what_a_column_takes(lists):
    Conditions().check([msgspec.Raw(each) for each in lists])


def test_ever_new_lists_do_not_make_it_grow():
    conditions = Conditions()
    raws = [msgspec.Raw(b'["%d"]' % number) for number in range(10_000)]
    assert conditions.column(raws).to_pylist() == [str(number) for number in range(10_000)]
    assert len(conditions) <= 4_096
