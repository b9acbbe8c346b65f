"""An execution goes out by two partner channels of one kind: each person is told of on the channel that is theirs."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pull_world import SMS, reader
from stentor.audience.segments.expressions import Language, NoneOf
from stentor.channels.partners.model import HubCaller
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import NotFound
from stentor.integrations.clearance.service import ClearanceService, Releaser
from stentor.integrations.metrics.interactions import InteractionService
from stentor.integrations.metrics.model import FactKind, Interaction, ToldFact
from stentor.integrations.metrics.telling import FactService
from stentor.integrations.runs import RunBook
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import World
from trigger_world import rows

pytestmark = pytest.mark.anyio

GERMAN = Language(values=("de",))


async def two_channels(world: World) -> UUID:
    """An execution of ann and cleo by the channel 505 with the template 7, and of ben by 506 with 8."""
    people = {"ann": "de", "ben": "en", "cleo": "de"}
    await world.people([reader(name, locale=locale) for name, locale in people.items()])
    partners = [await world.partner(), await world.partner(number=506, template=8)]
    execution_id = await world.execution(
        await world.publication(
            (SMS, SMS), mode="first", whens=(GERMAN, NoneOf(conditions=(GERMAN,))), partners=partners
        )
    )
    await Engine(world.db, ScriptedChannel()).plan()
    return execution_id


async def test_people_are_named_with_the_channel_that_they_are_written_to_on(db: Database):
    world = await World.made(db)
    await two_channels(world)
    both, first, second = (
        HubCaller(new_id(), world.brand_id, "x", dict.fromkeys(own, ()), b"") for own in ((505, 506), (505,), (506,))
    )
    book = RunBook(db)

    async def told(client: HubCaller, channel: int | None = None) -> list[tuple[str, int]]:
        run = await book.run(client, 1)
        pages = book.people(client, [run], channel=channel, with_attributes=False, waiting=True)
        return [(each.external_id, each.channel) async for page in pages for each in page]

    assert await told(both) == [("ann", 505), ("ben", 506), ("cleo", 505)]
    assert await told(both, channel=506) == await told(second) == [("ben", 506)]
    assert await told(first) == [("ann", 505), ("cleo", 505)]

    async with db.autocommit() as conn:
        await conn.execute("UPDATE send SET state = 2")
    assert (await book.last_of(first, "ann")).number == 1
    with pytest.raises(NotFound):
        await book.last_of(first, "ben")

    async with db.autocommit() as conn:
        await conn.execute("UPDATE partner_run SET required_by = now() + interval '1 hour'")
    pages = ClearanceService(db).processed(second, 1)
    assert [name async for page in pages for name in page] == ["ben"]
    assert await ClearanceService(db).tell(second, 1, {"ann": False, "ben": True, "cleo": True}) == 1


async def test_what_one_channels_service_clears_is_not_cleared_for_the_others(db: Database):
    world = await World.made(db)
    both = SMS.bit | ChannelKind.EMAIL.bit
    reach = {"channels": both, "address_mask": both, "valid_mask": both}
    await world.people([reader(name, email=f"{name}@example.org", **reach) for name in ("ann", "ben")])
    partners = [await world.partner(), await world.partner(ChannelKind.EMAIL, number=504, template=8)]
    execution_id = await world.execution(
        await world.publication(
            (SMS, ChannelKind.EMAIL), partners=partners, policy=CampaignPolicy(clearance="1h", deadline="2d")
        )
    )
    await Engine(db, ScriptedChannel()).drain()
    texts, letters = (HubCaller(new_id(), world.brand_id, "x", {own: ()}, b"") for own in (505, 504))

    clearances = ClearanceService(db)
    assert await clearances.tell(texts, 1, {"ann": True, "ben": True}) == 2
    assert await clearances.tell(letters, 1, {"ann": False, "ben": True}) == 2
    db.shift += timedelta(hours=1, seconds=1)
    assert await Releaser(db).release_due()

    found = await rows(
        db,
        "SELECT c.external_id, s.channel, s.state FROM send s JOIN customer c USING (part, customer_id)"
        " WHERE s.execution_id = %s ORDER BY 1, 2",
        execution_id,
    )
    assert found == [("ann", 1, 3), ("ann", 2, 0), ("ben", 1, 0), ("ben", 2, 0)]


async def test_facts_that_name_no_template_are_of_the_one_that_their_person_got(db: Database):
    world = await World.made(db)
    await two_channels(world)
    said = [("ann", 505), ("cleo", 505), ("ben", 506)]
    facts = [
        ToldFact(id=name, campaign=1, channel=channel, external_id=name, kind=FactKind.DELIVERED, at=datetime.now(UTC))
        for name, channel in said
    ]
    opened = Interaction(
        campaign=1, channel=505, event=FactKind.OPENED, day=datetime.now(UTC).date(), customers=["ann"]
    )

    async with db.autocommit() as conn:
        await conn.execute("UPDATE send SET state = 2")
    told = await FactService(db, Clock()).tell(world.brand_id, facts, actor="key 1")
    for _ in range(2):
        await InteractionService(db, Clock()).report(world.brand_id, opened, actor="key 1")

    assert told.added == 3
    async with db.read() as conn:
        counted = await conn.execute(
            "SELECT channel_number, template_number, kind, people FROM fact_tally ORDER BY 1, 2, 3"
        )
        assert await counted.fetchall() == [(505, 7, 1, 2), (505, 7, 2, 1), (506, 8, 1, 1)]
        kept = await conn.execute("SELECT DISTINCT partner_channel, partner_template FROM delivery_event ORDER BY 1")
        assert await kept.fetchall() == [(505, 7), (506, 8)]
