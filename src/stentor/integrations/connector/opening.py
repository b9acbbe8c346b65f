"""Opening hubs: credentials unsealed, connections guarded."""

from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver

from stentor.channels.outbound import Outbound
from stentor.channels.secrets import SecretBox
from stentor.errors import Unavailable
from stentor.integrations.connector.http import Http
from stentor.integrations.connector.hub import BUSY_WAIT_S, Entry, Hub, HubRefused
from stentor.integrations.connector.model import Sealed

if TYPE_CHECKING:
    from uuid import UUID


class HubOpener:
    """Makes conversations with hubs. `resolver` asks for addresses in place of the system's."""

    def __init__(
        self,
        box: SecretBox,
        outbound: Outbound,
        *,
        resolver: AbstractResolver | None = None,
        busy_wait_s: float = BUSY_WAIT_S,
    ) -> None:
        self._box = box
        self._outbound = outbound
        self._resolver = resolver
        self._busy_wait_s = busy_wait_s
        self._entries: dict[UUID, tuple[str, Entry]] = {}

    async def open(self, sealed: Sealed) -> Hub:
        """A conversation with that hub, to be closed by the caller. Raises HubRefused where its secret opens no more."""
        try:
            secret = self._box.open(sealed.id, sealed.secret)
        except Unavailable as trouble:
            text = "The connector's secret was sealed by another installation's secret. Say it again."
            raise HubRefused(text) from trouble
        http = await Http.opened(sealed.url, self._outbound, self._resolver)
        return Hub(http, sealed.url, self._entry(sealed, secret), busy_wait_s=self._busy_wait_s)

    def _entry(self, sealed: Sealed, secret: str) -> Entry:
        """The one that was last used there; another one where the URL or the credentials are others now."""
        url, entry = self._entries.get(sealed.id, ("", Entry("", "")))
        if (url, entry.username, entry.secret) != (sealed.url, sealed.username, secret):
            entry = Entry(sealed.username, secret)
            self._entries[sealed.id] = sealed.url, entry
        return entry
