"""A brand whose executions go out by a partner channel, and all that freezes, reads and revokes their lists."""

import json
from typing import Any
from uuid import UUID

from stentor.accounts.directory import BrandDirectory
from stentor.campaigns.model import PartnerContent
from stentor.campaigns.sources import PublicationSource
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, ChannelKind
from stentor.executions.facts import FactsSource
from stentor.executions.quieting import QuietSource
from stentor.integrations.pulls.asking_again import AskAgain
from stentor.integrations.pulls.freezing import BATCH_PEOPLE, Freezer
from stentor.integrations.pulls.guarding import ListGuard
from stentor.integrations.pulls.handing_over import HandOver
from stentor.integrations.pulls.model import ROWS_OF_BRAND_MAX, Puller, Wording
from stentor.integrations.pulls.paging import Asked
from stentor.integrations.pulls.runs import Runs
from stentor.integrations.pulls.service import PullService
from stentor.integrations.pulls.watching import Watcher
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Partner, Someone, World
from stentor.testing.world import Sql as WorldSql

SMS = ChannelKind.SMS


def reader(name: str, **changes: Any) -> Someone:
    """Somebody who subscribed by sms, with a number of their own."""
    digits = "".join(str(ord(each) % 10) for each in name)[-8:].rjust(8, "0")
    fields: dict[str, Any] = {
        "channels": SMS.bit,
        "address_mask": SMS.bit,
        "valid_mask": SMS.bit,
        "phone": f"+4915{digits}",
        **changes,
    }
    return Someone(name, **fields)


class Pulls:
    """One process's pulls over a world: the service, its watcher, and the parts between."""

    def __init__(self, db: Database, *, batch_people: int = BATCH_PEOPLE, rows_max: int = ROWS_OF_BRAND_MAX) -> None:
        self.db = db
        self.engine = Engine(db, ScriptedChannel())
        brands = BrandDirectory(db)
        look_up = self.engine.look_up
        self.runs = Runs(db, FactsSource(PublicationSource(db)))
        self.hand_over = HandOver(db)
        guard = ListGuard(db, brands=brands, quiet=QuietSource(brands), look_up=look_up)
        self.freezer = Freezer(db, guard, look_up, self.hand_over, batch_people=batch_people, rows_max=rows_max)
        ask_again = AskAgain(db, look_up, self.hand_over)
        self.service = PullService(db, self.runs, self.freezer, self.hand_over, ask_again)
        self.watcher = Watcher(db, self.runs, look_up, ask_again)

    async def look(self) -> int:
        """One look of the watcher, and all sweeps that follow from it; how many were revoked."""
        revoked = await self.watcher.look()
        while await self.watcher.sweep():
            continue
        return revoked


class Client:
    """A service that fetches lists of one brand by the classic API's rules."""

    def __init__(
        self, pulls: Pulls, world: World, *, label: str = "hub client one", puller: Puller | None = None
    ) -> None:
        self.pulls = pulls
        self.world = world
        self.puller = puller or Puller(new_id(), label)

    async def ask(
        self,
        campaign: int,
        *,
        top: int = 10_000,
        skip: int = 0,
        channels: tuple[int, ...] = (505,),
        sent: bool = True,
        **wording: Any,
    ) -> list[dict[str, Any]]:
        """One page; unless `sent` is False its last byte arrives."""
        asked = Asked(channels, campaign, top, skip, Wording(**wording))
        page = await self.pulls.service.page(self.world.brand_id, self.puller, asked)
        text = b",".join([piece async for piece in page.pieces if piece])
        if not await page.stands():
            return []
        if page.on_sending is not None:
            await page.on_sending()
        if sent and page.on_sent is not None:
            await page.on_sent()
            await self.pulls.service.drained()
        return json.loads(b"[" + text + b"]")

    async def names(self, campaign: int, **asked: Any) -> list[str]:
        return [row["CustomerID"] for row in await self.ask(campaign, **asked)]


class Stage:
    """A world with people and a partner channel, and what pulls from it."""

    def __init__(self, world: World, partner: Partner, pulls: Pulls) -> None:
        self.world = world
        self.partner = partner
        self.pulls = pulls
        self.client = Client(pulls, world)

    @classmethod
    async def made(
        cls, db: Database, *people: Someone, name: str = "Brand", batch_people: int = BATCH_PEOPLE
    ) -> "Stage":
        world = await World.made(db, name)
        await world.people(people)
        return cls(world, await world.partner(), Pulls(db, batch_people=batch_people))

    @classmethod
    async def of_brand(cls, db: Database, brand_id: UUID, *people: Someone, number: int = 505) -> "Stage":
        """Of a brand that is there, with a partner channel of that number."""
        world = World(db, brand_id, new_id())
        async with db.transaction() as conn:
            await WorldSql.add_topic.run(
                conn, brand_id=brand_id, topic_id=world.topic_id, key="news", channels=ALL_CHANNELS_MASK
            )
            found = await conn.execute(
                "SELECT sender_id FROM partner_channel WHERE brand_id = %s AND number = %s", [brand_id, number]
            )
            row = await found.fetchone()
        assert row is not None
        await world.people(people)
        return cls(world, Partner(row[0], SMS, new_id(), PartnerContent(number, 7, "Kick-off")), Pulls(db))

    async def campaign(self, policy: CampaignPolicy = CampaignPolicy(), **how: Any) -> tuple[int, UUID]:  # noqa: B008 - frozen
        """A campaign that was published: its number, and its execution."""
        publication_id = await self.world.publication((SMS,), partners=[self.partner], policy=policy, **how)
        execution_id = await self.world.execution(publication_id)
        await self.pulls.engine.plan()
        async with self.world.db.read() as conn:
            row = await (
                await conn.execute("SELECT number FROM partner_run WHERE execution_id = %s", [execution_id])
            ).fetchone()
        assert row is not None
        return row[0], execution_id
