"""One TOML table -> one frozen Struct, with every fault in it and not only the first.

No fault repeats a text from the file, for it may be a secret that stands in the wrong place; only
names of keys and numbers in the place of numbers are repeated.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import inspect

Shape = TypeVar("Shape", bound=msgspec.Struct)

SECRET_CURE = (
    'secrets never stand in this file: take it out, write keys = "env" and set APCA_API_KEY_ID'
    " and APCA_API_SECRET_KEY"
)

_SECRET = re.compile(r"secret|passw|token|credential|apca|api_?key|key_?id|^keys?$", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_-]{1,32}")  # a key that can be shown: venues' secrets have digits


class Faults:
    """The faults of one file, in its order."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.found: list[str] = []

    def add(self, place: str, text: str) -> None:
        """Note that what stands at `place` is wrong: `text` says what, and the cure."""
        self.found.append(f"{self.source}: {place} {text}")


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`; did you mean "alpaca"?` when one of `known` is near, else nothing."""
    near = difflib.get_close_matches(word.lower(), known, 1) if isinstance(word, str) else []
    return f'; did you mean "{near[0]}"?' if near else ""


def fields_of(kind: type[msgspec.Struct]) -> list[inspect.Field]:
    """The keys of `kind`'s table: its fields without those that are tables themselves."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return [field for field in described.fields if not _is_table(bare(field.type))]


def bare(described: inspect.Type) -> inspect.Type:
    """The type itself, without its description."""
    return described.type if isinstance(described, inspect.Metadata) else described


def expected(described: inspect.Type) -> str:
    """What a key takes, in words: `a whole number from 1 to 10`."""
    match bare(described):
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.FloatType(ge=low, le=high):
            return f"a number from {low:g} to {high:.9g}"
        case inspect.LiteralType(values=values):
            return " or ".join(f'"{value}"' for value in values)
        case inspect.UnionType(types=types):
            return " or ".join(map(expected, types))
        case inspect.VarTupleType():
            return 'a list of texts, like ["AAPL", "TSLA"]'
        case inspect.CustomType():
            return "a path in quotes"
        case _:
            return "a text in quotes"


def read_table(
    kind: type[Shape], table: object, place: str, faults: Faults, homes: Mapping[str, str]
) -> tuple[Shape, frozenset[str]]:
    """The Struct that `table` describes, and the names of its keys that are wrong.

    A wrong key has its default here, or an empty text; the caller checks nothing that depends on
    it. `homes` says of each key of the whole file in which table it stands. Fields that are
    tables themselves keep their default.
    """
    fields = {field.name: field for field in fields_of(kind)}
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    if not isinstance(table, dict):
        faults.add(place, "must be a table")
        table = {}
    for key in [key for key in table if key not in fields]:
        shown = key if _WORD.fullmatch(key) else "(a key)"
        faults.add(_join(place, shown), _unknown(key, fields, homes))
    values: dict[str, object] = {}
    wrong: set[str] = set()
    for name, field in fields.items():
        fault = ""
        if name in table:
            values[name], fault = _convert(table[name], types[name], field)
        elif field.required:
            fault = f"is missing; it must be {expected(field.type)}"
        if fault:
            faults.add(_join(place, name), fault)
            wrong.add(name)
            values.pop(name, None)
            if field.required:
                values[name] = Path() if isinstance(bare(field.type), inspect.CustomType) else ""
    return kind(**values), frozenset(wrong)


def _convert(value: object, kind: object, field: inspect.Field) -> tuple[object, str]:
    """The value as `kind`, and what is wrong with it."""
    try:
        converted: object = msgspec.convert(value, kind, dec_hook=_to_path)
    except msgspec.ValidationError:
        return None, _wrong_value(value, field)
    texts = value if isinstance(value, list) else [value]
    if any(isinstance(text, str) and not text.isprintable() for text in texts):
        return None, "has characters that cannot be printed"
    return converted, ""


def _to_path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError


def _wrong_value(value: object, field: inspect.Field) -> str:
    wanted = bare(field.type)
    if _SECRET.search(field.name):
        return f"must be {expected(wanted)}; {SECRET_CURE}"
    numbers = inspect.IntType | inspect.FloatType | inspect.UnionType
    if isinstance(wanted, numbers) and type(value) in (int, float):
        return f"is {value}; it must be {expected(wanted)}"
    kinds = map(bare, wanted.types) if isinstance(wanted, inspect.UnionType) else [wanted]
    choices = [v for kind in kinds if isinstance(kind, inspect.LiteralType) for v in kind.values]
    return f"must be {expected(wanted)}{did_you_mean(value, map(str, choices))}"


def _unknown(key: str, fields: Iterable[str], homes: Mapping[str, str]) -> str:
    if _SECRET.search(key):
        return f"is not a key here; {SECRET_CURE}"
    if key in homes:
        return f"is not a key here; it belongs {homes[key]}"
    return f"is not a key here{did_you_mean(key, fields)}"


def _is_table(described: inspect.Type) -> bool:
    if isinstance(described, inspect.VarTupleType):
        described = bare(described.item_type)
    return isinstance(described, inspect.StructType)


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
