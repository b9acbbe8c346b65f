"""The digest indexes of a load's chunks, made one. In children."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from stentor.optouts.crew import Crew
from stentor.optouts.hashing import HashName
from stentor.optouts.runs.index import SharedIndex
from stentor.optouts.runs.merging import SOURCES_MAX, Source, merge_runs, merge_share, shares_of

# What fits into a core's cache is merged in half the time.
_IN_MEMORY = 1 << 18


def merge_chunks(chunks: Sequence[Path], target: Path, hash_name: HashName, generation: int) -> None:
    """Makes one index of those of chunks; nothing where whoever worked here before made it."""
    if not target.exists():
        merge_runs(
            [Source(path, generation) for path in chunks], (), target, hash_name, generation, in_memory=_IN_MEMORY
        )


async def make_run(
    crew: Crew, chunks: Sequence[Path], target: Path, hash_name: HashName, generation: int, *, shares: int
) -> None:
    """As `merge_chunks`, of any number of chunks that have no digest in common, by so many children at once."""
    if target.exists():  # noqa: ASYNC240  as short as any look at a directory
        return
    left = list(chunks)
    while len(left) > SOURCES_MAX:
        merged = target.with_name(f"{len(left):06}.merged-again")
        await crew.call(merge_chunks, left[:SOURCES_MAX], merged, hash_name, generation)
        left = [*left[SOURCES_MAX:], merged]
    if len(left) == 1:
        try:
            # Under both names: whoever begins again looks for the chunk.
            os.link(left[0], target)
        except OSError:
            # Some file systems have no second names.
            await crew.call(merge_chunks, left, target, hash_name, generation)
        return
    parts = await crew.call(shares_of, left, shares)
    index = SharedIndex(target, parts[-1].end)
    await crew.call(index.begin)
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(crew.call(merge_share, left, part, index, hash_name, _IN_MEMORY))
    await crew.call(index.complete, hash_name, generation, [part.begin for part in parts])
