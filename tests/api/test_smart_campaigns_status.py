from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import AsyncClient

from stentor.accounts.model import Brand
from stentor.api.services import Services
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from trigger_world import make_brand, make_generator
from wire_world import asking

pytestmark = pytest.mark.anyio

CREATED = datetime(2026, 11, 21, 10, 0, 0, 999_999, tzinfo=UTC)
CHANGED = datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)


@pytest.fixture
async def wire_client(services: Services) -> AsyncIterator[AsyncClient]:
    async with asking(services) as client:
        yield client


@pytest.fixture
async def brand(db: Database) -> Brand:
    return await make_brand(db)


@pytest.fixture
async def keys(services: Services, brand: Brand) -> dict[str, str]:
    key = await services.accounts.create_key("backend", brand_id=brand.id, scopes=("run",))
    return {"x-api-key": key.api_key, "x-brand-key": brand.brand_key}


async def make_execution(db: Database, brand: Brand, state: str, **columns: Any) -> str:
    """An execution in that state; returns its id on the wire."""
    execution_id = new_id()
    values = {
        "id": execution_id,
        "brand_id": brand.id,
        "publication_id": new_id(),
        "generator_id": "kick-off",
        "topic_key": "team-42",
        "context": "{}",
        "lane": 2,
        "state": state,
        "created_at": CREATED,
        "status_at": CHANGED,
        **columns,
    }
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    async with db.transaction() as conn:
        query = f"INSERT INTO execution ({names}) VALUES ({marks})"  # noqa: S608  names of columns, ours
        await conn.execute(query.encode(), list(values.values()))
    return f"exec-{execution_id.hex}"


async def asked(client: AsyncClient, execution_id: str, keys: dict[str, str]) -> Any:
    return await client.get(f"/smart-campaigns/v1/executions/{execution_id}/status", headers=keys)


PUBLISHED = {"published_at": CHANGED, "audience_size": 127_450}
FAILED = {"error_code": "TOPIC_NOT_FOUND", "error_message": "There is no topic team-42."}


@pytest.mark.parametrize(
    ("state", "columns", "word", "more"),
    [
        ("scheduled", {"start_at": CHANGED}, "queued", {}),
        ("queued", {}, "queued", {}),
        ("planning", {"audience_size": 20_000}, "processing", {}),
        ("sending", PUBLISHED, "published", {"audience_size": 127_450}),
        ("ended", PUBLISHED, "published", {"audience_size": 127_450}),
        ("ended", {**PUBLISHED, "audience_size": 0}, "published", {"audience_size": 0}),
        ("cancelled", {**PUBLISHED, "cancelled_at": CHANGED}, "published", {"audience_size": 127_450}),
        ("failed", FAILED, "failed", FAILED),
        ("cancelled", {"error_code": "CANCELLED", "cancelled_at": CHANGED}, "failed", {"error_code": "CANCELLED"}),
    ],
)
async def test_each_state_has_its_word_and_keys_that_are_not_known_yet_are_absent(
    wire_client: AsyncClient,
    db: Database,
    brand: Brand,
    keys: dict[str, str],
    state: str,
    columns: dict[str, Any],
    word: str,
    more: dict[str, Any],
):
    execution_id = await make_execution(db, brand, state, **columns)

    response = await asked(wire_client, execution_id, keys)

    assert response.status_code == 200
    assert list(response.json().items()) == [
        ("execution_id", execution_id),
        ("status", word),
        ("created_at", "2026-11-21T10:00:00Z"),
        ("updated_at", "2026-11-21T10:00:05Z"),
        ("event_generator_id", "kick-off"),
        ("topic_key", "team-42"),
        *more.items(),
    ]


async def test_a_paused_execution_keeps_its_word(
    wire_client: AsyncClient, db: Database, brand: Brand, keys: dict[str, str]
):
    execution_id = await make_execution(db, brand, "planning", paused_at=CHANGED)

    assert (await asked(wire_client, execution_id, keys)).json()["status"] == "processing"


async def test_another_brands_execution_is_the_same_404_as_none_at_all(
    wire_client: AsyncClient, db: Database, brand: Brand, keys: dict[str, str]
):
    other = await make_brand(db, "Tennis")
    theirs = await make_execution(db, other, "queued")
    mine = await make_execution(db, brand, "queued")
    wanted = [theirs, f"exec-{new_id().hex}", "exec-abc-123-xyz", mine.upper(), mine[5:], f"{mine}0"]

    answers = [await asked(wire_client, execution_id, keys) for execution_id in wanted]

    assert [answer.status_code for answer in answers] == [404] * len(wanted)
    assert len({answer.content for answer in answers}) == 1


async def test_a_key_that_may_not_act_for_the_brand_is_forbidden_before_anything_is_looked_up(
    wire_client: AsyncClient, db: Database, brand: Brand, keys: dict[str, str]
):
    other = await make_brand(db, "Tennis")
    theirs = await make_execution(db, other, "queued")
    foreign = {**keys, "x-brand-key": other.brand_key}

    answers = [await asked(wire_client, execution_id, foreign) for execution_id in (theirs, "exec-abc-123-xyz")]

    assert [answer.status_code for answer in answers] == [403, 403]


async def test_without_both_keys_nothing_is_told(
    wire_client: AsyncClient, db: Database, brand: Brand, keys: dict[str, str]
):
    execution_id = await make_execution(db, brand, "queued")

    answers = [await asked(wire_client, execution_id, {name: keys[name]}) for name in keys]

    assert [answer.status_code for answer in answers] == [401, 401]


async def test_a_key_that_only_reads_may_ask(wire_client: AsyncClient, db: Database, brand: Brand, services: Services):
    await make_generator(db, brand, "kick-off")
    execution_id = await make_execution(db, brand, "queued")
    reader = await services.accounts.create_key("reader", brand_id=brand.id, scopes=("read",))
    writer = await services.accounts.create_key("writer", brand_id=brand.id, scopes=("write",))

    answers = [
        await asked(wire_client, execution_id, {"x-api-key": key.api_key, "x-brand-key": brand.brand_key})
        for key in (reader, writer)
    ]

    assert [answer.status_code for answer in answers] == [200, 403]
