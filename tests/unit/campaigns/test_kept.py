"""What is kept in memory, and what is let go for it."""

from stentor.campaigns.kept import Kept


def test_what_was_not_used_for_longest_goes_first():
    kept: Kept[str, int] = Kept(size_max=10)
    kept.put("a", 1, size=5)
    kept.put("b", 2, size=5)
    kept.get("a")

    kept.put("c", 3, size=5)

    assert [kept.get(key) for key in "abc"] == [1, None, 3]


def test_a_value_that_is_replaced_frees_its_room():
    kept: Kept[str, int] = Kept(size_max=10)
    kept.put("a", 1, size=9)
    kept.put("a", 2, size=1)

    kept.put("b", 3, size=9)

    assert [kept.get(key) for key in "ab"] == [2, 3]


def test_one_that_is_too_large_is_kept_alone():
    kept: Kept[str, int] = Kept(size_max=10)
    kept.put("a", 1, size=1)

    kept.put("large", 2, size=100)

    assert (kept.get("a"), kept.get("large")) == (None, 2)
