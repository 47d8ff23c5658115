"""`ticktape init`: a config to begin with."""

from pathlib import Path

from ticktape.cli.terminal import print_json, print_line
from ticktape.config import default_toml
from ticktape.errors import ConfigError


def init(config: Path = Path("ticktape.toml"), /, *, test: bool = False, json: bool = False) -> int:
    """Write a commented config to begin with.

    Parameters
    ----------
    config
        The file to write; an existing one is never replaced.
    test
        For Alpaca's test stream, which sends made-up data around the clock.
    json
        Print one JSON object instead.
    """
    try:
        with open(config, "x", encoding="utf-8") as target:
            target.write(default_toml(test=test))
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
    print_line(f"{config} written: {_WORDS[test]}. Every other key stands in it as a comment.")
    print_line("Next:")
    print_line("  export APCA_API_KEY_ID=… APCA_API_SECRET_KEY=…")
    print_line(f"  ticktape doctor {config}")
    print_line(f"  ticktape record {config}")
    return 0


_WORDS = {
    True: "it records Alpaca's test stream, open day and night",
    False: "it records AAPL and TSLA from Alpaca's free IEX feed",
}
