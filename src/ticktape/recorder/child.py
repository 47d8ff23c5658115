"""The entry of every child process: read the task, do it, leave with a code.

What a role needs is imported only when the task is known, so that a capture process holds no table
and no strategy.
"""

import os
import sys
import traceback

from ticktape import failpoints
from ticktape.errors import EXIT_BUG, TickTapeError
from ticktape.recorder.cpus import confine
from ticktape.recorder.heap import keep_freed
from ticktape.recorder.parent import Parent
from ticktape.recorder.task import (
    CaptureTask,
    DecideTask,
    HealTask,
    LastTask,
    LedgerTask,
    Task,
    UpkeepTask,
)


def _run(task: Task, parent: Parent) -> int:
    if isinstance(task, CaptureTask):
        from ticktape.recorder import capture_child

        return capture_child.main(task, parent)
    if isinstance(task, LastTask):
        from ticktape.recorder import last_child

        return last_child.main(task, parent)
    if isinstance(task, DecideTask):
        from ticktape.recorder import decide_child

        return decide_child.main(task, parent)
    if isinstance(task, LedgerTask):
        from ticktape.recorder import ledger_child

        return ledger_child.main(task, parent)
    if isinstance(task, HealTask):
        from ticktape.recorder import heal_child

        return heal_child.main(task, parent)
    if isinstance(task, UpkeepTask):
        from ticktape.recorder import upkeep_child

        return upkeep_child.main(task, parent)
    from ticktape.recorder import table_child

    return table_child.main(task, parent)


def main() -> int:
    """Run one child; its exit code."""
    failpoints.claim(sys.argv[1])
    confine(*sys.argv[2:])
    keep_freed()
    parent = Parent()
    try:
        return _run(parent.task(), parent)
    except TickTapeError as error:
        parent.tell("failed", words=str(error.args[0]), hint=error.hint)
        return error.exit_code
    except Exception:  # noqa: BLE001 - the last frame of a process: say it, then leave with 70
        traceback.print_exc()
        parent.tell("failed", words=traceback.format_exc(limit=-1).strip(), hint="")
        return EXIT_BUG
    finally:
        parent.close()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # deltalake's threads end a process in SIGABRT now and then at interpreter exit (measured 1 in
    # 23); everything is closed by now.
    os._exit(code)
