"""Names become addresses that a sender may reach, or no connection: all answers are looked at, and nothing is remembered."""

import socket
from ipaddress import ip_address
from typing import Final

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from stentor.channels.outbound import Outbound


class NotAllowed(OSError):
    """No sender may connect to where this leads; the text says why."""


class CheckedResolver(AbstractResolver):
    """Asks another resolver, and refuses a name of which one answer may not be reached.

    One forbidden answer among good ones is an attack or a mistake; to pick the good ones would leave it to chance which.
    """

    def __init__(self, inner: AbstractResolver, outbound: Outbound, scheme: str) -> None:
        self._inner: Final = inner
        self._outbound: Final = outbound
        self._scheme: Final = scheme

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for answer in found:
            self._check(answer["host"], port)
        return found

    async def close(self) -> None:
        await self._inner.close()

    def socket_to(self, target: AddrInfoType) -> socket.socket:
        """The socket for one connection, if its address may be reached: those that a URL is written with pass here alone."""
        family, kind, proto, _, address = target
        self._check(str(address[0]), int(address[1]))
        return socket.socket(family, kind, proto)

    def _check(self, host: str, port: int) -> None:
        # A link-local answer carries its interface (fe80::1%eth0).
        objection = self._outbound.objection(self._scheme, ip_address(host.partition("%")[0]), port)
        if objection:
            raise NotAllowed(objection)
