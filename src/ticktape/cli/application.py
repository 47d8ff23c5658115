"""The command `ticktape`: its verbs, loaded only when they are asked for.

Nothing heavy may be imported here: `ticktape` alone answers at once.
"""

import sys

from cyclopts import App, CycloptsError, Parameter, UnknownCommandError

from ticktape import __version__
from ticktape.cli.terminal import errors, help_console

VERBS: dict[str, dict[str, tuple[str, str]]] = {
    "Begin": {
        "demo": ("ticktape.cli.demo:demo", "record a real tape from a simulated venue, prove it"),
        "init": ("ticktape.cli.prepare:init", "write a commented config"),
        "doctor": ("ticktape.cli.doctor:doctor", "look at this machine, the config and the keys"),
        "probe": ("ticktape.cli.probe:probe", "ask a MetaTrader 5 terminal what it can do"),
    },
    "Record": {
        "record": ("ticktape.cli.record:record", "record what a config says, then prove it"),
        "subscribe": ("ticktape.cli.subscribe:subscribe", "other symbols, while it records"),
        "heal": ("ticktape.cli.heal:heal", "what was missed, asked of the venue's history"),
        "seal": ("ticktape.cli.seal:seal", "closed segments packed to an eighth of their size"),
        "service": ("ticktape.cli.service:service", "a systemd unit that keeps it recording"),
    },
    "Ask": {
        "sql": ("ticktape.cli.query:sql", "tables and what is not yet in them, in SQL"),
        "last": ("ticktape.cli.last:last", "newest trade, quote and bar of each symbol"),
        "watch": ("ticktape.cli.watch:watch", "the run live in this terminal"),
        "dashboard": ("ticktape.cli.dashboard:dashboard", "the run in a browser: live or over"),
        "export": ("ticktape.cli.export:export", "rows as Parquet or CSV files"),
    },
    "Prove": {
        "check": ("ticktape.cli.check:check", "read everything: COMPLETE or INCOMPLETE, and why"),
        "certificate": ("ticktape.cli.certify:certificate", "a day's proof, as JSON and a page"),
        "rebuild": ("ticktape.cli.rebuild:rebuild", "tables made again from the journals; --check"),
        "latency": ("ticktape.cli.tracing:latency", "percentiles per stage, and the slowest"),
        "trace": ("ticktape.cli.tracing:trace", "one trade's way through every stage"),
        "replay": ("ticktape.cli.replaying:replay", "decide again, and compare with live"),
    },
    "Measure": {
        "lab": ("ticktape.cli.lab:lab_app", "which layout of processes misses least here"),
    },
    "Simulate": {
        "sim": ("ticktape.cli.sim:sim_app", "a venue on this machine, with the real protocol"),
    },
}
"""Group -> verb -> where it is, and what it does in one line; in the order one meets them."""


def _help() -> str:
    lines = ["Record market data so that nothing is lost, use it at once, and prove both."]
    for group, verbs in VERBS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {verb:12} {words}" for verb, (_, words) in verbs.items()]
    lines += [
        "",
        "Each verb has --help, and --json, which puts one JSON object on the last line.",
        "Exit: 0 complete, 1 INCOMPLETE, 2 command or config, 3 journal, 70 our bug.",
    ]
    return "\n".join(lines)


def _fault(error: CycloptsError) -> str:
    verb = " ".join(error.command_chain or ())
    words = str(error)
    token = (error.unused_tokens or [""])[0] if isinstance(error, UnknownCommandError) else ""
    if not verb and token not in ("", "help"):
        # cyclopts compares only with commands that its own help lists.
        from ticktape.config.reading import did_you_mean

        known = [each for verbs in VERBS.values() for each in verbs]
        words = words.removesuffix(".") + did_you_mean(token, known)
    return f"ticktape: {words}\n  → Run: ticktape {verb + ' ' if verb else ''}--help"


app = App(
    name="ticktape",
    usage="Usage: ticktape VERB …",
    version=__version__,
    help=_help(),
    help_format="plaintext",
    # Frames of lines are for people; a pipe gets plain words.
    help_formatter="default" if sys.stdout.isatty() else "plain",
    default_parameter=Parameter(negative=()),
    console=help_console,
    error_console=errors,
    error_formatter=_fault,
)
app["--help"].show = app["--version"].show = False
for _verbs in VERBS.values():
    for _verb, (_place, _) in _verbs.items():
        # The groups above list them, without loading them.
        _own = {} if _place.endswith("_app") else {"help_format": "markdown"}
        app.command(_place, name=_verb, show=False, **_own)
