"""The indexes of the chunks before: few, whole, and there as long as somebody asks them."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stentor.optouts.crew import Crew
from stentor.optouts.loading.earlier import MERGED_AT_ONCE, Earlier
from stentor.optouts.loading.manifest import Manifest
from stentor.optouts.runs.index import Digests, Index, IndexWriter

pytestmark = pytest.mark.anyio


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with Crew(memory_bytes=600_000_000, size=1) as crew:
        yield crew


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest(tmp_path)


def digests_of(number: int) -> list[bytes]:
    return [hashlib.md5(f"{number}.{each}".encode(), usedforsecurity=False).digest() for each in range(100)]


def write_chunk(manifest: Manifest, number: int) -> None:
    with IndexWriter(manifest.digests(number), "md5", 1, expected=100) as writer:
        writer.add(Digests.of(digests_of(number)).sorted())


def held(paths: list[Path]) -> set[bytes]:
    found: set[bytes] = set()
    for path in paths:
        index = Index(path)
        found |= {digest for part in index.parts(4096) for digest in part.as_bytes()}
        index.close()
    return found


def of_chunks(end: int) -> set[bytes]:
    return {digest for number in range(end) for digest in digests_of(number)}


async def test_eight_neighbours_become_one_index_that_holds_what_they_held(crew: Crew, manifest: Manifest):
    earlier = Earlier(manifest, crew, "md5", 1)
    for number in range(2 * MERGED_AT_ONCE + 1):
        write_chunk(manifest, number)
    # Chunks are not done in their order.
    for number in [1, 0, *range(2, MERGED_AT_ONCE + 3)]:
        await earlier.add(number)

    assert earlier.files(MERGED_AT_ONCE + 3) == [
        manifest.merged(0),
        *(manifest.digests(MERGED_AT_ONCE + number) for number in range(3)),
    ]
    assert held(earlier.files(MERGED_AT_ONCE + 3)) == of_chunks(MERGED_AT_ONCE + 3)
    assert not manifest.digests(0).exists()


async def test_what_a_chunk_asks_stays_until_it_has_asked(crew: Crew, manifest: Manifest):
    earlier = Earlier(manifest, crew, "md5", 1)
    for number in range(MERGED_AT_ONCE):
        write_chunk(manifest, number)
    for number in range(MERGED_AT_ONCE - 1):
        await earlier.add(number)

    with earlier.asked(MERGED_AT_ONCE - 1) as files:
        await earlier.add(MERGED_AT_ONCE - 1)
        assert held(list(files)) == of_chunks(MERGED_AT_ONCE - 1)

    assert not any(path.exists() for path in files)
    assert held(earlier.files(MERGED_AT_ONCE)) == of_chunks(MERGED_AT_ONCE)


async def test_a_chunk_is_not_told_of_an_index_that_holds_its_own_digests(crew: Crew, manifest: Manifest):
    earlier = Earlier(manifest, crew, "md5", 1)
    for number in range(MERGED_AT_ONCE):
        write_chunk(manifest, number)
    with earlier.asked(MERGED_AT_ONCE - 2) as asked:
        for number in range(MERGED_AT_ONCE):
            await earlier.add(number)

        assert manifest.merged(0).exists()
        assert held(list(asked)) == of_chunks(MERGED_AT_ONCE - 2)


async def test_whoever_goes_on_takes_over_what_was_merged(crew: Crew, manifest: Manifest):
    first = Earlier(manifest, crew, "md5", 1)
    for number in range(MERGED_AT_ONCE + 1):
        write_chunk(manifest, number)
        await first.add(number)
    # Killed before it was cleared away.
    write_chunk(manifest, 0)

    second = Earlier(manifest, crew, "md5", 1)
    second.found(range(MERGED_AT_ONCE + 1))

    assert second.files(MERGED_AT_ONCE + 1) == [manifest.merged(0), manifest.digests(MERGED_AT_ONCE)]
    assert not manifest.digests(0).exists()


async def test_eight_that_were_done_and_not_merged_are_asked_one_by_one(crew: Crew, manifest: Manifest):
    for number in range(MERGED_AT_ONCE):
        write_chunk(manifest, number)

    earlier = Earlier(manifest, crew, "md5", 1)
    earlier.found(range(MERGED_AT_ONCE))

    assert held(earlier.files(MERGED_AT_ONCE)) == of_chunks(MERGED_AT_ONCE)
