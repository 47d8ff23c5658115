"""`ticktape init`: a config to begin with."""

import sys
from pathlib import Path

from ticktape.cli.terminal import print_json, print_line
from ticktape.config import default_toml
from ticktape.errors import ConfigError


def init(
    config: Path = Path("ticktape.toml"),
    /,
    *,
    test: bool = False,
    mt5: bool = False,
    json: bool = False,
) -> int:
    """Write a commented config to begin with.

    Parameters
    ----------
    config
        The file to write; an existing one is never replaced.
    test
        For Alpaca's test stream, which sends made-up data around the clock.
    mt5
        For a MetaTrader 5 terminal: its order books and ticks.
    json
        Print one JSON object instead.
    """
    if test and mt5:
        raise ConfigError(
            ["--test and --mt5 are of two venues"], hint="Say one; a config may have both feeds."
        )
    try:
        with open(config, "x", encoding="utf-8") as target:
            directory = "tape-test" if test else "tape"  # a run keeps the feeds that it began with
            target.write(default_toml(directory=directory, test=test, mt5=mt5))
    except FileExistsError as error:
        raise ConfigError(
            [f"{config} exists; it is left alone"], hint="Name another: ticktape init other.toml"
        ) from error
    except OSError as error:
        raise ConfigError(
            [f"{config}: cannot be written ({error.strerror})"], hint="Choose another folder."
        ) from error
    if json:
        print_json({"written": str(config)})
        return 0
    words = _MT5 if mt5 else _TEST if test else _IEX
    print_line(f"{config} written: {words}. Every other key stands in it as a comment.")
    print_line("Next:")
    for line in _next_mt5() if mt5 else ["export APCA_API_KEY_ID=… APCA_API_SECRET_KEY=…"]:
        print_line(f"  {line}")
    print_line(f"  ticktape doctor {config}")
    print_line(f"  ticktape record {config}")
    return 0


def _next_mt5() -> list[str]:
    probed = ["ticktape probe mt5", "put your symbols, and what the probe says, into it"]
    if sys.platform == "win32":
        return ["pip install 'ticktape[mt5]'", *probed]
    # The package is made for Windows alone: elsewhere the terminal is behind a bridge.
    bridge = "rpyc://127.0.0.1:18812"
    return [
        "pip install 'ticktape[mt5-linux]', and start the bridge (docs/how-to/record-mt5-wine.md)",
        f"{probed[0]} --terminal {bridge}",
        f'{probed[1]}, with terminal = "{bridge}"',
    ]


_IEX = "it records AAPL and TSLA from Alpaca's free IEX feed"
_TEST = "it records Alpaca's test stream, open day and night"
_MT5 = "it records EURUSD from the MetaTrader 5 of this machine"
