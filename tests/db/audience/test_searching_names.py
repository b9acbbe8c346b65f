"""Names are searched a slice of people at a time: no statement reads more, and no answer takes longer than it may."""

import json
from typing import Any
from uuid import UUID

import pytest

from stentor.audience import customer_store
from stentor.audience.customer_store import Sql
from stentor.audience.profile_service import SEARCH_PEOPLE_MAX, ProfileService
from stentor.db.pool import Database

pytestmark = pytest.mark.anyio

PEOPLE = 4 * SEARCH_PEOPLE_MAX
# One in each thousand is called Ilmari, and an import came before the server had looked at the table.
CROWD = """
INSERT INTO customer (part, customer_id, brand_id, external_id, created_at, updated_at, attributes)
SELECT ('x' || left(id, 3))::bit(12)::int, id::uuid, %s, n::text, now(), now(),
    jsonb_build_object('first_name', CASE WHEN n %% 1000 = 0 THEN 'Ilmari' ELSE 'Aino' END, 'last_name', 'Laine', 'tier', n)
FROM (SELECT n, md5(n::text) AS id FROM generate_series(1, %s) n) people
"""


@pytest.fixture
async def crowd(db: Database, brand_id: UUID, other_brand_id: UUID) -> UUID:
    async with db.transaction() as conn:
        await conn.execute(CROWD, [brand_id, PEOPLE])
        await conn.execute(
            "UPDATE customer SET brand_id = %s WHERE brand_id = %s AND external_id = '1000'", [other_brand_id, brand_id]
        )
    return brand_id


@pytest.mark.parametrize("is_analysed", [False, True])
async def test_no_statement_of_a_search_reads_more_than_its_slice(db: Database, crowd: UUID, is_analysed: bool):
    async with db.transaction() as conn:
        if is_analysed:
            await conn.execute("ANALYZE customer")
        last = await customer_store.end_of_slice(conn, crowd, after=None, people=SEARCH_PEOPLE_MAX)
        assert last is not None
        said = {
            "brand_id": crowd,
            "name": "nobody",
            "after_part": 0,
            "after": UUID(int=0),
            "last_part": last.int >> 116,
            "last": last,
            "limit": 51,
            "people": SEARCH_PEOPLE_MAX,
        }
        read = []
        for statement in (Sql.end_of_slice, Sql.named_customers):
            told = {name: said[name] for name in statement.parameters}
            cursor = await conn.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + statement.text.encode(), told)
            [[plan]] = await cursor.fetchall()
            read.append(people_read((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))

    assert read == [SEARCH_PEOPLE_MAX, SEARCH_PEOPLE_MAX]


async def test_a_search_answers_with_what_it_found_in_its_time_and_goes_on_from_there(db: Database, crowd: UUID):
    hasty, patient = ProfileService(db, search_s=0), ProfileService(db)

    slices: list[list[str]] = []
    after: UUID | None = None
    while not slices or after is not None:
        found = await hasty.named(crowd, "ilMARI lai", after=after, limit=50)
        slices.append([person.external_id for person in found.people])
        after = found.behind
    at_once = await patient.named(crowd, "ilmari", after=None, limit=50)
    first = await patient.named(crowd, "ilmari", after=None, limit=7)
    rest = await patient.named(crowd, "ilmari", after=first.behind, limit=50)

    assert len(slices) == 4
    assert [name for names in slices for name in names] == [person.external_id for person in at_once.people]
    assert {person.external_id for person in at_once.people} == {str(n) for n in range(2000, PEOPLE + 1, 1000)}
    assert (at_once.behind, rest.behind) == (None, None)
    assert [*first.people, *rest.people] == at_once.people


def people_read(plan: dict[str, Any]) -> int:
    """How many people the plan's scans looked at, found and passed over."""
    below = plan.get("Plans", [])
    if not below:
        return round(plan["Actual Rows"]) + plan.get("Rows Removed by Filter", 0)
    return sum(people_read(one) for one in below)
