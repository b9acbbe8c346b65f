"""Erasing people beside everything else that happens to them."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from psycopg.errors import LockNotAvailable

from erasure_world import Erasing
from stentor.audience.admitting import admit, recognise
from stentor.audience.anonymous import hold_people
from stentor.audience.consent import set_flags
from stentor.audience.intake import Given, take_in
from stentor.audience.model import Act, CustomerPatch, Fate, FlagChoice, Source
from stentor.audience.tag_store import tag_customers
from stentor.channels.contract import Accepted, Message, Outcome, Rejected
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.erasures.sweeping import sweep, sweep_all
from stentor.errors import Conflict, NotFound, TooLarge
from stentor.failpoints import arm
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.torture.sweep import failpoints_of_erasures
from stentor.testing.waiting import eventually
from stentor.testing.world import Someone

pytestmark = pytest.mark.anyio

EMAIL = ChannelKind.EMAIL.bit


class Dead(Exception):
    """This process came to its end."""


def die() -> None:
    raise Dead


async def rows(db: Database, query: str, values: Any = ()) -> list[tuple[Any, ...]]:
    async with db.read() as conn:
        return await (await conn.execute(query.encode(), values or None)).fetchall()


async def test_saying_it_again_answers_with_the_same_erasure(erasing: Erasing):
    await erasing.add("ann", email="ann@example.org")

    first = await erasing.erase("ann")
    again = await erasing.erase("ann")

    assert (first.is_new, again.is_new) == (True, False)
    assert again.erasure == first.erasure
    with pytest.raises(NotFound, match="no customer 'bob'"):
        await erasing.erase("bob")
    with pytest.raises(NotFound, match="no customer 'ann'"):
        await erasing.customers.get(erasing.brand_id, "ann")
    with pytest.raises(TooLarge, match="at most 100"):
        await erasing.service.erase_many(erasing.brand_id, [f"p{n}" for n in range(101)], asked_by="key 7")


async def test_many_are_erased_together_and_only_in_their_brand(erasing: Erasing, db: Database, tmp_path: Any):
    other = await Erasing.made(db, tmp_path / "lists")
    people = [Someone(f"p{n}", shared=n < 2, email="both@example.org" if n < 2 else None) for n in range(30)]
    for one in (erasing, other):
        await one.world.people(people)

    erased = await erasing.service.erase_many(erasing.brand_id, [one.name for one in people[:20]], asked_by="key 7")

    assert [one.external_id for one in erased] == [one.name for one in people[:20]]
    assert {one.erasure.counts["subscriptions"] for one in erased} == {1}
    assert sorted(await rows(db, "SELECT brand_id, count(*) FROM customer GROUP BY 1")) == sorted(
        [(erasing.brand_id, 10), (other.brand_id, 30)]
    )
    assert sorted(await rows(db, "SELECT brand_id, sum(subscribers)::integer FROM topic_counter GROUP BY 1")) == sorted(
        [(erasing.brand_id, 10), (other.brand_id, 30)]
    )
    assert await other.service.page(other.brand_id) == []
    with pytest.raises(NotFound):
        await other.service.get(other.brand_id, erased[0].erasure.id)
    assert [one.id for one in await erasing.service.page(erasing.brand_id)] == sorted(
        (one.erasure.id for one in erased), reverse=True
    )


async def test_whoever_comes_back_begins_anew_and_stays_suppressed(erasing: Erasing):
    await erasing.world.people([Someone("no"), Someone("dead", bounced_mask=EMAIL), Someone("fine")])
    act = Act(source=Source.API, actor="ann@desk.example")
    async with erasing.db.transaction() as conn:
        await set_flags(conn, erasing.brand_id, [FlagChoice(erasing.id_of("no"), refuse=EMAIL)], act)
    for name in ("no", "dead", "fine"):
        await erasing.erase(name)
    for name in ("no", "dead", "fine"):
        await erasing.add(name, email=f"{name}@example.com")
        await erasing.world.choose(name, EMAIL)

    engine = Engine(erasing.db, channel := ScriptedChannel())
    execution_id = await erasing.world.execution(await erasing.world.publication())
    await engine.drain()

    assert await erasing.world.fates(execution_id) == {
        "no": "skipped suppressed",
        "dead": "skipped suppressed",
        "fine": "handed_over",
    }
    assert channel.addresses == ["fine@example.com"]
    anew = await erasing.customers.get(erasing.brand_id, "no")
    assert (anew.refused_mask, anew.bounced_mask, anew.attributes) == (0, 0, {})
    assert await rows(erasing.db, "SELECT count(*) FROM consent_event WHERE actor LIKE '%desk%'") == [(0,)]


async def test_what_is_pending_is_skipped_and_what_is_on_the_wire_ends_as_it_ends(erasing: Erasing):
    await erasing.world.people([Someone("wire"), Someone("pending")])
    first = await erasing.world.execution(await erasing.world.publication())
    second = await erasing.world.execution(await erasing.world.publication())
    reached, go_on = asyncio.Event(), asyncio.Event()

    def answer(message: Message) -> Outcome:
        return Rejected(f"550 no such user {message.address}") if "wire" in message.address else Accepted()

    class Slow(ScriptedChannel):
        async def hand_over(self, wave: Any, messages: Any) -> Any:
            reached.set()
            await go_on.wait()
            return await super().hand_over(wave, messages)

    engine = Engine(erasing.db, Slow(answer))
    await engine.plan()
    delivering = asyncio.create_task(engine.drain())
    await reached.wait()
    await erasing.service.erase_many(erasing.brand_id, ["wire", "pending"], asked_by="key 7")
    await sweep_all(erasing.db)
    go_on.set()
    await delivering

    states = await rows(erasing.db, "SELECT execution_id, state, reason FROM send ORDER BY 1, 2")
    assert {execution for execution, _, _ in states} == {first, second}
    assert len(states) == 4
    assert all(state in {2, 3, 4} for _, state, _ in states)
    assert await rows(erasing.db, "SELECT count(*) FROM delivery_event WHERE answer LIKE '%wire%'") != [(0,)]
    await erasing.complete()
    assert await rows(erasing.db, "SELECT count(*) FROM delivery_event WHERE answer <> ''") == [(0,)]
    assert await rows(
        erasing.db, "SELECT count(*) FROM erasure WHERE completed_at IS NULL OR customer_id IS NOT NULL"
    ) == [(0,)]


async def test_an_erasure_waits_for_whoever_writes_to_the_same_people(erasing: Erasing):
    names = [f"p{n}" for n in range(20)]
    for name in names:
        await erasing.add(name, email="shared@example.org" if name < "p3" else f"{name}@example.org")

    async def write(number: int) -> None:
        patches = [CustomerPatch(external_id=name, email=f"{name}.{number}@example.org") for name in reversed(names)]
        # Those that meet an erasure are refused, and make nobody.
        with suppress(Conflict):
            await erasing.customers.upsert_many(erasing.brand_id, patches)

    async def erase() -> None:
        await erasing.service.erase_many(erasing.brand_id, names, asked_by="key 7")

    await asyncio.gather(*(write(number) for number in range(4)), erase(), erase())
    await erase()

    assert await rows(erasing.db, "SELECT count(*) FROM customer") == [(0,)]
    assert await rows(erasing.db, "SELECT count(*) FROM address_owner") == [(0,)]
    assert await rows(erasing.db, "SELECT count(*) FROM customer_past") == [(0,)]


async def test_who_was_made_anew_keeps_what_is_new(erasing: Erasing):
    await erasing.world.people([Someone("ann")])
    execution_id = await erasing.world.execution(await erasing.world.publication())
    engine = Engine(erasing.db, ScriptedChannel(lambda one: Rejected(f"550 {one.address}")))
    await engine.drain()
    await erasing.erase("ann")
    await erasing.add("ann", email="ann@new.example")
    await erasing.world.choose("ann", EMAIL)
    second = await erasing.world.execution(await erasing.world.publication())
    await engine.drain()

    await erasing.complete()

    answers = dict(await rows(erasing.db, "SELECT execution_id, answer FROM delivery_event"))
    assert answers[execution_id] == ""
    assert "ann@new.example" in answers[second]


async def erased_and_swept(erasing: Erasing, name: str) -> None:
    await erasing.erase(name)
    await sweep(erasing.db)


async def test_an_erasure_that_dies_anywhere_is_finished_by_the_next_one(erasing: Erasing):
    points = [*failpoints_of_erasures(), "people.before_commit", "people.after_commit"]
    points = [point for point in points if not point.startswith("replay.")]
    assert len(points) >= 10
    for number, point in enumerate(points):
        name = f"p{number}"
        await erasing.add(name, email=f"{name}@example.org", attributes={"name": name})
        arm(f"{point}=die@1", {"die": die})
        try:
            with pytest.raises(Dead):
                await erased_and_swept(erasing, name)
        finally:
            arm("")
        await erasing.erase(name)
        assert await rows(erasing.db, "SELECT count(*) FROM customer WHERE external_id = %s", [name]) == [(0,)]
    await erasing.complete()

    completed = await rows(erasing.db, "SELECT count(*), count(completed_at), count(DISTINCT digest) FROM erasure")
    assert completed == [(len(points),) * 3]
    noted = {person async for entry in erasing.log.entries() for person in entry.people}
    assert noted == {erasing.digests.of(erasing.id_of(f"p{number}")) for number in range(len(points))}


async def test_messages_that_are_being_taken_in_are_waited_for(erasing: Erasing):
    ann = await erasing.add("ann", email="ann@example.org")
    async with erasing.db.transaction() as conn:
        await hold_people(conn, erasing.brand_id, [ann])
        going = asyncio.create_task(erasing.erase("ann"))

        async def is_waiting() -> bool:
            return bool(await rows(erasing.db, "SELECT 1 FROM pg_locks WHERE NOT granted"))

        await eventually(is_waiting)
    assert (await going).is_new


async def test_nobody_is_erased_while_a_batch_tags_them_and_a_tag_that_came_too_late_goes(
    erasing: Erasing, db: Database
):
    ann, bob = await erasing.add("ann", email="ann@example.org"), await erasing.add("bob", email="bob@example.org")
    tag_id = await erasing.world.tag([])
    said = take_in(erasing.brand_id, Given.of([CustomerPatch(external_id="ann", email="ann@example.org")])).rows
    unnamed: frozenset[int] = frozenset()

    async with db.transaction() as conn:
        recognised = await recognise(conn, erasing.brand_id, said, unnamed)
        admitted = await admit(conn, erasing.brand_id, recognised, tag_id, Act(source=Source.BATCH))
        with pytest.raises(LockNotAvailable):
            await rows(db, "SELECT FROM customer WHERE customer_id = %s FOR UPDATE NOWAIT", [ann])
    assert admitted.fates == {0: Fate.UNCHANGED}

    for name in ("ann", "bob"):
        await erasing.erase(name)
    async with db.transaction() as conn:
        await tag_customers(conn, erasing.brand_id, tag_id, [bob])
    await erasing.complete()
    assert await rows(db, "SELECT customer_id FROM customer_tag") == []
