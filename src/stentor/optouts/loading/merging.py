"""The digest indexes of a load's chunks, made one. In a child."""

import os
from collections.abc import Sequence
from pathlib import Path

from stentor.optouts.hashing import HashName
from stentor.optouts.runs.merging import SOURCES_MAX, Source, merge_runs

# What fits into a core's cache is merged in half the time.
_IN_MEMORY = 1 << 18


def merge_chunks(chunks: Sequence[Path], target: Path, hash_name: HashName, generation: int) -> None:
    """Makes one index of those of chunks; nothing where whoever worked here before made it."""
    if target.exists():
        return
    left = list(chunks)
    while len(left) > 1:
        now, left = left[:SOURCES_MAX], left[SOURCES_MAX:]
        merged = target.with_name(f"merged-{len(left)}.index") if left else target
        merge_runs([Source(path, generation) for path in now], (), merged, hash_name, generation, in_memory=_IN_MEMORY)
        left = [*left, merged] if left else []
    if left:
        # Under both names: whoever begins again looks for the chunk.
        os.link(left[0], target)
