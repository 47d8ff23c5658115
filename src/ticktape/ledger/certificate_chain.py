"""Digests of a journal's segments, chained so that no byte of an earlier one can change unseen.

    part      the bytes [from, to) of one segment file that lie in one day
    link      SHA-256 of: link of the part before (32 bytes, zeros for the first), SHA-256 of the
              part's bytes (32 bytes), and `SEGMENT:FROM-TO` in ASCII

A certificate holds all parts from the journal's beginning to the end of its day: it is checked
without any other. Pure: who reads the bytes hands the digests in.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

_DIGEST_BYTES = 32


class Part(NamedTuple):
    """The digest of a part; `day` is UTC, YYYY-MM-DD. `open`: its segment may still grow."""

    segment: str
    day: str
    from_byte: int
    to_byte: int
    sha256: str
    open: bool = False

    @property
    def name(self) -> str:
        """By what the chain knows it."""
        return f"{self.segment}:{self.from_byte}-{self.to_byte}"


def chained(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """The parts of one journal in their order, each with its link, as a certificate has them."""
    found = []
    link = bytes(_DIGEST_BYTES)
    for part in parts:
        link = sha256(link + bytes.fromhex(part.sha256) + part.name.encode()).digest()
        found.append({**part._asdict(), "link": link.hex()})
    return found


def part_of(said: dict[str, Any]) -> Part:
    """The part that an object of a certificate tells of.

    Raises:
        KeyError: it is none.
    """
    return Part(*(said[name] for name in Part._fields))


def first_difference(said: Sequence[dict[str, Any]], found: Sequence[str | None]) -> str | None:
    """What first differs from a certificate, in words; None when all is as it says.

    Args:
        said: the parts of one journal with their links, as the certificate has them.
        found: the digest of the bytes of each part now; None where there are fewer.
    """
    link = bytes(_DIGEST_BYTES)
    for object_, digest in zip(said, found, strict=True):
        part = part_of(object_)
        if digest is None:
            return (
                f"{part.segment}: bytes {part.from_byte} to {part.to_byte} are not there any more"
            )
        if digest != part.sha256:
            return (
                f"{part.segment}: bytes {part.from_byte} to {part.to_byte} are not what they were"
            )
        link = sha256(link + bytes.fromhex(digest) + part.name.encode()).digest()
        if link.hex() != object_["link"]:
            return f"{part.segment}: its link is wrong: the certificate itself was changed"
    return None
