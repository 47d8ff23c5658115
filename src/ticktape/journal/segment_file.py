"""The making of a segment file, so that a refusing disk leaves none that is half made.

Once a header is whole on the disk its name is never given again.
"""

import contextlib
import errno
from pathlib import Path

from ticktape import failpoints
from ticktape.journal.disk import Disk
from ticktape.journal.format import SegmentHeader, segment_name


def create_segment(disk: Disk, directory: Path, header: SegmentHeader) -> int:
    """A descriptor of a new segment file that holds its header, to append to.

    Raises:
        OSError: the disk refused; nothing is left.
        HalfMade: the disk refused even to remove what was half made, or an earlier try left it.
    """
    path = directory / segment_name(header.epoch, header.base)
    try:
        descriptor = disk.create(path)
    except FileExistsError as error:  # the earlier try was refused, and made the name all the same
        raise HalfMade(error.errno, error.strerror) from error
    try:
        failpoints.pass_by("journal.create")
        packed = header.pack()
        taken = disk.write(descriptor, packed)
        if taken != len(packed):
            raise short_write(taken, len(packed))
    except OSError as error:
        with contextlib.suppress(OSError):  # the error that led here is the one to report
            disk.close(descriptor)
        try:
            disk.remove(path)
        except OSError:
            raise HalfMade(error.errno, error.strerror) from error
        raise
    failpoints.pass_by("journal.created")
    return descriptor


class HalfMade(OSError):
    """A file without a whole header is in the way: the next one needs another base."""


def short_write(taken: int, wanted: int) -> OSError:
    """What it means that the system took only a part: there is no room for the rest."""
    return OSError(errno.ENOSPC, f"took {taken} of {wanted} bytes")
