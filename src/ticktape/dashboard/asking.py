"""The one process that answers what costs time: SQL over the tables, a trade's path, a proof.

One at a time and each within a bound: an answer that takes longer is given up and its process
ended, so that no browser can make this machine work for it without limit.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ticktape.clock import NS_PER_S, monotonic_ns

WAITING_MAX: Final = 16
ANSWER_S: Final = 20.0
START_S: Final = 60.0  # a process that imports DuckDB on a machine that has other things to do
_REMEMBERED_MAX: Final = 64
_LINE_BYTES_MAX: Final = 8 << 20
_REST: Final = 10  # an answer is good for so many times what it took: a tenth of one core at most
_REST_S: Final = (2.0, 60.0)

Question = tuple[str, tuple[tuple[str, str], ...]]


class TooMany(Exception):
    """So many questions wait already that one more is not taken."""


class Asker:
    """Asks a process that says a line when it is ready, and answers each line of JSON with one.

    Args:
        command: program and arguments.
        answer_s: how long an answer may take.
    """

    def __init__(self, command: Sequence[str], answer_s: float = ANSWER_S) -> None:
        self._command = list(command)
        self._answer_s = answer_s
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._under_way: dict[Question, asyncio.Task[bytes]] = {}
        self._remembered: dict[Question, tuple[int, bytes]] = {}

    async def ask(self, what: str, given: Mapping[str, str]) -> bytes:
        """The answer as JSON; the same question by several is asked once.

        Raises:
            TooMany: too many others wait.
        """
        question = (what, tuple(sorted(given.items())))
        good_until_ns, answer = self._remembered.get(question, (0, b""))
        if monotonic_ns() < good_until_ns:
            return answer
        task = self._under_way.get(question)
        if task is None:
            if len(self._under_way) >= WAITING_MAX:
                raise TooMany
            task = asyncio.create_task(self._ask(question))
            self._under_way[question] = task
            task.add_done_callback(lambda _: self._under_way.pop(question, None))
        # One browser that leaves must not take the answer from the others.
        return await asyncio.shield(task)

    async def _ask(self, question: Question) -> bytes:
        async with self._turn:
            answer, took_ns = await self._answer(question)
        took_s = took_ns / NS_PER_S
        rest_s = min(max(_REST * took_s, _REST_S[0]), _REST_S[1])
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[question] = (monotonic_ns() + int(rest_s * NS_PER_S), answer)
        return answer

    async def _answer(self, question: Question) -> tuple[bytes, int]:
        """The answer, and the nanoseconds that it took; a process's start is not counted."""
        what, given = question
        line = msgspec.json.encode({"what": what, "given": dict(given)}) + b"\n"
        words = "The process that answers has died; ask again."
        began_ns = monotonic_ns()
        try:
            process = await self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            began_ns = monotonic_ns()
            process.stdin.write(line)
            await process.stdin.drain()
            answer = await asyncio.wait_for(process.stdout.readline(), self._answer_s)
            if answer.endswith(b"\n"):
                return answer, monotonic_ns() - began_ns
        except TimeoutError:
            words = f"This takes longer than {self._answer_s:g} s; ask on the command line."
        except (OSError, ValueError) as error:
            words = f"{words} ({error})"
        await self._end()
        return msgspec.json.encode({"words": words}), monotonic_ns() - began_ns

    async def _running(self) -> asyncio.subprocess.Process:
        """The process, which has said its first line: it is ready.

        Raises:
            TimeoutError: it is not, within the bound.
        """
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_LINE_BYTES_MAX,
            )
            assert self._process.stdout is not None
            await asyncio.wait_for(self._process.stdout.readline(), START_S)
        return self._process

    async def close(self) -> None:
        """Give up all that is asked, and end the process; may be called twice."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._end()

    async def _end(self) -> None:
        """End the process; the next question starts another."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
