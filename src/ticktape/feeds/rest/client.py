"""One HTTP request at a time, through urllib3; what it does by itself is switched off here.

It would try again, follow redirects with our keys, and wait without a bound for a peer that sends
a byte now and then. No key may stand in an address, a message or an error.
"""

import ssl
from collections.abc import Mapping
from importlib.util import find_spec
from typing import NamedTuple

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError

from ticktape import clock
from ticktape.errors import ConfigError, Disconnected
from ticktape.feeds.alpaca_wire import upgrade_headers
from ticktape.feeds.socket import tls_context

_CONNECT_S = 5.0
_REQUEST_S = 10.0  # a page of 10,000 rows took some 3 s (measured by others, 2026-09)
_CHUNK_BYTES = 1 << 18
_BODY_BYTES_MAX = 64 << 20  # a page of 10,000 rows has some 2 MB


class Answer(NamedTuple):
    """What came; names of headers are in lower case, `body` is as received."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RestClient:
    """A connection to one REST interface, with the keys of one feed.

    Args:
        key: the key, or `oauth` or `access_token` when `secret` is a token.
        secret: what proves it.
        proxy: URL of an HTTP proxy; "" goes straight.
        ca_file: PEM file of the CA to trust; "" for the system's.
        request_s: the longest that a request may take, from the connection to the last byte.

    Raises:
        ConfigError: the CA or the proxy cannot be used.
    """

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        proxy: str = "",
        ca_file: str = "",
        request_s: float = _REQUEST_S,
    ) -> None:
        self._proxy = proxy
        self._request_s = request_s
        self._headers = {
            "Accept": "application/json",
            "User-Agent": "ticktape",
            **upgrade_headers(key, secret, by_headers=True),
        }
        self._pool = _pool(proxy, tls_context(ca_file))

    def __repr__(self) -> str:
        return "RestClient(hidden)"

    def get(self, url: str) -> Answer:
        """Ask once.

        Raises:
            Disconnected: no answer came, or not all of it in time.
        """
        until_ns = clock.monotonic_ns() + int(self._request_s * clock.NS_PER_S)
        host = url.partition("?")[0]
        try:
            response = self._pool.request(
                "GET",
                url,
                headers=self._headers,
                timeout=urllib3.Timeout(
                    connect=min(_CONNECT_S, self._request_s), total=self._request_s
                ),
                retries=False,
                redirect=False,
                preload_content=False,
                # Taken as received: the journal must hold what the venue wrote.
                decode_content=False,
            )
            try:
                body = _body_of(response, until_ns)
            finally:
                # Only a connection whose answer was read to its end serves once more.
                response.release_conn() if response.closed else response.close()
        except (HTTPError, OSError, ValueError) as error:
            raise Disconnected(f"no answer from {host}: {self._words(error)}") from error
        return Answer(
            response.status,
            {name.lower(): value for name, value in response.headers.items()},
            body,
        )

    def _words(self, error: Exception) -> str:
        if isinstance(error, urllib3.exceptions.TimeoutError):
            return f"not within {self._request_s:g} s"
        reason = getattr(error, "reason", None) or error
        words = str(reason) or type(reason).__name__
        # The proxy's URL, which an error may quote, can hold a password.
        return words.replace(self._proxy, "the proxy") if self._proxy else words

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._pool.clear()


def _pool(proxy: str, context: ssl.SSLContext) -> urllib3.PoolManager:
    scheme = proxy.partition("://")[0].lower() if "://" in proxy else ""
    try:
        if not proxy:
            return urllib3.PoolManager(num_pools=2, maxsize=1, ssl_context=context)
        if scheme.startswith("socks"):
            return _socks(proxy, context)
        return urllib3.ProxyManager(
            proxy if scheme else f"http://{proxy}",
            num_pools=2,
            maxsize=1,
            ssl_context=context,
            proxy_headers=_login_of(proxy),
        )
    except (LocationValueError, ValueError, HTTPError) as error:
        raise ConfigError(
            ["healing cannot go through this proxy"],
            hint="Give http://host:port, or leave proxy out.",
        ) from error


def _socks(proxy: str, context: ssl.SSLContext) -> urllib3.PoolManager:
    if find_spec("socks") is None:
        raise ConfigError(
            ["healing does not go through a SOCKS proxy without the package PySocks"],
            hint="Run: pip install 'urllib3[socks]'; or set heal = \"off\" for this feed.",
        )
    from urllib3.contrib.socks import SOCKSProxyManager

    return SOCKSProxyManager(proxy, num_pools=2, maxsize=1, ssl_context=context)


def _login_of(proxy: str) -> dict[str, str]:
    auth = urllib3.util.parse_url(proxy).auth
    return dict(urllib3.make_headers(proxy_basic_auth=auth)) if auth else {}


def _body_of(response: urllib3.BaseHTTPResponse, until_ns: int) -> bytes:
    """Read all of it, in time.

    Raises:
        OSError: it is too long, or takes too long.
    """
    chunks: list[bytes] = []
    size = 0
    # At least one byte at a time: a peer that trickles is left when the time is over.
    while chunk := response.read1(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > _BODY_BYTES_MAX:
            raise OSError(f"the answer has more than {_BODY_BYTES_MAX:,} bytes")
        if clock.monotonic_ns() > until_ns:
            raise TimeoutError("the answer took too long")
    return b"".join(chunks)
