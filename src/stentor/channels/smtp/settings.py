"""What an SMTP sender is told: where the relay is, how to log in, and how much it may ask of it at once."""

import re
from collections.abc import Iterator
from enum import StrEnum, unique

import msgspec

from stentor.channels.smtp.envelope import BadAddress, path_of
from stentor.domain.hosts import ip_of, is_loopback
from stentor.errors import Invalid, Violation

CONNECTIONS_MAX = 20  # what large relays allow one client; past that they answer 421
IN_FLIGHT_MAX = 8  # one lost connection leaves at most so many messages in doubt
TIMEOUT_S_MAX = 3600.0

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?\Z")


@unique
class Security(StrEnum):
    """How the connection is protected. `starttls` and `tls` never fall back to plain text."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class SmtpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A relay and how to use it. Raises `Invalid` that names every field which breaks a rule.

    `in_flight_max` counts messages whose reply is awaited on one connection to a relay with CHUNKING; without it there
    are two, the second with its envelope only. `ehlo_name` is the domain of `envelope_from` when left empty. A private
    certificate authority is trusted by the variable SSL_CERT_FILE of the process.
    """

    host: str
    envelope_from: str
    port: int = 587
    security: Security = Security.STARTTLS
    verify_tls: bool = True
    username: str = ""
    password: str = ""
    ehlo_name: str = ""
    connections_max: int = 10
    in_flight_max: int = IN_FLIGHT_MAX
    connect_timeout_s: float = 30.0
    command_timeout_s: float = 300.0  # RFC 5321 §4.5.3.2
    final_reply_timeout_s: float = 600.0  # RFC 5321 §4.5.3.2.6: a relay may file the message first
    idle_timeout_s: float = 60.0  # common relays close an idle session after 60 to 300 s; we leave first

    def __post_init__(self) -> None:
        broken = list(_violations(self))
        if broken:
            raise Invalid("The SMTP sender's settings break a rule: " + broken[0].message, violations=broken)

    def __repr__(self) -> str:
        """Without the password, which must not reach a log."""
        return f"SmtpSettings({self.security}://{self.host}:{self.port})"

    @property
    def greeting_name(self) -> str:
        """The name that EHLO carries."""
        return self.ehlo_name or self.envelope_from.rpartition("@")[2]


def _violations(settings: SmtpSettings) -> Iterator[Violation]:
    if not _is_host(settings.host):
        yield Violation("/host", "host", "host must be a host name or an IP address, without port or brackets.")
    if not 1 <= settings.port <= 65535:
        yield Violation("/port", "range", "port must lie between 1 and 65535; 587 and 465 are usual.")
    yield from _sender_violations(settings)
    yield from _login_violations(settings)
    if not 1 <= settings.connections_max <= CONNECTIONS_MAX:
        yield Violation("/connections_max", "range", f"connections_max must lie between 1 and {CONNECTIONS_MAX}.")
    if not 1 <= settings.in_flight_max <= IN_FLIGHT_MAX:
        yield Violation("/in_flight_max", "range", f"in_flight_max must lie between 1 and {IN_FLIGHT_MAX}.")
    for field in ("connect_timeout_s", "command_timeout_s", "final_reply_timeout_s", "idle_timeout_s"):
        if not 0 < getattr(settings, field) <= TIMEOUT_S_MAX:
            yield Violation(
                f"/{field}", "range", f"{field} must be more than 0 and at most {TIMEOUT_S_MAX:.0f} seconds."
            )


def _sender_violations(settings: SmtpSettings) -> Iterator[Violation]:
    try:
        path_of(settings.envelope_from)
    except BadAddress as problem:
        yield Violation("/envelope_from", "address", f"envelope_from cannot be used: {problem}.")
    else:
        if not settings.envelope_from.isascii():
            yield Violation("/envelope_from", "ascii", "envelope_from must be ASCII, so that every relay takes it.")
    if settings.ehlo_name and not _HOST_NAME.match(settings.ehlo_name):
        yield Violation("/ehlo_name", "host", "ehlo_name must be a host name, such as mail.example.com.")


def _login_violations(settings: SmtpSettings) -> Iterator[Violation]:
    if bool(settings.username) != bool(settings.password):
        yield Violation("/password", "login", "username and password are set together, or neither is.")
    if not settings.password or settings.security is not Security.NONE:
        return
    if not is_loopback(settings.host):
        yield Violation("/security", "login", "A password needs security starttls or tls; it would travel readable.")


def _is_host(host: str) -> bool:
    return ip_of(host) is not None or bool(_HOST_NAME.match(host))
