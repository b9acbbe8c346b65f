"""Listeners' URLs as clients send them: percent-encoded as a whole or not, and kept byte for byte from the path on."""

import re
from urllib.parse import unquote

from stentor.channels.outbound import Outbound
from stentor.channels.webhook.settings import URL_CHARS_MAX, place_of, url_complaint
from stentor.errors import Invalid

ENCODED_CHARS_MAX = 3 * URL_CHARS_MAX
"""Of a URL as it is sent; what it stands for has a third of that."""

_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<place>[^/?#]*)", re.IGNORECASE)


def listener_url(text: str, outbound: Outbound, *, pointer: str = "/url") -> str:
    """The URL that is meant, its scheme and host in lower case. Raises Invalid where nothing may be posted to it.

    Clients exist that send the whole of it percent-encoded: what has no `://` and is an absolute URL once it is unquoted, is that.
    """
    url = text.strip()
    if "://" not in url and len(url) <= ENCODED_CHARS_MAX and _ORIGIN.match(unquoted := _unquoted(url)):
        url = unquoted
    origin = _ORIGIN.match(url)
    if origin is not None:
        url = f"{origin['scheme'].lower()}://{origin['place'].lower()}{url[origin.end() :]}"
    if complaint := url_complaint(url):
        raise Invalid.field(pointer, "url", f"The listener's {complaint}")
    place = place_of(url)
    if objection := outbound.early_objection(place.scheme, place.host, place.port):
        raise Invalid.field(pointer, "url", f"The listener's url cannot be used: {objection}.")
    return url


def _unquoted(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text
