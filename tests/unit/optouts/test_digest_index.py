"""A digest index says of every digest whether it is there, and of a broken file that it is broken."""

import itertools
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest_indexes import digests, in_order, random_digests, written
from stentor.optouts.hashing import HASH_NAMES
from stentor.optouts.runs.index import BadIndex, Digests, Index, IndexReader, IndexWriter


@given(
    held=st.sets(digests, max_size=60),
    strangers=st.sets(digests, max_size=60),
    part=st.integers(1, 70),
    expected=st.sampled_from([0, 1, 60, 5_000, 100_000]),
    bounds=st.tuples(st.integers(0, 1 << 64), st.integers(0, 1 << 64)),
)
def test_it_holds_what_a_set_holds(
    held: set[bytes], strangers: set[bytes], part: int, expected: int, bounds: tuple[int, int]
):
    begin, end = sorted(bounds)
    with TemporaryDirectory() as folder:
        path = written(Path(folder) / "i", Digests.of(held).sorted(), part=part, expected=expected)
        with closing(Index(path)) as index:
            asked = [*held, *strangers]
            as_many, one_by_one = (
                index.holds(Digests.of(asked)),
                [bool(index.holds(Digests.of([one]))[0]) for one in asked],
            )
            looked_up = index.look_up(Digests.of(asked), waits=True)
            everything = [digest for each in index.parts(1) for digest in each.as_bytes()]
            between = index.between(begin, end).as_bytes()
        with closing(IndexReader(path)) as reader:
            read = [digest for each in reader.parts(part) for digest in each.as_bytes()]
            said = (len(index), index.hash, index.generation)

    assert said == (len(held), "md5", 7)
    assert one_by_one == [one in held for one in asked]
    assert as_many.tolist() == looked_up.tolist() == one_by_one
    assert everything == read == sorted(held, key=in_order)
    assert between == [one for one in sorted(held, key=in_order) if begin <= in_order(one)[0] < end]


@pytest.mark.parametrize("count", [4_095, 4_096, 4_097, 20_000])
def test_blocks_end_where_they_may(tmp_path: Path, count: int):
    held = random_digests(count)
    strangers = random_digests(count, seed=2)

    with closing(Index(written(tmp_path / "i", held, part=1_000))) as index:
        assert index.holds(held).all()
        assert not index.holds(strangers).any()
        assert index.entries(4_000, count).as_bytes() == held.as_bytes()[4_000:]
        assert index.entries(count, count).as_bytes() == []
        assert [len(each) for each in index.parts(4_096)] == [min(4_096, count - at) for at in range(0, count, 4_096)]
    with closing(IndexReader(tmp_path / "i")) as reader:
        assert len(reader) == count
        assert [each for part in reader.parts(9_000) for each in part.as_bytes()] == held.as_bytes()


def test_digests_that_somebody_made_up_are_found_as_fast(tmp_path: Path):
    # Eight equal bytes in front: step by step, the last of them would be 200,000 steps away, for each that is asked.
    count = 200_000
    held = Digests(np.full(count, 5, np.uint64), np.arange(0, 2 * count, 2, dtype=np.uint64))

    with closing(Index(written(tmp_path / "i", held))) as index:
        assert index.holds(held.part(count - 1_000, count)).all()
        assert index.holds(held.part(count - 3, count)).all()
        assert not index.holds(Digests(held.high[-1_000:], held.low[-1_000:] + np.uint64(1))).any()
        assert not index.holds(Digests(held.high[-3:], held.low[-3:] + np.uint64(1))).any()


def test_the_header_names_each_hash(tmp_path: Path):
    for name in HASH_NAMES:
        with IndexWriter(tmp_path / name, name, 1, expected=0):
            pass
        with closing(Index(tmp_path / name)) as index:
            assert index.hash == name


def test_a_file_that_is_cut_is_refused_wherever_it_is_cut(tmp_path: Path):
    path = written(tmp_path / "i", random_digests(9_000))
    whole = path.read_bytes()

    for kept in [0, 1, 7, 8, 100, 4_095, 4_096, 4_104, 70_000, len(whole) - 8, len(whole) - 1]:
        path.write_bytes(whole[:kept])
        with pytest.raises(BadIndex):
            Index(path)
        with pytest.raises(BadIndex):
            IndexReader(path)
    for added in (b"\0", bytes(8), bytes(4_096)):
        path.write_bytes(whole + added)
        with pytest.raises(BadIndex):
            Index(path)


def test_a_header_in_which_one_bit_fell_over_is_refused(tmp_path: Path):
    path = written(tmp_path / "i", random_digests(100))
    whole = path.read_bytes()

    for at, bit in itertools.product(range(42), range(8)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        with pytest.raises(BadIndex):
            Index(path)


def test_what_was_not_finished_leaves_nothing(tmp_path: Path):
    def stopped() -> None:
        with IndexWriter(tmp_path / "i", "md5", 1, expected=10) as writer:
            writer.add(random_digests(10))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        stopped()

    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_end_leaves_nothing(tmp_path: Path):
    # Where the index should come to lie there is a directory: the last step fails, as it does without room.
    (tmp_path / "i").mkdir()

    with pytest.raises(OSError, match="directory"), IndexWriter(tmp_path / "i", "md5", 1, expected=0):
        pass

    assert [each.name for each in tmp_path.iterdir()] == ["i"]


def test_arrays_may_be_filled_anew_once_they_were_added(tmp_path: Path):
    held = random_digests(10)
    reused = Digests(held.high[:5].copy(), held.low[:5].copy())
    with IndexWriter(tmp_path / "i", "md5", 1, expected=10) as writer:
        writer.add(reused)
        reused.high[:], reused.low[:] = held.high[5:], held.low[5:]
        writer.add(reused)

    with closing(Index(tmp_path / "i")) as index:
        assert index.holds(held).all()
