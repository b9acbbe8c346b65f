"""What becomes of the phone numbers that people, spreadsheets and attackers write."""

import hashlib

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from stentor.domain.address import InvalidAddress, is_region, normal_phone, normal_phones, phone_digest


@pytest.mark.parametrize(
    ("given", "region", "normal"),
    [
        ("+14155550123", None, "+14155550123"),
        ("+358401112222", None, "+358401112222"),
        ("(415) 555-0123", "US", "+14155550123"),
        ("0171 1234567", "DE", "+491711234567"),
        ("0049 171 1234567", "DE", "+491711234567"),
        ("+49 (0)171 1234567", None, "+491711234567"),
        ("+4401711234567", None, "+441711234567"),
        ("+39 06 1234567", None, "+39061234567"),
        ("+55 0 15 11 912345678", None, "+5511912345678"),
        ("＋49 171 1234567", None, "+491711234567"),
        ("٠١٧١١٢٣٤٥٦٧", "DE", "+491711234567"),
        ("+2904123", None, "+2904123"),
        ("+14155550123\n", None, "+14155550123"),
    ],
)
def test_a_number_is_stored_in_e164_which_normalising_again_does_not_change(
    given: str, region: str | None, normal: str
) -> None:
    assert normal_phone(given, region) == normal
    assert normal_phone(normal) == normal


def test_every_country_writes_its_numbers_as_it_is_used_to() -> None:
    misread = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE):
            if (number := phonenumbers.example_number_for_type(region, kind)) is None:
                continue
            national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
            normal = phonenumbers.format_number(number, PhoneNumberFormat.E164)
            if normal_phone(national, region) != normal:
                misread.append((region, national, normal))

    assert misread == []


@pytest.mark.parametrize(
    ("given", "region", "why"),
    [
        ("", None, "empty"),
        ("415 555 0123", None, "no country code"),
        ("+999123456789", None, "no country code that exists"),
        ("+1415555", None, "too short"),
        ("+141555501234", None, "too long"),
        ("+6281234567890123", None, "more than 15 digits"),
        ("555-0123", "US", "lacks its area code"),
        ("+1 415 555 0123 ext 4", None, "characters"),
        ("1-800-FLOWERS", "US", "characters"),
        ("+1415555\x000123", None, "characters"),
        ("+1415555\r\n0123", None, "characters"),
        ("+", None, "not a phone number"),
        ("0" * 300, "DE", "not a phone number"),
        ("0" * 400, "DE", "too long"),
    ],
)
def test_what_is_no_number_says_why(given: str, region: str | None, why: str) -> None:
    answer = normal_phone(given, region)

    assert isinstance(answer, InvalidAddress)
    assert why in answer.reason


def test_one_bad_number_does_not_stop_a_batch() -> None:
    answers = normal_phones(["+14155550123", "none", "0171 1234567"], "DE")

    assert answers == ["+14155550123", normal_phone("none"), "+491711234567"]


def test_a_number_is_suppressed_by_its_digits() -> None:
    assert phone_digest("+14155550123") == hashlib.md5(b"14155550123", usedforsecurity=False).digest()


def test_a_region_is_a_country_that_has_phone_numbers() -> None:
    assert is_region("DE")
    assert not is_region("de")
    assert not is_region("XX")
