"""Links to files: what was made here opens, and nothing else does."""

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest

from stentor.optouts.links import FileLink, FileLinks

LINKS = FileLinks(b"a key for tests")
UPLOAD = FileLink("upload", UUID(int=7), UUID(int=1 << 127), datetime(2026, 11, 23, 10, 0, 5, tzinfo=UTC))
DOWNLOAD = FileLink("download", UUID(int=7), UUID(int=8), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "optouts.csv")


@pytest.mark.parametrize("link", [UPLOAD, DOWNLOAD])
def test_a_link_opens_what_it_was_made_for(link: FileLink):
    assert LINKS.read(LINKS.token(link)) == link


def test_a_token_stands_in_a_path_as_it_is():
    assert LINKS.token(DOWNLOAD).replace("-", "").replace("_", "").isalnum()


@pytest.mark.fault("S9")
def test_no_bit_of_a_token_can_be_changed():
    token = LINKS.token(DOWNLOAD)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    for bit in range(len(raw) * 8):
        raw[bit // 8] ^= 1 << bit % 8
        assert LINKS.read(base64.urlsafe_b64encode(raw).rstrip(b"=").decode()) is None
        raw[bit // 8] ^= 1 << bit % 8


@pytest.mark.fault("S9")
def test_a_token_has_one_spelling():
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for link in (UPLOAD, DOWNLOAD):
        token = LINKS.token(link)
        assert [last for last in alphabet if LINKS.read(token[:-1] + last)] == [token[-1]]
        assert LINKS.read(token + "=") is None
        assert LINKS.read(token + "AAAA") is None


@pytest.mark.fault("S9")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "../../etc/passwd",
        "%2e%2e%2fetc%2fpasswd",
        "..\\..\\secret",
        "AAAA" * 20,
        "AAAA" * 100_000,
        "\u2215etc",
        "a\x00b",
        "runs/0192.index",
    ],
)
def test_what_was_not_made_here_opens_nothing(text: str):
    assert LINKS.read(text) is None


def test_another_installations_links_open_nothing_here():
    assert FileLinks(b"another key").read(LINKS.token(UPLOAD)) is None
