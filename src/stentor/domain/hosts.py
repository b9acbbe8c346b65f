"""Hosts as they are written in settings and URLs."""

from ipaddress import IPv4Address, IPv6Address, ip_address


def ip_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that the host is written as; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by its literal address; a name could mean another machine a minute later."""
    address = ip_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)
