"""A reader of the user's own: follows the run's trades from where it last stood, and keeps count.

A process: `month_reader.py TAPE PLACES`, until its standard input closes. PLACES is a JSON file
with where it stands and how many trades of which day it was given; replaced as a whole.
"""

import json
import os
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from ticktape.clock import NS_PER_S
from ticktape.errors import TickTapeError
from ticktape.records import Position
from ticktape.tape import open as open_tape

TURN_S = 1.0  # so long a turn of following lasts; then it is saved


def main(tape: Path, places: Path) -> None:
    """Follow, turn by turn, until nobody wants it any more."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    said = json.loads(places.read_bytes()) if places.exists() else {}
    start = {feed: Position(*place) for feed, place in said.get("start", {}).items()}
    days, fallen = Counter(said.get("days", {})), said.get("fallen", [])
    last = {feed: tuple(place) for feed, place in said.get("last", {}).items()}
    is_last = False
    while not is_last:
        is_last = over.is_set()  # one turn more, for what was written before
        try:
            with (
                open_tape(tape) as run,
                run.follow(kinds=("trades", "gaps"), start=start or 0, timeout_s=TURN_S) as follow,
            ):
                for record in follow:
                    place = record.epoch, record.seq, record.index
                    if record.kind == "trades":
                        # What was given of the block in hand is given again.
                        if record.witness == "stream" and place > last.get(record.feed, ()):
                            last[record.feed] = place
                            moment = datetime.fromtimestamp(record.event_ns // NS_PER_S, UTC)
                            days[f"{moment:%Y-%m-%d}"] += 1
                    elif "deleted" in record.cause:
                        fallen.append(record.cause)
                start = follow.positions
        except TickTapeError:
            over.wait(0.2)  # there is no run yet
            continue
        fresh = places.with_suffix(".new")
        fresh.write_text(json.dumps({"start": start, "last": last, "days": days, "fallen": fallen}))
        os.replace(fresh, places)
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
