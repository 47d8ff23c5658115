"""Made-up news: articles of HTML about several symbols or none, some sent again in a later form.

The first article always comes again at the end, and the second is about nobody, however few there
are.
"""

from typing import Any

import pyarrow as pa

from ticktape.clock import NS_PER_S
from ticktape.sim.chance import Chance, made_up
from ticktape.sim.families import NEWS
from ticktape.sim.tape import COLUMNS, Tape

_FIRST_ID = 24_918_784
_AUTHORS = ("Charles Gross", "Benzinga Newsdesk", "Zoë O'Neil")
_PARAGRAPH = (
    '<p>Shares of <a href="https://example.com/?a=1&amp;b=2">the “company”</a> moved.</p>\n'
)
_PARAGRAPHS_MAX = 40
_AGAIN, _NOBODY = 10, 7  # one article in so many comes again, or is about no symbol


def generate_news(
    *,
    seed: int,
    symbols: tuple[str, ...] | int,
    articles: int,
    articles_per_s: float,
    start_ns: int,
) -> Tape:
    """Make so many articles, and later forms of some; `symbols` may be a number of made-up ones."""
    names = made_up(symbols) if isinstance(symbols, int) else symbols
    chance = Chance(seed)
    times = chance.times(articles, articles_per_s, start_ns).tolist()
    draws = chance.below(1 << 40, 4 * articles).reshape(-1, 4).tolist()
    rows = []
    for number, (event_ns, draw) in enumerate(zip(times, draws, strict=True)):
        about = sorted({names[draw[0] % len(names)], names[draw[1] % len(names)]})
        if number % _NOBODY == 1:
            about = []
        # The venue's times of news have whole seconds.
        created_ns = event_ns // NS_PER_S * NS_PER_S
        rows.append(_article(number, about, created_ns, 1 + draw[2] % _PARAGRAPHS_MAX))
    again = [dict(row) for row in rows[::_AGAIN]]
    for number, row in enumerate(again):
        row["headline"] += " (updated)"
        row["content"] += _PARAGRAPH
        row["updated_ns"] = times[-1] // NS_PER_S * NS_PER_S + (1 + number) * NS_PER_S
    rows += again
    for row in rows:
        row["event_ns"] = row["updated_ns"]
        row["symbol"] = row["symbols"][0] if row["symbols"] else ""
    return Tape({"news": pa.Table.from_pylist(rows, schema=COLUMNS["news"])}, NEWS.name)


def _article(number: int, about: list[str], created_ns: int, paragraphs: int) -> dict[str, Any]:
    article_id = _FIRST_ID + number
    return {
        "id": article_id,
        "headline": f'Article {number}: "{", ".join(about) or "the market"}" moves',
        "summary": "" if number % 3 else f"What moved, and why: №{number}",
        "author": _AUTHORS[number % len(_AUTHORS)],
        "source": "benzinga",
        "url": f"https://www.benzinga.com/news/{article_id}",
        "content": _PARAGRAPH * paragraphs,
        "symbols": about,
        "created_ns": created_ns,
        "updated_ns": created_ns + NS_PER_S * (number % 2),
    }
