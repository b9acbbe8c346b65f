"""Two installations joined over loopback: a hub with its people, and the service that executes its campaigns by mail."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from stentor.campaigns.model import CampaignDraft, GeneratorDraft, Route, TemplateContent
from stentor.channels.partners.model import PartnerTemplate
from stentor.cli.bench import fixtures
from stentor.cli.bench.books import (
    HubBooks,
    ServiceBooks,
    differences,
    hub_books,
    hub_counts,
    service_books,
    service_counts,
    some_addresses,
)
from stentor.cli.bench.club import Club, add_people, add_topics, found_club
from stentor.cli.bench.executions import call
from stentor.cli.bench.installations import Installation, installation
from stentor.cli.client import Called
from stentor.cli.output import fail
from stentor.cli.premises import WORKERS, temporary_directory
from stentor.db.connection import Connection
from stentor.domain.address import email_digest
from stentor.domain.vocabulary import ChannelKind
from stentor.integrations.connector.model import PUSH_EVERY_S_MIN, ChannelDraft, ConnectorRun, Draft
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin

CHANNEL = 505
ATTRIBUTES = {
    "Email": "email",
    "first_name": "attributes.first_name",
    "last_name": "attributes.last_name",
    "city": "attributes.city",
    "team": "attributes.team",
    "tier": "attributes.tier",
}
REFUSED_SHARE = 20
"""One in so many of the hub's people is on the service's opt-out list: its guard leaves them out, and says so."""

_GENERATOR, _TOPIC = "federated", "everybody"
_MAIL = {
    "subject": "{{ customer.first_name }}, it is nearly time",
    "html": '<p>Dear {{ customer.first_name }} of {{ customer.city }}, {{ customer.team }} play today.</p><p><a href="{{ unsubscribe_url }}">Leave</a></p>',
    "text": "Dear {{ customer.first_name }} of {{ customer.city }}, {{ customer.team }} play today.\n{{ unsubscribe_url }}\n",
}
_MAIL_NAME = "Match day"
_JOINED_WITHIN_S = 60.0
_AGREED_WITHIN_S = 1_800.0
_LOOK_EVERY_S = 0.1


class Federation:
    """The two, joined. Whatever runs of them, `books` reads what each side knows."""

    def __init__(self, hub: Installation, service: Installation, hub_club: Club, service_club: Club) -> None:
        self.hub = hub
        self.service = service
        self.hub_club = hub_club
        self.service_club = service_club
        self._connector_id: UUID | None = None

    async def join(self, *, key: bool = False) -> None:
        """Sets up a channel and a client at the hub and the connector at the service; returns when the hub knows the template.

        With `key` the connector has the client's key, otherwise its user name and password.
        """
        hub = self.hub.premises.services
        hub_id, service_id = self.hub_club.brand.id, self.service_club.brand.id
        await hub.accounts.update_brand_settings(hub_id, {"hub_rate_per_10_s": 0})
        channel = await hub.partner_channels.create(hub_id, "Letters", ChannelKind.EMAIL, number=CHANNEL)
        client = await hub.hub_clients.create(hub_id, "Letters", "letters", {CHANNEL: tuple(ATTRIBUTES)})
        draft = Draft(
            name="The hub",
            url=self.hub.url,
            username="" if key else client.client.username,
            secret=client.api_key if key else client.password,
            channels=(ChannelDraft(number=CHANNEL, campaign_id=await self._answering_campaign()),),
            attributes=ATTRIBUTES,
            push_every_s=PUSH_EVERY_S_MIN,
        )
        made = await self.service.premises.services.connectors.create(service_id, draft)
        self._connector_id = made.id
        template = await self._until_known()
        route = Route(channel=ChannelKind.EMAIL, template_id=template.id, sender_id=channel.sender_id)
        campaign = await hub.campaigns.create(
            hub_id, CampaignDraft(name=_GENERATOR, consent_basis="topic", lane="bulk", routes=(route,))
        )
        generator = GeneratorDraft(name=_GENERATOR, campaign_id=campaign.id, context_schema=fixtures.CONTEXT_SCHEMA)
        await hub.generators.create(hub_id, generator, generator_id=_GENERATOR)
        await hub.generators.publish(hub_id, _GENERATOR)

    async def add_people(self, people: int) -> None:
        """People of the hub, all of them subscribed; some are on the service's opt-out list, and fewer on the hub's own."""
        await add_people(self.hub.premises, self.hub_club, people)
        await add_topics(self.hub.premises, self.hub_club, [_TOPIC], people)
        async with self.hub.premises.core.db.read() as conn:
            addresses = await some_addresses(conn, self.hub_club.brand.id, share=REFUSED_SHARE)
        async with self.service.premises.core.db.transaction() as conn:
            await _refuse(conn, self.service_club.brand.id, addresses)
        async with self.hub.premises.core.db.transaction() as conn:
            await _refuse(conn, self.hub_club.brand.id, addresses[::REFUSED_SHARE])

    async def trigger(self) -> Called:
        """Runs the hub's campaign for everybody, over HTTP."""
        return await call(self.hub.premises, self.hub_club, _TOPIC, generator_id=_GENERATOR)

    async def runs(self) -> list[ConnectorRun]:
        """What the service executes."""
        if self._connector_id is None:
            raise RuntimeError("Join the two first.")
        return await self.service.premises.services.connectors.runs(self.service_club.brand.id, self._connector_id)

    async def until_told(self, execution_id: UUID, within_s: float = _AGREED_WITHIN_S) -> None:
        """Returns when all is settled on both sides and the hub was told of it, by the counts.

        Ends the command with what differs when that is not so within the time.
        """
        give_up_at_s = time.monotonic() + within_s
        said = ""
        while time.monotonic() < give_up_at_s:
            async with self.hub.premises.core.db.read() as conn:
                hub = await hub_counts(conn, self.hub_club.brand.id, execution_id)
            for run in await self.runs():
                async with self.service.premises.core.db.read() as conn:
                    service = await service_counts(conn, self.service_club.brand.id, run.id)
                if hub == service and hub.is_over:
                    return
                said = f"the hub says {hub}, the service {service}. {run.last_error}"
            await asyncio.sleep(_LOOK_EVERY_S)
        fail(f"Hub and service do not agree within {within_s:g} s: {said or 'the service heard of nothing.'}")

    async def books(self, execution_id: UUID) -> tuple[HubBooks, ServiceBooks]:
        """What each side knows of each person, of the one campaign that the service ran."""
        (run,) = await self.runs()
        async with self.hub.premises.core.db.read() as conn:
            hub = await hub_books(conn, self.hub_club.brand.id, execution_id)
        async with self.service.premises.core.db.read() as conn:
            return hub, await service_books(conn, self.service_club.brand.id, run.id)

    async def check_agreed(self, execution_id: UUID) -> ServiceBooks:
        """Ends the command, with what differs, unless the books agree to the person; returns the service's."""
        hub, service = await self.books(execution_id)
        if found := differences(hub, service):
            fail(f"Hub and service differ: {'; '.join(found)}. This is a defect; please report it.")
        return service

    async def _answering_campaign(self) -> UUID:
        """The service's campaign by which all is sent, and the template that the hub may choose."""
        served, club = self.service.premises.services, self.service_club
        content = TemplateContent("en", {"en": _MAIL})
        template = await served.templates.create(
            club.brand.id, name=_MAIL_NAME, channel=ChannelKind.EMAIL, content=content
        )
        route = Route(channel=ChannelKind.EMAIL, template_id=template.id, sender_id=club.sender.id)
        draft = CampaignDraft(
            name="What the hub sends", consent_basis="channel", lane="bulk", kind="batch", routes=(route,)
        )
        made = await served.campaigns.create(club.brand.id, draft)
        await served.campaigns.publish(club.brand.id, made.id)
        return made.id

    async def _until_known(self) -> PartnerTemplate:
        async with asyncio.timeout(_JOINED_WITHIN_S):
            while True:
                content = self.hub.premises.services.partner_content
                for one in await content.all_templates(self.hub_club.brand.id, CHANNEL):
                    if one.name == _MAIL_NAME:
                        return one
                await asyncio.sleep(_LOOK_EVERY_S)


@asynccontextmanager
async def federation(smtp_port: int, *, workers: int = WORKERS) -> AsyncIterator[Federation]:
    """Two installations, gone at the end, not joined yet; the service's mail goes to the SMTP server at that port."""
    with temporary_directory() as hub_data, temporary_directory() as service_data:
        async with (
            installation(hub_data, workers=workers) as hub,
            installation(service_data, workers=workers) as service,
        ):
            hub_club = await found_club(hub.premises, name="Hub Rovers")
            service_club = await found_club(service.premises, name="Letters Ltd", smtp_port=smtp_port)
            yield Federation(hub, service, hub_club, service_club)


async def _refuse(conn: Connection, brand_id: UUID, addresses: Sequence[str]) -> None:
    entries = [OptOut(ChannelKind.EMAIL, email_digest(address), "import", "an older list") for address in addresses]
    await add_to_builtin(conn, brand_id, entries)
