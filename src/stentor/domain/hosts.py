"""Hosts as they are written in settings and URLs."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address


def ip_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that the host is written as; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def free_address(host: str, port: int) -> tuple[str, int]:
    """The address in numbers, free at this moment; a port of 0 takes any. Raises OSError when it cannot be listened on.

    Asked before the server's own process is started, so that a command can end with a sentence about it.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        bound = probe.getsockname()
    return bound[0], bound[1]


def url_of(host: str, port: int) -> str:
    """The http URL of a host as settings have it, an IPv6 address in the brackets that it needs there."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by its literal address; a name could mean another machine a minute later."""
    address = ip_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)
