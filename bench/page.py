"""The figures as a page of Markdown: per question what was asked, how, on what, and the tables."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from bench.figures import text_of

_HEAD = """# Speed

Where ticktape stands against plain floors and against peers. Every side of a question runs in turn
on one machine (A B A B), and the tables show medians and the medians of the ratios pair by pair.
Machines drift: **take ratios, from one table only**. Written by
`python -m bench --write docs/reference/speed.md`; `make bench` asks all questions on your machine,
`make bench Q=capture` one.
"""


def page(answers: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of all answers, in their order."""
    parts = [_HEAD]
    for question, answer in answers.items():
        title, _, rest = str(answer["question"]).strip().partition("\n")
        parts.append(f"## {question}\n\n**{title}**\n\n{rest.strip()}\n")
        parts += [_table(rows) for rows in _alike(answer["rows"])]
        parts.append(f"{_taken(answer)}\n")
    return "\n".join(parts)


def _taken(answer: Mapping[str, Any]) -> str:
    facts, conditions = answer["machine"], answer["conditions"]
    words = [
        f"{facts['cpus']} CPUs ({facts['cpu']})",
        f"Python {facts['python']}",
        *(f"{name} {version}" for name, version in facts["packages"].items()),
        f"commit {facts['commit'] or 'unknown'}",
        str(facts["at"])[:10],
        f"load before it {facts['load_1m'] or 0:.1f}",
        *(f"{name} {value}" for name, value in conditions.items()),
    ]
    return f"*{', '.join(words)}.*"


def _alike(rows: Sequence[Mapping[str, object]]) -> list[list[Mapping[str, object]]]:
    """Rows in groups of those that have the same columns."""
    return [list(group) for _, group in groupby(rows, lambda row: tuple(row))]


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    names = list(rows[0])
    lines = [names, ["--:" if _is_number(rows, name) else "---" for name in names]]
    lines += [[text_of(row[name]) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _is_number(rows: Sequence[Mapping[str, object]], name: str) -> bool:
    return any(isinstance(row[name], int | float) for row in rows)
