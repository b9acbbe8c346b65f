"""What cannot be sent to one person holds up nobody else, and has its reason."""

from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from stentor.campaigns.compose import CampaignRenderers
from stentor.channels.contract import Accepted, Rejected
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

SMS = ChannelKind.SMS
MEGABYTE = 1 << 20


async def told(
    db: Database, text: str, *, about: dict[str, Any], channel: ScriptedChannel | None = None
) -> tuple[World, Engine, UUID]:
    """A text to fifty people, of whom `p13` has these attributes."""
    world = await World.made(db)
    await world.people(
        [
            Someone(
                f"p{number}", channels=SMS.bit, address_mask=SMS.bit, valid_mask=SMS.bit, phone=f"+49151{number:08}"
            )
            for number in range(50)
        ]
    )
    async with db.autocommit() as conn:
        await conn.execute("UPDATE customer SET attributes = %s WHERE external_id = 'p13'", [Jsonb(about)])
    engine = Engine(db, channel or ScriptedChannel(), renderers=CampaignRenderers())
    execution_id = await world.execution(await world.publication([SMS], text=text))
    await engine.drain()
    return world, engine, execution_id


async def assert_alone(world: World, engine: Engine, execution_id: UUID, fate: str) -> None:
    """One person met that fate, all others have their message, and the execution is over with its books."""
    fates = await world.fates(execution_id)
    assert fates.pop("p13") == fate
    assert set(fates.values()) == {"handed_over"}
    (books,) = await engine.executions.reconciliations(world.brand_id, execution_id, before=None, limit=2)
    assert books.balanced


@pytest.mark.fault("F15")
async def test_a_template_that_fails_for_one_person_holds_up_nobody_else(db: Database):
    text = "Hi{% if customer.odd %}{{ 1 | divided_by: customer.zero }}{% endif %}"

    world, engine, execution_id = await told(db, text, about={"odd": True, "zero": 0})

    await assert_alone(world, engine, execution_id, "skipped template_error")
    (channel,) = (await engine.executions.explain(world.brand_id, execution_id, "p13")).channels
    assert [answer.kind for answer in channel.answers] == ["template_error"]


@pytest.mark.fault("F15")
async def test_a_message_that_says_nothing_is_left_out_with_its_reason(db: Database):
    world, engine, execution_id = await told(db, "{% unless customer.mute %}Hi{% endunless %}", about={"mute": True})

    await assert_alone(world, engine, execution_id, "skipped empty_content")


@pytest.mark.fault("F15")
@pytest.mark.parametrize(
    ("text", "fate"),
    [("Hi", "handed_over"), ("Hi {{ customer.bio }}", "skipped template_error")],
)
async def test_a_megabyte_about_one_person_concerns_that_person_alone(db: Database, text: str, fate: str):
    world, engine, execution_id = await told(db, text, about={"bio": "b" * MEGABYTE})

    await assert_alone(world, engine, execution_id, fate)


@pytest.mark.fault("F15")
async def test_a_refusal_of_one_address_concerns_that_address_alone(db: Database):
    channel = ScriptedChannel(
        lambda message: Rejected("550 5.1.1 no", bad_address=True) if message.address.endswith("013") else Accepted()
    )

    world, engine, execution_id = await told(db, "Hi", about={}, channel=channel)

    await assert_alone(world, engine, execution_id, "failed provider_rejected")
