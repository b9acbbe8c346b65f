"""What the chunks of a load had that are done: their digest indexes, of eight neighbours each made one.

Each chunk asks the indexes of all before it. Of the 40 chunks of 200 million lines that would be 800 indexes asked, and is 200.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stentor.db.home import sync_directory
from stentor.optouts.crew import Crew
from stentor.optouts.hashing import HashName
from stentor.optouts.loading import merging
from stentor.optouts.loading.manifest import Manifest

MERGED_AT_ONCE = 8


class Earlier:
    """The indexes in a workplace. A merged one replaces those it was made of once nobody asks them any more."""

    def __init__(self, manifest: Manifest, crew: Crew, hash_name: HashName, generation: int) -> None:
        self._manifest, self._crew = manifest, crew
        self._hash, self._generation = hash_name, generation
        self._done: set[int] = set()
        self._merged: set[int] = set()
        self._asked: Counter[Path] = Counter()
        self._replaced: set[Path] = set()

    def found(self, numbers: Iterable[int]) -> None:
        """Takes note of the chunks that whoever worked here before had done, and of what they had merged."""
        self._done.update(numbers)
        groups = {number // MERGED_AT_ONCE for number in self._done}
        self._merged.update(group for group in groups if self._manifest.merged(group).exists())
        for group in self._merged:
            self._replaced.update(map(self._manifest.digests, _members(group)))
        self._clear()

    async def add(self, number: int) -> None:
        """Takes note of a chunk that is done, and merges its eight when it was the last of them."""
        self._done.add(number)
        group = number // MERGED_AT_ONCE
        if not self._done.issuperset(_members(group)):
            return
        members = [self._manifest.digests(member) for member in _members(group)]
        await self._crew.call(merging.merge_chunks, members, self._manifest.merged(group), self._hash, self._generation)
        await asyncio.to_thread(sync_directory, self._manifest.directory)
        self._merged.add(group)
        self._replaced.update(members)
        self._clear()

    def files(self, before: int) -> list[Path]:
        """The indexes that hold all digests of the chunks with a number below that."""
        groups = [group for group in sorted(self._merged) if (group + 1) * MERGED_AT_ONCE <= before]
        covered = {number for group in groups for number in _members(group)}
        alone = [self._manifest.digests(number) for number in range(before) if number not in covered]
        return [*map(self._manifest.merged, groups), *alone]

    @contextmanager
    def asked(self, before: int) -> Iterator[Sequence[Path]]:
        """The same, which stay there inside the block."""
        files = self.files(before)
        self._asked.update(files)
        try:
            yield files
        finally:
            self._asked.subtract(files)
            self._clear()

    def _clear(self) -> None:
        for path in [path for path in self._replaced if not self._asked[path]]:
            path.unlink(missing_ok=True)
            self._replaced.discard(path)


def _members(group: int) -> range:
    return range(group * MERGED_AT_ONCE, (group + 1) * MERGED_AT_ONCE)
