"""A stream of bytes becomes lines and blocks, whatever its line ends and however it arrives."""

import itertools
import tracemalloc
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.audience.lines import (
    BLOCK_BYTES,
    BLOCK_LINES,
    LINE_BYTES_MAX,
    Block,
    BlockReader,
    LineSplitter,
    Overlong,
    size_of,
)

BYTES = st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"\xc3\xa4", b""]), max_size=30).map(b"".join)


def split(chunks: Sequence[bytes]) -> list[bytes]:
    splitter = LineSplitter()
    found = [line for chunk in chunks for line in splitter.feed(chunk)]
    return found + splitter.close()


@given(content=BYTES, cuts=st.lists(st.integers(0, 60)))
def test_lines_are_the_same_however_the_bytes_arrive(content: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})

    chunks = [content[start:end] for start, end in itertools.pairwise(edges)]

    assert split(chunks) == content.splitlines(keepends=True)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1000, LINE_BYTES_MAX, 3 * LINE_BYTES_MAX])
def test_a_line_over_the_limit_is_one_line_of_its_size(end: bytes, size: int):
    content = b"first" + end + b"x" * (LINE_BYTES_MAX + 1) + end + b"y" * LINE_BYTES_MAX + end + b"last"

    lines = split([content[start : start + size] for start in range(0, len(content), size)])

    assert [type(line) for line in lines] == [bytes, Overlong, bytes, bytes]
    assert size_of(lines[1:2]) == LINE_BYTES_MAX + 1 + len(end)
    assert (size_of(lines), lines[3]) == (len(content), b"last")


def test_a_hundred_megabytes_in_one_line_take_no_more_memory_than_the_limit():
    splitter = LineSplitter()
    chunk = b"x" * 65_536

    tracemalloc.start()
    for _ in range(1600):
        assert splitter.feed(chunk) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    [line, rest] = [*splitter.feed(b"\nrest"), *splitter.close()]
    assert peak < 2 * LINE_BYTES_MAX
    assert (size_of([line]), rest) == (1600 * 65_536 + 1, b"rest")


async def chunks_of(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def blocks(content: bytes, size: int, *, offset: int = 0, lines_before: int = 0) -> list[Block]:
    reader = BlockReader(chunks_of(content[offset:], size), offset=offset, lines_before=lines_before)
    found: list[Block] = []
    while block := await reader.block():
        found.append(block)
        reader.advance(len(block.lines))
    assert reader.offset == len(content)
    return found


@pytest.mark.anyio
async def test_blocks_are_the_same_however_the_bytes_arrive_and_wherever_reading_begins():
    wide = b"w" * (LINE_BYTES_MAX // 2) + b"\n"
    content = b"narrow\n" * (BLOCK_LINES + 10) + wide * 20 + b"x" * (2 * LINE_BYTES_MAX) + b"\n" + b"tail\r\n" * 50

    whole = await blocks(content, 1 << 20)

    for size in (1000, 65_536, 3 << 20):
        assert await blocks(content, size) == whole
    assert [len(block.lines) for block in whole[:2]] == [BLOCK_LINES, 10 + 8]
    assert all(size_of(block.lines) <= BLOCK_BYTES + 2 * LINE_BYTES_MAX + 1 for block in whole)
    assert [block.is_last for block in whole] == [False] * (len(whole) - 1) + [True]
    for place, block in enumerate(whole):
        rest = await blocks(content, 1 << 20, offset=block.offset, lines_before=block.first_line - 1)
        assert rest == whole[place:]


@pytest.mark.anyio
async def test_an_empty_stream_has_no_block():
    assert await blocks(b"", 10) == []
