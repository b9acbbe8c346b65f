"""E-mail header values from other people's text: on their lines, 7-bit, and never a second header."""

import binascii
import functools
import re
from email.headerregistry import Address
from email.policy import SMTP

from stentor.domain.vocabulary import Reason
from stentor.render.errors import RenderError
from stentor.render.limits import SUBJECT_CHARS_MAX

_LINE_MAX = 78
_ENCODED_LINE_MAX = 76  # RFC 2047 §2, for lines that have an encoded-word
_ENCODED_FRAME = len("=?utf-8?b??=")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ENCODED_WORD = re.compile(r"=\?utf-8\?b\?([^?]*)\?=")
_WORD = re.compile(r" *[^ ]+")
_URL = re.compile(r"https?://[!-;=?-~]+")


def one_line(text: str) -> str:
    """The text with line breaks, NUL and other control characters as single blanks, and none at its ends."""
    return text.strip() if text.isprintable() else _CONTROLS.sub(" ", text).strip()


def unstructured(text: str, name: str) -> str:
    """The value of a header such as Subject: as it is where it is short and ASCII, else folded or in encoded-words.

    Raises RenderError for more than 998 characters, the most that a line of a message may have.
    """
    line = one_line(text)
    if len(line) > SUBJECT_CHARS_MAX:
        raise RenderError(f"it has {len(line)} characters; at most {SUBJECT_CHARS_MAX} fit", limit="subject_chars")
    column = len(name) + 2
    # A text that looks like an encoded-word would be shown decoded.
    if line.isascii() and "=?" not in line:
        if column + len(line) <= _LINE_MAX:
            return line
        folded = _folded(line, column)
        if folded is not None:
            return folded
    return _encoded_words(line, column)


def decoded(value: str) -> str:
    """The text that `unstructured` made this value of."""
    words = _ENCODED_WORD.findall(value)
    return b"".join(map(binascii.a2b_base64, words)).decode() if words else value.replace("\r\n", "")


@functools.lru_cache(maxsize=1024)
def mailbox(name: str, address: str, header: str) -> str:
    """The value of From or Reply-To: the display name, quoted or encoded as it needs, and the address."""
    local, _, domain = _checked(address).rpartition("@")
    policy = SMTP if address.isascii() else SMTP.clone(utf8=True)
    value = policy.header_factory(header, str(Address(one_line(name), local, domain)))
    return value.fold(policy=policy).removeprefix(f"{header}:").strip()


def recipient(address: str) -> str:
    """The value of To. Raises RenderError for an address that is no single line."""
    return address if address.isprintable() else _checked(address)


def one_click_url(url: str) -> str:
    """The address inside List-Unsubscribe. Raises RenderError for what is no plain http address."""
    if _URL.fullmatch(url):
        return url
    raise RenderError("the unsubscribe address is no plain http address")


def _checked(address: str) -> str:
    if not address.isprintable():
        raise RenderError("the address has control characters", reason=Reason.INVALID_ADDRESS)
    return address


def _folded(line: str, column: int) -> str | None:
    """The ASCII text in lines of at most 78 characters, broken before blanks; None where a word is too long for that."""
    lines = [""]
    for word in _WORD.findall(line):
        if column + len(word) <= _LINE_MAX:
            lines[-1] += word
            column += len(word)
        elif word.startswith(" ") and len(word) <= _LINE_MAX:
            lines.append(word)
            column = len(word)
        else:
            return None
    return "\r\n".join(lines)


# A subject with a name in it recurs among the people of a wave, as names do: 3 µs to encode, 0.1 to remember.
@functools.lru_cache(maxsize=2048)
def _encoded_words(line: str, column: int) -> str:
    data = line.encode()
    if len(data) <= (_ENCODED_LINE_MAX - column - _ENCODED_FRAME) // 4 * 3:
        return _encoded_word(data)
    words: list[str] = []
    start = 0
    while start < len(data):
        end = min(start + (_ENCODED_LINE_MAX - column - _ENCODED_FRAME) // 4 * 3, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # never inside a character
            end -= 1
        words.append(_encoded_word(data[start:end]))
        start, column = end, 1
    return "\r\n ".join(words)


def _encoded_word(data: bytes) -> str:
    return f"=?utf-8?b?{binascii.b2a_base64(data, newline=False).decode()}?="
