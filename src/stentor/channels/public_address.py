"""When a sender may be switched on: where it leads is allowed, and people's replies and opt-outs can find us."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from stentor.channels.outbound import Outbound
from stentor.channels.webhook.settings import place_of
from stentor.domain.hosts import ip_of, is_loopback
from stentor.errors import Invalid, Unprocessable


class NotReachable(Unprocessable):
    """A sender to real people, on an installation whose unsubscribe links lead nowhere."""

    code = "public-url-needed"
    title = "A public https address is needed first"


class Reach(msgspec.Struct, frozen=True):
    """How this installation is reached from outside.

    `public_url` is what links in messages begin with. Where `outbound` allows loopback, a sender to a server on this machine
    does without: for demo and tests, whose server is a sink. Elsewhere a server on this machine is a relay to everybody.
    """

    public_url: str = ""
    outbound: Outbound = Outbound()

    def check(self, kind: str, settings: Mapping[str, object]) -> None:
        """Raises NotReachable when a sender of this kind and with these settings must not be switched on.

        Raises Invalid for a webhook whose URL leads where no sender may go.
        """
        host = str(settings.get("host", ""))
        if kind == "webhook":
            place = place_of(str(settings["url"]))
            host = place.host
            if objection := self.outbound.early_objection(place.scheme, host, place.port):
                raise Invalid.field("/settings/url", "url", f"The url cannot be used: {objection}.")
        # What a service sends is the service's message, with its own way to say no.
        if kind in {"sandbox", "listener"} or is_public_https(self.public_url):
            return
        if self.outbound.allow_loopback and is_loopback(host):
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
