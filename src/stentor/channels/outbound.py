"""Which addresses a sender's URL may lead to: a URL is a tenant's input, and our network is not the tenant's to reach."""

from enum import Enum, unique
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TypeAlias

import msgspec

from stentor.domain.hosts import ip_of

_Address: TypeAlias = IPv4Address | IPv6Address

PUBLIC_PORTS = frozenset({443, 8443})
_PORT_UNPRIVILEGED = 1024


@unique
class _Place(Enum):
    """Where an address leads; the value is why nobody goes there."""

    PUBLIC = ""
    LOOPBACK = "it leads to this machine; an operator allows that with STENTOR_ALLOW_LOOPBACK=true"
    PRIVATE = "it leads to a private network; an operator allows that with STENTOR_ALLOW_PRIVATE_NETWORKS=true"
    FORBIDDEN = "it leads to an address that no sender may reach"


class Outbound(msgspec.Struct, frozen=True):
    """What the operator allows beyond public addresses over https.

    `allow_loopback`: this machine. `allow_private_networks`: this machine and the private networks around it. Both over
    plain http too. Nothing opens link-local addresses and those where clouds keep their machines' credentials.
    """

    allow_loopback: bool = False
    allow_private_networks: bool = False

    def objection(self, scheme: str, address: _Address, port: int) -> str:
        """Why no connection may be made to this address; empty when it may.

        The address itself is not in it: the words are shown to those who chose the name that it stands for.
        """
        place = _place_of(_unwrapped(address))
        if place is _Place.PUBLIC:
            return _objection_outside(scheme, port)
        is_open = self.allow_private_networks or (self.allow_loopback and place is _Place.LOOPBACK)
        if place is _Place.FORBIDDEN or not is_open:
            return place.value
        return "" if port in {80, 443} or port >= _PORT_UNPRIVILEGED else f"port {port} belongs to another service"

    def early_objection(self, scheme: str, host: str, port: int) -> str:
        """What no answer could make good, before anybody asks for the host's addresses."""
        address = ip_of("127.0.0.1" if host == "localhost" else host)
        if address is not None:
            return self.objection(scheme, address, port)
        return "" if self.allow_private_networks else _objection_outside(scheme, port)


def _objection_outside(scheme: str, port: int) -> str:
    if scheme != "https":
        return "it leads to the public internet, where only https is spoken to"
    if port not in PUBLIC_PORTS:
        return f"port {port} is none that webhooks are sent to: {', '.join(map(str, sorted(PUBLIC_PORTS)))}"
    return ""


def _unwrapped(address: _Address) -> _Address:
    """The IPv4 address that a mapped or translated (NAT64, RFC 6052) one stands for: packets end there."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _place_of(address: _Address) -> _Place:
    if _is_in(address, _NEVER):
        return _Place.FORBIDDEN
    if address.is_loopback:
        return _Place.LOOPBACK
    if _is_in(address, _PRIVATE):
        return _Place.PRIVATE
    is_unallocated = isinstance(address, IPv6Address) and address not in _IPV6_ALLOCATED
    return _Place.FORBIDDEN if is_unallocated or _is_in(address, _SPECIAL) else _Place.PUBLIC


_Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]


def _is_in(address: _Address, networks: _Networks) -> bool:
    return any(address in network for network in networks)


def _networks(*texts: str) -> _Networks:
    return tuple(ip_network(text) for text in texts)


_NAT64 = IPv6Network("64:ff9b::/96")

# Link-local, where the machine's own metadata answers at 169.254.169.254, and the clouds' addresses for it elsewhere:
# Amazon's over IPv6, Azure's, Alibaba's. Then "this network", multicast and broadcast.
_NEVER = _networks(
    "169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "168.63.129.16/32", "100.100.100.200/32",
    "0.0.0.0/8", "::/128", "224.0.0.0/4", "240.0.0.0/4", "ff00::/8",
)  # fmt: skip
_PRIVATE = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")

# All IPv6 that is handed out to anybody. Then the registries of special addresses (RFC 6890; the table of `ipaddress`
# differs between patch versions of Python), and tunnels, which lead to an IPv4 address of their own choice: Teredo, 6to4.
_IPV6_ALLOCATED = IPv6Network("2000::/3")
_SPECIAL = _networks(
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)  # fmt: skip
