import re
from itertools import pairwise

import pytest

from documents import ROOT
from stentor.accounts import totp
from stentor.accounts.passwords import check_password
from stentor.accounts.roles import ALLOWED, BRAND_ROLES, PERMISSIONS, ROLES, grantable
from stentor.errors import Invalid

SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("at_s", "code"),
    # RFC 6238, appendix B, without the first two of its eight digits.
    [(1_111_111_111, "050471"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")],
)
def test_codes_are_those_of_the_standard(at_s: int, code: str):
    step = totp.step_at(at_s)

    assert totp.code_of(SECRET, step) == code
    assert [totp.step_of(SECRET, code, step + off) for off in (-2, -1, 0, 1, 2)] == [None, step, step, step, None]
    assert [totp.step_of(SECRET, wrong, step) for wrong in (code[:-1], "١٢٣٤٥٦", "")] == [None, None, None]


def test_an_app_is_told_by_an_address_what_people_could_type():
    told = totp.address(SECRET, account="ann@example.org", issuer="My stage: live")

    assert told == (
        "otpauth://totp/My%20stage%3A%20live:ann%40example.org"
        "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=My%20stage%3A%20live"
    )
    assert totp.written(SECRET) == "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"


def test_each_role_may_all_that_the_next_one_may_and_more():
    for stronger, weaker in pairwise(ROLES):
        assert ALLOWED[stronger] > ALLOWED[weaker]
    assert set(PERMISSIONS) == ALLOWED["owner"]
    assert [grantable(ALLOWED[role]) for role in ROLES] == [ROLES, BRAND_ROLES, (), (), ()]


@pytest.mark.parametrize("password", ["short", "x" * 300, "abababababab", "ann.long.name@example.org", "Ann.Long.Name"])
def test_a_password_that_is_guessed_first_is_refused(password: str):
    with pytest.raises(Invalid):
        check_password(password, email="ann.long.name@example.org")


def test_the_documented_roles_are_those_of_the_code():
    rows = re.findall(r"^\| (\w+) \|((?: \w* ?\|)+)$", (ROOT / "docs/accounts.md").read_text(), re.MULTILINE)
    (_, head), *told = rows
    permissions = [cell.strip() for cell in head.strip("|").split("|")]

    assert permissions == list(PERMISSIONS)
    assert {
        role: {name for name, cell in zip(permissions, cells.split("|"), strict=False) if cell.strip() == "yes"}
        for role, cells in told
    } == {role: set(held) for role, held in ALLOWED.items()}
