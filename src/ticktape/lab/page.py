"""The report's page: one file that asks for nothing, light or dark, wide or narrow; pure.

Whatever comes from a lab's folder is escaped, and the page's own policy forbids it to load
anything, so that a report can be opened wherever it comes from.
"""

from html import escape

from ticktape.clock import iso_utc
from ticktape.lab import tables
from ticktape.lab.lineup import Lineup
from ticktape.lab.pictures import Picture
from ticktape.lab.results import Plan
from ticktape.lab.verdict import Verdict
from ticktape.lab.wording import duration

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1f21; --ground: #fff; --soft: #5c6066; --line: #d9dce0;
  --tint: #f4f5f7; --good: #006b4d; --bad: #a83200; --focus: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6e9; --ground: #15171a; --soft: #a3a8af;
  --line: #363a40; --tint: #1f2226; --good: #4fc79c; --bad: #ff8f5c; --focus: #6cb8ec; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 88rem;
  background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 1rem 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
p, li, dd { max-width: 75ch; }
ul { padding-left: 1.1rem; } li { margin-bottom: .4rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .875rem; }
.verdict p:first-of-type { font-size: 1.25rem; line-height: 1.4; font-weight: 600; }
.partial { border-left: .3rem solid var(--bad); padding: .5rem 1rem; background: var(--tint); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; font-size: .875rem; }
a, summary { color: inherit; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
.wide { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .35rem; }
th, td { padding: .3rem .75rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { vertical-align: bottom; color: var(--soft); font-weight: 600; }
th[scope=row] { font-weight: 600; position: sticky; left: 0; background: var(--ground); }
td.long { white-space: normal; min-width: 16rem; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.unknown { color: var(--soft); }
.cells .wide { max-height: 80vh; overflow: auto; }
.cells thead th { position: sticky; top: 0; background: var(--ground); z-index: 1; }
th button { all: unset; cursor: pointer; text-decoration: underline dotted; }
th button:focus-visible { outline: 2px solid var(--focus); }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
.pictures { display: grid; gap: 1.5rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; } figure svg { width: 100%; height: auto; max-width: 34rem; display: block; }
dt { font-weight: 600; } dd { margin: 0 0 .75rem; }
@media print { nav { display: none; } .cells .wide { max-height: none; } }
"""

_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      return x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y);
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => down ? order(b, a) : order(a, b));
    table.tBodies[0].append(...rows);
  }));
}
"""

_MEANINGS = (
    (
        "gap",
        "From the moment before one capture to the moment before the next, whole, in the order of "
        "acquisition. p99.9 is the gap that one in a thousand exceeds. Zero gaps are counted, and "
        "shown apart where an axis has no nought.",
    ),
    (
        "missed states",
        "Of the states that the market had while captures were taken, those that no saved capture "
        "shows. Known only where the source knows its own truth.",
    ),
    (
        "safe",
        "In every cell that was left alone: nothing lost, in the run or at the stop; nothing "
        "twice, corrupted, out of order or left behind when the time to drain was over.",
    ),
    (
        "loss on kill",
        "The share of what had been acquired that was not in the files after one process was "
        "killed with SIGKILL; the costliest victim is named. What waits in memory for its "
        "threshold is lost with the process that holds it.",
    ),
    (
        "no difference",
        "Layouts are compared repeat by repeat by a paired bootstrap of the ratio, every threshold "
        "counting the same, widened as Student's t is for so few repeats. If the 95 % interval "
        "holds 1, there is no difference that these repeats can show. One repeat has no interval.",
    ),
    (
        "averages",
        "Those over repeats and thresholds are geometric, so that the ratio of two is the ratio "
        "that is shown.",
    ),
)


def page(lineup: Lineup, verdict: Verdict, pictures: list[Picture], note: str) -> str:
    """The whole page; `note` says why there are no pictures, if there are none."""
    parts = [
        ("verdict", "Verdict", _verdict(verdict)),
        ("safety", "Safety", tables.safety(lineup)),
        ("journal", "journal against the notebook's layouts", _standings(lineup, verdict)),
        ("gaps", "How long gaps are", _figures(pictures, "ccdf", note)),
        ("heat", "Layout by threshold", _figures(pictures, "heat", note)),
        ("rates", "Missed states and captures a second", _figures(pictures, "rates", note)),
        ("memory", "Memory", _figures(pictures, "memory", note)),
        ("cells", "Cells", tables.cells(lineup)),
        ("method", "Method", _method(lineup)),
        ("meaning", "What the figures mean", _meaning(lineup)),
    ]
    links = "".join(f'<a href="#{name}">{escape(head)}</a>' for name, head, _ in parts[1:])
    body = "\n".join(
        f'<section id="{name}" class="{name}"><h2>{escape(head)}</h2>\n{content}</section>'
        for name, head, content in parts
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>ticktape layout lab</title><style>{_STYLE}</style></head>\n<body>"
        f"<h1>Layout lab</h1><p class=soft>{escape(_subject(lineup.plan))}</p>"
        f"<nav aria-label=Contents>{links}</nav>\n<main>{body}</main>"
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _subject(plan: Plan) -> str:
    when = f", begun {iso_utc(plan.started_ns)[:16]} UTC" if plan.started_ns else ""
    return f"{plan.source}, {plan.acquirer} acquirer, saved as {plan.format}{when}"


def _verdict(verdict: Verdict) -> str:
    each = verdict.each
    whole = [sentence for sentence in verdict.sentences if sentence not in each]
    partial = ""
    if verdict.partial:
        partial = f'<div class="partial">{_sentence(whole.pop(0))}</div>'
    said = "\n".join(f"<p>{_sentence(sentence)}</p>" for sentence in whole)
    listed = "".join(f"<li>{_sentence(sentence)}</li>" for sentence in each)
    return f"{partial}{said}" + (f"<ul>{listed}</ul>" if listed else "")


def _sentence(text: str) -> str:
    """Escaped, and so that no line ends between a number and its per cent."""
    return escape(text).replace(" %", "&nbsp;%").replace("95&nbsp;% ", "95&nbsp;%&nbsp;")


def _standings(lineup: Lineup, verdict: Verdict) -> str:
    if not verdict.standings:
        return "<p>journal has not been run.</p>"
    whole = tables.standings(
        verdict.standings,
        caption="Over all thresholds. In brackets the ratio of journal's figure to this one, "
        "and its 95 % interval",
    )
    if len(lineup.thresholds) < 2:
        return whole
    each = tables.standings_by_threshold(lineup)
    return f"{whole}<details><summary>by threshold</summary>{each}</details>"


def _figures(pictures: list[Picture], group: str, note: str) -> str:
    chosen = [picture for picture in pictures if picture.group == group]
    if not chosen:
        return f"<p>{escape(note or 'No cell has figures for it.')}</p>"
    shown = "\n".join(
        f'<figure role="group" aria-label="{escape(picture.caption)}">{picture.svg}'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        for picture in chosen
    )
    return f'<div class="pictures">{shown}</div>'


def _method(lineup: Lineup) -> str:
    plan = lineup.plan
    said = [
        f"Seed {plan.seed}; cells ran in random order, of which {len(lineup.results)} of "
        f"{len(plan.cells)} are done. Each was warmed up for {plan.warm_s:g} s and ended at "
        f"{plan.flushes} flushes or after {plan.cell_s:g} s, whichever came first; then it had "
        f"{plan.drain_s:g} s to drain. A threshold that was not reached is a result.",
        _stalls(lineup),
    ]
    facts = "".join(
        f"<tr><th scope=row>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
        for name, value in plan.machine.items()
    )
    machine = (
        f'<div class="wide" tabindex="0"><table><caption>Machine</caption>{facts}</table></div>'
    )
    missing = [key.name for key in lineup.missing]
    lost = f"<p>Not done: {escape(', '.join(missing))}.</p>" if missing else ""
    return (
        "".join(f"<p>{escape(text)}</p>" for text in said if text)
        + lost
        + (machine if facts else "")
    )


def _stalls(lineup: Lineup) -> str:
    stalls = [cell.stalls for cell in lineup.results if cell.stalls.count]
    if not stalls:
        return ""
    worst = max(each.max for each in stalls)
    typical = sorted(each.p999 for each in stalls)[len(stalls) // 2]
    return (
        "A spinning thread measured the machine's own stalls while each cell ran: the longest was "
        f"{duration(worst)}, p99.9 of a middling cell {duration(typical)}. A gap that is not "
        "longer than these may be the machine's doing and not the layout's."
    )


def _meaning(lineup: Lineup) -> str:
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in _MEANINGS)
    return (
        f"<dl>{terms}<dt>the notebook's own gap</dt><dd>{escape(notebook_words(lineup))}</dd></dl>"
    )


def notebook_gap_ms(gap_ns: int) -> int:
    """What the notebook kept of a gap: the milliseconds component, which has no seconds."""
    return gap_ns // 1_000_000 % 1_000


def notebook_words(lineup: Lineup) -> str:
    """How the notebook's method hid whole seconds, with this lab's own longest gap."""
    words = (
        "The notebook that asked this question first kept only the milliseconds component of each "
        "gap: one of 2.004 s counted as 4 ms, and its longest could never pass 999 ms."
    )
    longest = max((cell.gaps.max for cell in lineup.results), default=0)
    if longest < 1_000_000_000:
        return f"{words} No gap of this lab reached a second, so the two agree here."
    return (
        f"{words} The longest of this lab, {duration(longest)}, would have counted as "
        f"{notebook_gap_ms(longest)} ms."
    )
