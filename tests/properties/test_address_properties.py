"""The fast paths accept nothing that the libraries would read in another way, and a normal form is a fixed point."""

import string

import email_validator
import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType, ValidationResult

from stentor.domain import address
from stentor.domain.address import normal_email, normal_phone

ATEXT = string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-"
HOSTNAME_PIECES = ["a", "b9", "A", "-", "--", "xn--", "exmple-cua", "ä", "a\u0308", "ß", "中", "א", "\u200d", "。", "."]
LOCAL_PIECES = [*"abAZ09.-_+", "info", "\u00eb", "e\u0308", "ß", '"', " ", "@", "\\", "\x00", "\r\n", "\uff20"]


@st.composite
def e164(draw: st.DrawFn) -> str:
    """A country code that exists and as many digits as its numbers may have, or one more or fewer."""
    code, regions = draw(st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items())))
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, regions[0])
    assert metadata is not None
    assert metadata.general_desc is not None
    length = draw(st.sampled_from(metadata.general_desc.possible_length)) + draw(st.sampled_from([0, 0, 0, -1, 1]))
    trunk = draw(st.sampled_from(["", "", "0", "1", "8", "06"]))
    return f"+{code}{trunk}{draw(st.text(string.digits, min_size=length, max_size=length))}"


@pytest.mark.fault("S11")
@given(
    local=st.lists(st.sampled_from(LOCAL_PIECES), min_size=1, max_size=6).map("".join),
    domain=st.lists(st.sampled_from(HOSTNAME_PIECES), min_size=1, max_size=4).map("".join),
    ending=st.sampled_from([".com", ".COM", ".xn--p1ai", ".рф", "", "."]),
)
@example(local="INFO", domain="exämple", ending=".com")
@example(local='"a b"', domain="XN--EXMPLE-CUA", ending=".com")
def test_normalising_an_email_address_twice_is_normalising_it_once(local: str, domain: str, ending: str) -> None:
    normal = normal_email(f"{local}@{domain}{ending}")

    if isinstance(normal, str):
        assert normal_email(normal) == normal
        assert normal.rpartition("@")[2].isascii()
        assert len(normal.encode()) <= address.EMAIL_BYTES_MAX


@given(
    local=st.lists(st.text(ATEXT, min_size=1, max_size=40), min_size=1, max_size=3).map(".".join),
    labels=st.lists(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True), min_size=1, max_size=3),
    ending=st.from_regex(r"[a-z]{1,4}", fullmatch=True),
)
def test_the_fast_path_for_email_accepts_what_the_library_accepts(local: str, labels: list[str], ending: str) -> None:
    text = ".".join([f"{local}@{labels[0]}", *labels[1:], ending])

    if address._PLAIN_EMAIL.match(text):
        found = email_validator.validate_email(text, check_deliverability=False, strict=True)
        assert found.normalized.lower() == text.lower()


@pytest.mark.fault("S11")
@given(text=st.text(max_size=40))
def test_no_text_makes_normalising_raise(text: str) -> None:
    for email in (text, f"{text}@example.com", f"ann@{text}.com"):
        normal_email(email)
    for phone in (text, f"+49{text}"):
        normal_phone(phone)
        normal_phone(phone, "US")


@given(text=e164())
@example(text="+5491112345678")
@example(text="+541115345678")
def test_the_fast_path_for_phones_accepts_what_the_library_accepts(text: str) -> None:
    if address._is_plain_e164(text):
        parsed = phonenumbers.parse(text)
        assert phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE
        assert phonenumbers.format_number(parsed, PhoneNumberFormat.E164) == text


@st.composite
def national(draw: st.DrawFn) -> tuple[str, str]:
    """A country, and an example of its numbers as its people write it, with some digits and separators changed."""
    region = draw(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)))
    kind = draw(st.sampled_from([PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE, PhoneNumberType.TOLL_FREE]))
    number = phonenumbers.example_number_for_type(region, kind)
    text = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL) if number else "0171 1234567"
    for place in draw(st.lists(st.integers(0, len(text) - 1), max_size=4)):
        text = text[:place] + draw(st.sampled_from("0123456789 ()-.")) + text[place + 1 :]
    return region, text + draw(st.text(string.digits, max_size=2))


@given(said=national())
@example(said=("DE", "0151 00000013"))
@example(said=("DE", "0049 171 1234567"))
def test_the_fast_path_for_national_numbers_reads_them_as_the_library_does(said: tuple[str, str]) -> None:
    region, text = said
    if (normal := address._plain_national(text, region)) is not None:
        assert phonenumbers.format_number(phonenumbers.parse(text, region), PhoneNumberFormat.E164) == normal
        assert address._is_plain_e164(normal)


@given(text=e164())
def test_normalising_a_phone_number_twice_is_normalising_it_once(text: str) -> None:
    normal = normal_phone(text)

    if isinstance(normal, str):
        assert normal_phone(normal) == normal


@given(
    region=st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)),
    national=st.text(string.digits, min_size=5, max_size=14),
)
def test_a_national_number_becomes_one_that_needs_no_region(region: str, national: str) -> None:
    normal = normal_phone(national, region)

    if isinstance(normal, str):
        assert normal_phone(normal) == normal
