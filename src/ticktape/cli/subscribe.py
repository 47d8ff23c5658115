"""`ticktape subscribe`: other symbols for a recorder that runs, without a new connection."""

from collections.abc import Iterable
from pathlib import Path

from ticktape import clock
from ticktape.cli.figures import printable
from ticktape.cli.terminal import print_json, print_line
from ticktape.config import CHANNELS
from ticktape.config.reading import did_you_mean
from ticktape.directory import RunDirectory
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, ConfigError, FeedError, TickTapeError
from ticktape.journal.disk import write_error
from ticktape.recorder.requests import Answer, Request, RequestFolder
from ticktape.recorder.turn import is_locked
from ticktape.replay.places import open_run

# The recorder looks twice a second, and waits 10 s for the venue; a busy machine gets a bit more.
_WAIT_S = 15.0
_LOOK_S = 0.05
_SHOWN = 20

Channels = dict[str, list[str]]


def subscribe(
    directory: Path,
    feed: str,
    /,
    *,
    add: list[str] | None = None,
    remove: list[str] | None = None,
    json: bool = False,
) -> int:
    """Change the symbols of a feed while it records; without a change, show what is subscribed.

    The recorder that runs in the directory sends the venue the difference, on the connection that
    it has, and this waits up to 10 s for the venue's answer. The change lasts until the recorder
    ends: for its next start put it into the config, too. For Alpaca's streams; the symbols of a
    MetaTrader 5 terminal are read at its start.

    Examples: `ticktape subscribe tape iex --add trades:AAPL,MSFT --add quotes:SPY`;
    `ticktape subscribe tape iex --remove trades:TSLA`; `ticktape subscribe tape iex`.

    Parameters
    ----------
    directory
        The run's directory.
    feed
        The feed's name in the config.
    add
        CHANNEL:SYMBOL,… with the config's names of channels; may be said several times.
    remove
        The same, for what is not wanted any more.
    json
        Print one JSON object instead.
    """
    request = Request(feed, _parsed("--add", add or ()), _parsed("--remove", remove or ()))
    answer = _ask(open_run(directory), request)
    if answer.faults:
        raise ConfigError(answer.faults, hint=answer.hint)
    changes = bool(request.add or request.remove)
    if changes and not answer.heard:
        raise _unheard(feed, answer)
    if json:
        print_json(
            {
                "feed": feed,
                "state": answer.state,
                "channels": answer.channels,
                "missing": answer.missing,
                "words": answer.words,
            }
        )
    else:
        _print(feed, answer, changes=changes)
    return EXIT_INCOMPLETE if _lacks(request.add, answer.missing) else EXIT_COMPLETE


def _parsed(option: str, texts: Iterable[str]) -> Channels:
    """Channel -> symbols, of texts like trades:AAPL,MSFT."""
    channels: Channels = {}
    faults = []
    for text in texts:
        channel, colon, listed = text.partition(":")
        symbols = [symbol.strip() for symbol in listed.split(",") if symbol.strip()]
        if not colon or not symbols:
            faults.append(f"{option} {text!r}: must be like {option} trades:AAPL,MSFT")
        elif channel not in CHANNELS:
            faults.append(f"{option} {text!r}: no such channel{did_you_mean(channel, CHANNELS)}")
        else:
            channels.setdefault(channel, []).extend(symbols)
    if faults:
        raise ConfigError(faults, hint=f"Channels: {', '.join(CHANNELS)}.")
    return channels


def _ask(directory: RunDirectory, request: Request) -> Answer:
    if not is_locked(directory.lock):
        raise ConfigError(
            [f"{directory.root}: no recorder runs here"],
            hint="Edit the config and start it: ticktape record CONFIG.",
        )
    folder = RequestFolder(directory.requests)
    try:
        name = folder.ask(request)
    except OSError as error:
        raise write_error(error, str(directory.requests)) from error
    until_ns = clock.monotonic_ns() + int(_WAIT_S * clock.NS_PER_S)
    taken = True
    try:
        while (answer := folder.answer_to(name)) is None and clock.monotonic_ns() < until_ns:
            clock.sleep_s(_LOOK_S)
    finally:
        taken = not folder.forget(name)
    if answer is None:
        did = "took the request and did not answer" if taken else "did not take the request"
        raise TickTapeError(
            f"{directory.root}: the recorder {did} within {_WAIT_S:g} s",
            hint="It may be stopping, or stand still: look at what it prints, then try again.",
        )
    return answer


def _unheard(feed: str, answer: Answer) -> FeedError:
    """What is asked for does not stand yet: the venue may be away, or slow, or refuse to stop."""
    standing = answer.state + (f": {answer.words}" if answer.words else "")
    return FeedError(
        f"feed {feed!r}: the venue has not acknowledged it in time; the session is {standing}",
        hint="The recorder keeps the change and asks for it with every session from now on; "
        f"`ticktape subscribe DIR {feed}` shows when it stands.",
    )


def _lacks(added: Channels, missing: Channels) -> bool:
    return any(
        symbol in missing.get(channel, ())
        for channel, symbols in added.items()
        for symbol in symbols
    )


def _print(feed: str, answer: Answer, *, changes: bool) -> None:
    print_line(f"{feed}: {answer.state}")
    for channel in CHANNELS:
        if symbols := answer.channels.get(channel):
            print_line(f"  {channel:12}  {_listed(symbols)}")
    for channel, symbols in answer.missing.items():
        print_line(f"  NOT {channel}: {_listed(symbols)} ({printable(answer.words)})", style="red")
    if not answer.channels:
        print_line(f"  nothing is subscribed now {printable(answer.words)}".rstrip())
        for channel, symbols in answer.wanted.items():
            print_line(f"  wanted: {channel}  {_listed(symbols)}")
    if changes:
        print_line(
            "This lasts until the recorder ends; put it into the config, too, for the next start."
        )


def _listed(symbols: list[str]) -> str:
    shown = ", ".join(printable(symbol) for symbol in symbols[:_SHOWN])
    more = len(symbols) - _SHOWN
    return f"{shown} and {more:,} more (--json has all)" if more > 0 else shown
