"""The web server of the page: one page, its fixed files, one WebSocket of state, and answers.

Reading the run happens in one thread beside the event loop, only while a browser looks, and at
most four times a second.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ticktape.clock import NS_PER_S, monotonic_ns
from ticktape.dashboard.asking import Asker, TooMany
from ticktape.dashboard.assets import PAGE, Asset, load_assets
from ticktape.dashboard.board import Board, Seen
from ticktape.dashboard.gate import Gate
from ticktape.dashboard.guard import Guard
from ticktape.dashboard.limits import BoundedProtocol
from ticktape.dashboard.metrics import CONTENT_TYPE
from ticktape.dashboard.sources import Source, Watched

SAMPLE_S: Final = 0.25
MESSAGE_BYTES_MAX: Final = 4096
BROWSERS_MAX: Final = 32
QUESTIONS: Final = ("trades", "path", "coverage", "certificate", "proof")
_GIVEN_MAX: Final = 8
_TEXT_MAX: Final = 64  # a symbol has 32 bytes at most
_BUSY: Final = 4  # reading takes a quarter of the time at most, however many symbols there are
_TOO_BIG, _NOT_OURS, _TRY_LATER = 1009, 1008, 1013


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What a browser says over its socket: the symbol that it watches, or none."""

    watch: tuple[str, str] | None


_decode = msgspec.json.Decoder(_Wish).decode


class Pages:
    """What is served; one run, any number of browsers within the bounds."""

    def __init__(self, source: Source, asker: Asker, metrics: Callable[[], str]) -> None:
        self._source = source
        self._metrics = metrics
        self._asker = asker
        self._assets = load_assets()
        self._board = Board()
        self._browsers: dict[int, Seen] = {}
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        # One thread, for the readers below are not for two at once.
        self._thread = ThreadPoolExecutor(1, "run")

    def routes(self) -> list[Route | WebSocketRoute]:
        """Where everything is."""
        return [
            Route("/", self._page),
            Route("/static/{name}", self._static),
            Route("/ask/{what}", self._answer),
            Route("/metrics", self._measured),
            WebSocketRoute("/live", self._live),
        ]

    async def _page(self, request: Request) -> Response:
        return _of(self._assets[PAGE], request)

    async def _static(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        return _of(asset, request)

    async def _answer(self, request: Request) -> Response:
        what, given = request.path_params["what"], dict(request.query_params)
        if what not in QUESTIONS or len(given) > _GIVEN_MAX:
            raise HTTPException(404)
        if any(len(text) > _TEXT_MAX for pair in given.items() for text in pair):
            raise HTTPException(400)
        try:
            answer = await self._asker.ask(what, given)
        except TooMany:
            return PlainTextResponse("too many questions wait; ask again\n", 503)
        except asyncio.CancelledError:  # the server ends, and will not wait for this any longer
            return PlainTextResponse("the page is being closed\n", 503)
        return Response(answer, media_type="application/json")

    async def _measured(self, _: Request) -> Response:
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(self._thread, self._metrics)
        return Response(text, media_type=CONTENT_TYPE)

    # Live.

    async def _live(self, browser: WebSocket) -> None:
        await browser.accept()
        if len(self._browsers) >= BROWSERS_MAX:
            await browser.close(_TRY_LATER, "too many browsers look already")
            return
        seen = Seen()
        self._browsers[id(seen)] = seen
        self._wanted.set()
        telling = asyncio.create_task(self._tell(browser, seen))
        try:
            while True:
                said = await browser.receive_text()
                seen.watched, seen.book = _watched(said), b""
        except WebSocketDisconnect:
            pass
        except (msgspec.DecodeError, KeyError):
            # What is not text ends here, too.
            with contextlib.suppress(RuntimeError):
                await browser.close(_NOT_OURS)
        finally:
            telling.cancel()
            del self._browsers[id(seen)]

    async def _tell(self, browser: WebSocket, seen: Seen) -> None:
        # `send` waits while the browser does not take what was sent: it has one message on its way
        # at most, and the next is made of whatever is newest by then.
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                # What the board had before somebody looked may be hours old: first a new sample.
                if self._board.version == seen.version or seen.version < 0:
                    await self._news.wait()
                await browser.send_text(self._board.message(seen).decode())

    async def read_forever(self) -> None:
        """Read the run while somebody looks, and tell those who do."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._browsers:
                self._wanted.clear()
                await self._wanted.wait()
            began_ns = monotonic_ns()
            watched = {seen.watched for seen in self._browsers.values() if seen.watched}
            sample = await loop.run_in_executor(self._thread, self._source.sample, watched)
            self._board.take(sample)
            news, self._news = self._news, asyncio.Event()
            news.set()
            took_s = (monotonic_ns() - began_ns) / NS_PER_S
            await asyncio.sleep(max(SAMPLE_S - took_s, took_s * (_BUSY - 1)))

    async def close(self) -> None:
        """Let go of the run; no more is read."""
        await self._asker.close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._source.close)
        self._thread.shutdown(wait=False)


def _watched(said: str) -> Watched | None:
    watch = _decode(said).watch
    if watch is not None and any(len(text) > _TEXT_MAX for text in watch):
        return None
    return watch


def _of(asset: Asset, request: Request) -> Response:
    headers = {"etag": asset.etag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers=headers, media_type=asset.content_type)


class Server:
    """The page's server on a socket that listens already; `run` serves until `stop`."""

    def __init__(
        self,
        listening: socket.socket,
        guard: Guard,
        source: Source,
        ask: list[str],
        metrics: Callable[[], str],
    ) -> None:
        self._listening = listening
        self._guard = guard
        self._source = source
        self._ask = ask
        self._metrics = metrics
        self.takes_signals = True
        """Whether SIGINT and SIGTERM end it; else they belong to the program around it."""
        self._server: uvicorn.Server | None = None
        self._stopped = False

    def run(self) -> None:
        """Serve; returns after `stop`, SIGINT or SIGTERM."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        pages = Pages(self._source, Asker(self._ask), self._metrics)

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            reading = asyncio.create_task(pages.read_forever())
            reading.add_done_callback(_fall_over(self.stop))
            yield
            reading.cancel()
            await pages.close()

        application = Starlette(routes=pages.routes(), lifespan=lifespan)
        options: dict[str, Any] = {"http": BoundedProtocol, "log_config": None}
        self._server = uvicorn.Server(
            uvicorn.Config(
                Gate(application, self._guard),
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws_max_size=MESSAGE_BYTES_MAX,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=1,
                **options,
            )
        )
        if not self.takes_signals:
            self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        if not self._stopped:
            await self._server.serve([self._listening])

    def stop(self) -> None:
        """End `run`; from any thread, and before it, too."""
        self._stopped = True
        if self._server is not None:
            self._server.should_exit = True


def _fall_over(stop: Callable[[], None]) -> Callable[["asyncio.Task[None]"], None]:
    """A reader that fails is a bug of ours: the server ends and the next start says why."""

    def done(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            stop()

    return done
