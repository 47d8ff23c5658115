"""`ticktape heal`: what was missed, asked of the venue's history."""

from datetime import date as Date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticktape import clock
from ticktape.cli.figures import printable
from ticktape.cli.terminal import print_json, print_line, print_rows
from ticktape.config import Config, heal_base, hours_of, load_config
from ticktape.config.reading import did_you_mean
from ticktape.directory import RunDirectory
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, ConfigError, Locked
from ticktape.replay.places import open_run

if TYPE_CHECKING:
    from ticktape.cli.healing import Healing
    from ticktape.replay.found import Found

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_LINES_MAX = 40
_STAR = "*"
# What became of a gap -> its state then.
_STATES = {"healed": "healed", "unhealable": "unhealable", "unsettled": "suspect"}


def heal(
    directory: Path,
    /,
    *feeds: str,
    day: str | None = None,
    again: bool = False,
    json: bool = False,
) -> int:
    """Ask the venue's REST interface for what was missed, and bring it into the tables.

    A recorder does this by itself while it runs, a minute after each gap. This is for gaps that it
    left: it was ended before they were healed, the keys were wrong, REST was away. Ctrl-C is safe;
    the next heal goes on where this one ended.

    With --day a whole day is compared instead, best on the day after: trades that were silently
    never sent are found, and cancels and corrections that came late.

    Examples: `ticktape heal tape`; `ticktape heal tape sip --day 2026-11-25`.

    Parameters
    ----------
    directory
        The run's directory.
    feeds
        Only these; all that have a REST interface when none is named.
    day
        Compare all trades and minute bars of this day (UTC, the venue's time) with REST.
    again
        Also ask once more for gaps that were found unhealable, and for suspicions that stayed.
    json
        Print one JSON object instead.
    """
    from ticktape.cli.healing import Healing

    run = open_run(directory)
    config = load_config(run.config)
    names = _chosen(config, feeds)
    on = _day(day)
    since_ns = clock.wall_now_ns()
    with Healing(run, config, names) as healing:
        healing.read()
        if on is not None:
            _compare(run, config, healing, on)
        else:
            if again:
                for healer in healing.healers:
                    healer.book.retry()
            healing.work()
        left = healing.left()
        statistics = [healer.statistics()._asdict() for healer in healing.healers]
        interrupted = healing.interrupted
    stored, why = _bring_in(run)
    found = _found(run, names, since_ns)
    said = {
        "feeds": statistics,
        "gaps": _gaps(healing),
        "left": left,
        "found": [each._asdict() for each in found],
        "rows_stored": stored,
    }
    if json:
        print_json(said)
    else:
        _print(healing, left, found, stored, why)
    if interrupted:
        return _INTERRUPTED
    bad = [news for news in healing.news if news.event in ("unhealable", "unsettled", "refused")]
    unfinished = bool(left) if on is None else not _has_compared(healing, names)
    return EXIT_INCOMPLETE if bad or unfinished else EXIT_COMPLETE


def _chosen(config: Config, feeds: tuple[str, ...]) -> list[str]:
    """Names of the feeds to heal.

    Raises:
        ConfigError: one is not there, or has no REST interface.
    """
    known = {feed.name: heal_base(feed) for feed in config.feed}
    faults = [
        f"feed {name!r} is not in this run{did_you_mean(name, tuple(known))}"
        if name not in known
        else f"feed {name!r} has no REST interface to be healed from"
        for name in feeds
        if not known.get(name)
    ]
    names = list(feeds) or [name for name, base in known.items() if base]
    if not names:
        faults.append("no feed of this run has a REST interface to be healed from")
    if faults:
        raise ConfigError(
            faults,
            hint="Alpaca's own streams have one; for others write heal = \"http…\" into run.toml's"
            " [[feed]], or record with it.",
        )
    return names


def _day(text: str | None) -> Date | None:
    if text is None:
        return None
    try:
        return Date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError([f"--day {text!r} is no day"], hint="Say 2026-11-25.") from error


def _compare(run: RunDirectory, config: Config, healing: "Healing", day: Date) -> None:
    """Ask for all of a day, feed by feed."""
    from ticktape.ledger.sessions import Hours
    from ticktape.replay.found import seen_on, session_end_ns
    from ticktape.replay.tail import connect_run

    with connect_run(run) as con:
        spans = {
            healer.feed.name: seen_on(con, healer.feed.name, day.isoformat())
            for healer in healing.healers
        }
        ends = {
            healer.feed.name: session_end_ns(
                con,
                healer.feed.name,
                seen.to_ns,
                Hours(hours_of(healer.feed)),
                clock.wall_now_ns(),
            )
            for healer in healing.healers
            if (seen := spans[healer.feed.name]) is not None
        }
    for healer in list(healing.healers):
        feed, seen = healer.feed, spans[healer.feed.name]
        if seen is None:
            raise ConfigError(
                [f"{feed.name}: nothing was recorded of {day.isoformat()}"],
                hint=f'ticktape sql {run.root} "select distinct day from trades" shows the days.',
            )
        channels = {
            name: sorted({*seen.symbols.get(name, ()), *(set(listed) - {_STAR})})
            for name, listed in feed.channels().items()
            if name in ("trades", "bars")
        }
        healer.compare(seen.from_ns, ends[feed.name], channels)
    healing.work()


def _has_compared(healing: "Healing", names: list[str]) -> bool:
    return {news.feed for news in healing.news if news.event == "compared"} >= set(names)


def _bring_in(run: RunDirectory) -> tuple[int, str]:
    """Rows that came into the tables, and why none did."""
    from ticktape.replay.bring_in import bring_in

    try:
        return bring_in(run), ""
    except Locked as error:
        return 0, f"{error.args[0]}: {error.hint}"


def _found(run: RunDirectory, names: list[str], since_ns: int) -> "list[Found]":
    from ticktape.replay.found import only_rest
    from ticktape.replay.tail import connect_run

    with connect_run(run) as con:
        return [each for name in names for each in only_rest(con, name, since_ns)]


def _gaps(healing: "Healing") -> list[dict[str, Any]]:
    return [
        {
            "feed": news.feed,
            "symbol": news.gap.symbol,
            "from_ns": news.gap.from_ns,
            "to_ns": news.gap.to_ns,
            "cause": news.gap.cause,
            "state": _STATES[news.event],
            "words": news.words,
        }
        for news in healing.news
        if news.gap is not None and news.event in _STATES
    ]


def _print(
    healing: "Healing", left: list[str], found: "list[Found]", stored: int, why: str
) -> None:
    for news in healing.news:
        if news.event in (*_STATES, "compared", "refused"):
            print_line(printable(f"{news.event:10}  {news.feed}: {news.words}"))
    for words in left:
        print_line(printable(f"not healed  {words}"))
    if found:
        print_line("")
        names = ("feed", "kind", "symbol", "minute (UTC)", "only REST had", "lost at")
        rows = [
            (f.feed, f.kind, f.symbol, clock.iso_utc(f.minute_ns)[:16], f.rows, f.stage)
            for f in found
        ]
        print_rows(names, rows[:_LINES_MAX])
        if len(rows) > _LINES_MAX:
            print_line(f"… and {len(rows) - _LINES_MAX} more (--json has all of them)")
        print_line("")
    total = sum(each.rows for each in found)
    print_line(f"{total:,} rows that only REST had; {stored:,} rows came into the tables")
    if why:
        print_line(printable(f"the tables: {why}"))
