"""Each digest of a file counts once: by its first line, in order, whatever digests somebody thinks of."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stentor.optouts.loading.order import ordered
from stentor.optouts.loading.reading import NEVER_REMOVED, Known, held, seed
from stentor.optouts.loading.seen import Bitmap, make_bitmap
from stentor.optouts.runs.held import REMOVAL
from stentor.optouts.runs.index import Digests, IndexWriter

# Many alike in their first bits, or in half of them: no hashes, but what somebody may upload as such.
HALVES = st.one_of(
    st.integers(0, 3),
    st.integers(2**64 - 3, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**25).map(lambda n: n + 2**60),
)
DIGESTS = st.lists(st.tuples(HALVES, HALVES), max_size=80)


def digests_of(pairs: list[tuple[int, int]]) -> Digests:
    return Digests(*(np.array([pair[half] for pair in pairs], dtype=np.uint64) for half in (0, 1)))


def pairs_of(digests: Digests) -> list[tuple[int, int]]:
    return list(zip(digests.high.tolist(), digests.low.tolist(), strict=True))


@given(DIGESTS)
def test_digests_are_sorted_each_once_with_the_first_row_that_had_it(pairs: list[tuple[int, int]]):
    first: dict[tuple[int, int], int] = {}
    for place, pair in enumerate(pairs):
        first.setdefault(pair, place * 3)

    found = ordered(digests_of(pairs), np.arange(len(pairs), dtype=np.intp) * 3)

    assert list(zip(pairs_of(found.digests), found.rows.tolist(), strict=True)) == sorted(first.items())


def test_thousands_of_digests_with_one_beginning_are_sorted_too():
    low = np.random.default_rng(1).permutation(30_000).astype(np.uint64)
    found = ordered(Digests(np.zeros(len(low), np.uint64), low), np.arange(len(low), dtype=np.intp))

    assert np.array_equal(found.digests.low, np.arange(len(low)))


@given(added=DIGESTS, others=DIGESTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_bitmap_never_denies_what_was_added(
    tmp_path: Path, added: list[tuple[int, int]], others: list[tuple[int, int]]
):
    make_bitmap(tmp_path / "bitmap", 10)
    Bitmap(tmp_path / "bitmap").add(digests_of(added).sorted())
    Bitmap(tmp_path / "bitmap").add(digests_of(others).sorted())

    assert Bitmap(tmp_path / "bitmap").may_hold(digests_of(added).sorted()).all()


def test_the_bitmap_denies_most_of_what_was_not(tmp_path: Path):
    random = np.random.default_rng(1)
    digests = [Digests(*random.integers(0, 2**64, (2, 50_000), dtype=np.uint64)).sorted() for _ in range(2)]
    make_bitmap(tmp_path / "bitmap", 50_000)
    bitmap = Bitmap(tmp_path / "bitmap")
    bitmap.add(digests[0])

    assert bitmap.may_hold(digests[1]).mean() < 0.13


@pytest.mark.parametrize("removed_until", [None, 3, 4, 5, 9])
def test_an_entry_is_held_by_a_run_unless_it_was_removed_since(tmp_path: Path, removed_until: int | None):
    pairs = [(1, 2), (1, 3), (5, 5), (7, 7)]
    for name, generation, held_pairs in (("old", 4, pairs[:2]), ("recents", 1, [pairs[2]])):
        with IndexWriter(tmp_path / name, "md5", generation, expected=2) as writer:
            writer.add(digests_of(held_pairs))
    removals = None
    if removed_until is not None:
        removals = tmp_path / "removals"
        np.array([(1, 2, removed_until), (5, 5, removed_until)], dtype=REMOVAL).tofile(removals)

    known = [Known(tmp_path / "old", 4), Known(tmp_path / "recents", NEVER_REMOVED)]
    found = held(digests_of(pairs), known, removals)

    assert found.tolist() == [removed_until in {None, 3}, True, True, False]


def test_of_many_known_and_few_expected_each_may_have_come_before(tmp_path: Path):
    known = tmp_path / "known"
    with IndexWriter(known, "md5", 1, expected=100) as writer:
        writer.add(digests_of([(number << 40, 1) for number in range(100)]))
    asked = digests_of([(5 << 40, 1), (7, 7)])

    seed(tmp_path / "few", 1, [known])
    seed(tmp_path / "many", 100, [known])

    assert Bitmap(tmp_path / "few").may_hold(asked).tolist() == [True, True]
    assert Bitmap(tmp_path / "many").may_hold(digests_of([(5 << 40, 1), (1 << 63, 7)])).tolist() == [True, False]
