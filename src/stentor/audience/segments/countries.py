"""Which countries a phone number may be of, as the database can ask it.

Most calling codes are one country's, and a prefix says it all. Those that countries share (`+1`, `+7`, `+44` …) are told
apart by the patterns of the numbering plans that the phonenumbers library brings along; no pattern comes from outside.
"""

import functools
from typing import NamedTuple

from phonenumbers import PhoneMetadata
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE, country_code_for_region

# What kinds of numbers a plan knows; a number is one of the country when it is of any kind.
_KINDS = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
    "fixed_line",
    "mobile",
)


class Numbers(NamedTuple):
    """The phone numbers of some countries: those with one of the prefixes, and those that match the pattern."""

    prefixes: list[str]
    pattern: str | None


@functools.lru_cache(maxsize=256)
def numbers_of(countries: tuple[str, ...]) -> Numbers:
    """The numbers of these countries (`DE`), in the international form in which valid ones are stored."""
    prefixes: list[str] = []
    patterns: list[str] = []
    for country in dict.fromkeys(countries):
        code = country_code_for_region(country)
        if len(COUNTRY_CODE_TO_REGION_CODE[code]) == 1:
            prefixes.append(f"+{code}")
        else:
            patterns.append(_pattern(country, code))
    return Numbers(prefixes, f"^(?:{'|'.join(patterns)})$" if patterns else None)


def _pattern(country: str, code: int) -> str:
    plan = PhoneMetadata.metadata_for_region(country)
    described = [getattr(plan, kind) for kind in ("general_desc", *_KINDS)]
    whole, *kinds = [each.national_number_pattern for each in described if each and each.national_number_pattern]
    return rf"\+{code}(?=(?:{whole})$)(?:{'|'.join(kinds)})"
