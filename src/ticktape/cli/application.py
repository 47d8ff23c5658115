"""The command `ticktape`, put together from its verbs."""

from cyclopts import App

from ticktape import __version__
from ticktape.cli.check import check
from ticktape.cli.demo import demo
from ticktape.cli.export import export
from ticktape.cli.prepare import doctor, init
from ticktape.cli.query import last, sql
from ticktape.cli.record import record
from ticktape.cli.replaying import replay
from ticktape.cli.sim import sim_app
from ticktape.cli.tracing import latency, trace

app = App(
    name="ticktape",
    version=__version__,
    help=(
        "Record market data so that nothing is lost, use it at once, and prove both.\n\n"
        "Begin with `ticktape demo`: it needs no key and no network. Then `ticktape init` "
        "writes a config, `ticktape doctor` looks at your machine and keys, and "
        "`ticktape record` records.\n\n"
        "Exit codes: 0 complete, 1 INCOMPLETE, 2 config, 3 journal, 70 our bug."
    ),
)
for verb in (demo, init, doctor, record, check, sql, last, trace, latency, replay, export):
    app.command(verb)
app.command(sim_app, name="sim")
