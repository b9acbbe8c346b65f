"""What a webhook sender is told: where the receiver is, what to sign with, and how much it may ask of it at once."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec

from stentor.channels.webhook.signing import BadSecret, keys_of
from stentor.domain.hosts import ip_of
from stentor.errors import Invalid, Violation

URL_CHARS_MAX = 2_000
BATCH_MAX = 1_000
CONNECTIONS_MAX = 100
TIMEOUT_S_MAX = 120.0

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\Z"
)
_UNSAFE = re.compile(r"[^\x21-\x7e]|[\\\"<>^`{|}]")
_USUAL_PORTS = {"https": 443, "http": 80}


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver and how to use it. Raises `Invalid` that names every field which breaks a rule.

    `batch_max` above 1 sends so many messages at most in one request, as an array. `secrets` has one or more signing
    secrets with blanks between them, the newest first: while they change, each request is signed with all of them.
    `timeout_s` holds from the first look for a connection to the end of the answer.
    """

    url: str
    secrets: str
    batch_max: int = 1
    connections_max: int = 10
    connect_timeout_s: float = 10.0
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        broken = list(_violations(self))
        if broken:
            raise Invalid("The webhook sender's settings break a rule: " + broken[0].message, violations=broken)

    def __repr__(self) -> str:
        """Without secrets and without the URL's path, which is one at many receivers."""
        return f"WebhookSettings({self.place})"

    @property
    def place(self) -> "Place":
        """Where its connections go."""
        return place_of(self.url)


class Place(NamedTuple):
    """What a connection is made to; `host` is a name, or an address without brackets."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def place_of(url: str) -> Place:
    """Where a URL that was found good leads, its usual port spelled out."""
    parts = urlsplit(url)
    return Place(parts.scheme, parts.hostname or "", _USUAL_PORTS[parts.scheme] if parts.port is None else parts.port)


def _violations(settings: WebhookSettings) -> Iterator[Violation]:
    if complaint := url_complaint(settings.url):
        yield Violation("/url", "url", complaint)
    try:
        keys_of(settings.secrets)
    except BadSecret as problem:
        yield Violation("/secrets", "secret", str(problem))
    if not 1 <= settings.batch_max <= BATCH_MAX:
        yield Violation("/batch_max", "range", f"batch_max must lie between 1 and {BATCH_MAX:,}.")
    if not 1 <= settings.connections_max <= CONNECTIONS_MAX:
        yield Violation("/connections_max", "range", f"connections_max must lie between 1 and {CONNECTIONS_MAX}.")
    for field in ("connect_timeout_s", "timeout_s"):
        if not 0 < getattr(settings, field) <= TIMEOUT_S_MAX:
            yield Violation(
                f"/{field}", "range", f"{field} must be more than 0 and at most {TIMEOUT_S_MAX:.0f} seconds."
            )


def url_complaint(url: str) -> str:
    """Why this is no URL of a receiver. Strict, so that every library reads the same host out of it."""
    if len(url) > URL_CHARS_MAX:
        return f"url must have at most {URL_CHARS_MAX:,} characters."
    if _UNSAFE.search(url):
        return "url must be written in ASCII, without blanks; write a name in other letters in its form xn--…."
    try:
        parts = urlsplit(url)
        is_receiver = parts.scheme in _USUAL_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_receiver = False
    if not is_receiver:
        return "url must be like https://example.org/path."
    return _place_complaint(urlsplit(url))


def _place_complaint(parts: SplitResult) -> str:
    if "@" in parts.netloc:
        return "url must not have a user or a password; requests are signed instead."
    if parts.fragment:
        return "url must not have a fragment (#…); servers never see it."
    if not _is_host(parts):
        return (
            "url must have a host name in lower case without a dot at its end, or an IP address in its usual form: "
            "four numbers, or IPv6 in brackets."
        )
    return ""


def _is_host(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    address = ip_of(host)
    written = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc
    if address is None:
        # A last label of digits alone (127.1, 0x7f.1, 2130706433) is an address to some and a name to others.
        return written == host and bool(_HOST_NAME.match(host))
    return "%" not in host and written == (f"[{host}]" if address.version == 6 else str(address))
