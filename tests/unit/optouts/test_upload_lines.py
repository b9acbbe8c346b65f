"""What strangers send is made into lines, whatever they wrote it with; what would harm is refused with a sentence."""

import codecs
import copy
import gzip
import hashlib
import io
import itertools
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from stentor.optouts.loading.inflate import RATIO_AT_BYTES, Encoding, Inflater, Unreadable
from stentor.optouts.loading.layout import read_header
from stentor.optouts.loading.lines import LONG, MARK, Lines, trimmed
from stentor.optouts.loading.splitting import Chunk, Splitter

FILE = b"ann@example.com\nben@example.com\n"


def gz(data: bytes) -> bytes:
    # Without the time, by which xdist's processes would disagree on what is tested.
    return gzip.compress(data, mtime=0)


def lines_of(*pieces: bytes) -> list[bytes]:
    lines = Lines()
    text = b"".join([*map(lines.feed, pieces), lines.end()])
    assert text.endswith(b"\n") or not text
    return text.split(b"\n")[:-1]


def split(tmp_path: Path, *pieces: bytes, first_chunk: int = 0, chunk_lines: int = 1000) -> list[Chunk]:
    splitter = Splitter(tmp_path, first_chunk=first_chunk, chunk_lines=chunk_lines)
    chunks = [chunk for piece in pieces for chunk in splitter.feed(piece)]
    return [*chunks, *splitter.end()]


def text_of(tmp_path: Path, *pieces: bytes) -> bytes:
    return b"".join(chunk.path.read_bytes() for chunk in split(tmp_path, *pieces))


@pytest.mark.fault("F17")
@given(st.text(alphabet="ab\r\n \x00é", max_size=60), st.lists(st.integers(0, 80), max_size=6))
def test_lines_are_the_same_wherever_the_pieces_of_a_file_end(text: str, cuts: list[int]):
    text = f"first\n{text}"
    data = text.encode()
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[begin:end] for begin, end in itertools.pairwise(places)]
    expected = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")

    assert lines_of(*pieces) == [line.replace("\x00", MARK.decode()).encode() for line in expected]


@pytest.mark.fault("F17")
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-16-be-bom"])
def test_files_of_all_systems_become_the_same_lines(end: bytes, encoding: str):
    text = FILE.replace(b"\n", end).decode() + "cä@example.com"
    data = codecs.BOM_UTF16_BE + text.encode("utf-16-be") if encoding == "utf-16-be-bom" else text.encode(encoding)

    for size in (1, 7, len(data)):
        pieces = [data[begin : begin + size] for begin in range(0, len(data), size)]
        assert lines_of(*pieces) == [b"ann@example.com", b"ben@example.com", "cä@example.com".encode()]


@pytest.mark.fault("F17")
def test_mixed_line_ends_part_lines_alike():
    assert lines_of(b"a\r\nb\nc\rd\r\r\ne") == [b"a", b"b", b"c", b"d", b"", b"e"]


@pytest.mark.fault("F17")
def test_a_line_of_a_hundred_megabytes_is_passed_over_without_being_held():
    lines = Lines()
    piece = b"x" * (1 << 20)
    blocks = [lines.feed(b"ann@example.com\n")]
    for _ in range(100):
        blocks.append(lines.feed(piece))
        assert len(lines._tail) < 1 << 20
    blocks += [lines.feed(b"x\nben@example.com\n"), lines.end()]

    assert b"".join(blocks).split() == [b"ann@example.com", LONG, b"ben@example.com"]


def test_a_long_line_inside_a_piece_is_passed_over_too():
    assert lines_of(b"a\n" + b"x" * 200_000 + b"\nb\n") == [b"a", LONG, b"b"]


@pytest.mark.fault("F17")
def test_a_file_that_ends_in_a_long_line_ends():
    assert lines_of(b"a\n", b"x" * 200_000, b"x") == [b"a", LONG]


@pytest.mark.fault("F17")
def test_broken_bytes_are_marked_and_the_lines_around_them_are_whole():
    assert lines_of(b"a\xff\nb\0c\nd\n") == [b"a" + MARK, b"b" + MARK + b"c", b"d"]
    assert lines_of(codecs.BOM_UTF16_LE + "a\n".encode("utf-16-le") + b"\x00\xd8\n\x00b") == [b"a", MARK, MARK]


def test_a_character_that_somebody_else_lost_is_text():
    assert lines_of("a\ufffd\n".encode()) == ["a\ufffd".encode()]


def test_lines_are_trimmed_and_none_is_lost(tmp_path: Path):
    text = text_of(tmp_path, b"  ann@example.com \n", b"\t\n \n\nben@example.com\t\n", b" x")

    assert text == b"ann@example.com\n\n\n\nben@example.com\nx\n"


@pytest.mark.fault("F17")
def test_lines_full_of_spaces_are_trimmed_as_fast_as_others():
    block = b" a\n" + (b"x" + b" " * 60_000 + b"x\n") * 16
    begun = time.perf_counter()

    assert trimmed(block).startswith(b"a\nx  ")

    # By an expression that looks for the end of them from each space it took four minutes.
    assert time.perf_counter() - begun < 5


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize(
    "data",
    [
        gz(FILE),
        gz(FILE[:20]) + gz(FILE[20:]) + bytes(512),
        zstd(FILE),
        zstd(FILE[:20]) + zstd(FILE[20:]),
        b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstd(FILE),
    ],
    ids=range(5),
)
def test_what_is_compressed_is_opened_however_it_comes(tmp_path: Path, data: bytes):
    for size in (1, 5, len(data)):
        pieces = [data[begin : begin + size] for begin in range(0, len(data), size)]
        assert text_of(tmp_path, *pieces) == FILE


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("list.txt", data)
    return file.getvalue()


def overlapping(data: bytes) -> bytes:
    """A zip archive in which a thousand names share the same compressed bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("list.txt", data)
        for number in range(1_000):
            again = copy.copy(archive.filelist[0])
            again.filename = f"list{number}.txt"
            archive.filelist.append(again)
    return file.getvalue()


def tarred(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("list.txt")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.fault("F18")
@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (tarred(FILE), "tar archive"),
        (gz(tarred(FILE)), "tar archive"),
        (zipped(FILE), "zip archive"),
        (gz(zipped(FILE)), "zip archive"),
        (overlapping(FILE), "zip archive"),
        (gz(overlapping(FILE)), "zip archive"),
        (gz(gz(FILE)), "gzip file inside another"),
        (zstd(gz(FILE)), "gzip file inside another"),
        (b"PAR1" + bytes(100), "Parquet"),
        (b"BZh91AY&SY" + bytes(100), "bzip2"),
        (FILE.decode().encode("utf-32"), "UTF-32"),
        (gz(FILE)[:-10], "cut short"),
        (zstd(FILE)[:-3], "cut short"),
        (gz(FILE)[:-8] + bytes(8), "damaged"),
        (zstd(FILE)[:12] + b"\xff" * 40, "damaged"),
        (gz(FILE) + b"rubbish behind it", "damaged"),
    ],
    ids=range(16),
)
def test_what_cannot_be_read_is_refused_with_a_sentence(tmp_path: Path, data: bytes, sentence: str):
    with pytest.raises(Unreadable, match=sentence):
        split(tmp_path, data)


@pytest.mark.fault("F18")
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_stopped_before_it_has_swollen(encoding: Encoding):
    block = bytes(64 << 20)
    data = gz(block) * 20 if encoding == "gzip" else zstd(block) * 20
    inflater = Inflater(encoding)
    came: list[int] = []

    def open_all() -> None:
        for begin in range(0, len(data), 1 << 20):
            came.extend(len(piece) for piece in inflater.feed(data[begin : begin + (1 << 20)]))

    with pytest.raises(Unreadable, match="times its size"):
        open_all()

    assert sum(came) <= RATIO_AT_BYTES + (160 << 20)


@pytest.mark.fault("F18")
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_file_that_swells_slowly_has_an_end_too(encoding: Encoding):
    # A few times as large as the file: nothing that a ratio would stop.
    text = b"".join(b"person%d@example.com\n" % number for number in range(100_000))
    data = gz(text) if encoding == "gzip" else zstd(text)
    whole = Inflater(encoding, inflated_bytes_max=len(text))
    inflater = Inflater(encoding, inflated_bytes_max=len(text) - 1)
    came: list[int] = []

    def open_all() -> None:
        for begin in range(0, len(data), 10_000):
            came.extend(len(piece) for piece in inflater.feed(data[begin : begin + 10_000]))

    with pytest.raises(Unreadable, match=f"More than {len(text) - 1:,} bytes come out of the file"):
        open_all()

    assert sum(came) < len(text)
    assert b"".join(whole.feed(data)) == text


@pytest.mark.fault("F18")
@pytest.mark.parametrize("member", [gz(b""), gz(b"a"), zstd(b"")], ids=range(3))
def test_a_file_of_nothing_but_beginnings_is_refused_at_once(tmp_path: Path, member: bytes):
    begun = time.perf_counter()

    with pytest.raises(Unreadable, match="pieces of a few bytes"):
        split(tmp_path, member * ((4 << 20) // len(member)))

    assert time.perf_counter() - begun < 5


def test_a_file_that_was_compressed_in_many_pieces_is_read(tmp_path: Path):
    data = gz(b"".join(hashlib.sha256(b"%d" % number).hexdigest().encode() + b"\n" for number in range(16)))
    lines = sum(chunk.lines for chunk in split(tmp_path, data * 10_050))

    assert lines == 16 * 10_050


@pytest.mark.fault("F18")
def test_a_frame_that_wants_two_gigabytes_of_memory_is_refused(tmp_path: Path):
    parameters = zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    # Its size unsaid, so that it says its window.
    stream = compressor.compressobj()
    data = stream.compress(FILE * 10) + stream.flush()

    with pytest.raises(Unreadable, match="more memory"):
        split(tmp_path, data)


@pytest.mark.fault("F17")
def test_the_same_file_gives_the_same_chunks_and_those_that_are_done_are_passed_over(tmp_path: Path):
    pieces = [b"".join(b"%d@example.com\n" % (number + piece * 50) for number in range(50)) for piece in range(6)]
    whole = split(tmp_path, *pieces, chunk_lines=100)
    files = {chunk.number: chunk.path.read_bytes() for chunk in whole}
    for chunk in whole:
        chunk.path.unlink()

    rest = split(tmp_path, *pieces, chunk_lines=100, first_chunk=2)

    assert rest == whole
    assert [(chunk.first_line, chunk.lines) for chunk in whole] == [(1, 100), (101, 100), (201, 100)]
    assert b"".join(files.values()) == b"".join(pieces)
    assert [chunk.path.exists() for chunk in rest] == [False, False, True]
    assert rest[2].path.read_bytes() == files[2]


def test_an_empty_file_has_no_chunks(tmp_path: Path):
    assert split(tmp_path) == split(tmp_path, b"") == split(tmp_path, gz(b"")) == []


@pytest.mark.parametrize(
    ("header", "delimiter", "columns"),
    [
        ("Email", ",", {"entry": 0}),
        ("id,E-Mail Address,Timestamp", ",", {"entry": 1, "at": 2}),
        ("md5;campaign;sub-affiliate;IP", ";", {"entry": 0, "campaign": 1, "sub_affiliate": 2, "ip": 3}),
        ('"phone"\t"date"', "\t", {"entry": 0, "at": 1}),
        ('email;"Name, first";"Name, last, or none"', ";", {"entry": 0}),
        ("email;last,first,title", ";", {"entry": 0}),
        ("email," + ",".join(f"a column with a long name {number}" for number in range(60)), ",", {"entry": 0}),
    ],
)
def test_a_header_says_where_the_addresses_are(header: str, delimiter: str, columns: dict[str, int]):
    layout = read_header(header)
    assert layout is not None
    assert (layout.header, layout.delimiter, layout.columns) == (header, delimiter, columns)


@pytest.mark.parametrize(
    "line", ["ann@example.com", "email@example.com,2024", "14155550123", "ab" * 16, "", "hello,world"]
)
def test_a_first_line_that_is_no_header_is_a_line_like_the_others(line: str):
    assert read_header(line) is None


@pytest.mark.parametrize("line", ["date,campaign", "email,md5", "email," + ",".join(f"c{n}" for n in range(100))])
def test_a_header_that_leaves_open_what_to_read_is_refused(line: str):
    with pytest.raises(Unreadable):
        read_header(line)


def test_lines_below_a_header_are_counted_from_two(tmp_path: Path):
    (chunk,) = split(tmp_path, b"email,date\nann@example.com,2024-01-01\n")

    assert (chunk.first_line, chunk.lines, chunk.path.read_bytes()) == (2, 1, b"ann@example.com,2024-01-01\n")
    assert chunk.layout is not None


@pytest.mark.fault("F17")
def test_a_file_of_more_lines_than_anybody_waits_for_is_refused_with_what_to_do(tmp_path: Path):
    splitter = Splitter(tmp_path, lines_max=5)

    with pytest.raises(Unreadable, match=r"more than 5 lines\. Send it in several files\."):
        list(itertools.chain(splitter.feed(b"a\n\n\n\n\n\n"), splitter.end()))

    few = Splitter(tmp_path, lines_max=5)
    assert [chunk.lines for chunk in itertools.chain(few.feed(b"a\n\n\n\n"), few.end())] == [4]
