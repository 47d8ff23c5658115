"""The error codes of the MetaTrader5 package in words, and who must act; pure.

Source: the constants and texts of the public package 5.0.6231; its documentation prints -10003
twice, but CONNECT is -10004.
"""

from ticktape.errors import Disconnected

PIPE_CODES = frozenset(range(-10_004, -9_999))
"""The link to the terminal is broken: only `initialize` brings it back."""

_OPENING = {
    -2: ("the terminal does not take what it was given", "Check terminal, keys and server."),
    -5: (
        "the terminal is older than the MetaTrader5 package needs",
        "Let the terminal update itself (Help, Check for updates), or install an older package.",
    ),
    -6: (
        "the trade server refuses the login",
        "Check login, password and server; an investor (read-only) password is enough.",
    ),
    -7: (
        "the account needs a one-time password or a certificate",
        "Log the terminal in by hand once, and leave the keys out of the config.",
    ),
    -10_003: (
        "the terminal is not running, or is not where it was looked for",
        'Start MetaTrader 5, or name its program: terminal = "C:/…/terminal64.exe".',
    ),
    -10_005: (
        "the terminal answers, but nobody is logged in",
        "Log in to an account in the terminal once; a first-run window or an update may be open.",
    ),
}


def opening_words(code: int, text: str) -> tuple[str, str]:
    """Why the terminal could not be opened, and what to do."""
    words, hint = _OPENING.get(
        code, ("the terminal could not be opened", "Look at the terminal; it is tried again.")
    )
    return f"{words} ({code} {text!r})", hint


def call_words(code: int, text: str) -> tuple[str, str]:
    """Why a call failed, and what to do."""
    if code in PIPE_CODES:
        return (
            f"the terminal is gone ({code} {text!r})",
            "It was closed, crashed or updates itself; recording goes on when it is back.",
        )
    return f"the terminal refuses the call ({code} {text!r})", "It is tried again."


def disconnected(said: tuple[str, str]) -> Disconnected:
    """The error of these words and hint."""
    words, hint = said
    return Disconnected(words, hint=hint)
