"""Merged indexes hold what each of them held, without what was removed."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest_indexes import digests, in_order, random_digests, written
from stentor.optouts.runs.index import BadIndex, Digests, Index
from stentor.optouts.runs.merging import SOURCES_MAX, Removal, Source, merge_runs


def contents(path: Path) -> list[bytes]:
    with closing(Index(path)) as index:
        return [digest for part in index.parts(1 << 20) for digest in part.as_bytes()]


def sources_of(folder: Path, held: Sequence[tuple[set[bytes], int]]) -> list[Source]:
    return [
        Source(written(folder / str(number), Digests.of(each).sorted()), generation)
        for number, (each, generation) in enumerate(held)
    ]


# Few digests, so that several sources hold the same one and removals meet them.
@given(data=st.data(), among=st.sets(digests, min_size=1, max_size=40), in_memory=st.sampled_from([1, 7, 30, 1_000]))
def test_an_entry_is_merged_unless_it_was_removed_since_it_came(data: st.DataObject, among: set[bytes], in_memory: int):
    some = st.sampled_from(sorted(among))
    held = data.draw(st.lists(st.tuples(st.sets(some), st.integers(0, 5)), max_size=6))
    removals = data.draw(st.lists(st.builds(Removal, digest=some, generation=st.integers(0, 6)), max_size=20))

    with TemporaryDirectory() as folder:
        target = Path(folder) / "merged"
        count = merge_runs(sources_of(Path(folder), held), removals, target, "md5", 5, in_memory=in_memory)
        merged = contents(target)

    expected = {
        digest
        for each, generation in held
        for digest in each
        if not any(removal.digest == digest and removal.generation >= generation for removal in removals)
    }
    assert merged == sorted(expected, key=in_order)
    assert count == len(expected)


def test_large_and_small_ones_come_together_in_small_windows(tmp_path: Path):
    everything = random_digests(50_000)
    drawn = np.random.default_rng(3).choice([0, 1, 2], size=50_000, p=[0.9, 0.09, 0.01])
    parts = [Digests(everything.high[drawn == number], everything.low[drawn == number]) for number in range(3)]
    sources = [Source(written(tmp_path / str(number), part), number) for number, part in enumerate(parts)]
    gone = everything.as_bytes()[::100]

    count = merge_runs(sources, [Removal(digest, 9) for digest in gone], tmp_path / "merged", "md5", 9, in_memory=3_000)

    assert contents(tmp_path / "merged") == [digest for at, digest in enumerate(everything.as_bytes()) if at % 100]
    assert count == 49_500


def test_an_index_of_another_hash_is_refused_and_nothing_is_left(tmp_path: Path):
    source = Source(written(tmp_path / "i", random_digests(10)), 1)

    with pytest.raises(BadIndex, match="md5, not of sha1"):
        merge_runs([source], [], tmp_path / "merged", "sha1", 1)

    assert [each.name for each in tmp_path.iterdir()] == ["i"]


def test_no_more_are_merged_at_once_than_files_may_be_open(tmp_path: Path):
    with pytest.raises(ValueError, match="in turns"):
        merge_runs([Source(tmp_path / "i", 1)] * (SOURCES_MAX + 1), [], tmp_path / "merged", "md5", 1)
