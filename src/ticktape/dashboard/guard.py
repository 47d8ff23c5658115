"""Who may look at the page; pure.

On loopback everybody on this machine may, but no page of another origin and no name that somebody
else's DNS made to point here. Beyond loopback nobody may without the token, which is printed once
and never written anywhere; a cookie takes its place with the first visit.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

COOKIE_PREFIX: Final = "ticktape_"
_SAME_SITE: Final = ("same-origin", "none", "")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at `host`."""
    if host == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


class Guard:
    """Looks at a request's headers before anything else does.

    Args:
        host: the address that the page listens at.
        port: its port; the cookie's name has it, for cookies do not tell ports apart.
        token: what opens the page; empty where none is needed.
        secret: what the cookie holds, drawn anew at each start.
        names: further names under which this machine may be asked.
    """

    def __init__(
        self, host: str, port: int, token: str = "", secret: str = "", names: tuple[str, ...] = ()
    ) -> None:
        assert bool(token) == bool(secret)
        self._names = {host.lower(), "localhost", *(name.lower() for name in names)}
        self._token = token
        self._secret = secret
        self.cookie = f"{COOKIE_PREFIX}{port}"

    def refusal(self, headers: Mapping[str, str], *, is_socket: bool = False) -> str:
        """Why a request is refused, in words; "" when host and origin are in order.

        `headers` have lower-case names.
        """
        host = headers.get("host", "")
        if not self._is_ours(host):
            return "This page does not answer to that name. Use its address."
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc.lower() != host.lower():
            return "Another page may not look at this one."
        if not is_socket and headers.get("sec-fetch-site", "") not in _SAME_SITE:
            # A link to the page may be followed; nothing else may be asked from elsewhere.
            is_visit = headers.get("sec-fetch-mode") == "navigate"
            if not is_visit or headers.get("sec-fetch-dest") != "document":
                return "Another page may not look at this one."
        return ""

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names us. An address cannot be rebound: only names can."""
        try:
            split = urlsplit(f"//{host}")
            name = (split.hostname or "").lower()
            _ = split.port
        except ValueError:
            return False
        if not name or split.username is not None or split.path or split.query or split.fragment:
            return False
        return name in self._names or _address(name) is not None

    def opens(self, token: str) -> bool:
        """Whether this is the token; takes as long for a wrong one as for the right one."""
        return bool(self._token) and hmac.compare_digest(token.encode(), self._token.encode())

    def may_enter(self, cookies: Mapping[str, str]) -> bool:
        """Whether a request with these cookies may see the run."""
        if not self._token:
            return True
        given = cookies.get(self.cookie, "")
        return hmac.compare_digest(given.encode(), self._secret.encode())

    @property
    def set_cookie(self) -> str:
        """The header that a visit with the token is answered with."""
        return f"{self.cookie}={self._secret}; HttpOnly; SameSite=Strict; Path=/"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
