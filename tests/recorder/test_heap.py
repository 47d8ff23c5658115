"""What a process has freed stays with it: the C library's part in the capture's cost."""

import ctypes
import platform
import subprocess
import sys

import pytest

from ticktape.recorder.heap import keep_freed, use_small_pages

_FAULTS = """
import resource, sys
from ticktape.recorder.heap import keep_freed
if sys.argv[1] == "keep":
    keep_freed()
def read():
    return [bytes(6_000) for _ in range(200)]  # what a socket read brings, freed together
read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    read()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(word: str) -> int:
    command = [sys.executable, "-c", _FAULTS, word]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own habit")
def test_freed_memory_is_kept_and_not_faulted_in_again_at_every_read():
    assert _faults("keep") < 300 < 3_000 < _faults("as it is")


_ASKS = """
from ticktape.recorder.heap import use_small_pages
use_small_pages()
print(open("/proc/self/status").read())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says it of each process")
def test_a_process_that_asks_for_it_gets_no_huge_pages():
    said = subprocess.run([sys.executable, "-c", _ASKS], capture_output=True, text=True, check=True)
    assert "THP_enabled:\t0" in said.stdout


@pytest.mark.parametrize("tell", [keep_freed, use_small_pages])
@pytest.mark.parametrize("system", ["linux", "win32"])
def test_another_c_library_is_left_as_it_is(monkeypatch, system, tell):
    asked = []
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name) or object())
    tell()
    assert asked == ([None] if system == "linux" else [])
