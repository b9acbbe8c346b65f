"""What a line of a suppression file stands for."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.domain.address import InvalidAddress, normal_email, normal_phone
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.entries import ReadEntry, read_entry
from stentor.optouts.hashing import HASH_NAMES, HEX_CHARS, HashName, digest_of, forms_of

EMAILS, PHONES, BOTH = 2, 4, 6


def read(text: str, channels: int = BOTH, hash_name: HashName = "md5") -> ReadEntry:
    found = read_entry(text, channels, hash_name)
    assert isinstance(found, ReadEntry), found
    return found


def refused(text: str, channels: int = BOTH, hash_name: HashName = "md5") -> str:
    found = read_entry(text, channels, hash_name)
    assert isinstance(found, InvalidAddress), found
    return found.reason


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("ann@example.com", "ann@example.com"),
        (" Ann.Lee@Example.COM\t", "ann.lee@example.com"),
        ("ann@exämple.com", "ann@xn--exmple-cua.com"),
        ("\ufeff\u00a0ann@example.com\u200b", "ann@example.com"),
        ("@Example.com", "@example.com"),
        ("@exämple.com", "@xn--exmple-cua.com"),
        ("+1 415-555-0123", "14155550123"),
        ("0049 30 123456", "4930123456"),
        ("14155550123", "14155550123"),
    ],
)
def test_an_entry_is_stored_in_its_normal_form_and_known_by_the_digest_of_that(text: str, stored: str) -> None:
    entry = read(text)
    assert (entry.text, entry.hash) == (stored, None)
    assert entry.digest == hashlib.md5(stored.encode(), usedforsecurity=False).digest()


@pytest.mark.parametrize("name", HASH_NAMES)
def test_a_hash_of_the_list_is_taken_whole_in_either_case_and_known_by_its_first_16_bytes(name: HashName) -> None:
    whole = hashlib.new(name, b"ann@example.com").digest()
    for text in (whole.hex(), whole.hex().upper()):
        entry = read(text, hash_name=name)
        assert (entry.text, entry.hash, entry.digest) == ("", whole, whole[:16])
    assert entry.digest == read("ann@example.com", hash_name=name).digest


@pytest.mark.parametrize("name", HASH_NAMES)
def test_another_lists_hash_is_refused_with_the_length_that_this_one_has(name: HashName) -> None:
    other = next(each for each in HASH_NAMES if each != name)
    assert str(HEX_CHARS[name]) in refused("ab" * (HEX_CHARS[other] // 2), hash_name=name)


def test_a_list_of_phones_takes_no_addresses_and_a_list_of_addresses_no_phones() -> None:
    assert "phone numbers" in refused("ann@example.com", PHONES)
    assert "phone numbers" in refused("@example.com", PHONES)
    assert "no email address" in refused("+14155550123", EMAILS)
    assert "no email address" in refused("14155550123", EMAILS)


def test_a_hash_is_of_a_phone_only_where_the_list_has_nothing_else() -> None:
    text = "ab" * 16
    assert [read(text, channels).channel for channels in (EMAILS, PHONES, BOTH)] == [
        ChannelKind.EMAIL,
        ChannelKind.SMS,
        ChannelKind.EMAIL,
    ]


NO_ENTRIES = (
    "",
    "  ",
    "ann",
    "ann@",
    "@",
    "@@",
    "a@b@c.com",
    "ann@example",
    "example.com",
    "a b@example.com",
    "+1",
    "+",
    "00",
)
NO_ENTRIES += (
    "ann@example.com,",
    "x" * 400,
    "ann\x00@example.com",
    "0123456789",
    "123456",
    "1234567890123456",
    "ab" * 15,
)


@pytest.mark.parametrize("text", NO_ENTRIES)
def test_what_is_no_entry_is_refused_with_a_sentence(text: str) -> None:
    assert refused(text).endswith(".")


@given(st.emails())
def test_every_address_that_can_be_a_customers_is_found_by_what_was_imported_for_it(text: str) -> None:
    normal = normal_email(text)
    entry = read_entry(text, BOTH, "md5")
    if isinstance(normal, InvalidAddress):
        assert isinstance(entry, InvalidAddress)
    else:
        assert isinstance(entry, ReadEntry)
        assert entry.digest in {digest_of(form, "md5") for _, form in forms_of(normal, ChannelKind.EMAIL)}


@given(st.from_regex(r"\+?[0-9 ()-]{5,18}", fullmatch=True))
def test_every_number_that_can_be_a_customers_is_found_by_what_was_imported_for_it(text: str) -> None:
    normal = normal_phone(text)
    entry = read_entry(text, BOTH, "md5")
    if text.startswith("+") and isinstance(normal, str):
        assert isinstance(entry, ReadEntry)
        assert entry.digest in {digest_of(form, "md5") for _, form in forms_of(normal, ChannelKind.SMS)}


@pytest.mark.parametrize(
    "text", ["j\ufffdrg@example.com", "j@ex\ufffdmple.com", "@\ufffd.example", "+1415555\ufffd0123"]
)
def test_what_a_decoder_could_not_read_is_no_entry(text: str) -> None:
    assert "UTF-8" in refused(text)
