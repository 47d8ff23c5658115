"""A run on a terminal of a given size, as lines; pure. Nothing in it can steer the terminal."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from ticktape.cli.figures import age, duration, printable
from ticktape.cli.watch_state import ValueRow, WatchState
from ticktape.clock import NS_PER_S, iso_utc
from ticktape.dashboard.standing import span

_NS_PER_MS: Final = 1_000_000
_NS_PER_US: Final = 1_000
_CELL_MAX: Final = 24  # columns of one text; symbols of options have 19 to 21
_TALL: Final = 30  # from so many lines on there is room between the blocks
_ROWS_MIN: Final = 4  # of last values; before there are fewer, other blocks shrink
_NOISE: Final = {"started", "connecting", "connected", "authenticated"}
_STYLES: Final = {
    "recording": "bold green",
    "complete": "bold green",
    "starting": "bold",
    "ended": "bold",
    "behind": "bold yellow",
    "stale": "bold red",
    "incomplete": "bold red",
}
_TONES: Final = {"good": "green", "bad": "bold red", "doubtful": "yellow"}
_FEED_TONES: Final = {
    "receiving": "green",
    "stopped": "dim",
    "refused": "bold red",
    "failed": "bold red",
}


class Column(NamedTuple):
    """A column: its name, whether it stands to the right, and whether it goes first when narrow."""

    name: str
    right: bool = False
    spare: int = 0


class Line(NamedTuple):
    """Cells of one row, and how they are shown."""

    cells: Sequence[str]
    style: str = ""


def view(
    state: WatchState, width: int, height: int | None, *, skip: int = 0, rows_max: int = 1_000
) -> list[Text]:
    """The run as lines of at most `width` columns; exactly `height` of them, or as many as needed.

    `skip` rows of last values are scrolled away; `rows_max` bounds them where no height does.
    """
    head = _head(state, width)
    feeds, stages, log = _feeds(state, width), _stages(state, width), _log(state)
    foot = [*_certificate(state), _disk(state)]
    if height is None:
        blocks = [head, feeds, stages, _values(state, width, 0, rows_max), log, foot]
        return _joined(blocks, width, is_spaced=True)
    is_spaced = height >= _TALL
    keys = [_keys(state)]
    feeds, log = _first(feeds, max(4, height // 4)), log[: 1 + max(2, height // 6)]
    fixed = [head, feeds, stages, log, foot, keys]
    room = height - sum(map(len, fixed)) - is_spaced * len(fixed)
    while room < _ROWS_MIN and (shrinking := _longest(log, stages, feeds)):
        shrinking.pop()
        room += 1
    values = _values(state, width, skip, max(0, room))
    values += [Text()] * (room - len(values))
    lines = _joined([head, feeds, stages, values, log, foot, keys], width, is_spaced=is_spaced)
    return lines[:height]


def _first(lines: list[Text], count: int) -> list[Text]:
    """So many lines, the last of which says how many are left out."""
    if len(lines) <= count:
        return lines
    return [*lines[: count - 1], Text(f"… and {len(lines) - count + 1} more", style="dim")]


def _longest(*blocks: list[Text]) -> list[Text]:
    """The first block that can spare a line, empty when none can."""
    return next((block for block in blocks if len(block) > 2), [])


def _joined(blocks: Sequence[list[Text]], width: int, *, is_spaced: bool) -> list[Text]:
    lines: list[Text] = []
    for block in blocks:
        if lines and block and is_spaced:
            lines.append(Text())
        lines += block
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


# The blocks.


def _head(state: WatchState, width: int) -> list[Text]:
    standing, run = state.parts["standing"], state.parts["run"]
    style = _STYLES.get(standing["state"], "bold")
    moment = f"{_moment(state.now_ms)} UTC"
    title = f"{standing['state'].upper()}  {printable(run['directory'])}"
    room = max(0, width - cell_len(moment) - 2)
    first = Text(f"{_cut(title, room):<{room}}  {moment}", style=style)
    words = Text(printable(standing["words"]), style="" if style.endswith("green") else style)
    return [first, *_wrapped(words, width)]


def _wrapped(text: Text, width: int) -> list[Text]:
    """The text on lines of whole words."""
    lines, line = [], ""
    for word in text.plain.split():
        longer = f"{line} {word}".strip()
        if cell_len(longer) > width and line:
            lines.append(line)
            longer = word
        line = longer
    return [Text(each, style=text.style) for each in [*lines, line]]


def _feeds(state: WatchState, width: int) -> list[Text]:
    columns = (
        Column("feed"),
        Column("state"),
        Column("heard", right=True),
        Column("entries", right=True),
        Column("MB", right=True, spare=2),
        Column("sessions", right=True, spare=3),
        Column("journal", spare=1),
        Column(""),
    )
    # What does not receive comes first: of many feeds not all fit.
    ordered = sorted(state.parts["feeds"], key=lambda feed: feed["state"] == "receiving")
    standing = state.parts["standing"]["state"]
    # Lag is known of a run alone that is live: of another, what its log said last is no more true.
    is_over = (
        standing not in ("starting", "recording", "behind") and not state.parts["stages"]["lag_s"]
    )
    return _table(columns, [_feed(feed, state.now_ms, is_over=is_over) for feed in ordered], width)


def _feed(feed: dict[str, Any], now_ms: int, *, is_over: bool) -> Line:
    heard = feed["heard_ms"]
    said = "gone" if is_over and feed["state"] == "receiving" else feed["state"]
    trouble = [
        f"{feed[name]:,} {words}"
        for name, words in (("dropped", "dropped"), ("held", "bytes held"), ("suspect", "suspect"))
        if feed.get(name)
    ]
    cells = (
        feed["name"],
        said,
        _age(now_ms - heard) if heard is not None else "-",
        f"{feed.get('entries', 0):,}",
        f"{feed.get('bytes', 0) / 1e6:,.1f}",
        str(feed["sessions"]),
        feed.get("journal", "-"),
        ", ".join([*trouble, _spoken(feed["words"])] if feed["words"] else trouble),
    )
    style = "bold red" if trouble else _FEED_TONES.get(said, "yellow")
    return Line(cells, style)


def _stages(state: WatchState, width: int) -> list[Text]:
    columns = (
        Column("stage"),
        Column("entries/s", right=True),
        Column("behind", right=True),
        Column("p50", right=True),
        Column("p99", right=True),
        Column("p99.9", right=True, spare=1),
        Column("max", right=True),
    )
    stages, rates = state.parts["stages"], state.rates()
    lines = []
    for name in stages["names"]:
        lag, figures = stages["lag_s"].get(name), stages["latency"].get(name)
        times = ["-"] * 4
        if figures is not None:
            both = (figures.p50, figures.p99, figures.p999, figures.max)
            times = [duration(each * _NS_PER_US) for each in both]
        cells = (name, f"{rates[name]:,.0f}", _lag(lag), *times)
        lines.append(Line(cells, "yellow" if lag is not None and lag > 1 else ""))
    return _table(columns, lines, width)


def _lag(lag_s: float | None) -> str:
    if lag_s is None:
        return "-"
    return "no" if lag_s == 0 else duration(lag_s * NS_PER_S)


def _values(state: WatchState, width: int, skip: int, room: int) -> list[Text]:
    rows = state.rows()
    missing = state.missing()
    lines = [_value(row, state.now_ms) for row in rows]
    skip = min(skip, max(0, len(lines) - max(1, room - 1)))
    lines = lines[skip : skip + room]
    columns = (
        Column("feed", spare=1),
        Column(f"symbol ({state.sorted_words})" if len(rows) > 1 else "symbol"),
        Column("price", right=True),
        Column("size", right=True, spare=2),
        Column("bid", right=True),
        Column("bid size", right=True, spare=4),
        Column("ask", right=True),
        Column("ask size", right=True, spare=4),
        Column("received", right=True),
        Column("status", spare=3),
    )
    shown = _table(columns, lines, width) if lines else [Text("no last values yet", style="dim")]
    if missing:
        words = f"no value of {', '.join(missing)}"
        shown.insert(0, Text(printable(words), style="yellow"))
    return shown[:room]


def _value(row: ValueRow, now_ms: int) -> Line:
    recv_ms = row.recv_ms if isinstance(row.recv_ms, float) else now_ms
    prices = [_number(each, decimals=2) for each in (row.price, row.bid, row.ask)]
    sizes = [_number(each) for each in (row.size, row.bid_size, row.ask_size)]
    price, bid, ask = prices
    size, bid_size, ask_size = sizes
    received, status = _age(now_ms - recv_ms), str(row.status or "")
    return Line((row.feed, row.symbol, price, size, bid, bid_size, ask, ask_size, received, status))


def _log(state: WatchState) -> list[Text]:
    said = [each for each in reversed(state.parts["log"]) if each.event not in _NOISE]
    lines = [Text("changes of state, newest first", style="bold")]
    for each in said:
        tone = "yellow" if each.event == "alarm" else _TONES.get(each.tone, "")
        words = f"{each.at[11:19]} {each.who} {each.event}  {_spoken(each.words)}"
        lines.append(Text(printable(words), style=tone))
    return lines if said else []


def _certificate(state: WatchState) -> list[Text]:
    said = state.parts["certificate"]
    if said is None:
        return []
    verdict = "COMPLETE" if said["complete"] else "INCOMPLETE"
    words = (
        f"certificate {said['day']} {verdict}  received {said['received']:,} = stored "
        f"{said['stored']:,} + duplicates {said['duplicates']:,} + dropped {said['dropped']:,}, "
        f"gaps {said['gaps']:,}"
    )
    return [Text(printable(words), style="" if said["complete"] else "bold red")]


def _disk(state: WatchState) -> Text:
    disk = state.parts["disk"]
    if disk is None:
        return Text("disk  cannot be looked at", style="yellow")
    parts = [f"run {_bytes(disk.run)}", f"free {_bytes(disk.free)}"]
    if disk.rate:
        parts.append(f"+{_bytes(disk.rate)}/s")
    style = "dim"
    if disk.full_s is not None:
        parts.append(f"full in {span(disk.full_s)}")
        style = "bold red" if disk.full_s < 6 * 3600 else "dim"
    if disk.free < disk.reserve:
        parts.append("less than reserve_bytes is free")
        style = "bold red"
    return Text(f"disk  {' · '.join(parts)}", style=style)


def _keys(state: WatchState) -> Text:
    words = f"q ends this view alone · s sorts ({state.sorted_words}) · ↑ ↓ scroll"
    return Text(words, style="reverse dim")


# Tables.


def _table(columns: Sequence[Column], lines: Sequence[Line], width: int) -> list[Text]:
    """Rows under their names, cut to the width: spare columns go first, then cells' ends."""
    texts = [[_cut(printable(cell), _CELL_MAX) for cell in line.cells[:-1]] for line in lines]
    for text, line in zip(texts, lines, strict=True):
        text.append(printable(line.cells[-1]))
    kept = [
        at
        for at, column in enumerate(columns)
        if not column.spare or any(text[at] not in ("", "-") for text in texts)
    ]
    widths = {
        at: max(cell_len(columns[at].name), *(cell_len(text[at]) for text in texts), 0)
        for at in kept
    }
    # The last one is words, which may be cut; the others are not, as long as that can be had.
    while kept and sum(widths[at] + 2 for at in kept[:-1]) + min(widths[kept[-1]], 8) > width:
        spare = max(columns[at].spare for at in kept)
        if not spare:
            break
        kept = [at for at in kept if columns[at].spare != spare]

    def row(cells: Sequence[str], style: str) -> Text:
        parts = []
        for at in kept:
            blanks = " " * max(0, widths[at] - cell_len(cells[at]))
            parts.append(blanks + cells[at] if columns[at].right else cells[at] + blanks)
        return Text("  ".join(parts).rstrip(), style=style)

    head = row([column.name for column in columns], "bold")
    return [head, *(row(text, line.style) for text, line in zip(texts, lines, strict=True))]


def _cut(text: str, width: int) -> str:
    """At most so many columns; what is cut ends in …."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)) + "…" if width > 0 else ""


# Numbers and times.


def _number(value: object, decimals: int = 0) -> str:
    if not isinstance(value, int | float):
        return ""
    whole, _, fraction = f"{value:.6f}".rstrip("0").partition(".")
    fraction = f"{fraction:0<{decimals}}"
    return f"{whole}.{fraction}" if fraction else whole


def _age(ms: float) -> str:
    return age(max(0, int(ms * _NS_PER_MS)))


def _moment(ms: int) -> str:
    return iso_utc(ms * _NS_PER_MS)[:19].replace("T", " ")


def _spoken(words: str) -> str:
    return " ".join(words.split())


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"
