"""A server's replies, cut out of the bytes as they arrive."""

from typing import TypeAlias

REPLY_BYTES_MAX = 64 * 1024  # a real reply has a few hundred bytes; a hostile one has no end
ANSWER_CHARS_MAX = 500

CLOSING = 421  # the one code that may answer any command: the server takes nothing more on this connection

Reply: TypeAlias = tuple[int, bytes]
"""A reply's code, and all of its lines as they came. A bare tuple: four are made for each message that is sent."""

_CODES = {b"%d" % code: code for code in range(200, 600)}


class Garbage(ValueError):
    """The bytes are no SMTP reply, so nothing that follows on this connection can be trusted."""


class ReplyReader:
    """Cuts replies out of a stream. Holds at most 64 KiB of an unfinished one."""

    def __init__(self) -> None:
        self._rest = b""
        self._earlier_lines: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes. Raises `Garbage` for anything that RFC 5321 §4.2 does not allow."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        replies: list[Reply] = []
        for line in lines:
            code = _CODES.get(line[:3])
            if code is None or line[3:4] not in b" -\r":
                raise Garbage(f"not a reply: {line[:60]!r}")
            if self._earlier_lines or line[3:4] == b"-":
                self._continue(code, line, replies)
            else:
                replies.append((code, line))
        if self._held + len(self._rest) > REPLY_BYTES_MAX:
            raise Garbage(f"a reply of more than {REPLY_BYTES_MAX} bytes")
        return replies

    def _continue(self, code: int, line: bytes, replies: list[Reply]) -> None:
        if self._earlier_lines and self._earlier_lines[0][:3] != line[:3]:
            raise Garbage(f"a reply that changes its code: {line[:60]!r}")
        self._earlier_lines.append(line)
        self._held += len(line)
        if self._held > REPLY_BYTES_MAX:
            raise Garbage(f"a reply of more than {REPLY_BYTES_MAX} bytes")
        if line[3:4] != b"-":
            replies.append((code, b"\n".join(self._earlier_lines)))
            self._earlier_lines.clear()
            self._held = 0


def answer(reply: Reply) -> str:
    """The provider's own words: the code and the text of every line on one printable line of at most 500 characters."""
    code, text = reply
    said = b" ".join(line[4:] for line in text[: 4 * ANSWER_CHARS_MAX].splitlines())
    words = " ".join(said.decode("utf-8", "replace").split())
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words)
    return f"{code} {printable}".strip()[:ANSWER_CHARS_MAX]
