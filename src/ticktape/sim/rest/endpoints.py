"""What each address of the REST interface does with a query: it finds the rows and writes the body.

Pure but for what has been played meanwhile. The source of all of it is reference/alpaca.md §6.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from ticktape.clock import NS_PER_S
from ticktape.sim.rest.answers import Answer, RequestRefused, not_recent, of_status
from ticktape.sim.rest.articles import WantedNews, news_page
from ticktape.sim.rest.codes import CONDITIONS, EXCHANGES
from ticktape.sim.rest.config import RestConfig
from ticktape.sim.rest.instants import DAY_NS
from ticktape.sim.rest.latest import Newest
from ticktape.sim.rest.pages import Pager
from ticktape.sim.rest.parameters import (
    NEWS_LIMIT,
    NEWS_LIMIT_MAX,
    Query,
    Wanted,
    check_symbol,
    read_flag,
    read_history,
    read_symbols,
    read_timeframe,
)
from ticktape.sim.rest.past import Past, Shown, family_of

DELAY_NS = 15 * 60 * NS_PER_S  # how old SIP rows must be without a subscription
NEWS_PATH = "/v1beta1/news"
SIP_PATH = "/v2/sip"
STOCK_FEEDS = {
    "sip": SIP_PATH,
    "iex": "/v2/iex",
    "otc": "/v2/otc",
    "boats": "/v1beta1/boats",
}
LATEST_STOCK_FEEDS = {
    **STOCK_FEEDS,
    "delayed_sip": "/v2/delayed_sip",
    "overnight": "/v1beta1/overnight",
}
OPTION_FEEDS = {"opra": "/v1beta1/opra", "indicative": "/v1beta1/indicative"}


class Request(NamedTuple):
    """A request as far as its work needs it: the words of its path, its query."""

    words: Mapping[str, str]
    query: Query
    counts: Mapping[str, int]


class Endpoints:
    """The work of every address; `past` is where its rows come from."""

    def __init__(self, past: Past, config: RestConfig) -> None:
        self._past = past
        self._free_plan = config.free_plan
        self._short_pages = config.short_pages

    # Where to look.

    def _feed(self, request: Request, feeds: Mapping[str, str], default: str) -> str:
        feed = request.query.get("feed", "")
        if feed and feed not in feeds:
            raise RequestRefused(400, f"invalid feed: {feed}")
        if feed:
            return feeds[feed]
        played = [path for path in feeds.values() if path in self._past.paths]
        best = feeds[default]
        return best if best in played or not played else played[0]

    def _path(self, request: Request, *, latest: bool = False) -> str:
        family = request.words["family"]
        if family == "crypto":
            return f"/v1beta3/crypto/{request.words['loc']}"
        if family == "options":
            return self._feed(request, OPTION_FEEDS, "opra")
        if not latest:
            return self._feed(request, STOCK_FEEDS, "sip")
        path = self._feed(request, LATEST_STOCK_FEEDS, "iex" if self._free_plan else "sip")
        if path == SIP_PATH and self._free_plan:
            raise not_recent()
        return path

    def _shown(self, path: str, request: Request) -> Shown:
        return self._past.of(path, request.counts)

    def _within(self, wanted: Wanted, shown: Shown, path: str) -> Wanted:
        """Set the times that were not said, and refuse those that the account may not see."""
        start_ns, end_ns = wanted.start_ns, wanted.end_ns
        newest_ns = shown.now_ns
        if path == SIP_PATH and self._free_plan:
            newest_ns -= DELAY_NS
            if end_ns is not None and end_ns > newest_ns:
                raise not_recent()
            end_ns = newest_ns if end_ns is None else end_ns
        if start_ns is None:
            start_ns = newest_ns - newest_ns % DAY_NS
        return wanted._replace(start_ns=start_ns, end_ns=end_ns)

    def _page_limit(self, limit: int) -> int:
        return max(1, limit // 2) if self._short_pages else limit

    # The work.

    def history(self, request: Request) -> Answer:
        """Return a page of trades, quotes or bars."""
        symbol = request.words.get("symbol", "")
        kind = request.words["kind"]
        if symbol:
            check_symbol(symbol)
        wanted = read_history(request.query, symbol=symbol)
        rows_of = read_timeframe(request.query) if kind == "bars" else kind
        path = self._path(request)
        shown = self._shown(path, request)
        wanted = self._within(wanted, shown, path)
        index = shown.past.kind(rows_of)
        rows: dict[str, list[str]] = {}
        token = None
        if index is not None:
            pager = Pager(index, family_of(path), rows_of, wanted, shown.rows)
            rows, token = pager.page(self._page_limit(wanted.limit))
        lists = [f"{_text(name)}:[{','.join(texts)}]" for name, texts in rows.items()]
        body = f"{{{','.join(lists)}}}"
        after = f'"next_page_token":{_text(token)}}}'
        if symbol:
            body = f"[{','.join(rows.get(symbol, []))}]"
            after = f'"symbol":{_text(symbol)},{after}'
        return _ok(f'{{"{kind}":{body},{after}', sum(map(len, rows.values())))

    def latest(self, request: Request) -> Answer:
        """Return the newest of each symbol, or of one."""
        kind = request.words["kind"]
        name = kind.removesuffix("s")
        one = request.words.get("symbol", "")
        found = self._newest(request, lambda newest: getattr(newest, name))
        if one:
            if one not in found:
                raise RequestRefused(404, f"no {name} found for {one}")
            return _ok(f'{{"symbol":{_text(one)},"{name}":{found[one]}}}', 1)
        return _ok(f'{{"{kind}":{_object(found)}}}', len(found))

    def snapshots(self, request: Request) -> Answer:
        """Return all that is newest of each symbol, or of one."""
        one = request.words.get("symbol", "")
        found = self._newest(request, lambda newest: newest.snapshot)
        if one:
            inside = found.get(one, "{}")[1:]
            comma = "," if len(inside) > 1 else ""
            return _ok(f'{{"symbol":{_text(one)}{comma}{inside}', 1)
        # Of stocks the symbols stand at the top; alpaca-py and the venue's examples agree.
        is_stock = request.words["family"] == "stocks"
        body = _object(found)
        return _ok(body if is_stock else f'{{"snapshots":{body}}}', len(found))

    def _newest(
        self, request: Request, asked: Callable[[Newest], Callable[[str], str]]
    ) -> dict[str, str]:
        one = request.words.get("symbol", "")
        if one:
            check_symbol(one)
        symbols = (one,) if one else read_symbols(request.query)
        path = self._path(request, latest=True)
        text_of = asked(Newest(family_of(path), self._shown(path, request)))
        texts = {symbol: text_of(symbol) for symbol in symbols}
        return {symbol: text for symbol, text in texts.items() if text}

    def news(self, request: Request) -> Answer:
        """Return a page of articles."""
        query = {"sort": "desc", **request.query}
        symbols = read_symbols(query, required=False)
        history = read_history(query, symbol="-", limit=NEWS_LIMIT, limit_max=NEWS_LIMIT_MAX)
        shown = self._shown(NEWS_PATH, request)
        within = self._within(history, shown, NEWS_PATH)
        wanted = WantedNews(
            symbols=symbols,
            start_ns=within.start_ns,
            end_ns=within.end_ns,
            descending=within.descending,
            content=read_flag(query, "include_content"),
            contentless=not read_flag(query, "exclude_contentless"),
            token=within.token,
        )
        page = news_page(shown, wanted, self._page_limit(within.limit))
        body = f'{{"news":[{",".join(page.articles)}],"next_page_token":{_text(page.token)}}}'
        return _ok(body, len(page.articles))

    def exchanges(self, request: Request) -> Answer:
        """Return the codes of exchanges."""
        return Answer(200, msgspec.json.encode(EXCHANGES))

    def conditions(self, request: Request) -> Answer:
        """Return the codes of conditions."""
        tape = request.query.get("tape", "")
        codes = CONDITIONS.get((request.words["ticktype"], tape))
        if codes is None:
            raise RequestRefused(400, f"invalid tape: {tape!r}")
        return Answer(200, msgspec.json.encode(codes))


Work = Callable[[Endpoints, Request], Answer]

_STOCK = r"(?P<symbol>[^/]+)"
_KIND = r"(?P<kind>trades|quotes|bars)"
_CRYPTO = r"/v1beta3/(?P<family>crypto)/(?P<loc>[^/]+)"
_OPTIONS = r"/v1beta1/(?P<family>options)"
_ROUTES: tuple[tuple[str, Work], ...] = (
    (rf"/v2/(?P<family>stocks)/{_KIND}", Endpoints.history),
    (rf"/v2/(?P<family>stocks)/{_KIND}/latest", Endpoints.latest),
    (r"/v2/(?P<family>stocks)/snapshots", Endpoints.snapshots),
    (r"/v2/(?P<family>stocks)/meta/exchanges", Endpoints.exchanges),
    (
        r"/v2/(?P<family>stocks)/meta/conditions/(?P<ticktype>trade|quote)",
        Endpoints.conditions,
    ),
    (rf"/v2/(?P<family>stocks)/{_STOCK}/{_KIND}", Endpoints.history),
    (rf"/v2/(?P<family>stocks)/{_STOCK}/{_KIND}/latest", Endpoints.latest),
    (rf"/v2/(?P<family>stocks)/{_STOCK}/snapshot", Endpoints.snapshots),
    (rf"{_CRYPTO}/{_KIND}", Endpoints.history),
    (rf"{_CRYPTO}/latest/(?P<kind>trades|quotes|bars|orderbooks)", Endpoints.latest),
    (rf"{_CRYPTO}/snapshots", Endpoints.snapshots),
    (rf"{_OPTIONS}/(?P<kind>trades|bars)", Endpoints.history),
    (rf"{_OPTIONS}/(?P<kind>trades|quotes)/latest", Endpoints.latest),
    (r"/v1beta1/(?P<family>news)", Endpoints.news),
)
_PATTERNS = [(re.compile(pattern), work) for pattern, work in _ROUTES]


def route(path: str) -> tuple[Work, dict[str, str]]:
    """Return what to do for a path, and the words in it.

    Raises:
        RequestRefused: there is no such address.
    """
    for pattern, work in _PATTERNS:
        if found := pattern.fullmatch(path):
            return work, found.groupdict()
    raise of_status(404)


def _ok(text: str, rows: int) -> Answer:
    return Answer(200, text.encode(), rows=rows)


def _object(texts: Mapping[str, str]) -> str:
    return f"{{{','.join(f'{_text(name)}:{text}' for name, text in texts.items())}}}"


def _text(value: str | None) -> str:
    return msgspec.json.encode(value).decode()
