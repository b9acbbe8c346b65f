"""What pages for the people who get messages say, in the languages that they are there in."""

import tomllib
from collections.abc import Mapping
from importlib import resources

import msgspec

CODES = ("en", "de", "es", "fr", "ar")
"""The first is taken for whoever reads none of them."""

_RIGHT_TO_LEFT = frozenset({"ar"})
_ACCEPTED_CHARS_MAX = 500

# A name keeps its own direction, and changes that of nothing around it.
_ISOLATED, _END = "\u2068", "\u2069"


class Language(msgspec.Struct, frozen=True):
    """The texts of one language by their names, with `{brand}` and the like in them; `channels` by the channels' labels."""

    code: str
    name: str
    texts: Mapping[str, str]
    channels: Mapping[str, str]

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`, as HTML says it."""
        return "rtl" if self.code in _RIGHT_TO_LEFT else "ltr"

    def __call__(self, text: str, **facts: str) -> str:
        """The text of that name, with these facts in it."""
        said = self.texts[text]
        # One after the other: what a brand calls itself may have braces in it.
        parts = said.split("{")
        return parts[0] + "".join(
            f"{_ISOLATED}{facts[name]}{_END}{rest}" for name, _, rest in (part.partition("}") for part in parts[1:])
        )


def _read(code: str) -> Language:
    said = tomllib.loads(resources.files("stentor.pages").joinpath("languages", f"{code}.toml").read_text("utf-8"))
    return Language(code, said.pop("name"), channels=said.pop("channels"), texts=said)


LANGUAGES: Mapping[str, Language] = {code: _read(code) for code in CODES}


def language_for(chosen: str, accepted: str, locale: str | None = None) -> Language:
    """The language that was chosen on a page, else the best one that a browser accepts, else that of the person's locale."""
    if chosen in LANGUAGES:
        return LANGUAGES[chosen]
    wanted = [*_accepted(accepted[:_ACCEPTED_CHARS_MAX]), locale or ""]
    codes = (tag.replace("_", "-").partition("-")[0].lower() for tag in wanted)
    return LANGUAGES[next((code for code in codes if code in LANGUAGES), CODES[0])]


def _accepted(header: str) -> list[str]:
    """The tags of an Accept-Language, the most wanted first; what cannot be read counts for nothing."""
    weighed: list[tuple[float, str]] = []
    for part in header.split(","):
        tag, _, parameter = part.strip().partition(";")
        name, _, weight = parameter.partition("=")
        try:
            quality = float(weight) if name.strip() == "q" else 1.0
        except ValueError:
            continue
        if quality > 0:
            weighed.append((-quality, tag.strip()))
    return [tag for _, tag in sorted(weighed, key=lambda each: each[0])]
