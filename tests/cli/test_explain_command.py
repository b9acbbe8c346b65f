import asyncio
import json
from collections.abc import Awaitable, Callable
from uuid import UUID

import psycopg
import pytest

from command_line import Command
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World


@pytest.fixture
def execution(database_dsn: str) -> UUID:
    """One that reached ann, skipped bob, who bounced before, and did not mean cy."""
    people = [Someone("ann"), Someone("bob", bounced_mask=ChannelKind.EMAIL.bit), Someone("cy", channels=0)]

    async def made(db: Database) -> UUID:
        world = await World.made(db, "Fan Club")
        await world.people(people)
        execution_id = await world.execution(await world.publication())
        await Engine(db, ScriptedChannel()).drain()
        return execution_id

    return asyncio.run(with_database(database_dsn, made))


def test_each_check_is_told_in_its_order(command: Command, execution: UUID):
    told = json.loads(command("explain", f"exec-{execution.hex}", "bob", "--json").stdout)

    (email,) = told["channels"]
    assert (email["channel"], email["state"], email["reason"]) == ("email", "skipped", "bounced_before")
    assert [(check["name"], check["outcome"]) for check in email["checks"]][:8] == [
        ("execution", "not_reached"),
        ("sender", "not_reached"),
        ("consent", "passed"),
        ("break", "not_reached"),
        ("suppression", "not_reached"),
        ("complaint", "passed"),
        ("bounce", "objected"),
        ("address", "not_reached"),
    ]


def test_people_read_what_became_of_somebody(command: Command, execution: UUID):
    reached = command("explain", execution, "ann")
    skipped = command("explain", execution, "bob")
    outside = command("explain", execution, "cy", "--brand", "Fan Club")

    assert "✓  consent      Subscribed (email) at " in skipped.stdout
    assert "✗  bounce       bounced_before " in skipped.stdout
    assert "·  address      not reached" in skipped.stdout
    assert "ann on email: handed_over (" in reached.stdout
    assert "in en" in reached.stdout
    assert outside.stdout == "cy: Not in the audience. Never opted in to the topic 'news'.\n"


def test_a_verdict_that_differs_from_what_is_kept_is_marked(command: Command, execution: UUID, database_dsn: str):
    with psycopg.connect(database_dsn, autocommit=True) as conn:
        conn.execute("UPDATE customer SET bounced_mask = 0")

    skipped = command("explain", execution, "bob")

    said = " ".join(skipped.stdout.split())
    assert "✗ bounce bounced_before (differs: made again, it comes to something else)" in said


def test_an_execution_of_another_brand_than_the_one_that_is_named_is_none(command: Command, execution: UUID):
    command("brand", "create", "Choir")

    foreign = command("explain", execution, "ann", "--brand", "Choir")

    assert type(foreign.exception).__name__ == "NotFound"
    assert command("explain", execution, "ann").exit_code == 0


def test_somebody_unknown_and_an_id_that_is_none_are_told_apart(command: Command, execution: UUID):
    unknown = command("explain", execution, "dora", "--brand", "Fan Club")
    no_id = command("explain", "ann", "ann", "--brand", "Fan Club")

    assert type(unknown.exception).__name__ == "NotFound"
    assert no_id.exit_code == 2
    assert no_id.stderr == "stentor: 'ann' is no execution's id; it looks like exec-0198… or 0198…-….\n"


async def with_database(dsn: str, act: Callable[[Database], Awaitable[UUID]]) -> UUID:
    async with Database(dsn, size=3) as db:
        return await act(db)
