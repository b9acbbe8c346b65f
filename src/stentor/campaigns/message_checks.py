"""What there is to say of a message as somebody would get it: its length, its links, its pictures, its subject.

Nothing is fetched: whether an address answers is for whoever opens it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from stentor.domain.vocabulary import ChannelKind
from stentor.render.html_facts import html_facts
from stentor.render.sms_length import beyond_gsm, sms_length
from stentor.render.source import line_of

Level = Literal["error", "warning", "fine"]

CLIPPED_BYTES_MAX = 102 * 1024
"""Of HTML, what the largest mailbox provider shows; the rest, the link to unsubscribe too, is behind another click."""

TOLD_MAX = 20
"""Links or pictures of a message that are told of one by one."""

_SHOWN_CHARS = 80
_NOTIFICATIONS = (ChannelKind.PUSH, ChannelKind.WEB_PUSH, ChannelKind.IN_APP)
_FOLLOWED = {"http", "https", "mailto", "tel", "sms"}
_NEVER_OPENED = {"javascript", "vbscript", "data", "file", "blob"}
_IN_TEXT = re.compile(r"https?:[^\s<>\"]+", re.IGNORECASE)
_LIKE_A_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)+(?:[/?#:]|\Z)")
_HALVES = {"gsm7": (160, 153), "ucs2": (70, 67)}


class MessageCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a template: an error keeps it from being published or sent, a warning does not, `fine` says what is well.

    `part` and `line` tell where in the author's text, and are empty and None for what is about all of it.
    """

    level: Level
    code: str
    message: str
    part: str = ""
    line: int | None = None


def message_checks(kind: ChannelKind, source: Mapping[str, str], shown: Mapping[str, str]) -> Iterator[MessageCheck]:
    """What is to be said of the parts that are `shown`; `source` is what their author wrote, for the lines.

    Takes up to seconds for megabytes of HTML: call it in a thread.
    """
    if kind is ChannelKind.EMAIL:
        yield from _mail(source, shown)
    elif kind is ChannelKind.SMS:
        yield _sms(shown.get("text", ""))
    if kind in _NOTIFICATIONS:
        yield from _notification(source, shown)
    elif kind not in {ChannelKind.EMAIL, ChannelKind.WEBHOOK}:
        yield from _links(kind, source, _IN_TEXT.findall(" ".join(shown.values())))


def link_complaint(kind: ChannelKind, href: str) -> str | None:
    """What is wrong with an address in a message, or None. Blanks around it are passed over, as readers' programs do."""
    address = href.strip()
    if not address or address == "#":
        return "leads nowhere"
    if re.search(r"\s", address):
        return "has blanks in it"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no address that can be read"
    scheme = parts.scheme.lower()
    if scheme in {"http", "https"}:
        return _host_complaint(scheme, host)
    return _scheme_complaint(kind, scheme) if scheme else _relative_complaint(address)


def _host_complaint(scheme: str, host: str) -> str | None:
    if not host:
        return "names no host"
    if "." not in host.strip(".") and ":" not in host:
        return f"names the host {host}, which is known in no other place"
    return "is not encrypted; write https" if scheme == "http" else None


def _scheme_complaint(kind: ChannelKind, scheme: str) -> str | None:
    if scheme in _NEVER_OPENED:
        return f"begins with {scheme}:, which no reader's program opens"
    if kind is ChannelKind.EMAIL and scheme not in _FOLLOWED:
        return f"begins with {scheme}:, which few mail programs open"
    return None


def _relative_complaint(address: str) -> str | None:
    if address.startswith("#"):
        return None
    lacking = "has no https:// in front" if _LIKE_A_HOST.match(address) else "is not whole: a message has no site"
    return f"{lacking}, so that it leads nowhere"


def _mail(source: Mapping[str, str], shown: Mapping[str, str]) -> Iterator[MessageCheck]:
    if not shown.get("subject", "").strip():
        text = "The subject is empty for this person; give its fields a default."
        yield MessageCheck(level="warning", code="blank-subject", part="subject", message=text)
    html = shown.get("html", "")
    yield _size(len(html.encode("utf-8", "replace")))
    found = html_facts(html)
    part = "mjml" if source.get("mjml") else "html"
    yield from _links(ChannelKind.EMAIL, source, found.links)
    mute = [picture.src for picture in found.pictures if picture.alt is None]
    for src in list(dict.fromkeys(mute))[:TOLD_MAX]:
        text = f'The picture {_cut(src)} has no alt: who does not see it learns nothing of it. Write alt, or alt="" for mere decoration.'
        yield MessageCheck(level="warning", code="no-alt", part=part, line=_line(source, part, src), message=text)
    if not source.get("text"):
        characters = len(shown.get("text", ""))
        yield MessageCheck(
            level="fine",
            code="text",
            message=f"The text part is written from the {part.upper()}: {characters:,} characters.",
        )


def _size(size: int) -> MessageCheck:
    told = f"The HTML has {size / 1024:,.0f} KB; Gmail cuts at {CLIPPED_BYTES_MAX // 1024} KB."
    if size <= CLIPPED_BYTES_MAX:
        return MessageCheck(level="fine", code="size", message=told)
    text = f"{told} What is behind that, the link to unsubscribe too, takes another click. Shorten it."
    return MessageCheck(level="warning", code="size", message=text)


def _sms(text: str) -> MessageCheck:
    length = sms_length(text)
    alone, joined = _HALVES[length.encoding]
    if length.encoding == "gsm7":
        counted = f"{length.units:,} characters of the GSM alphabet"
    else:
        named = " ".join(beyond_gsm(text)[:5])
        counted = f"{length.units:,} characters of UCS-2, because of {named}, which the GSM alphabet does not have"
    if length.segments <= 1 and length.encoding == "gsm7":
        return MessageCheck(
            level="fine", code="segments", part="text", message=f"1 segment: {counted}; it holds {alone}."
        )
    if length.segments <= 1:
        told = f"1 segment: {counted}; so it holds {alone} instead of {_HALVES['gsm7'][0]}."
        return MessageCheck(level="warning", code="segments", part="text", message=told)
    told = f"{length.segments} segments, each of which is billed: {counted}; each holds {joined}."
    return MessageCheck(level="warning", code="segments", part="text", message=told)


def _notification(source: Mapping[str, str], shown: Mapping[str, str]) -> Iterator[MessageCheck]:
    if not shown.get("title", "").strip():
        text = "The title is empty for this person; give its fields a default."
        yield MessageCheck(level="warning", code="blank-title", part="title", message=text)
    if source.get("url"):
        yield from _links(ChannelKind.PUSH, source, [shown.get("url", "")])


def _links(kind: ChannelKind, source: Mapping[str, str], links: list[str] | tuple[str, ...]) -> Iterator[MessageCheck]:
    complaints = {href: text for href in dict.fromkeys(links) if (text := link_complaint(kind, href))}
    for href, text in list(complaints.items())[:TOLD_MAX]:
        part = next((name for name, written in source.items() if href.strip() and href in written), "")
        yield MessageCheck(
            level="warning",
            code="link",
            part=part,
            line=_line(source, part, href),
            message=f"The link {_cut(href.strip()) or 'without an address'} {text}.",
        )
    if links and not complaints:
        told = "1 link, and it is whole." if len(links) == 1 else f"{len(links):,} links, all of them whole."
        yield MessageCheck(level="fine", code="link", message=f"{told} Whether they answer is not asked from here.")


def _line(source: Mapping[str, str], part: str, wanted: str) -> int | None:
    """The line where that stands in the author's text; None where it came about by values alone."""
    place = source.get(part, "").find(wanted) if wanted.strip() else -1
    return None if place < 0 else line_of(source[part], place)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
