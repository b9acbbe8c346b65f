"""What a list knows an address by."""

import hashlib

import pytest

from stentor.domain.address import email_digest, phone_digest
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.hashing import (
    HASH_NAMES,
    HEX_CHARS,
    EntryForm,
    HashName,
    digest_of,
    forms_of,
    hash_of,
    other_spelling,
)


def test_the_built_in_list_and_md5_lists_know_an_address_by_the_same_digest():
    assert digest_of("Ann@Example.com", "md5") == email_digest("ann@example.com")
    assert digest_of("+14155550123", "md5") == phone_digest("+14155550123")


@pytest.mark.parametrize("name", HASH_NAMES)
def test_a_digest_is_the_beginning_of_the_hash_that_suppression_files_carry(name: HashName):
    whole = hashlib.new(name, b"ann@example.com").hexdigest()

    assert hash_of("  ANN@example.COM ", name).hex() == whole
    assert digest_of("ann@example.com", name).hex() == whole[:32]
    assert len(whole) == HEX_CHARS[name]


def test_a_number_is_hashed_as_digits_with_or_without_its_plus():
    assert digest_of("+4915112345678", "sha256") == digest_of("4915112345678", "sha256")


@pytest.mark.parametrize("name", HASH_NAMES)
def test_a_mailbox_whose_name_begins_with_a_plus_is_another_one_than_that_without(name: HashName):
    assert digest_of("+ann@example.com", name) == hash_of("+ann@example.com", name)[:16]


def test_an_address_is_on_a_list_also_by_its_domain():
    assert list(forms_of("Ann@example.com", ChannelKind.EMAIL)) == [
        (EntryForm.ADDRESS, "ann@example.com"),
        (EntryForm.DOMAIN, "@example.com"),
    ]


@pytest.mark.parametrize("asked", ["ann@exämple.com", "ann@xn--exmple-cua.com"])
def test_a_host_name_that_is_written_two_ways_is_asked_both_ways(asked: str):
    texts = {text for _, text in forms_of(asked, ChannelKind.EMAIL)}

    assert texts == {"ann@exämple.com", "ann@xn--exmple-cua.com", "@exämple.com", "@xn--exmple-cua.com"}


def test_a_domain_is_asked_as_itself_alone():
    assert list(forms_of("@Example.com", ChannelKind.EMAIL)) == [(EntryForm.DOMAIN, "@example.com")]


def test_a_number_has_one_form():
    assert list(forms_of("+14155550123", ChannelKind.SMS)) == [(EntryForm.ADDRESS, "14155550123")]


@pytest.mark.parametrize("host", ["", "example.com", "xn--", "xn--\u00fc", "a..b", "ü" * 300, "\ud800.com"])
def test_what_has_no_second_spelling_is_asked_once_and_breaks_nothing(host: str):
    assert other_spelling(host) == ""
