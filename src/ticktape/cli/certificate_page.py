"""A certificate as one page that asks for nothing, light or dark, on the screen or printed; pure.

Symbols, causes and whatever else comes from a venue is escaped, and the page's own policy forbids
it to load or to run anything, so that it can be opened wherever it comes from.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ticktape.cli.certificate_timeline import SHARES, percent, range_of, share_bar, timeline
from ticktape.cli.figures import duration, printable
from ticktape.clock import NS_PER_S, iso_utc

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_ROWS_MAX = 100  # lines of a timeline and rows of a table; the JSON has all
_NAMES_MAX = 4  # symbols that one line names

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1f21; --ground: #fff; --soft: #5c6066; --line: #d9dce0;
  --tint: #f0f2f4; --good: #006b4d; --bad: #a83200; --verified: #009e73; --unverifiable: #7fb8d8;
  --healed: #0072b2; --suspect: #e6a700; --missing: #c1272d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6e9; --ground: #15171a; --soft: #a3a8af;
  --line: #363a40; --tint: #22262b; --good: #4fc79c; --bad: #ff8f5c; --verified: #2fbf93;
  --unverifiable: #4d7f9c; --healed: #58a9e8; --suspect: #f0bd3a; --missing: #ff6459; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 76rem;
  background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 1rem 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.25rem 0 .35rem; }
p, li, dd { max-width: 75ch; } ul { padding-left: 1.1rem; } li { overflow-wrap: anywhere; }
.soft, caption { color: var(--soft); font-size: .875rem; }
.verdict { font-size: 1.25rem; line-height: 1.4; font-weight: 600; border-left: .3rem solid;
  padding: .4rem 1rem; background: var(--tint); max-width: none; }
.good { border-color: var(--good); } .bad { border-color: var(--bad); }
.wide { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .35rem; }
th, td { padding: .3rem 1rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; }
td.number { text-align: right; } td.long { white-space: normal; min-width: 10rem;
  overflow-wrap: anywhere; } td.mark { font-family: ui-monospace, monospace; font-size: .75rem; }
svg { display: block; width: 100%; background: var(--tint); print-color-adjust: exact; }
svg.bar { height: 1.25rem; } svg.line { height: .9rem; }
rect.verified, i.verified { fill: var(--verified); background: var(--verified); }
rect.healed, i.healed { fill: var(--healed); background: var(--healed); }
rect.unverifiable, i.unverifiable { fill: var(--unverifiable); background: var(--unverifiable); }
rect.suspect, i.suspect { fill: var(--suspect); background: var(--suspect); }
rect.missing, i.missing { fill: var(--missing); background: var(--missing); }
.share, .lines { display: grid; grid-template-columns: minmax(6rem, 14rem) 1fr;
  gap: .3rem 1rem; align-items: center; font-size: .875rem; }
.share > span, .lines > span { overflow-wrap: anywhere; }
.key { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; font-size: .875rem;
  list-style: none; padding: 0; }
.key i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem;
  print-color-adjust: exact; }
.axis { display: flex; justify-content: space-between; color: var(--soft); font-size: .75rem; }
summary { cursor: pointer; } dt { font-weight: 600; } dd { margin: 0 0 .6rem; }
@media print { body { padding: 0; max-width: none; font-size: 10pt; }
  .wide { overflow: visible; } td { white-space: normal; } tr, svg { break-inside: avoid; } }
"""

_MEANINGS = (
    ("verified", "We were there, and REST was asked for the same time to its end and compared."),
    ("healed", "We were not there, and REST gave what it has of it."),
    (
        "unverifiable",
        "We were there, subscribed and connected. A feed without sequence numbers says no more: "
        "what it did not send, nobody can see in it.",
    ),
    (
        "suspect",
        "A feed or a symbol was silent for longer than is usual for it, and REST was not compared "
        "yet; or a stretch of the journal is damaged.",
    ),
    ("missing", "A gap that stands open, or that nobody can heal."),
)


def page(certificate: Mapping[str, Any]) -> str:
    """The whole page, of the JSON object of a certificate."""
    feeds = certificate["feeds"]
    parts = [
        ("How much of the asked time we have", _shares(feeds)),
        ("The day", "".join(_lines(name, feed) for name, feed in feeds.items())),
        ("Gaps", _gaps(feeds)),
        ("What REST had and the stream had not", _lacking(feeds)),
        ("What came", _counts({**feeds, **certificate["others"]})),
        ("Polled books", _polls(feeds)),
        ("What was asked for, and acknowledged", _subscriptions(feeds)),
        ("Digests", _digests(certificate["digests"])),
        ("What the words mean", _meanings()),
    ]
    body = "".join(
        f"<section><h2>{escape(head)}</h2>{content}</section>\n"
        for head, content in parts
        if content
    )
    day = _text(certificate["day"])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>ticktape certificate {day}</title><style>{_STYLE}</style></head>\n<body>"
        f"<h1>Certificate of {day}, UTC</h1>{_about(certificate)}\n<main>"
        f"{_verdict(certificate)}{body}</main></body></html>\n"
    )


def sentence(certificate: Mapping[str, Any]) -> str:
    """The verdict in one sentence."""
    received, stored = certificate["received"], certificate["stored"]
    if certificate["complete"]:
        again = certificate["duplicates"]
        words = f"all {received:,} messages that came are stored"
        if again:
            words += f" ({again:,} of them were repeats, stored once)"
        healed = certificate["gaps_healed"]
        gaps = (
            f"{_count(healed, 'gap')} was healed" if healed == 1 else f"{healed:,} gaps were healed"
        )
        return f"COMPLETE: {words}, and {gaps if healed else 'no gap stands open'}."
    number = len(certificate["reasons"])
    return (
        f"INCOMPLETE for {_count(number, 'reason')}: {received:,} messages came, "
        f"{stored:,} are stored."
    )


def _about(certificate: Mapping[str, Any]) -> str:
    until = iso_utc(certificate["until_ns"])[11:19]
    runs = ", ".join(certificate["runs"]) or "none began on this day"
    words = (
        f"Receive time 00:00 to {until}. Runs: {runs}. Made by ticktape {certificate['version']} "
        f"at {iso_utc(certificate['made_ns'])[:19].replace('T', ' ')} UTC."
    )
    if certificate["live"]:
        words += " The recorder was at work: this is of that moment."
    return f'<p class="soft">{_text(words)}</p>'


def _verdict(certificate: Mapping[str, Any]) -> str:
    mark = "good" if certificate["complete"] else "bad"
    reasons = certificate["reasons"]
    listed = "".join(f"<li>{_text(reason)}</li>" for reason in reasons[:_ROWS_MAX])
    return (
        f'<p class="verdict {mark}">{_text(sentence(certificate))}</p>'
        + (f"<ul>{listed}</ul>" if listed else "")
        + _more(len(reasons))
    )


def _shares(feeds: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<span>{_text(name)}</span>{share_bar(feed['shares'])}<span></span>{_key(feed)}"
        for name, feed in feeds.items()
    )
    return f'<div class="share">{rows}</div>'


def _key(feed: Mapping[str, Any]) -> str:
    shares = feed["shares"]
    items = "".join(
        f'<li><i class="{name}"></i>{name} {percent(shares[name])}</li>'
        for name in SHARES
        if shares[name]
    )
    return f'<ul class="key">{items or "<li>nothing was asked for</li>"}</ul>'


def _lines(name: str, feed: Mapping[str, Any]) -> str:
    streams = sorted(feed["streams"], key=_badness, reverse=True)
    if not streams:
        return ""
    from_ns, to_ns = range_of(streams)
    rows = "".join(
        f"<span>{_text(_stream_name(each))}</span>{timeline(each['spans'], from_ns, to_ns)}"
        for each in streams[:_ROWS_MAX]
    )
    axis = "".join(f"<span>{iso_utc(ns)[11:19]}</span>" for ns in _ticks(from_ns, to_ns))
    return (
        f"<h3>{_text(name)}</h3>"
        f'<div class="lines">{rows}<span></span><div class="axis">{axis}</div></div>'
        + _more(len(streams))
    )


def _badness(stream: Mapping[str, Any]) -> tuple[float, ...]:
    return tuple(stream["shares"][name] for name in reversed(SHARES))


def _ticks(from_ns: int, to_ns: int) -> list[int]:
    return [from_ns + (to_ns - from_ns) * part // 4 for part in range(5)]


def _stream_name(stream: Mapping[str, Any]) -> str:
    symbols = stream["symbols"]
    names = ", ".join(symbols[:_NAMES_MAX])
    if len(symbols) > _NAMES_MAX:
        names += f" and {len(symbols) - _NAMES_MAX:,} more"
    names = "all" if names == "*" else names
    return f"{stream['channel']} {names}".strip() or "the whole feed"


def _gaps(feeds: Mapping[str, Any]) -> str:
    gaps = [gap for feed in feeds.values() for gap in feed["gap_list"]]
    if not gaps:
        return "<p>None.</p>"
    rows = []
    for gap in gaps[:_ROWS_MAX]:
        rows.append(
            (
                gap["feed"],
                gap["symbol"] or "all",
                gap["channels"].replace(",", ", ") or "all",
                iso_utc(gap["from_ns"])[:23].replace("T", " "),
                _length(gap),
                "planned" if gap["planned"] else gap["state"],
                gap["cause"],
                gap["told_by"],
                gap["words"],
            )
        )
    names = (
        "feed",
        "symbol",
        "channels",
        "from (UTC)",
        "for",
        "state",
        "cause",
        "told by",
        "found",
    )
    return _table(names, rows, long=("cause", "found")) + _more(len(gaps))


def _length(gap: Mapping[str, Any]) -> str:
    if gap["to_ns"] is None:
        return "until the next start" if gap["planned"] else "still open"
    minutes, _ = divmod(gap["to_ns"] - gap["from_ns"], 60 * NS_PER_S)
    if minutes < 2:
        return duration(gap["to_ns"] - gap["from_ns"])
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _lacking(feeds: Mapping[str, Any]) -> str:
    places = [each for feed in feeds.values() for each in feed["lacking"]]
    only = [
        f"{name}: {number:,} {kind} within what REST was asked to its end came in the stream alone."
        for name, feed in feeds.items()
        for kind, number in feed["only_streamed"].items()
    ]
    rows = [
        (
            each["feed"],
            "in a gap" if each["in_gap"] else "venue: outside of any known gap",
            iso_utc(each["minute_ns"])[11:16],
            each["symbol"],
            each["kind"],
            each["number"],
        )
        for each in places[:_ROWS_MAX]
    ]
    names = ("feed", "stage", "minute (UTC)", "symbol", "rows of", "count")
    table = _table(names, rows) + _more(len(places)) if places else ""
    return table + "".join(f"<p>{_text(words)}</p>" for words in only)


def _counts(journals: Mapping[str, Any]) -> str:
    columns = ("received", "stored", "duplicates", "conflicts", "healed")
    rows = [
        (name, kind, *(count[column] for column in columns))
        for name, journal in journals.items()
        for kind, count in journal["counts"].items()
    ]
    dropped = "".join(
        f"<p>{_text(name)}: {feed['dropped']:,} frames were dropped.</p>"
        for name, feed in journals.items()
        if feed.get("dropped")
    )
    return _table(("journal", "rows of", *columns), rows) + dropped


def _polls(feeds: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            symbol,
            poll["polls"],
            poll["changed"],
            f"{poll['change_ratio']:.3f}",
            *(_micros(poll["gap_us"][key]) for key in ("p50", "p99", "max")),
            "poll faster" if poll["missed_estimate"] is None else f"{poll['missed_estimate']:,.0f}",
        )
        for name, feed in feeds.items()
        for symbol, poll in feed["polls"].items()
    ]
    names = ("feed", "book", "polls", "changed", "ratio", "every p50", "p99", "max")
    return _table((*names, "missed (estimate)"), rows) if rows else ""


def _micros(value: float | None) -> str:
    return "" if value is None else duration(value * 1_000)


def _subscriptions(feeds: Mapping[str, Any]) -> str:
    rows = []
    for name, feed in feeds.items():
        said = feed["subscription"]
        for channel, asked in said["asked"].items():
            lists = [said[key].get(channel, []) for key in ("acknowledged", "missing")]
            number = "all" if "*" in asked else len(asked)
            rows.append((name, channel, number, *(", ".join(each) for each in lists)))
    names = ("feed", "channel", "asked for", "acknowledged", "not acknowledged")
    return _table(names, rows, long=names[3:]) if rows else "<p>Nothing was acknowledged.</p>"


def _digests(digests: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    rows = [
        (
            journal.removesuffix(":"),
            part["day"],
            part["segment"],
            f"{part['from_byte']:,} to {part['to_byte']:,}" + (" (open)" if part["open"] else ""),
            part["sha256"],
            part["link"],
        )
        for journal, parts in digests.items()
        for part in parts
    ]
    names = ("journal", "day", "segment", "bytes", "SHA-256", "link")
    lasts = "".join(
        f"<li>{_text(journal.removesuffix(':'))}: {_text(parts[-1]['link'])}</li>"
        for journal, parts in digests.items()
        if parts
    )
    return (
        "<p>Each link covers all parts before it: no byte of an earlier segment can change without "
        "the last one changing. <code>ticktape certificate DIR --check</code> computes them again."
        f"</p><ul>{lasts}</ul><details><summary>{_count(len(rows), 'part')}</summary>"
        f"{_table(names, rows, marks=names[4:])}</details>"
    )


def _meanings() -> str:
    return "<dl>" + "".join(f"<dt>{a}</dt><dd>{escape(b)}</dd>" for a, b in _MEANINGS) + "</dl>"


def _table(
    names: Sequence[str],
    rows: Iterable[Sequence[object]],
    long: Sequence[str] = (),
    marks: Sequence[str] = (),
) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = []
    for row in rows:
        cells = []
        for name, value in zip(names, row, strict=True):
            kind = "long" if name in long else "mark" if name in marks else ""
            kind = "number" if isinstance(value, int) else kind
            text = f"{value:,}" if isinstance(value, int) else str(value)
            cells.append(f'<td class="{kind}">{_text(text)}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _more(number: int) -> str:
    if number <= _ROWS_MAX:
        return ""
    return (
        f'<p class="soft">And {number - _ROWS_MAX:,} more; the JSON beside this page has all.</p>'
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _text(value: object) -> str:
    """Escaped, and with nothing in it that is not printed."""
    return escape(printable(str(value)))
