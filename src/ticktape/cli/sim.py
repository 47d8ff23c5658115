"""The verb `sim`: venues on this machine, speaking the real protocols.

Works by itself, too: `python -m ticktape.cli.sim alpaca`, `python -m ticktape.cli.sim mt5 DIR`.
"""

import sys

from cyclopts import App, Parameter

from ticktape.cli import sim_alpaca, sim_mt5
from ticktape.errors import EXIT_BUG, TickTapeError

sim_app = App(name="sim", help="Venues on this machine that speak the real protocol.")
for _name, _verb, _module in (
    ("alpaca", sim_alpaca.alpaca, sim_alpaca),
    ("mt5", sim_mt5.mt5, sim_mt5),
):
    sim_app.command(
        _verb,
        name=_name,
        help=_module.HELP,
        help_epilogue=_module.EXAMPLES,
        default_parameter=Parameter(negative=()),
    )


def main() -> int:
    """Run `sim_app` as a program of its own; return its exit code."""
    try:
        code = sim_app(sys.argv[1:], result_action="return_value")
    except TickTapeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return code if isinstance(code, int) else EXIT_BUG


if __name__ == "__main__":
    sys.exit(main())
