"""What a receiver's answer means for the messages of the request that it answers."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from stentor.channels.contract import Accepted, Deferred, InDoubt, Outcome, Rejected

ANSWER_CHARS_MAX = 500
ANSWER_BYTES_MAX = 64 * 1024  # what is read of an answer; a hostile one has no end
RETRY_AFTER_S_MAX = 3_600.0  # a mistyped Retry-After must not park a campaign for a year

_MULTI_STATUS = 207
_TOO_MANY = 429
_UNAVAILABLE = 503
# About the request as such, or about a moment: the same message may be taken the next time. RFC 9110 and RFC 8470.
_NOT_NOW = {408, 425, _TOO_MANY}
# About our signature, or a proxy's wish to know us: the same for every message until somebody changes a setting.
_NOT_KNOWN = {401, 407}
_DIGITS = re.compile(r"[0-9]{1,10}\Z")
_ACCEPTED = Accepted()


class Reply(msgspec.Struct, frozen=True):
    """An answer as it came. `is_whole` is False when its body was longer than is read, or broke off."""

    status: int
    reason: str = ""
    retry_after: str = ""
    body: bytes = b""
    is_whole: bool = True


class MessageResult(msgspec.Struct, frozen=True):
    """What a receiver says about one message of a batch: a status as if it had come alone."""

    id: str
    status: Annotated[int, Meta(ge=200, le=599)]
    error: str = ""
    retry_after_s: Annotated[float, Meta(ge=0)] | None = None


class _Results(msgspec.Struct, frozen=True):
    results: list[MessageResult]


_Judged: TypeAlias = Accepted | Deferred | Rejected


def judge(reply: Reply, now: datetime) -> _Judged:
    """What the answer means for a message that was alone, or that nothing was said about in particular.

    2xx is a yes. What speaks of the receiver or of us, not of the message, is `sender_wide` and never final: a redirect or
    a login is the same for every recipient, and failing a whole campaign for a wrong setting cannot be undone.
    """
    status, words, retry_after_s = reply.status, _words(reply), _retry_after_s(reply.retry_after, now)
    if 200 <= status < 300:
        return _ACCEPTED
    if status < 400 or status in _NOT_KNOWN:
        return Deferred(words, sender_wide=True)
    if status == _TOO_MANY or (status == _UNAVAILABLE and retry_after_s is not None):
        return Deferred(words, retry_after_s=retry_after_s, sender_wide=True)
    return Deferred(words, retry_after_s=retry_after_s) if _is_not_now(status) else Rejected(words)


def judge_batch(reply: Reply, ids: Sequence[str], now: datetime) -> list[Outcome]:
    """As `judge` for each message of a batch; 207 says that the body tells them apart.

    There whoever is not named was taken. A 207 that cannot be read leaves all in doubt: some may have been refused.
    """
    if reply.status != _MULTI_STATUS:
        return [judge(reply, now)] * len(ids)
    if not reply.is_whole:
        return [InDoubt(f"207 whose results break off, or have more than {ANSWER_BYTES_MAX} bytes")] * len(ids)
    try:
        told = msgspec.json.decode(reply.body, type=_Results)
    except (msgspec.DecodeError, RecursionError) as problem:
        return [InDoubt(printable(f"207 whose results cannot be read: {problem}"))] * len(ids)
    named = {result.id: result for result in told.results}
    return [_result_of(named[name]) if name in named else _ACCEPTED for name in ids]


def answered(reply: Reply, now: datetime) -> tuple[str, float | None]:
    """An answer in words, on one line, and the seconds after which it says to come again."""
    return _words(reply), _retry_after_s(reply.retry_after, now)


def _result_of(result: MessageResult) -> _Judged:
    """Never `sender_wide`: one message that is always refused so would keep all others waiting."""
    words = printable(f"{result.status} {result.error}")
    if 200 <= result.status < 300:
        return _ACCEPTED
    if _is_not_now(result.status):
        after_s = result.retry_after_s
        return Deferred(words, retry_after_s=None if after_s is None else min(after_s, RETRY_AFTER_S_MAX))
    return Rejected(words)


def _is_not_now(status: int) -> bool:
    return status >= 500 or status in _NOT_NOW


def _retry_after_s(text: str, now: datetime) -> float | None:
    """Seconds from now, of either form that RFC 9110 §10.2.3 allows; None for none or garbage."""
    if _DIGITS.match(text):
        return min(float(text), RETRY_AFTER_S_MAX)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_S_MAX)


def _words(reply: Reply) -> str:
    said = reply.body[: 4 * ANSWER_CHARS_MAX].decode("utf-8", "replace") or reply.reason
    return printable(f"{reply.status} {said}")


def printable(text: str) -> str:
    """On one printable line of at most 500 characters."""
    words = " ".join(text.split())
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words[:ANSWER_CHARS_MAX]
    )
