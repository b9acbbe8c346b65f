import pytest

from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio


async def test_it_answers_with_the_first_true_value():
    values = iter([None, 0, "found"])

    assert await eventually(lambda: next(values)) == "found"


async def test_an_assertion_that_fails_means_not_yet():
    seen: list[int] = []

    async def look() -> int:
        seen.append(1)
        assert len(seen) > 2
        return len(seen)

    assert await eventually(look) == 3


async def test_what_was_seen_last_is_told():
    with pytest.raises(AssertionError, match=r"Not within 0\.05 s; seen last: \[\]"):
        await eventually(list[int], within_s=0.05)
