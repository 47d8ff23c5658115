"""The options of `sim alpaca` for its REST twin, and the twin beside the streams while they run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cyclopts import Group, Parameter

from ticktape.cli.sim_child import collect, joined
from ticktape.errors import ConfigError
from ticktape.sim import AlpacaSim, SimConfig
from ticktape.sim.rest import RestConfig, RestTwin, check_web, parse_rest_faults
from ticktape.sim.rest.config import PAID_REQUESTS

REST = Group.create_ordered("Its REST interface")


@Parameter(name="*", group=REST)
@dataclass(frozen=True)
class RestOptions:
    """Its REST interface."""

    rest: bool = False
    """Serve what was played over plain HTTP as well, as data.alpaca.markets does; the ready line
    says where. Needs `ticktape[web]`."""

    rest_port: int = 0
    """Port of the REST interface; 0 takes a free one."""

    rest_all: bool = False
    """Show whole tapes at once, not only what was played so far."""

    rate_limit: int = PAID_REQUESTS
    """REST requests per key and minute before 429; the free plan has 200."""

    rest_free_plan: bool = False
    """Refuse SIP rows of the tape's last 15 minutes with 403, as on the free plan."""

    rest_short_pages: bool = False
    """Give half of the rows asked for on each page, as the venue may."""

    rest_fault: tuple[str, ...] = ()
    """Answer with an error: `429x3` the next three requests, `500/10` every tenth."""


def rest_config(rest: RestOptions, venue: SimConfig) -> RestConfig | None:
    """Return what the REST interface shall be, None when there shall be none.

    Raises:
        ConfigError: lists every mistake; a web server that is not installed is one.
    """
    if not rest.rest:
        return None
    wrong: list[ConfigError] = []
    collect(wrong, check_web)
    faults = collect(wrong, lambda: parse_rest_faults(rest.rest_fault))
    config = RestConfig(
        host=venue.host,
        port=rest.rest_port,
        keys=venue.keys,
        tokens=venue.tokens,
        shows_all=rest.rest_all,
        rate_limit=rest.rate_limit,
        free_plan=rest.rest_free_plan,
        short_pages=rest.rest_short_pages,
        faults=faults or (),
    )
    collect(wrong, config.check)
    if wrong:
        raise joined(wrong)
    return config


@asynccontextmanager
async def rest_beside(sim: AlpacaSim, config: RestConfig | None) -> AsyncIterator[str | None]:
    """Serve the REST interface while the block runs; give its URL, None without one.

    Raises:
        ConfigError: its port is taken.
    """
    if config is None:
        yield None
        return
    twin = RestTwin(sim.streams, config)
    try:
        await twin.start()
    except OSError as error:
        raise ConfigError(
            [f"cannot listen on {config.host}:{config.port}: {error}"],
            hint="Give another --rest-port, or 0 for a free one.",
        ) from error
    async with twin:
        yield twin.url
