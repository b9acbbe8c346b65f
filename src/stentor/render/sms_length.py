"""How many segments a text message takes: 160 characters in the GSM 7-bit alphabet, 70 in UCS-2, fewer when it is cut."""

from typing import Literal

import msgspec

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
_LENGTHS = {"gsm7": (160, 153), "ucs2": (70, 67)}


class SmsLength(msgspec.Struct, frozen=True):
    """What a text costs: `units` are septets or UTF-16 code units, `segments` what carriers bill."""

    encoding: Literal["gsm7", "ucs2"]
    units: int
    segments: int


def sms_length(text: str) -> SmsLength:
    """The length of a text as it is sent; one character outside the GSM alphabet (an emoji, a `ç`) makes all of it UCS-2."""
    characters = set(text)
    if characters <= _BASIC | _EXTENDED:
        return _counted("gsm7", [2 if character in _EXTENDED else 1 for character in text])
    return _counted("ucs2", [2 if character > "\uffff" else 1 for character in text])


def beyond_gsm(text: str) -> list[str]:
    """The characters that are not in the GSM alphabet, each once, in their order: because of them a text is UCS-2."""
    return [character for character in dict.fromkeys(text) if character not in _BASIC and character not in _EXTENDED]


def _counted(encoding: Literal["gsm7", "ucs2"], widths: list[int]) -> SmsLength:
    units = sum(widths)
    alone, joined = _LENGTHS[encoding]
    if units <= alone:
        return SmsLength(encoding, units, 1 if units else 0)
    segments, room = 1, joined
    for width in widths:
        if width > room:  # neither an escape sequence nor a surrogate pair is cut in two
            segments, room = segments + 1, joined
        room -= width
    return SmsLength(encoding, units, segments)
