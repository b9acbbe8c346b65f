"""Attributes of people, as partners change them: what can be is written, and of the rest the partner is told why not."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.audience.customers import CustomerService
from stentor.audience.model import CustomerPatch
from stentor.channels.partners.attributes import canonical, is_field
from stentor.channels.partners.model import HubCaller
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Invalid, steps_of
from stentor.integrations.listeners.enqueueing import enqueue
from stentor.integrations.listeners.model import BODY_CHARS_MAX, Event
from stentor.integrations.listeners.service import ListenerService

UPDATED_MAX = 1_000
"""People of one call."""
VALUES_MAX = 100
"""Attributes of one of them."""

# What a notice has beside its errors.
_FRAME_CHARS = 200

Mistake: TypeAlias = Literal["INVALID_CUSTOMER", "INVALID_FIELD", "INVALID_VALUE", "UPDATE_FIELD_TEMPORARY_UNAVAILABLE"]


class Update(msgspec.Struct, frozen=True):
    """What is to become of somebody's attributes; None takes one away."""

    external_id: str
    values: Mapping[str, Any]


class Refused(msgspec.Struct, frozen=True, rename="camel"):
    """What was not written, and why: the customer is not known, the attribute is none that may be changed, the value is none."""

    error: Mistake
    customer_id: str
    real_field_name: str


class _Told(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    is_success: bool
    request_id: UUID
    errors: tuple[Refused, ...] = ()


class PartnerAttributes:
    """Changes attributes for partners, those that a client may change and no others; fields of everybody are not theirs to change."""

    def __init__(self, db: Database, customers: CustomerService, listeners: ListenerService) -> None:
        self._db = db
        self._customers = customers
        self._listeners = listeners

    async def update(self, client: HubCaller, updates: Sequence[Update], *, callback_url: str | None) -> UUID:
        """Writes what can be written, and has the client's callback told what became of it; answers the request's id.

        What becomes of this call is told at its own callback, at each try. The client's listener for such, which the first callback
        makes, shows how they fare. Raises Invalid for a URL that nothing may be posted to, and then writes nothing.
        """
        url = await self._hear(client, callback_url) if callback_url else None
        refused = await self._written(client, updates)
        request_id = new_id()
        if url is not None:
            async with self._db.transaction() as conn:
                await enqueue(
                    conn,
                    client.brand_id,
                    Event.ATTRIBUTES_UPDATED,
                    _body(request_id, refused),
                    client_id=client.client_id,
                    url=url,
                )
        return request_id

    async def _hear(self, client: HubCaller, text: str) -> str:
        """The callback's URL; there is a listener through which it is told, switched on."""
        url = self._listeners.url_of(text)
        for each in await self._listeners.of_client(client.brand_id, client.client_id):
            if each.event is Event.ATTRIBUTES_UPDATED and each.disabled_at is None:
                return url
        await self._listeners.put(client.brand_id, client.client_id, Event.ATTRIBUTES_UPDATED, url)
        return url

    async def _written(self, client: HubCaller, updates: Sequence[Update]) -> list[Refused]:
        known = await self._customers.known(client.brand_id, {one.external_id for one in updates})
        refused: list[Refused] = []
        patches: list[tuple[str, CustomerPatch]] = []
        for one in updates:
            values: dict[str, Any] = {}
            for said, value in one.values.items():
                name = canonical(said)
                if (mistake := _mistake(name, value, client.may_write, is_known=one.external_id in known)) is None:
                    values[name] = value
                else:
                    refused.append(Refused(mistake, one.external_id, said))
            if values:
                patches.append((one.external_id, CustomerPatch(external_id=known[one.external_id], attributes=values)))
        return refused + await self._stored(client.brand_id, patches)

    async def _stored(self, brand_id: UUID, patches: Sequence[tuple[str, CustomerPatch]]) -> list[Refused]:
        """Stores them. Those that break a rule of attributes are left out, and the others stored without them."""
        try:
            await self._customers.upsert_many(brand_id, [patch for _, patch in patches])
        except Invalid as error:
            bad = {int(steps_of(violation.pointer)[0]) for violation in error.violations if violation.pointer}
            if not bad:
                raise
            refused = [
                Refused("INVALID_VALUE", patches[place][0], name)
                for place in sorted(bad)
                for name in patches[place][1].attributes or ()
            ]
            rest = [each for place, each in enumerate(patches) if place not in bad]
            return refused + await self._stored(brand_id, rest)
        return []


def _mistake(name: str, value: Any, may_write: Collection[str], *, is_known: bool) -> Mistake | None:
    if not is_known:
        return "INVALID_CUSTOMER"
    if is_field(name):
        return "UPDATE_FIELD_TEMPORARY_UNAVAILABLE"
    if name not in may_write:
        return "INVALID_FIELD"
    return "INVALID_VALUE" if isinstance(value, (dict, list)) else None


def _body(request_id: UUID, refused: Sequence[Refused]) -> bytes:
    """What the callback is told; of very many errors, those that there is room for."""
    told: list[Refused] = []
    left = BODY_CHARS_MAX - _FRAME_CHARS
    for one in refused:
        left -= len(msgspec.json.encode(one)) + 1
        if left < 0:
            break
        told.append(one)
    return msgspec.json.encode(_Told(is_success=not refused, request_id=request_id, errors=tuple(told)))
