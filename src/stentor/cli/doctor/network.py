"""The network: where we listen, under which address people find us, whose word about callers we take."""

import http.client
import socket
from ipaddress import ip_network
from urllib.parse import urlsplit

from stentor.channels.public_address import is_public_https
from stentor.cli.doctor.finding import Finding, bad, ok, warn

_ASK_WITHIN_S = 2.0


def check_port(host: str, port: int) -> Finding:
    """Whether the port is free, or ours already."""
    where = f"{host}:{port}"
    try:
        with socket.create_server((host, port)):
            return ok("port", f"{where} is free.")
    except OSError as error:
        if _answers_as_ours(host, port):
            return ok("port", f"Stentor listens on {where}.")
        return bad("port", f"{where} cannot be listened on: {error.strerror}.", "Choose others with --host and --port.")


def check_public_url(url: str | None) -> Finding:
    """Whether the links in messages lead here from everywhere."""
    if not url:
        return warn(
            "public url",
            "None is set: links in messages lead to this machine alone.",
            "Set --public-url https://…, without which no sender to real people can be switched on.",
        )
    if not is_public_https(url):
        return bad("public url", f"{url} is no public https address.", "Set --public-url to the one that people reach.")
    parts = urlsplit(url)
    if parts.query or parts.fragment or parts.username:
        return bad("public url", f"{url} is more than an address.", "Leave out user, query and fragment.")
    return ok("public url", url)


def check_trusted_proxies(networks: str, public_url: str | None) -> Finding:
    """Whether the addresses of callers are what proxies say, and only ours."""
    names = [name.strip() for name in networks.split(",") if name.strip()]
    for name in names:
        try:
            network = ip_network(name)
        except ValueError as error:
            return bad("trusted proxies", f"{error}.", "Write networks as 10.0.0.0/8, separated by commas.")
        if network.prefixlen == 0:
            return bad(
                "trusted proxies", f"{name} is everybody.", "Anybody could claim any address; name your proxies."
            )
    if not names and public_url:
        return warn(
            "trusted proxies",
            "None are named.",
            "Behind a proxy all callers would have the proxy's address: name its network by --trusted-proxies.",
        )
    return ok("trusted proxies", ", ".join(names) or "None are needed without a public url.")


def _answers_as_ours(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=_ASK_WITHIN_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().read() == b'{"status":"alive"}'
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
