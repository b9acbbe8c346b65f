"""One call as handlers see it: who calls, by which version of the API, and what is needed to answer."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import date
from typing import Any

import msgspec

from stentor.accounts.model import Brand
from stentor.api.proxies import Address
from stentor.api.services import Services
from stentor.api.spool import Sent, Spool, Spooled
from stentor.api.wire.classic.paths import Version
from stentor.api.wire.classic.registry import OLDER
from stentor.channels.partners.model import HubCaller
from stentor.clock import Clock

ENCODER = msgspec.json.Encoder()


class Guest(msgspec.Struct, frozen=True):
    """Somebody who has not logged in yet."""

    services: Services
    address: Address | None


class Call(msgspec.Struct, frozen=True):
    """A call of a client, for its brand and no other."""

    services: Services
    client: HubCaller
    brand: Brand
    version: Version
    opened: list[Spool]
    """What is closed once the call is answered."""

    @property
    def is_older(self) -> bool:
        """Whether the answer is to have the shape that it had before `/current`."""
        return self.version in OLDER

    def today(self) -> date:
        """The day that it is, in UTC."""
        return Clock(self.services.database.shift).now().date()

    def granted(self, channel: int | None = None) -> list[str]:
        """The attributes that the client may pull on that channel, or on any; none on another's."""
        if channel is not None:
            return list(self.client.channels.get(channel, ()))
        return list(dict.fromkeys(name for names in self.client.channels.values() for name in names))

    def spool(self) -> Spool:
        """Room for a large answer; it is closed when the call is over."""
        spool = self.services.spools.spool(self.client.client_id)
        self.opened.append(spool)
        return spool

    async def listed(self, pages: AsyncGenerator[Sequence[Any], None], *, on_sent: Sent | None = None) -> Spooled:
        """An answer that is an array of all that the pages have, however many: one page is held at a time.

        The pages are closed, however far they came.
        """
        spool = self.spool()
        await spool.write(b"[")
        is_first = True
        async with aclosing(pages):
            async for page in pages:
                if not page:
                    continue
                await spool.write((b"" if is_first else b",") + ENCODER.encode(page)[1:-1])
                is_first = False
        await spool.write(b"]")
        return Spooled(spool, on_sent)
