"""What somebody in the midst of an SMTP connection can tell of its messages: how many were said to their end and not answered."""

import re
from collections import deque

_REPLY_END = re.compile(rb"^\d{3}(?: .*)?\r\n", re.MULTILINE)
_LAST_CHUNK = re.compile(rb"BDAT (\d+) LAST")


class MailMeter:
    """Listens to both sides of a connection on which messages are sent as chunks (RFC 3030).

    Each command gets one reply, in order, and the greeting is one more. A message counts from its last byte on.
    """

    def __init__(self) -> None:
        self._awaited: deque[bool] = deque([False])  # for each reply to come: whether it is about a whole message
        self._body_left = 0
        self._line = b""
        self._reply = b""

    @property
    def unanswered(self) -> int:
        """The messages that the client has written to the end, and whose reply has not come."""
        return sum(self._awaited)

    def said(self, data: bytes) -> None:
        """The client wrote that."""
        at = 0
        while at < len(data):
            if self._body_left:
                taken = min(self._body_left, len(data) - at)
                self._body_left -= taken
                at += taken
                if not self._body_left:
                    self._awaited.append(True)
                continue
            end = data.find(b"\n", at) + 1
            if not end:
                self._line += data[at:]
                return
            self._command(self._line + data[at:end])
            self._line, at = b"", end

    def replied(self, data: bytes) -> None:
        """The server's answer reached the client."""
        heard = self._reply + data
        end = heard.rfind(b"\n") + 1
        for _ in _REPLY_END.finditer(heard[:end]):
            if self._awaited:
                self._awaited.popleft()
        self._reply = heard[end:]

    def _command(self, line: bytes) -> None:
        chunk = _LAST_CHUNK.match(line)
        self._body_left = int(chunk[1]) if chunk else 0
        if not self._body_left:
            self._awaited.append(False)
