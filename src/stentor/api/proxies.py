"""Who called: the address behind the proxies that we trust."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from litestar.types import HTTPScope

# A longer chain than this is nobody's network; it is a header made to keep us busy.
HOPS_MAX = 20

Address: TypeAlias = IPv4Address | IPv6Address


def client_address(scope: HTTPScope, trusted: Sequence[IPv4Network | IPv6Network]) -> Address | None:
    """The caller's address: the last one in X-Forwarded-For that is not a trusted proxy's own.

    Without trusted proxies, or when the connection is not from one, it is the connection's; None when that has none.
    """
    peer = scope["client"]
    seen = None if peer is None else _parsed(peer[0])
    if seen is None or not _is_trusted(seen, trusted):
        return seen
    chain = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
    for hop in reversed(chain.split(",")[-HOPS_MAX:]):
        address = _parsed(hop.strip())
        if address is None:
            break
        seen = address
        if not _is_trusted(address, trusted):
            break
    return seen


def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: Address, trusted: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in trusted)
