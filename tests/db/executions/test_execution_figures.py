"""Figures beside the counters: reactions by people, pace, what limits now, providers' words, variants, and looks at people."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from stentor.accounts.directory import BrandDirectory
from stentor.campaigns.sources import PublicationSource
from stentor.channels.contract import Accepted, InDoubt, Message, Outcome, Rejected
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, part_of
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.errors import NotFound
from stentor.executions.figures import FigureService
from stentor.executions.model import ExecutionFilter
from stentor.report import provider_events
from stentor.report.provider_events import ProviderEvent
from stentor.report.recipients import RecipientFilter
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

EMAIL = ChannelKind.EMAIL


def answer(message: Message) -> Outcome:
    if message.address.startswith("dead"):
        return Rejected("550-5.1.1 nobody42@example.com does not exist, message 0a1b2c3d4e5f", bad_address=True)
    return InDoubt("(connection closed)") if message.address.startswith("lost") else Accepted()


class Stage:
    """A delivered execution for `ann`, `bob`, two dead addresses and a lost reply."""

    def __init__(self, world: World, execution_id: UUID) -> None:
        self.world, self.execution_id = world, execution_id
        self.engine = Engine(world.db, ScriptedChannel(answer))
        publications = PublicationSource(world.db)
        self.figures = FigureService(world.db, self.engine.executions, publications, BrandDirectory(world.db), Clock())

    @classmethod
    async def made(cls, db: Database, *, run: bool = True, policy: CampaignPolicy | None = None) -> "Stage":
        world = await World.made(db)
        names = ("ann", "bob", "dead1", "dead2", "lost")
        await world.people([Someone(name, locale="de" if name == "bob" else None) for name in names])
        publication = await world.publication(languages=["en", "de"], policy=policy or CampaignPolicy())
        stage = cls(world, await world.execution(publication))
        if run:
            await stage.engine.drain()
        return stage

    @property
    def place(self) -> tuple[UUID, UUID]:
        return self.world.brand_id, self.execution_id

    async def told(self, *events: tuple[str, str, str]) -> None:
        """Provider events: whose, of which kind, and their ids."""
        at = datetime.now(UTC)
        people = [(customer_id(self.world.brand_id, name), kind, event_id) for name, kind, event_id in events]
        told = [
            ProviderEvent(0, "p", event_id, *self.place, person, part_of(person), int(EMAIL), None, kind, at, "")
            for person, kind, event_id in people
        ]
        async with self.world.db.transaction() as conn:
            await provider_events.tell(conn, self.world.brand_id, EMAIL, told)


async def test_reactions_count_each_person_once(db: Database):
    stage = await Stage.made(db)

    await stage.told(("ann", "delivered", "1"), ("ann", "opened", "2"), ("ann", "opened", "3"), ("bob", "opened", "4"))
    await stage.told(("ann", "opened", "2"), ("ann", "opened", "5"), ("bob", "clicked", "6"))

    (counted,) = (await stage.engine.executions.overview(*stage.place)).reactions
    assert (counted.channel, counted.delivered, counted.opened, counted.clicked) == ("email", 1, 2, 1)


async def test_providers_words_stand_together_with_what_to_do(db: Database):
    stage = await Stage.made(db)

    told = await stage.figures.troubles(*stage.place)

    assert told.is_all
    assert [(one.kind, one.state, one.reason, one.sends) for one in told.troubles] == [
        ("rejected", "failed", "provider_rejected", 2),
        ("in_doubt", "unknown", "", 1),
    ]
    assert told.troubles[0].words.startswith("550-5.1.1 nobody42@example.com")
    assert "dead" in told.troubles[0].advice
    assert "unless you say so" in told.troubles[1].advice


async def test_pace_and_variants_add_up_to_what_was_tried_and_meant(db: Database):
    stage = await Stage.made(db)

    rates = (await stage.figures.rates(*stage.place)).series
    variants = (await stage.figures.variants(*stage.place)).variants

    assert sum(point.sends.get("email", 0) for point in rates.points) == 5
    assert [(later.at - at.at).total_seconds() for at, later in zip(rates.points, rates.points[1:], strict=False)] == [
        rates.step_s
    ] * (len(rates.points) - 1)
    assert [(one.language, one.audience, one.handed_over, one.failed, one.unknown) for one in variants] == [
        ("en", 4, 1, 2, 1),
        ("de", 1, 1, 0, 0),
    ]
    with pytest.raises(NotFound):
        await stage.figures.variants(stage.place[0], stage.place[0])


async def test_what_limits_now_is_named(db: Database):
    stage = await Stage.made(db, run=False, policy=CampaignPolicy(per_hour=60))

    async def kinds() -> list[tuple[str, bool]]:
        return [(one.kind, one.is_reached) for one in await stage.figures.limits(*stage.place)]

    assert await kinds() == [("planning", True)]
    await stage.engine.plan()
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET pace_per_s = 5")
        await conn.execute("UPDATE chunk SET due_at = due_at - interval '10 s'")
    assert await kinds() == [("no_worker", True), ("campaign_per_hour", False), ("sender_pace", False)]
    await stage.engine.executions.pause(*stage.place)
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET paused_at = created_at")
    assert [kind for kind, _ in await kinds()][:2] == ["paused", "sender_paused"]
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET paused_at = NULL")
    await stage.engine.executions.resume(*stage.place)
    await stage.engine.deliver()
    held_up = await stage.figures.limits(*stage.place)
    assert ("campaign_per_hour", True) in [(one.kind, one.is_reached) for one in held_up]
    await stage.engine.executions.cancel(*stage.place)
    assert await kinds() == []


async def test_a_look_at_people_stops_and_says_from_where_to_look_on(db: Database):
    stage = await Stage.made(db)
    narrowed = RecipientFilter(state=SendState.FAILED, reason=Reason.PROVIDER_REJECTED)
    found: list[str] = []
    after, looks = None, 0

    while looks == 0 or after is not None:
        rows, after = await stage.engine.executions.some_recipients(
            *stage.place, narrowed, after=after, limit=50, people_max=1
        )
        found += [row.external_id for row in rows]
        looks += 1

    assert sorted(found) == ["dead1", "dead2"]
    assert looks > 1


async def test_executions_are_found_by_state_campaign_and_who_triggered_them(db: Database):
    stage = await Stage.made(db)
    brand_id, execution_id = stage.place
    executions = stage.engine.executions
    async with db.autocommit() as conn:
        await conn.execute("UPDATE execution SET triggered_by = 'Key 12'")
        row = await (await conn.execute("SELECT campaign_id FROM publication")).fetchone()
    assert row is not None
    other = UUID(int=1)

    async def found(**narrowed: object) -> list[UUID]:
        said = ExecutionFilter(**narrowed)  # pyrefly: ignore[bad-argument-type]
        return [one.execution.id for one in await executions.page(brand_id, before=None, limit=9, narrowed=said)]

    for hit in ({"states": ("ended",)}, {"campaign_id": row[0]}, {"triggered_by": "key 1"}):
        assert await found(**hit) == [execution_id]
    for miss in ({"states": ("sending",)}, {"campaign_id": other}, {"triggered_by": "%"}):
        assert await found(**miss) == []
