import pytest

from stentor.errors import pointer_to, steps_of


@pytest.mark.parametrize(
    ("steps", "pointer"),
    [
        ([], ""),
        (["customers", "3", "email"], "/customers/3/email"),
        (["a/b", "m~n", "~1", "/~"], "/a~1b/m~0n/~01/~1~0"),
        ([""], "/"),
    ],
)
def test_a_pointer_leads_back_to_its_steps(steps: list[str], pointer: str):
    assert pointer_to(*steps) == pointer
    assert steps_of(pointer) == steps
