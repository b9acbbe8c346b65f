"""Digests and indexes of them, for tests."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from stentor.optouts.runs.index import Digests, IndexWriter

FULL = (1 << 64) - 1

# Few bits, and their extremes: so that digests share numbers, blocks have edges, and the padding has a double.
halves = st.one_of(
    st.integers(0, FULL), st.integers(0, 3), st.integers(FULL - 3, FULL), st.integers(0, 255).map(lambda n: n << 56)
)
digests = st.tuples(halves, halves).map(lambda pair: pair[0].to_bytes(8, "little") + pair[1].to_bytes(8, "little"))


def in_order(digest: bytes) -> tuple[int, int]:
    """What an index sorts by."""
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def random_digests(count: int, seed: int = 1) -> Digests:
    numbers = np.random.default_rng(seed).integers(0, FULL, size=(2, count), dtype=np.uint64, endpoint=True)
    return Digests(numbers[0], numbers[1]).sorted()


def written(path: Path, held: Digests, *, part: int = 1 << 20, expected: int | None = None) -> Path:
    with IndexWriter(path, "md5", 7, expected=len(held) if expected is None else expected) as writer:
        for begin in range(0, len(held), part):
            writer.add(held.part(begin, min(begin + part, len(held))))
    return path
