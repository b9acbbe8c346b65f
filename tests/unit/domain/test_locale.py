"""Languages and time zones in the spelling that is stored."""

import pytest

from stentor.domain.locale import normal_locale, normal_time_zone


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("en", "en"),
        ("EN_us", "en-US"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("iw", "he"),
        ("deu-AT", "de-AT"),
        ("de-ch-1996", "de-CH-1996"),
        ("en-u-ca-gregory", "en-u-ca-gregory"),
        (" fr ", "fr"),
    ],
)
def test_a_language_tag_has_one_spelling(given: str, normal: str) -> None:
    assert [normal_locale(given), normal_locale(normal)] == [normal, normal]


@pytest.mark.parametrize(
    "given", ["", "e", "english", "en-", "en--US", "en_US.UTF-8", "C", "en\x00", "en-" + "a" * 40, "١١"]
)
def test_what_is_no_language_tag_is_none(given: str) -> None:
    assert normal_locale(given) is None


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("america/new_york", "America/New_York"),
        ("UTC", "UTC"),
        (" US/Eastern ", "US/Eastern"),
    ],
)
def test_a_time_zone_has_the_spelling_of_the_database(given: str, normal: str) -> None:
    assert normal_time_zone(given) == normal


@pytest.mark.parametrize(
    "given", ["", "Mars/Olympus", "Factory", "localtime", "../etc/passwd", "UTC\x00", "GMT+25", "A" * 100]
)
def test_what_is_no_time_zone_is_none(given: str) -> None:
    assert normal_time_zone(given) is None
