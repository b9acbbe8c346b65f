"""Two brands of one installation that is served on this machine: a hub, and the service that executes its campaigns."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from pydantic import SecretStr

from api_world import client_of
from hub_world import Partner, partner_of
from stentor.accounts.model import Brand
from stentor.api.app import create_app
from stentor.api.server import ApiServer
from stentor.api.services import Services
from stentor.audience import tag_store
from stentor.audience.admitting import Recognised, admit
from stentor.audience.holder_store import Holders
from stentor.audience.intake import Given, take_in
from stentor.audience.model import Act, CustomerPatch, Source
from stentor.campaigns.model import CampaignDraft, Route, TemplateContent
from stentor.channels.outbound import Outbound
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, new_id, part_of
from stentor.domain.vocabulary import ChannelKind, SendState
from stentor.executions.audiences import OfTag
from stentor.executions.ending import end_forgotten
from stentor.executions.service import start_due
from stentor.integrations.connector.model import ChannelDraft, Connector, ConnectorRun, Draft
from stentor.integrations.connector.syncing import Syncer
from stentor.integrations.connector.working import RunWorker
from stentor.integrations.listeners.delivery import NoticeDelivery
from stentor.integrations.listeners.posting import Poster
from stentor.integrations.listeners.telling import Teller
from stentor.settings import Settings
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.triggers.campaign_runs import CampaignRun
from stentor.wiring.connectors import connector_links, hub_opener, run_worker
from stentor.wiring.core import Core, core, signing_secrets
from stentor.wiring.services import api_settings
from stentor.wiring.services import services as services_of
from trigger_world import rows

SMS = ChannelKind.SMS
CHANNEL = 505
HERE = Outbound(allow_loopback=True)


class Joined:
    """A hub and a service over loopback, moved step by step. `sent`: what the service's channel took."""

    def __init__(self, installation: Core, services: Services, url: str, partner: Partner, service: Brand) -> None:
        self.core = installation
        self.services = services
        self.url = url
        self.partner = partner
        self.hub = partner.brand
        self.service = service
        self.sent = ScriptedChannel()
        self.engine = Engine(installation.db, self.sent)
        self.opener = hub_opener(installation)
        self.syncer = Syncer(self.db, self.opener, connector_links(installation), url)
        self.poster = Poster(HERE)
        self.notices = NoticeDelivery(self.db, signing_secrets(installation), self.poster, sends_mail=False)

    @property
    def db(self) -> Database:
        return self.core.db

    def restart(self) -> None:
        """The service's process is another one, which has not logged in at the hub."""
        self.opener = hub_opener(self.core)
        self.syncer = Syncer(self.db, self.opener, connector_links(self.core), self.url)

    def worker(self, lease: timedelta = timedelta(0), *, page_rows: int = 2_000) -> RunWorker:
        """A process that takes the steps of runs. Without a lease nobody waits for one that is gone."""
        return run_worker(self.core, self.opener, lease=lease, page_rows=page_rows)

    async def connector(self, text: str = "Hi", **changes: Any) -> Connector:
        """A connector to the hub, whose channel is sent by a published campaign of the service."""
        template = await self.template("Welcome", text)
        campaign = await self._campaign(self.service, template)
        said: dict[str, Any] = {
            "name": "The hub",
            "url": self.url,
            "username": self.partner.credentials.client.username,
            "secret": self.partner.credentials.password,
            "channels": (ChannelDraft(number=CHANNEL, campaign_id=campaign),),
            **changes,
        }
        return await self.services.connectors.create(self.service.id, Draft(**said))

    async def template(self, name: str, text: str) -> UUID:
        """A text template of the service."""
        content = TemplateContent("en", {"en": {"text": text}})
        return (await self.services.templates.create(self.service.id, name=name, channel=SMS, content=content)).id

    async def hub_templates(self) -> dict[int, str]:
        """What the hub may choose from."""
        found = await self.services.partner_content.all_templates(self.hub.id, CHANNEL)
        return {one.number: one.name for one in found}

    async def hub_people(self, patches: Sequence[CustomerPatch]) -> UUID:
        """Customers of the hub who agreed, under a tag."""
        tag_id, act = new_id(), Act(source=Source.API, actor="test")
        rows_ = take_in(self.hub.id, Given.of(patches)).rows
        async with self.db.transaction() as conn:
            await tag_store.insert(conn, self.hub.id, tag_id, f"tag {tag_id}")
            await admit(conn, self.hub.id, Recognised(rows_, frozenset(), Holders({}, {}, {})), tag_id, act)
        return tag_id

    async def run(self, tag_id: UUID, number: int = 1) -> UUID:
        """A campaign of the hub with that template for these people, published; its execution."""
        templates = await self.services.partner_content.all_templates(self.hub.id, CHANNEL)
        chosen = next(one.id for one in templates if one.number == number)
        campaign = await self._campaign(self.hub, chosen)
        execution_id = await self.services.campaign_runs.start(
            CampaignRun(brand_id=self.hub.id, campaign_id=campaign, audience=OfTag(tag_id), triggered_by="test")
        )
        await self.engine.drain()
        return execution_id

    async def notify(self) -> int:
        """Tells listeners what happened; how many notices that took."""
        count = 0
        while await Teller(self.db).tell():
            continue
        while claimed := await self.notices.claim(100):
            for notice in claimed:
                await self.notices.deliver(notice)
            count += len(claimed)
        return count

    async def work(self, worker: RunWorker | None = None) -> None:
        """Takes all steps that are due now."""
        taking = worker or self.worker(timedelta(minutes=5))
        while await taking.work_next():
            continue

    async def later(self, **period: float) -> None:
        """Lets time pass, and does what is due then."""
        await self.later_by(None, **period)

    async def later_by(self, worker: RunWorker | None, **period: float) -> None:
        """The same, with that worker."""
        self.db.shift += timedelta(**period)
        await start_due(self.db)
        await self.engine.drain()
        await end_forgotten(self.db)
        await self.work(worker)

    async def report(self, execution_id: UUID, name: str, kind: str) -> None:
        """What a provider said of somebody's message, as it stands in its history."""
        person = customer_id(self.service.id, name)
        async with self.db.transaction() as conn:
            await conn.execute(
                "INSERT INTO delivery_event (execution_id, customer_id, brand_id, event_id, at, part, channel, kind)"
                " VALUES (%s, %s, %s, %s, now() + %s, %s, %s, %s)",
                [execution_id, person, self.service.id, new_id(), self.db.shift, part_of(person), SMS, kind],
            )

    async def only_run(self, connector: Connector) -> ConnectorRun:
        (run,) = await self.services.connectors.runs(self.service.id, connector.id)
        return run

    async def counted(self, execution_ids: Sequence[UUID]) -> dict[str, int]:
        """What our own books say of these executions."""
        found = await rows(
            self.db,
            "SELECT state, sum(sends)::integer FROM tally WHERE execution_id = ANY(%s) AND state >= 0 GROUP BY state",
            list(execution_ids),
        )
        return {SendState(state).label: count for state, count in found if count}

    async def totals(self, execution_id: UUID) -> dict[str, int]:
        """What the hub was told in totals."""
        found = await rows(
            self.db,
            "SELECT metric, sum(value)::integer FROM reported_metric WHERE execution_id = %s GROUP BY metric",
            execution_id,
        )
        return {str(metric): value for metric, value in found if value}

    async def facts(self, execution_id: UUID) -> dict[str, set[str]]:
        """Of whom the hub was told what."""
        found: dict[str, set[str]] = {}
        for kind, name in await rows(
            self.db,
            "SELECT v.kind, c.external_id FROM delivery_event v JOIN customer c USING (part, customer_id)"
            " WHERE v.execution_id = %s AND v.partner_channel IS NOT NULL",
            execution_id,
        ):
            found.setdefault(kind, set()).add(name)
        return found

    async def _campaign(self, brand: Brand, template_id: UUID) -> UUID:
        draft = CampaignDraft(
            name=f"campaign {new_id()}", consent_basis="channel", routes=(Route(SMS, template_id),), kind="batch"
        )
        campaign = await self.services.campaigns.create(brand.id, draft)
        await self.services.campaigns.publish(brand.id, campaign.id)
        return campaign.id


@asynccontextmanager
async def joined(dsn: str, data: Path) -> AsyncIterator[Joined]:
    """The two, served on a free port."""
    settings = Settings(secret=SecretStr("a secret for tests, which is long enough"), data=data, allow_loopback=True)
    async with core(settings, dsn, role="test", size=8) as installation:
        services = services_of(installation)
        app = create_app(services, api_settings(installation))
        server, stop = ApiServer(app, host="127.0.0.1", port=0), asyncio.Event()
        async with asyncio.TaskGroup() as group, client_of(app) as client:
            group.create_task(server.run(stop))
            url = f"http://127.0.0.1:{server.port}"
            await _until_up(url)
            partner = await partner_of(client, services, "Hub", (CHANNEL,))
            service = await services.accounts.create_brand("Service")
            world = Joined(installation, services, url, partner, service)
            try:
                yield world
            finally:
                await world.poster.aclose()
                stop.set()


async def _until_up(url: str) -> None:
    async with httpx.AsyncClient() as asking:
        while True:
            try:
                await asking.get(url)
            except httpx.ConnectError:
                await asyncio.sleep(0)
            else:
                return
