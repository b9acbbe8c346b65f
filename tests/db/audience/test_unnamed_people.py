"""People whom a caller brings without an external id: each is who has exactly the addresses that were said."""

import pytest

from stentor.audience.admitting import recognise
from stentor.audience.intake import Given, take_in
from stentor.audience.model import Act, CustomerPatch, Source
from stentor.audience.profiles import generated_external_id
from stentor.audience.upsert import upsert
from stentor.db.pool import Database
from stentor.testing.world import World

pytestmark = pytest.mark.anyio

NUMBER = "+358401234567"


async def test_who_shares_a_number_stays_apart_and_the_bare_number_is_one_person(db: Database):
    world = await World.made(db)

    async def brought(email: str | None) -> str:
        patch = CustomerPatch(external_id=generated_external_id(), email=email, phone=NUMBER)
        async with db.transaction() as conn:
            rows = take_in(world.brand_id, Given.of([patch])).rows
            recognised = await recognise(conn, world.brand_id, rows, frozenset({0}))
            await upsert(conn, world.brand_id, recognised.rows, Act(source=Source.API))
            return recognised.rows.external_ids[0]

    ann, bob, bare = [await brought(email) for email in ("ann@example.org", "bob@example.org", None)]
    again = [await brought(email) for email in (None, "bob@example.org", "ann@example.org", None)]

    assert len({ann, bob, bare}) == 3
    assert again == [bare, bob, ann, bare]
