"""The limits of a call's `context`, whatever its schema says."""

from typing import Any

import msgspec

from stentor.errors import Invalid, pointer_to

CONTEXT_BYTES_MAX = 64 * 1024
CONTEXT_DEPTH_MAX = 32
CONTEXT_KEYS_MAX = 1000
INTEGER_MAX = 2**63 - 1

# Nineteen digits in a row, found by turning all digits into zeros: ten times as fast as a pattern.
_TO_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19


def checked_context(context: dict[str, Any], at: str = "/context") -> msgspec.Raw:
    """The context as the JSON text that is stored; `at` is where in the request it stands.

    Raises Invalid for more than 64 KiB, 32 levels or 1000 keys, for an integer that does not fit into 64 bits, and for a
    NUL character or a lone surrogate in a text.
    """
    try:
        text = msgspec.json.encode(context)
    except (UnicodeEncodeError, RecursionError, TypeError, ValueError) as error:
        raise Invalid.field(at, "not-json", f"The context cannot be written as JSON: {error}.") from None
    if len(text) > CONTEXT_BYTES_MAX:
        message = f"The context has {len(text)} bytes; at most {CONTEXT_BYTES_MAX} are allowed. Send ids, not contents."
        raise Invalid.field(at, "too-large", message)
    # These counts can only be too high. Nearly every context passes by them alone, in a microsecond.
    if (
        text.count(b"{") + text.count(b"[") > CONTEXT_DEPTH_MAX
        or text.count(b":") > CONTEXT_KEYS_MAX
        or b"\\u0000" in text
        or _LONG_NUMBER in text.translate(_TO_ZEROS)
    ):
        _Study(at).value(context, at, 1)
    return msgspec.Raw(text)


class _Study:
    """The careful look, value by value."""

    def __init__(self, at: str) -> None:
        self._at = at
        self._keys = 0

    def value(self, value: Any, pointer: str, depth: int) -> None:
        match value:
            case str():
                self._text(value, pointer)
            case int() if not -INTEGER_MAX - 1 <= value <= INTEGER_MAX:
                message = "This integer does not fit into 64 bits. Send it as a string."
                raise Invalid.field(pointer, "number-too-large", message)
            case dict():
                self._count_keys(len(value))
                for key, inner in value.items():
                    self._text(key, pointer)
                    self.value(inner, pointer + pointer_to(key), self._deeper(depth, pointer))
            case list():
                for index, inner in enumerate(value):
                    self.value(inner, f"{pointer}/{index}", self._deeper(depth, pointer))

    def _deeper(self, depth: int, pointer: str) -> int:
        if depth == CONTEXT_DEPTH_MAX:
            raise Invalid.field(
                pointer, "too-deep", f"The context is nested deeper than {CONTEXT_DEPTH_MAX} levels. Flatten it."
            )
        return depth + 1

    def _count_keys(self, more: int) -> None:
        self._keys += more
        if self._keys > CONTEXT_KEYS_MAX:
            message = f"The context has more than {CONTEXT_KEYS_MAX} keys. Send fewer."
            raise Invalid.field(self._at, "too-many-keys", message)

    def _text(self, text: str, pointer: str) -> None:
        if "\x00" in text:
            raise Invalid.field(pointer, "nul-character", "This text has a NUL character. Remove it.")
