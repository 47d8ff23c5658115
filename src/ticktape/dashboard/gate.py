"""Every request goes through here first: host, origin, token; and every answer gets its headers."""

from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs

from ticktape.dashboard.guard import Guard

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_POLICY: Final = (
    "default-src 'self'; connect-src 'self'{sockets}; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'; object-src 'none'"
)
_CLOSED: Final = (
    "This page needs the address with its token, which ticktape printed when it was started.\n"
)


class Gate:
    """Wraps an application; what the guard refuses never reaches it."""

    def __init__(self, application: Application, guard: Guard) -> None:
        self._application = application
        self._guard = guard

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, one socket, or the server's start and end."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        is_socket = scope["type"] == "websocket"
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        words = self._guard.refusal(headers, is_socket=is_socket)
        entered = not words and self._guard.may_enter(_cookies(headers.get("cookie", "")))
        if entered:
            await self._application(scope, receive, send if is_socket else _dressed(send, headers))
        elif is_socket:
            await send({"type": "websocket.close", "code": 1008})
        elif not words and self._is_opened(scope):
            await _answer(_dressed(send, headers), 303, "", self._guard.set_cookie)
        else:
            await _answer(_dressed(send, headers), 403, words or _CLOSED)

    def _is_opened(self, scope: Message) -> bool:
        if scope["path"] != "/":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=8)
        return self._guard.opens(given.get("token", [""])[0])


def _dressed(send: Send, headers: dict[str, str]) -> Send:
    """`send` that adds our headers to the answer's own."""
    # Some browsers do not take 'self' for a WebSocket; the guard has seen that the host is ours.
    host = headers.get("host", "")
    is_plain = host.replace(".", "").replace(":", "").replace("-", "").strip("[]").isalnum()
    policy = _POLICY.format(sockets=f" ws://{host} wss://{host}" if is_plain else "")

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [*_HEADERS, (b"content-security-policy", policy.encode("latin-1"))]
            if not any(name == b"cache-control" for name, _ in message["headers"]):
                own.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message["headers"], *own]}
        await send(message)

    return dressed


async def _answer(send: Send, status: int, words: str, set_cookie: str = "") -> None:
    body = words.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    if set_cookie:
        # To the page without the token, so that it does not stay in the address and the history.
        headers += [(b"location", b"/"), (b"set-cookie", set_cookie.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}
