"""The file of whole images, beside the one of the cells: a slot per (feed, symbol).

It is made when the first book comes, so that a run without books pays nothing for it. What a slot
holds is `books`; how a slot is written and read safely is `mapfile`.
"""

from pathlib import Path

from ticktape.errors import Full, WriteFailed
from ticktape.lastvalue.books import NO_SLOT
from ticktape.lastvalue.layout import (
    IMAGE_CAPACITY,
    IMAGES,
    OWNER_BYTES,
    WORD_CAPACITY,
    WORD_COUNT,
    WORD_GENERATION,
    encode_empty,
)
from ticktape.lastvalue.mapfile import Mapping, open_for_reading, open_for_writing, wipe


class ImageWriter:
    """Keep whole images in their slots; the one writer of the cells is the one writer here."""

    def __init__(self, path: Path, boot_id: bytes) -> None:
        """Take over what a writer of this boot left at `path`; else make nothing yet."""
        self._path = path
        self._boot_id = boot_id
        self._mapping: Mapping | None = None
        self._slots: dict[bytes, int] = {}
        self._is_refused = False
        found = open_for_reading(path, IMAGES)
        if found is not None:
            is_ours = found.boot_id() == boot_id and found.words[WORD_CAPACITY] == IMAGE_CAPACITY
            found.close()
            if is_ours:
                self._open()

    def close(self) -> None:
        """Unmap the file; may be called twice."""
        if self._mapping is not None:
            self._mapping.close()

    def slot(self, owner: bytes) -> int:
        """The slot of `owner` (the first 49 bytes of its payload), new at its first image.

        NO_SLOT when all are taken, or the file cannot be made: then the next writer tries again.
        """
        slot = self._slots.get(owner)
        if slot is not None:
            return slot
        if self._mapping is None and not self._is_refused:
            self._open()
        if self._mapping is None or len(self._slots) >= IMAGE_CAPACITY:
            return NO_SLOT
        # Not yet its owner's: an image that proves unfit leaves no slot behind that was never
        # written.
        return len(self._slots)

    def kept(self, owner: bytes) -> bytes | None:
        """The payload that the writer before us left of `owner`; None when it left none."""
        slot = self._slots.get(owner)
        if slot is None or self._mapping is None:
            return None
        return self._mapping.peek_cell(slot)[1]

    def store(self, slot: int, payload: bytes) -> None:
        """Write an image into the slot that `slot` named for its owner."""
        assert self._mapping is not None
        self._mapping.store_cell(slot, payload)
        if slot == len(self._slots):
            # After the slot itself, as with cells.
            self._slots[payload[:OWNER_BYTES]] = slot
            self._mapping.words[WORD_COUNT] = len(self._slots)

    def _open(self) -> None:
        try:
            self._mapping, is_kept = open_for_writing(
                self._path, self._boot_id, IMAGE_CAPACITY, IMAGES
            )
        except (Full, WriteFailed):
            # Tops and all other values need no room that is not there already.
            self._is_refused = True
            return
        if is_kept and not self._take_over(self._mapping):
            self._slots.clear()
            wipe(self._mapping, self._boot_id, IMAGE_CAPACITY)

    def _take_over(self, mapping: Mapping) -> bool:
        """Learn whose the slots are; one left odd is made even, without its image when torn."""
        count = mapping.words[WORD_COUNT]
        for slot in range(count):
            is_whole, payload = mapping.peek_cell(slot)
            if mapping.is_odd(slot):
                mapping.store_cell(
                    slot, payload if is_whole else encode_empty(payload[:OWNER_BYTES])
                )
            elif not is_whole:
                return False
            self._slots[payload[:OWNER_BYTES]] = slot
        return len(self._slots) == count


class ImageReader:
    """Read images from their slots, of whichever file is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mapping: Mapping | None = None
        self._generation = 0

    def close(self) -> None:
        """Unmap the file; may be called twice. The next access maps it again."""
        if self._mapping is not None:
            self._mapping.close()
        self._mapping = None

    def follow(self) -> None:
        """Leave a file that is no longer the one at its place."""
        if self._mapping is None:
            return
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self.close()
            return
        if (status.st_dev, status.st_ino) != self._mapping.file_id:
            self.close()

    def load(self, slot: int, owner: bytes) -> tuple[bool, bytes | None]:
        """Whether the slot is torn, and the payload in it if `owner` is whose it is.

        No payload and not torn: there is no such file (any more), or another's image is in the slot
        because the file was made anew and `owner` has not been written since.
        """
        mapping = self._mapping
        if mapping is None or mapping.words[WORD_GENERATION] != self._generation:
            self.close()
            mapping = self._mapping = open_for_reading(self._path, IMAGES)
            if mapping is None:
                return False, None
            self._generation = mapping.words[WORD_GENERATION]
        if not 0 <= slot < mapping.words[WORD_COUNT]:
            return False, None
        payload = mapping.load_cell(slot)
        if payload is None:
            return True, None
        return False, payload if payload[:OWNER_BYTES] == owner else None
