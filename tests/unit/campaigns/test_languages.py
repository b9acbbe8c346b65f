"""Which variant a locale gets."""

import pytest

from stentor.campaigns.languages import variant_for


@pytest.mark.parametrize(
    ("locale", "index"),
    [
        ("de", 2),
        ("de-CH", 3),
        ("de-AT", 2),
        ("DE-at", 2),
        ("zh-Hant-TW", 1),
        ("zh-Hans-CN", 0),
        ("en-GB", 0),
        ("fr", 0),
        (None, 0),
        ("", 0),
    ],
)
def test_a_locale_falls_back_subtag_by_subtag_and_then_to_the_default(locale: str | None, index: int):
    languages = ["en", "zh-Hant", "de", "de-CH"]

    assert variant_for(languages, locale) == index
