"""Indexes stay open for those who ask them, and no longer."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from digest_indexes import random_digests, written
from stentor.domain.ids import new_id
from stentor.errors import Unavailable
from stentor.optouts.hashing import digest_of
from stentor.optouts.names import index_name
from stentor.optouts.runs.holders import Bounds, Indexes, IndexesNeeded
from stentor.optouts.runs.index import Digests, Index, IndexWriter, NotAtHand
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio


class Files:
    """A directory of indexes; `held` are those that somebody keeps open, `fetched` how many came, when they `may_come`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.held: set[str] = set()
        self.fetched = 0
        self.may_come = asyncio.Event()
        self.may_come.set()
        (root / "runs").mkdir()

    def made(self) -> UUID:
        """A run of one entry."""
        run_id = new_id()
        with IndexWriter(self._root / index_name(run_id), "md5", 1, expected=1) as writer:
            writer.add(Digests.of([digest_of("ann@example.com", "md5")]).sorted())
        return run_id

    @asynccontextmanager
    async def local(self, name: str) -> AsyncIterator[Path]:
        self.held.add(name)
        try:
            await self.may_come.wait()
            self.fetched += 1
            yield self._root / name
        finally:
            self.held.discard(name)


async def asked(indexes: Indexes, *run_ids: UUID) -> None:
    with suppress(IndexesNeeded):
        indexes.at_hand(run_ids)
        return
    await indexes.fetch(run_ids)


async def test_one_that_nobody_asks_any_more_is_let_go_while_others_are_asked(tmp_path: Path):
    files = Files(tmp_path)
    old, new, other = (files.made() for _ in range(3))
    indexes = Indexes(files, unasked_s=0.2)
    await asked(indexes, old, other)

    async def is_let_go() -> bool:
        await asked(indexes, new, other)
        return index_name(old) not in files.held

    await eventually(is_let_go)
    assert files.held == {index_name(new), index_name(other)}
    await indexes.aclose()
    assert files.held == set()


async def test_one_that_nobody_asks_any_more_is_let_go_when_nothing_is_asked_at_all(tmp_path: Path):
    files = Files(tmp_path)
    indexes = Indexes(files, unasked_s=0.05)
    await asked(indexes, files.made())
    await asked(indexes, files.made())

    async def all_are_let_go() -> bool:
        return not files.held

    await eventually(all_are_let_go)
    await indexes.aclose()


async def test_who_waits_no_longer_does_not_end_what_was_begun(tmp_path: Path):
    files = Files(tmp_path)
    run_id = files.made()
    indexes = Indexes(files)
    files.may_come.clear()

    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await indexes.fetch([run_id])
    waiting = [asyncio.create_task(indexes.fetch([run_id])) for _ in range(2)]
    files.may_come.set()

    (one, *_), (other, *_) = [held for held, _ in await asyncio.gather(*waiting)]
    assert one is other
    assert files.fetched == 1
    assert indexes.at_hand([run_id]) == {run_id: one}
    await indexes.aclose()


async def test_what_came_to_nothing_is_begun_anew(tmp_path: Path):
    files = Files(tmp_path)
    run_id = files.made()
    path = tmp_path / index_name(run_id)
    whole = path.read_bytes()
    indexes = Indexes(files)
    path.write_bytes(b"no index")

    for _ in range(2):
        with pytest.raises(Unavailable):
            await indexes.fetch([run_id])
    path.write_bytes(whole)

    assert (await indexes.fetch([run_id]))[1] == []
    await indexes.aclose()


async def test_at_its_end_nothing_is_under_way(tmp_path: Path):
    files = Files(tmp_path)
    indexes = Indexes(files)
    before = asyncio.all_tasks()
    files.may_come.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await indexes.fetch([files.made()])

    await indexes.aclose()

    assert files.held == set()
    assert asyncio.all_tasks() == before


async def test_within_that_time_it_stays(tmp_path: Path):
    files = Files(tmp_path)
    runs = [files.made() for _ in range(3)]
    indexes = Indexes(files)

    for run_id in runs:
        await asked(indexes, run_id)
        await asked(indexes, run_id)

    assert files.held == {index_name(run_id) for run_id in runs}
    await indexes.aclose()


def mapped_kb(path: Path) -> int:
    """How much of the file this process has in memory by mapping it."""
    mapped, is_its = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.partition(" ")[0]:
            is_its = line.endswith(str(path))
        elif is_its and line.startswith("Rss:"):
            mapped += int(line.split()[1])
    return mapped


@pytest.mark.parametrize("kept_kb", [0, 300, 1_000_000])
async def test_however_little_may_be_mapped_the_answers_are_those_of_the_whole(tmp_path: Path, kept_kb: int):
    files, run_id, held = Files(tmp_path), new_id(), random_digests(60_000)
    path = written(tmp_path / index_name(run_id), held)
    bounds = Bounds(kept_bytes=kept_kb << 10, part_bytes=100_000, small_bytes=0, give_back_after_s=0.05)
    indexes = Indexes(files, bounds=bounds)
    (index,), _ = await indexes.fetch([run_id])
    strangers, draw = random_digests(60_000, seed=2), np.random.default_rng(3)

    for count in (1, 30, 1_000, 20_000):
        places = draw.permutation(60_000)[:count]
        for known, is_held in ((held, True), (strangers, False)):
            asked = Digests(known.high[places], known.low[places])
            (found,) = await indexes.asked([index], asked)
            assert found.tolist() == [is_held] * count

    async def is_given_back() -> bool:
        return mapped_kb(path) == 0

    assert kept_kb == 0 or mapped_kb(path) > 0
    await eventually(is_given_back)
    await indexes.aclose()


async def test_what_is_not_in_memory_is_on_its_way_when_it_was_asked_for(tmp_path: Path):
    held = random_digests(60_000)
    path = written(tmp_path / "i", held)
    asked = Digests(held.high[:64], held.low[:64])
    index = Index(path)
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)

    async def is_there() -> bool:
        with suppress(NotAtHand):
            return bool(index.look_up(asked, waits=False).all())
        return False

    await eventually(is_there)
    index.close()
