"""Which language variant a person gets."""

from collections.abc import Sequence


def variant_for(languages: Sequence[str], locale: str | None) -> int:
    """The index of the variant for that locale; the first language is the default.

    The fallback chain of `de-Latn-AT` is itself, `de-Latn`, `de`, then the default. Planning does the same in SQL.
    """
    if not locale:
        return 0
    known = {language.lower(): index for index, language in reversed(list(enumerate(languages)))}
    subtags = locale.lower().split("-")
    for tag in ("-".join(subtags), "-".join(subtags[:2]), subtags[0]):
        if tag in known:
            return known[tag]
    return 0
