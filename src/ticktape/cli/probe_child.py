"""A second process that takes a book while the probe has it: `python -m ticktape.cli.probe_child`.

It reads one line of JSON with the terminal, the keys and the symbol, and answers with one; keys
come this way because arguments and environments can be read by others.
"""

import subprocess
import sys

import msgspec

from ticktape import clock
from ticktape.errors import TickTapeError
from ticktape.feeds.mt5.terminal import Account, LocalTerminal, Terminal
from ticktape.recorder.process import child_environment

_ROWS_NS = 3 * clock.NS_PER_S  # a book fills within a second of its subscription
_STEP_S = 0.02
_ANSWER_S = 15.0
_LOGIN_MS = 5_000  # the terminal is open and logged in, for we have it


class _Question(msgspec.Struct):
    path: str
    login: str
    password: str
    symbol: str


class HoldAnswer(msgspec.Struct):
    """Whether a second process has the book, too, and what it found."""

    is_held: bool
    words: str


def ask_second_process(account: Account, symbol: str) -> HoldAnswer:
    """Let another process subscribe to the book of `symbol`, which the caller holds."""
    question = _Question(account.path, account.login, account.password, symbol)
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "ticktape.cli.probe_child"],
            input=msgspec.json.encode(question),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
            timeout=_ANSWER_S,
            check=False,
        )
        return msgspec.json.decode(ran.stdout, type=HoldAnswer)
    except subprocess.TimeoutExpired:
        return HoldAnswer(False, f"a second process had no answer in {_ANSWER_S:g} s")
    except (OSError, msgspec.DecodeError):
        return HoldAnswer(False, "a second process could not be started")


def hold(terminal: Terminal, symbol: str) -> HoldAnswer:
    """Subscribe to a book, wait for its rows, and leave."""
    try:
        terminal.open()
        refusal = terminal.subscribe(symbol, book=True)
        if refusal is not None:
            return HoldAnswer(False, f"a second process is refused: {refusal.words}")
        until_ns = clock.monotonic_ns() + _ROWS_NS
        while clock.monotonic_ns() < until_ns:
            if any(answer.image for answer in terminal.poll([symbol])):
                return HoldAnswer(True, f"a second process holds the book of {symbol}, too")
            clock.sleep_s(_STEP_S)
        return HoldAnswer(False, f"a second process may subscribe to {symbol} and gets no rows")
    except TickTapeError as error:
        return HoldAnswer(False, f"a second process fails: {error.args[0]}")
    finally:
        terminal.close([symbol])


def main() -> None:
    """Answer the question on standard input."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=_Question)
    account = Account(asked.path, "", asked.login, asked.password, _LOGIN_MS)
    answer = hold(LocalTerminal(account), asked.symbol)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
