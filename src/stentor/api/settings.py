"""What the HTTP door is told at its start."""

from ipaddress import IPv4Network, IPv6Network

import msgspec

BODY_BYTES_MAX = 1024 * 1024


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How requests are taken in.

    `secret` signs cursors; all processes of an installation share it. `public_url` is what links in answers begin with
    (`https://stentor.example.org`, no slash at the end); without it they begin with the address that was asked.
    `trusted_proxies` may say in X-Forwarded-For whom they speak for; nobody else is believed. `organisation_rate_per_s` is how
    often a key may ask under `/v1/organisations`; 0 lifts it.
    """

    secret: bytes
    public_url: str = ""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    body_bytes_max: int = BODY_BYTES_MAX
    organisation_rate_per_s: int = 100
