"""The languages of a template, and which one a person gets."""

from collections.abc import Sequence

from stentor.campaigns.model import TemplateContent


def ordered_languages(content: TemplateContent) -> list[str]:
    """The default language first, the others by name: the order in which a publication has them."""
    return sorted(content.variants, key=lambda language: (language != content.default_language, language))


def variant_for(languages: Sequence[str], locale: str | None) -> int:
    """The index of the language for that locale; the first one is the default.

    The fallback chain of `de-Latn-AT` is itself, `de-Latn`, `de`, then the default. Planning does the same in SQL.
    """
    known = {language.lower(): index for index, language in enumerate(languages)}
    subtags = (locale or "").lower().split("-")
    for tag in ("-".join(subtags), "-".join(subtags[:2]), subtags[0]):
        if tag in known:
            return known[tag]
    return 0
