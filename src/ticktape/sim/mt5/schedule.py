"""When things happen: a cycle of moments that goes on for ever or ends, the same in every process.

Moments are nanoseconds since a start, whole numbers, so that a count and a time never disagree.
"""

import hashlib
import mmap
from bisect import bisect_right
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ticktape.sim.mt5.results import Ints

NS_PER_S = 1_000_000_000
POISSON_MOMENTS = 1 << 15  # gaps drawn before they repeat: at 100/s after five minutes


def seed_of(seed: int, *names: str) -> int:
    """A seed of 63 bits of its own for each use, from the world's one seed."""
    text = "/".join([str(seed), *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def uniforms(seed: int, count: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) from a seed; PCG64's raw stream is fixed by NumPy's policy."""
    raw = np.random.PCG64(seed).random_raw(count)
    drawn: npt.NDArray[np.float64] = (np.asarray(raw, np.uint64) >> np.uint64(11)) / (1 << 53)
    return drawn


class Cycle:
    """Moments `offsets` (the first is 0, they do not fall), again after each `period_ns`."""

    def __init__(self, offsets: Ints, period_ns: int, count_max: int | None = None) -> None:
        assert offsets[0] == 0
        assert period_ns > offsets[-1]
        self.offsets = offsets
        self.period_ns = period_ns
        self.count_max = count_max
        self._list = offsets.tolist()

    def __len__(self) -> int:
        """Moments in one cycle."""
        return len(self._list)

    def count(self, at_ns: int) -> int:
        """How many moments are not after `at_ns`."""
        if at_ns < 0:
            return 0
        cycles, rest = divmod(at_ns, self.period_ns)
        count = cycles * len(self._list) + bisect_right(self._list, rest)
        return count if self.count_max is None else min(count, self.count_max)

    def moments(self, first: int, stop: int) -> Ints:
        """The moments numbered `first` to `stop`."""
        cycles, places = np.divmod(np.arange(first, stop), len(self._list))
        found: Ints = self.offsets[places] + cycles * self.period_ns
        return found

    def end_ns(self) -> int | None:
        """The last moment; None when there is none."""
        if self.count_max is None:
            return None
        return int(self.moments(self.count_max - 1, self.count_max)[0])


def regular(rate: float) -> Cycle:
    """One moment every 1/`rate` seconds."""
    return Cycle(np.zeros(1, np.int64), max(round(NS_PER_S / rate), 1))


def poisson(rate: float, seed: int) -> Cycle:
    """Moments at random, `rate` a second on average."""
    gaps = -np.log1p(-uniforms(seed, POISSON_MOMENTS)) * (NS_PER_S / rate)
    ends = np.cumsum(np.maximum(gaps.astype(np.int64), 1))
    return Cycle(np.concatenate([[0], ends[:-1]]).astype(np.int64), int(ends[-1]))


class Calls:
    """Moments that the client makes: each call is one, kept in a mapped file of whole words.

    Word 0 counts, the words after it are the monotonic nanoseconds of each call, which outlive the
    client. One client at a time.
    """

    def __init__(self, path: Path, count_max: int) -> None:
        self.count_max = count_max
        length = (count_max + 1) * 8
        if not path.exists():
            made = path.with_suffix(".new")
            made.write_bytes(bytes(length))
            made.replace(path)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), length)
        self._words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Give the memory back; may be called twice."""
        self._words.release()
        self._map.close()

    def advance(self, mono_ns: int) -> int:
        """Note a call and return how many there were, this one counted; the last one stays."""
        count = self._words[0]
        if count < self.count_max:
            count += 1
            self._words[count] = mono_ns
            self._words[0] = count
        return count

    def count(self) -> int:
        """How many calls there were."""
        return self._words[0]

    def moments(self) -> Ints:
        """Monotonic nanoseconds of every call so far, a copy."""
        words = np.frombuffer(self._words.tobytes(), np.dtype("=u8"))
        return words[1 : 1 + int(words[0])].astype(np.int64)
