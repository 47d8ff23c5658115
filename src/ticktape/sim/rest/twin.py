"""The REST twin of a simulated venue: plain HTTP over what its streams have played.

It shares the streams' event loop; pages are made in a thread, so that no stream waits for them.
The web server is not part of a plain install: it is imported when a twin is started.
"""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ticktape import clock
from ticktape.errors import ConfigError
from ticktape.sim.rest.answers import JSON
from ticktape.sim.rest.config import RestConfig, parse_rest_faults
from ticktape.sim.rest.past import Playing
from ticktape.sim.rest.venue import RestStatistics, Venue

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response

PACKAGES = ("starlette", "uvicorn")
GRACE_S = 2  # for answers under way when the twin is closed


def check_web() -> None:
    """Look whether the web server is installed.

    Raises:
        ConfigError: it is not.
    """
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise ConfigError(
            [f"the simulator's REST interface needs the package {name}" for name in missing],
            hint="Run: pip install 'ticktape[web]'",
        )


class RestTwin:
    """A local data.alpaca.markets. `async with RestTwin(sim.streams) as twin:` then `twin.url`.

    Raises:
        ConfigError: on construction, the config is wrong; on `start`, the web server is missing.
    """

    def __init__(self, streams: Mapping[str, Playing], config: RestConfig | None = None) -> None:
        self.config = config or RestConfig()
        self.config.check()
        self._venue = Venue(streams, self.config)
        self._lock = asyncio.Lock()
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._port = 0

    async def start(self) -> Self:
        """Listen; `url` is known afterwards.

        Raises:
            ConfigError: the web server is not installed.
            OSError: the port is taken.
        """
        check_web()
        family = socket.AF_INET6 if ":" in self.config.host else socket.AF_INET
        # Our own socket: uvicorn would end the process when the port is taken.
        listening = socket.create_server((self.config.host, self.config.port), family=family)
        self._port = int(listening.getsockname()[1])
        self._server = _server(self)
        self._task = asyncio.create_task(self._server.serve([listening]), name="rest")
        return self

    async def close(self) -> None:
        """Answer what is under way and stop listening; may be called twice."""
        task, self._task = self._task, None
        if task is not None and self._server is not None:
            self._server.should_exit = True
            await task

    async def __aenter__(self) -> Self:
        return self if self._task is not None else await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def url(self) -> str:
        """Where clients find it, without a version: what they call the base URL."""
        assert self._port, "not started"
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"http://{host}:{self._port}"

    def inject(self, *texts: str) -> None:
        """Let these faults strike from now on, as `429x3` or `500/10`.

        Raises:
            ConfigError: one is not on the menu.
        """
        self._venue.inject(parse_rest_faults(texts))

    def statistics(self) -> RestStatistics:
        """Return what was asked and answered so far."""
        return self._venue.statistics()

    async def answer(self, request: "Request") -> "Response":
        """Answer one HTTP request."""
        from starlette.responses import Response

        async with self._lock:
            found = await asyncio.to_thread(
                self._venue.answer,
                request.url.path,
                dict(request.query_params),
                request.headers,
                now_ns=clock.wall_now_ns(),
                counts=self._venue.counts(),
            )
        return Response(found.body, found.status, dict(found.headers), JSON)


def _server(twin: RestTwin) -> "uvicorn.Server":
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Route

    application = Starlette(routes=[Route("/{path:path}", twin.answer, methods=["GET"])])
    options: dict[str, Any] = {"lifespan": "off", "ws": "none", "log_config": None}
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            **options,
        )
    )
    # Signals belong to the program around it.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    return server
