"""E-mail addresses and phone numbers: their normal form, stored once, and the digest by which they are suppressed.

A normal form is a fixed point: normalising it again changes nothing. What is no address becomes an `InvalidAddress` that
says why, never an exception, because callers work on batches in which one bad value must not stop the others.

MD5 is the exchange format of suppression lists, not a security measure.
"""

import functools
import hashlib
import re
import unicodedata
from collections.abc import Sequence

import email_validator
import msgspec
import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat, ValidationResult
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE, NumberParseException

from stentor.domain.vocabulary import ChannelKind, channel_mask

# Which channels an address opens. The last ones need none: the external id is all that they go by.
EMAIL_CHANNELS = channel_mask((ChannelKind.EMAIL,))
PHONE_CHANNELS = channel_mask((ChannelKind.SMS, ChannelKind.VOICE, ChannelKind.WHATSAPP))
TOKEN_CHANNELS = channel_mask((ChannelKind.PUSH, ChannelKind.WEB_PUSH))
ADDRESSLESS_CHANNELS = channel_mask((ChannelKind.IN_APP, ChannelKind.WEBHOOK, ChannelKind.EXTERNAL))

EMAIL_BYTES_MAX = 254
LOCAL_PART_BYTES_MAX = 64
PHONE_DIGITS_MAX = 15
# What is looked at, at most: a longer text is refused before a parser sees it.
ADDRESS_CHARS_MAX = 320


class InvalidAddress(msgspec.Struct, frozen=True):
    """A text that is no address; `reason` is a sentence for the person who sent it."""

    reason: str


# --- e-mail ---------------------------------------------------------------------------------------------------------

# The common case: an ASCII dot-atom and a lower-case host name. A domain of at most 63 characters has no label that is
# too long, and a label without `--` is no A-label, so neither needs a second look. 2.4 million a second per core.
_PLAIN_LOCAL_PART = r"(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@"
_PLAIN_EMAIL = re.compile(_PLAIN_LOCAL_PART + r"(?=.{1,63}\Z)(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,63}\Z")
_PLAIN_UP_TO_DOMAIN = re.compile(_PLAIN_LOCAL_PART)
# Whether a host can get mail (`.local` inside a company, `.test`) is for the sender to find out, not for the syntax.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


def normal_email(text: str) -> str | InvalidAddress:
    """The normal form: NFC, the local part as given, the domain as lower-case A-labels (UTS 46).

    At most 64 bytes before the @-sign and 254 altogether; a quoted local part is kept only where it needs its quotes.
    """
    return text if _PLAIN_EMAIL.match(text) else _studied_email(text)


def normal_emails(texts: Sequence[str]) -> list[str | InvalidAddress]:
    """The normal form of each, in order."""
    plain, studied = _PLAIN_EMAIL.match, _studied_email
    return [text if plain(text) else studied(text) for text in texts]


def email_digest(address: str) -> bytes:
    """The 16 bytes by which an address is suppressed: MD5 of its normal form, trimmed and lower-cased throughout.

    Case never matters here, although a mail server may tell `Ann@` from `ann@`: an opt-out holds for both.
    """
    return hashlib.md5(address.strip().lower().encode(), usedforsecurity=False).digest()


def _studied_email(text: str) -> str | InvalidAddress:
    """For capital letters, spaces around, IDN, quotes and everything that is wrong."""
    if len(text) > ADDRESS_CHARS_MAX:
        return InvalidAddress(f"The email address is too long: {len(text)} characters; at most {EMAIL_BYTES_MAX}.")
    text = text.strip(" \t\r\n")
    if not text:
        return InvalidAddress("The email address is empty.")
    if plain := _PLAIN_UP_TO_DOMAIN.match(text):
        domain = _domain(text[plain.end() :])
        address = plain[0] + domain if isinstance(domain, str) else domain
    else:
        address = _parsed_email(text)
    if isinstance(address, str) and len(address.encode()) > EMAIL_BYTES_MAX:
        return InvalidAddress(f"The email address is too long; at most {EMAIL_BYTES_MAX} bytes are allowed.")
    return address


# People share domains: the A-label of one that was seen before costs 0.1 µs instead of 60.
@functools.lru_cache(maxsize=10_000)
def _domain(text: str) -> str | InvalidAddress:
    address = _parsed_email(f"a@{text}")
    return address.removeprefix("a@") if isinstance(address, str) else address


def _parsed_email(text: str) -> str | InvalidAddress:
    try:
        found = email_validator.validate_email(text, check_deliverability=False, allow_quoted_local=True)
    except email_validator.EmailSyntaxError as error:
        return InvalidAddress(str(error))
    # The library lower-cases mailbox names such as INFO; ours stay as given, as on the fast path.
    given = unicodedata.normalize("NFC", found.original.rpartition("@")[0])
    local = given if given.lower() == (found.local_part or "").lower() else found.local_part
    if (size := len(local.encode())) > LOCAL_PART_BYTES_MAX:
        return InvalidAddress(
            f"The part before the @-sign has {size} bytes; at most {LOCAL_PART_BYTES_MAX} are allowed."
        )
    return f"{local}@{found.ascii_domain}"


# --- phone ----------------------------------------------------------------------------------------------------------

_E164 = re.compile(r"\+[1-9][0-9]{7,14}\Z")
_PHONE_TEXT = re.compile(r"[\d+＋ ().\-/\u00a0\u2000-\u200a\u2010-\u2015\u202f\u2212\u3000\uff0d]+\Z")
_SEPARATORS = str.maketrans("", "", " ().-")
_TRUNK_PREFIX = "0"
_PHONE_HINT = "write it with + and the country code, as +14155550123"


def normal_phone(text: str, region: str | None = None) -> str | InvalidAddress:
    """The number in E.164 (`+14155550123`); `region`, as `US`, is where a number without a country code belongs.

    Accepted is what its country's numbering plan makes possible, by length; whether it is assigned only a call shows.
    """
    return text if _is_plain_e164(text) else _studied_phone(text, region)


def normal_phones(texts: Sequence[str], region: str | None = None) -> list[str | InvalidAddress]:
    """The normal form of each, in order."""
    plain, studied = _is_plain_e164, _studied_phone
    return [text if plain(text) else studied(text, region) for text in texts]


def phone_digest(number: str) -> bytes:
    """The 16 bytes by which a number is suppressed: MD5 of the digits of its E.164 form, without the plus."""
    return hashlib.md5(number.strip().removeprefix("+").encode(), usedforsecurity=False).digest()


def is_region(text: str) -> bool:
    """Whether `text` is a country (`US`) that a default region for phone numbers can name."""
    return text in phonenumbers.SUPPORTED_REGIONS


class _Plan(msgspec.Struct, frozen=True):
    """What one country code allows: the lengths of national numbers, and the trunk prefix that E.164 leaves out."""

    code_end: int
    lengths: frozenset[int]
    trunk_prefix: re.Pattern[str] | None


def _is_plain_e164(text: str) -> bool:
    """Whether this is E.164 beyond doubt; a number that begins with its country's trunk prefix needs the parser."""
    if not _E164.match(text):
        return False
    plan = _plan(text[1:4])
    if plan is None or len(text) - plan.code_end not in plan.lengths:
        return False
    return plan.trunk_prefix is None or not plan.trunk_prefix.match(text, plan.code_end)


@functools.lru_cache(maxsize=1000)
def _plan(first_digits: str) -> _Plan | None:
    """The plan of the country code that three digits begin with; no code is the beginning of another one."""
    # Metadata is read per country at first sight (1 ms): all 230 at once would cost every start 0.2 s.
    for size in (1, 2, 3):
        code = int(first_digits[:size])
        regions = COUNTRY_CODE_TO_REGION_CODE.get(code)
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, regions[0]) if regions else None
        if metadata is not None and metadata.general_desc is not None:
            prefix = metadata.national_prefix_for_parsing
            return _Plan(
                code_end=1 + size,
                lengths=frozenset(metadata.general_desc.possible_length),
                trunk_prefix=re.compile(prefix) if prefix else None,
            )
    return None


class _Home(msgspec.Struct, frozen=True):
    """How people of a country write its numbers at home, where that is with a 0 before them and nothing else."""

    country_code: str
    number: re.Pattern[str]
    exit_code: re.Pattern[str]


@functools.lru_cache(maxsize=1000)
def _home(region: str) -> _Home | None:
    metadata = PhoneMetadata.metadata_for_region(region)
    if (
        metadata is None
        or metadata.national_prefix_for_parsing != _TRUNK_PREFIX
        or metadata.national_prefix_transform_rule
        or metadata.general_desc is None
        or not metadata.general_desc.national_number_pattern
        or not metadata.international_prefix
        # What several countries share is the parser's to tell apart.
        or COUNTRY_CODE_TO_REGION_CODE.get(metadata.country_code or 0) != (region,)
    ):
        return None
    return _Home(
        country_code=f"+{metadata.country_code}",
        number=re.compile(metadata.general_desc.national_number_pattern),
        exit_code=re.compile(metadata.international_prefix),
    )


def _plain_national(text: str, region: str) -> str | None:
    """What the parser would make of a number with its trunk prefix, where there are no two ways to read it.

    2 µs instead of 60, and many lists are written so.
    """
    digits = text.translate(_SEPARATORS)
    if digits[:1] != _TRUNK_PREFIX or not (digits.isascii() and digits.isdecimal()):
        return None
    home = _home(region)
    if home is None or home.exit_code.match(digits) or home.number.fullmatch(digits):
        return None
    number = digits[1:]
    normal = home.country_code + number
    return normal if home.number.fullmatch(number) and _is_plain_e164(normal) else None


def _studied_phone(text: str, region: str | None) -> str | InvalidAddress:
    if len(text) > ADDRESS_CHARS_MAX:
        return InvalidAddress(f"The phone number is too long: {len(text)} characters.")
    if region is not None and (plain := _plain_national(text, region)) is not None:
        return plain
    text = text.strip(" \t\r\n")
    if not text:
        return InvalidAddress("The phone number is empty.")
    if not _PHONE_TEXT.match(text):
        return InvalidAddress(f"The phone number has characters that no number has; {_PHONE_HINT}.")
    number = _parsed(text, region)
    if isinstance(number, InvalidAddress) or _is_plain_e164(number):
        return number
    # `+44 0 020…`: a trunk prefix that was there twice is still there once, and a normal form must be a fixed point.
    again = _parsed(number, None)
    return number if again == number else InvalidAddress(f"The phone number is ambiguous; {_PHONE_HINT}.")


def _parsed(text: str, region: str | None) -> str | InvalidAddress:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        if error.error_type == NumberParseException.INVALID_COUNTRY_CODE:
            return InvalidAddress(f"The phone number has no country code that exists; {_PHONE_HINT}.")
        return InvalidAddress(f"This is not a phone number; {_PHONE_HINT}.")
    if (verdict := phonenumbers.is_possible_number_with_reason(number)) != ValidationResult.IS_POSSIBLE:
        why = _WHY_IMPOSSIBLE.get(verdict, "has a length that its country does not use")
        return InvalidAddress(f"The phone number {why}; {_PHONE_HINT}.")
    normal = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if len(normal) > PHONE_DIGITS_MAX + 1:
        return InvalidAddress(f"The phone number has more than {PHONE_DIGITS_MAX} digits.")
    return normal


_WHY_IMPOSSIBLE = {
    ValidationResult.TOO_SHORT: "is too short",
    ValidationResult.TOO_LONG: "is too long",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "lacks its area code",
}
