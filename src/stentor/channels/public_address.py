"""When a sender may be switched on: nobody real is written to before their replies and opt-outs can find us."""

from urllib.parse import urlsplit

import msgspec

from stentor.domain.hosts import ip_of, is_loopback
from stentor.errors import Unprocessable


class NotReachable(Unprocessable):
    """A sender to real people, on an installation whose unsubscribe links lead nowhere."""

    code = "public-url-needed"
    title = "A public https address is needed first"


class Reach(msgspec.Struct, frozen=True):
    """How this installation is reached from outside.

    `public_url` is what links in messages begin with. `allow_loopback` lets a sender to an SMTP server on this machine
    do without: for demo and tests, whose server is a sink. Elsewhere a server on this machine is a relay to everybody.
    """

    public_url: str = ""
    allow_loopback: bool = False

    def check(self, kind: str, settings: dict[str, object]) -> None:
        """Raises NotReachable when a sender of this kind and with these settings must not be switched on."""
        if kind == "sandbox" or is_public_https(self.public_url):
            return
        if self.allow_loopback and is_loopback(str(settings.get("host", ""))):
            return
        raise NotReachable(
            "A sender to real people is switched on only where its unsubscribe links work. Start with "
            "--public-url https://…, the address under which people reach this installation, or leave the sender off "
            "with `enabled: false`."
        )


def is_public_https(url: str) -> bool:
    """Whether this is an https address that does not lead back to a machine or network of one's own."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme != "https" or not host:
        return False
    address = ip_of(host)
    if address is not None:
        return address.is_global
    return "." in host.rstrip(".") and not host.rstrip(".").endswith((".localhost", ".local", ".internal"))
