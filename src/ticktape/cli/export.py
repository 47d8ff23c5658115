"""`ticktape export`: rows into files of one's own."""

from pathlib import Path
from typing import Annotated, Literal

import pyarrow.csv
import pyarrow.parquet
from cyclopts import Parameter

from ticktape.cli.asking import ask, for_csv
from ticktape.cli.terminal import print_json, print_line
from ticktape.errors import ConfigError, TableError
from ticktape.replay.places import open_run
from ticktape.replay.tail import connect_run
from ticktape.schemas import KINDS

_ORDER = "feed, epoch, seq, index"


def export(
    directory: Path,
    target: Path,
    /,
    *,
    kinds: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    where: str = "true",
    format: Literal["parquet", "csv"] = "parquet",
    json: bool = False,
) -> int:
    """Write tables, with the live tail, as one Parquet or CSV file per kind.

    Example: `ticktape export runs/demo out --kinds trades --where "symbol = 'IBM'"`

    Parameters
    ----------
    directory
        The run's directory.
    target
        A folder for the files; made if it is not there. Files of the same name are replaced.
    kinds
        Which tables, one or several; all that have rows when not given.
    where
        An SQL condition that every exported row must meet.
    format
        parquet or csv.
    json
        Print one JSON object instead.
    """
    wanted = kinds or list(KINDS)
    unknown = [kind for kind in wanted if kind not in KINDS]
    if unknown:
        raise ConfigError(
            [f"there is no kind {kind!r}" for kind in unknown], hint=f"Kinds: {', '.join(KINDS)}."
        )
    written: dict[str, int] = {}
    con = connect_run(open_run(directory))
    try:
        target.mkdir(parents=True, exist_ok=True)
        for kind in wanted:
            rows = ask(con, f"SELECT * FROM {kind} WHERE {where} ORDER BY {_ORDER}")
            if not rows.num_rows and kinds is None:
                continue
            path = target / f"{kind}.{format}"
            fresh = path.with_name(path.name + ".new")
            if format == "csv":
                pyarrow.csv.write_csv(for_csv(rows), fresh)
            else:
                pyarrow.parquet.write_table(rows, fresh)
            fresh.replace(path)
            written[str(path)] = rows.num_rows
    except OSError as error:
        raise TableError(
            f"{target}: cannot be written ({error})", hint="Choose a folder that you may write to."
        ) from error
    finally:
        con.close()
    if json:
        print_json({"files": written})
    else:
        for name, count in written.items():
            print_line(f"{name}: {count:,} rows")
        if not written:
            print_line("nothing to export: no table has rows")
    return 0
