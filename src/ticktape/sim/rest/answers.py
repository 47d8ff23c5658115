"""What the REST twin answers: a status, headers and a body, and the errors in the venue's words.

Source: reference/alpaca.md §6. The venue documents the statuses and not the texts of most errors,
nor which mistakes are 400 and which 422: here 400 is a parameter that cannot be read, 422 one that
is not allowed.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

JSON = "application/json; charset=utf-8"


class Answer(NamedTuple):
    """One response; `rows` is how many rows its body has."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    rows: int = 0


class RequestRefused(Exception):
    """The request gets an error; `code` is the number that some errors carry in their body."""

    def __init__(self, status: int, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code

    def answer(self) -> Answer:
        """Return it as a response."""
        body = {"code": self.code} if self.code else {}
        return Answer(self.status, msgspec.json.encode({**body, "message": self.message}))


MESSAGES = {
    401: "unauthorized.",
    403: "forbidden.",
    404: "Not Found",
    429: "too many requests.",
    500: "internal server error",
}


def of_status(status: int) -> RequestRefused:
    """Return the error that says nothing but its status."""
    return RequestRefused(status, MESSAGES.get(status, "error"))


def not_recent() -> RequestRefused:
    """Return the error of an account that asks for SIP rows younger than 15 minutes."""
    return RequestRefused(
        403, "subscription does not permit querying recent SIP data", code=42210000
    )
