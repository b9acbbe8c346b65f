"""Indexes stay open for those who ask them, and no longer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import pytest

from stentor.domain.ids import new_id
from stentor.optouts.hashing import digest_of
from stentor.optouts.names import index_name
from stentor.optouts.runs.holders import Indexes, IndexesNeeded
from stentor.optouts.runs.index import Digests, IndexWriter
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio


class Files:
    """A directory of indexes; `held` are those that somebody keeps open."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.held: set[str] = set()
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


async def test_within_that_time_it_stays(tmp_path: Path):
    files = Files(tmp_path)
    runs = [files.made() for _ in range(3)]
    indexes = Indexes(files)

    for run_id in runs:
        await asked(indexes, run_id)
        await asked(indexes, run_id)

    assert files.held == {index_name(run_id) for run_id in runs}
    await indexes.aclose()
