"""Each page says the same in every language, and is read in the one that its reader wants."""

import re

import pytest

from stentor.domain.vocabulary import ChannelKind
from stentor.pages.languages import LANGUAGES, language_for

NAMES = re.compile(r"{(\w+)}")


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_has_all_texts_with_the_same_names_in_them(code: str):
    language, english = LANGUAGES[code], LANGUAGES["en"]

    assert {text: set(NAMES.findall(said)) for text, said in language.texts.items()} == {
        text: set(NAMES.findall(said)) for text, said in english.texts.items()
    }
    assert all(said.strip() for said in language.texts.values())
    assert set(language.channels) == {
        kind.label for kind in ChannelKind if kind not in {ChannelKind.WEBHOOK, ChannelKind.EXTERNAL}
    }


@pytest.mark.parametrize(
    ("chosen", "accepted", "locale", "code"),
    [
        ("", "", None, "en"),
        ("", "de-AT,de;q=0.9,en;q=0.8", None, "de"),
        ("", "en;q=0.2, fr;q=0.7, es;q=0.3", "de", "fr"),
        ("", "nl, ja;q=0.5", "ar_EG", "ar"),
        ("es", "de", "fr", "es"),
        ("xx", "de;q=0, ar;q=0.1", None, "ar"),
        ("", "de;q=nan, fr;q=x, ,;;q=1," + "x" * 5_000, "es", "es"),
    ],
)
def test_a_choice_comes_before_the_browser_and_the_browser_before_what_is_known(
    chosen: str, accepted: str, locale: str | None, code: str
):
    assert language_for(chosen, accepted, locale).code == code


def test_names_with_braces_and_other_directions_change_nothing_around_them():
    said = LANGUAGES["en"]("unsubscribe_topic", topic="{brand} \u202eevil")

    assert said == "Unsubscribe from “\u2068{brand} \u202eevil\u2069”?"
