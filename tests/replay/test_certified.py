"""The upkeep process and the verb together: a day that is over gets its certificate."""

import threading

from ticktape.config import JournalConfig
from ticktape.journal.position_file import load_positions, save_positions
from ticktape.recorder import certifying, upkeep_child
from ticktape.recorder.task import UpkeepTask


class Parent:
    def __init__(self):
        self.leave = threading.Event()
        self.orphaned = False
        self.told = []

    def listen(self, on_leave=None, *, orphan_s=0.0):
        pass

    def tell(self, event, **content):
        self.told.append((event, content))
        if event in ("certified", "trouble"):
            self.leave.set()


def test_the_upkeep_process_has_it_made_by_the_verb_itself(made, monkeypatch):
    folder = made.directory
    monkeypatch.setattr(upkeep_child, "_LOOK_S", 0.05)
    monkeypatch.setattr(certifying, "_LOOK_NS", 0)
    positions, _ = load_positions(folder.reader_file("table"))
    save_positions(folder.reader_file("ledger"), positions)
    parent = Parent()
    task = UpkeepTask("run", str(folder.root), ["sip"], ["sip"], [], JournalConfig())
    assert upkeep_child.main(task, parent) == 0
    (content,) = [content for event, content in parent.told if event == "certified"]
    assert content["words"].startswith("2025-11-20: COMPLETE")
    assert (folder.certificates / f"{content['day']}.html").exists()
