"""The page on the format shows a whole segment: what the writer makes and the reader reads."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from ticktape import clock
from ticktape.journal.format import BLOCK_HEADER, SEGMENT_HEADER, unpack_segment_header
from ticktape.journal.reader import Reader
from ticktape.journal.sealed import FRAME, HEAD, HEAD_BYTES, parse_frame
from ticktape.journal.sealing import Sealer
from ticktape.journal.segments import list_segments
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.records import EntryKind

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "journal-format.md"
NAME = "000000-00000000000000000000.seg"
START_NS, START_MONO_NS = 1_381_262_340_000_000_000, 5_000_000_000
CONNECTED = b'[{"T":"success","msg":"connected"}]'
TRADE = b'[{"T":"t","i":349,"S":"IBM","p":184.66}]'


def bytes_of_page(mark="text"):
    """The bytes of a hex example; each line begins with its offset."""
    text = PAGE.read_text(encoding="utf-8")
    example = re.search(rf"```{mark}\n(0000  .*?)```", text, re.S).group(1)
    found = b""
    for line in example.splitlines():
        if match := re.match(
            r"([0-9a-f]{4})  ((?:[0-9a-f]{2} {1,2})*[0-9a-f]{2})(?: {2,}|$)", line
        ):
            assert int(match.group(1), 16) == len(found), line
            found += bytes.fromhex(match.group(2))
        else:
            assert not re.match(r"[0-9a-f]{4}", line), line
    return found


class Clock:
    """The clock of the example."""

    def monotonic_ns(self):
        return START_MONO_NS

    def wall_at(self, mono_ns):
        return START_NS + mono_ns - START_MONO_NS


@pytest.fixture
def written(journal, monkeypatch):
    """The folder of a journal that was written with the example's nonce, ids and stamps."""
    monkeypatch.setattr(clock, "boot_id", lambda: bytes(range(0xB0, 0xC0)))
    journal.disk.random_bytes = lambda count: bytes(
        range(0xA0, 0xA0 + count) if count == 8 else range(0xD0, 0xD0 + count)
    )
    with Writer(
        journal.directory,
        journal.positions_path,
        WriterConfig("os"),
        disk=journal.disk,
        wall=Clock(),
    ) as writer:
        mono_ns = START_MONO_NS + 1_000_000
        writer.append([CONNECTED], START_NS + 1_000_000, mono_ns, 1)
        said = b'{"event":"connected"}'
        kinds = [EntryKind.SESSION, EntryKind.TEXT]
        writer.append([said, TRADE], START_NS + 2_000_000, mono_ns + 1_000_000, 1, kinds=kinds)
    journal.expected = journal.entries()[0]
    return journal.directory


def test_the_example_is_what_the_writer_makes(written):
    assert bytes_of_page() == (written / NAME).read_bytes()


def test_the_example_reads_as_the_page_says(tmp_path):
    (tmp_path / NAME).write_bytes(bytes_of_page())
    header = unpack_segment_header(bytes_of_page()[:128], tmp_path / NAME)
    assert (header.epoch, header.base, header.first_seq) == (0, 0, 0)
    assert (header.created_ns, header.created_mono_ns) == (START_NS, START_MONO_NS)
    with Reader(tmp_path, None) as reader:
        first, second = reader.read()
        assert reader.damage == []
    assert first.entries() == [(EntryKind.TEXT, CONNECTED)]
    assert second.entries() == [
        (EntryKind.SESSION, b'{"event":"connected"}'),
        (EntryKind.TEXT, TRADE),
    ]
    assert (second.seq, second.count, second.session) == (1, 2, 1)
    assert second.recv_ns - first.recv_ns == second.recv_mono_ns - first.recv_mono_ns == 1_000_000


def test_the_sealed_example_gives_back_the_plain_one(tmp_path):
    (tmp_path / f"{NAME}.zst").write_bytes(bytes_of_page("text sealed"))
    (segment,) = list_segments(tmp_path)
    with segment.open() as file:
        assert file.read_at(1 << 20, 0) == bytes_of_page()
        assert file.has_index and file.damaged_frames() == []
        assert file.head.sha256 == sha256(bytes_of_page()).digest()


def test_the_sealed_example_is_what_the_sealer_makes_but_for_what_zstd_packs(tmp_path):
    (tmp_path / NAME).write_bytes(bytes_of_page())
    assert Sealer(tmp_path, None).seal_next() is not None
    made, shown = (tmp_path / f"{NAME}.zst").read_bytes(), bytes_of_page("text sealed")
    assert made[:HEAD_BYTES] == shown[:HEAD_BYTES]
    assert parse_frame(made, HEAD_BYTES)[:4] == parse_frame(shown, HEAD_BYTES)[:4]


@pytest.mark.parametrize(
    ("heading", "layout"),
    [
        ("## Segment header", SEGMENT_HEADER),
        ("## Block", BLOCK_HEADER),
        ("Head, 256 bytes", HEAD),
        ("Frame's head, 64 bytes", FRAME),
    ],
)
def test_the_tables_of_fields_are_what_the_code_packs(heading, layout):
    text = PAGE.read_text(encoding="utf-8")
    section = re.split(
        r"\n## |\nA segment's \*\*link|\nA frame ", text.split(f"\n{heading}", 1)[1]
    )[0]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (u16|u32|u64|\d+ bytes) \|", section, re.M)
    sizes = {"u16": 2, "u32": 4, "u64": 8}
    offset = 0
    codes = {2: "H", 4: "I", 8: "Q"}
    packed = "<"
    for at, _, kind in rows:
        assert int(at) == offset
        size = sizes[kind] if kind in sizes else int(kind.split()[0])
        packed += codes[size] if kind in sizes else f"{size}s"
        offset += size
    assert packed == layout.format


def test_every_kind_of_entry_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| ([A-Z]+) \|", text, re.M))
    assert {int(number): name for number, name in rows.items()} == {
        kind.value: kind.name for kind in EntryKind
    }
