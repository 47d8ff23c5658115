"""Tables that were compacted are what the journals say, bit for bit."""

from ticktape.replay.rebuild import check_again
from ticktape.replay.states import SAME
from ticktape.replay.tail import connect_run
from ticktape.table import compact
from ticktape.table.store import TableStore

QUERY = "SELECT * FROM trades ORDER BY epoch, seq, index"


def test_a_compacted_run_is_derived_again_the_same_and_sql_says_the_same(
    made, tmp_path, monkeypatch
):
    monkeypatch.setattr(compact, "FILES_MIN", 2)
    monkeypatch.setattr(compact, "_LOOK_NS", 0)
    folder = made.directory
    made.record([[b'[{"T":"t","S":"IBM","i":7,"x":"N","p":1.5,"s":1,"t":"2025-11-20T15:00:09Z"}]']])
    made.decide("run-1", 1)
    made.store()
    with connect_run(folder) as con:
        before = con.execute(QUERY).fetchall()
    files = TableStore(folder.root, read_only=True).files("trades")
    compactor = compact.Compactor(TableStore(folder.root))
    while compactor.step():
        pass
    assert len(TableStore(folder.root, read_only=True).files("trades")) < len(files)
    with connect_run(folder) as con:
        assert con.execute(QUERY).fetchall() == before
    (scratch := tmp_path / "again").mkdir()
    assert check_again(folder, scratch, lambda *_: None).state == SAME
