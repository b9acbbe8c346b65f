"""Forgetting what brands do not want to be kept is gone on with, wherever the keeper dies."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from stentor.accounts.audit import record
from stentor.accounts.service import AccountService
from stentor.channels.contract import Accepted, Message, Outcome, Rejected
from stentor.db.pool import Database
from stentor.domain.ids import new_id, part_of
from stentor.failpoints import arm
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.torture.sweep import failpoints_of_retention
from stentor.testing.world import Someone, World
from stentor.worker.retention import RetentionKeeper
from trigger_world import rows

pytestmark = pytest.mark.anyio

DAYS = 60
KEPT = {"history_of": "sends", "payloads": "words", "told": "events", "batch_members": "members", "audit_of": "entries"}


class Dead(Exception):
    """The keeper is gone."""


def die() -> None:
    raise Dead


async def filled(db: Database) -> tuple[World, World]:
    """Two brands, the first of which keeps little history, and the second all but that briefly, with something of each."""

    def answer(message: Message) -> Outcome:
        return Rejected("550 nobody here") if message.address.startswith("gone") else Accepted()

    worlds = await World.made(db), await World.made(db, "Other")
    for world in worlds:
        await world.people([Someone("ann"), Someone("gone")])
        await world.execution(await world.publication(), context={"match": "Reds"})
    await Engine(db, ScriptedChannel(answer)).drain()
    await worlds[0].settings(history_days=DAYS)
    await worlds[1].settings(payload_days=DAYS, event_days=DAYS, batch_days=DAYS, audit_days=DAYS)
    brand_id = worlds[1].brand_id
    tag_id = await worlds[1].tag(["ann"])
    # Somebody of the slice with which a keeper begins.
    early = UUID(int=1)
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO customer_event (part, customer_id, brand_id, at, event_id, name) VALUES (%s, %s, %s, now(), %s, 'x')",
            [part_of(early), early, brand_id, new_id()],
        )
        await conn.execute(
            "INSERT INTO batch (id, brand_id, kind, tag_id, profiles, is_test, made_by, created_at, updated_at)"
            " VALUES (%s, %s, 'call', %s, 1, false, 'key 1', now(), now())",
            [new_id(), brand_id, tag_id],
        )
    # The log lets nothing go that is young by the database's own clock.
    async with Database(db.dsn, size=1, shift=timedelta(days=-DAYS)) as earlier, earlier.transaction() as conn:
        await record(conn, "campaign.updated", "c", brand_id=brand_id, after={"name": "New"})
    return worlds


async def kept(db: Database, short: World, forgetful: World) -> dict[str, Any]:
    ((sends, executions, totals),) = await rows(
        db,
        "SELECT (SELECT count(*) FROM send WHERE brand_id = %s), (SELECT count(*) FROM execution WHERE brand_id = %s),"
        " (SELECT sum(sends) FROM daily_total WHERE brand_id = %s AND state >= 0)",
        *[short.brand_id] * 3,
    )
    ((words, events, members, entries),) = await rows(
        db,
        "SELECT (SELECT count(*) FROM execution WHERE brand_id = %s AND context <> '{}'),"
        " (SELECT count(*) FROM customer_event WHERE brand_id = %s), (SELECT count(*) FROM customer_tag WHERE brand_id = %s),"
        " (SELECT count(*) FROM audit_entry WHERE brand_id = %s AND action = 'campaign.updated')",
        *[forgetful.brand_id] * 4,
    )
    return {
        "sends": (sends, executions, totals),
        "words": words,
        "events": events,
        "members": members,
        "entries": entries,
    }


async def test_what_a_keeper_forgot_when_it_died_is_gone_whole_and_the_rest_is_still_there(db: Database):
    short, forgetful = await filled(db)
    before = await kept(db, short, forgetful)
    there: dict[str, Any] = {"sends": (2, 1, None), "words": 1, "events": 1, "members": 1, "entries": 1}
    gone: dict[str, Any] = {"sends": (0, 0, 2), "words": 0, "events": 0, "members": 0, "entries": 0}
    # In the order of the keeper's steps: the place before a step commits, and the one behind it.
    points = [f"{theme}.{place}_commit" for theme in KEPT for place in ("before", "after")]
    expected = dict(there)

    async with Database(db.dsn, size=2, shift=timedelta(days=DAYS + 1)) as later:
        for point in points:
            arm(f"{point}=die@1", {"die": die})
            try:
                with pytest.raises(Dead):
                    await RetentionKeeper(later, AccountService(later, b"p" * 32).brands, history_days=400).forget()
            finally:
                arm("")
            theme, _, place = point.partition(".")
            if place == "after_commit":
                expected[KEPT[theme]] = gone[KEPT[theme]]
            # Steps before it come to their end; a step that dies leaves all of what it was about, or nothing.
            assert await kept(db, short, forgetful) == expected, point

    assert sorted(points) == failpoints_of_retention()
    assert (before, expected) == (there, gone)
