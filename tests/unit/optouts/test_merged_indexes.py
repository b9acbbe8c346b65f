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
from stentor.optouts.runs.index import BadIndex, Digests, Index, SharedIndex
from stentor.optouts.runs.merging import SOURCES_MAX, Removal, Share, Source, merge_runs, merge_share, shares_of


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


# Around blocks of 4,096.
@pytest.mark.parametrize("sizes", [[9_000, 5_000, 300], [4_096, 4_096], [20, 1, 0], [50_000, 0, 40_000, 3]])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_index_that_several_write_is_that_which_one_would_write(tmp_path: Path, sizes: list[int], number: int):
    everything = random_digests(sum(sizes))
    owner = np.random.default_rng(4).permutation(np.repeat(np.arange(len(sizes)), sizes))
    paths = [
        written(tmp_path / str(each), Digests(everything.high[owner == each], everything.low[owner == each]))
        for each in range(len(sizes))
    ]
    merge_runs([Source(path, 7) for path in paths], [], tmp_path / "by one", "md5", 7)

    shares = shares_of(paths, number)
    index = SharedIndex(tmp_path / "by several", shares[-1].end)
    index.begin()
    for share in reversed(shares):
        merge_share(paths, share, index, "md5", 3_000)
    index.complete("md5", 7, [share.begin for share in shares])

    assert (tmp_path / "by several").read_bytes() == (tmp_path / "by one").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {*map(str, range(len(sizes))), "by one", "by several"}


def test_the_shares_of_several_are_about_alike(tmp_path: Path):
    paths = [written(tmp_path / str(each), random_digests(50_000, seed=each)) for each in range(3)]

    sizes = [share.end - share.begin for share in shares_of(paths, 3)]

    assert sum(sizes) == 150_000
    assert max(sizes) < 1.2 * min(sizes)


def test_what_several_wrote_is_no_index_where_something_is_missing(tmp_path: Path):
    paths = [written(tmp_path / str(each), random_digests(9_000, seed=each)) for each in range(2)]
    first, second = shares_of(paths, 2)
    index = SharedIndex(tmp_path / "merged", second.end)
    index.begin()
    merge_share(paths, first, index, "md5", 3_000)
    merge_share([paths[0]], Share((second.begins[0],), (second.begins[0],)), index, "md5", 3_000)

    with pytest.raises(BadIndex, match="was to have 18000 entries"):
        index.complete("md5", 7, [first.begin, second.begins[0]])
    assert not (tmp_path / "merged").exists()
