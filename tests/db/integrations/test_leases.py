"""Lists that are fetched by cursors and by leases: what is not acknowledged goes to the next that asks."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from pull_world import Pulls, Stage, reader
from stentor import failpoints
from stentor.db.pool import Database
from stentor.errors import Conflict, Invalid, NotFound, Unavailable
from stentor.integrations.pulls.model import Pull, PullRow
from stentor.integrations.pulls.service import Lease
from tallies import unbalanced
from trigger_world import rows

pytestmark = pytest.mark.anyio


class Died(BaseException):
    """The process is gone."""


def die() -> None:
    raise Died


async def frozen(db: Database, people: int = 7) -> tuple[Stage, Pull, UUID]:
    stage = await Stage.made(db, *[reader(f"p{number}") for number in range(people)])
    campaign, execution_id = await stage.campaign()
    pull = await stage.pulls.service.freeze(
        stage.world.brand_id, stage.client.puller, campaign=campaign, execution_id=None, channel_number=505
    )
    return stage, pull, execution_id


def names(found: list[PullRow]) -> list[str | None]:
    return [row.external_id for row in found]


async def leased(stage: Stage, pull: Pull, count: int = 3, *, pulls: Pulls | None = None) -> Lease | None:
    return await (pulls or stage.pulls).service.lease(
        stage.world.brand_id, pull.id, rows=count, lease_s=60, attributes=["Email"], asked_by="worker"
    )


async def states(stage: Stage, execution_id: UUID) -> list[str]:
    return list(dict(sorted((await stage.world.fates(execution_id)).items())).values())


async def test_leased_rows_are_nobody_elses_until_they_are_released_or_run_out(db: Database):
    stage, pull, execution_id = await frozen(db)
    brand_id, service = stage.world.brand_id, stage.pulls.service

    first, second, third = await asyncio.gather(*(leased(stage, pull) for _ in range(3)))
    assert first is not None
    assert second is not None
    assert third is not None
    got = sorted((lease.page.position_from, names(lease.rows)) for lease in (first, second, third))
    assert got == [(0, ["p0", "p1", "p2"]), (3, ["p3", "p4", "p5"]), (6, ["p6"])]
    assert first.rows[0].attributes in (["p0@example.com"], ["p3@example.com"], ["p6@example.com"])
    assert await leased(stage, pull) is None
    assert await states(stage, execution_id) == ["pending"] * 7

    a, b, c = sorted((first, second, third), key=lambda lease: lease.page.position_from)
    done = await service.acknowledge(brand_id, pull.id, a.page.id)
    again = await service.acknowledge(brand_id, pull.id, a.page.id)
    assert (done.handed_over, again.handed_over_at) == (3, done.handed_over_at)
    await service.release(brand_id, pull.id, b.page.id)
    with pytest.raises(Conflict, match="released"):
        await service.acknowledge(brand_id, pull.id, b.page.id)
    with pytest.raises(Conflict, match="acknowledged"):
        await service.release(brand_id, pull.id, a.page.id)
    part = await leased(stage, pull, 2)
    assert part is not None
    assert names(part.rows) == ["p3", "p4"]

    async with Database(db.dsn, size=3, shift=timedelta(minutes=2)) as later:
        others = Pulls(later)
        rest = await leased(stage, pull, 2, pulls=others)
        taken = await leased(stage, pull, 2, pulls=others)
        last = await leased(stage, pull, 2, pulls=others)
        assert [names(lease.rows) for lease in (rest, taken, last) if lease] == [["p3", "p4"], ["p5"], ["p6"]]
        with pytest.raises(NotFound, match="leased anew"):
            await service.acknowledge(brand_id, pull.id, c.page.id)
        for lease in (rest, taken, last):
            assert lease is not None
            await others.service.acknowledge(brand_id, pull.id, lease.page.id)

    assert await states(stage, execution_id) == ["handed_over"] * 7
    assert await rows(db, "SELECT max(tries)::integer FROM send") == [(1,)]
    assert await rows(db, "SELECT state FROM execution") == [("ended",)]
    assert await unbalanced(db) == []
    assert (await service.pull(brand_id, pull.id)).handed_over_rows == 7


async def test_a_lease_that_ran_out_is_acknowledged_while_nobody_else_has_its_rows(db: Database):
    stage, pull, execution_id = await frozen(db, 2)
    lease = await leased(stage, pull)
    assert lease is not None

    async with Database(db.dsn, size=3, shift=timedelta(hours=1)) as later:
        await Pulls(later).service.acknowledge(stage.world.brand_id, pull.id, lease.page.id)
        assert await leased(stage, pull, pulls=Pulls(later)) is None

    assert await states(stage, execution_id) == ["handed_over"] * 2


@pytest.mark.parametrize("point", ["lease.after_commit", "acknowledge.before_commit", "acknowledge.after_commit"])
async def test_who_dies_over_a_lease_loses_and_doubles_nobody(db: Database, point: str):
    stage, pull, execution_id = await frozen(db, 3)
    failpoints.arm(f"{point}=die@1", {"die": die})
    seen: list[Lease] = []

    async def lease_and_acknowledge() -> None:
        lease = await leased(stage, pull)
        assert lease is not None
        seen.append(lease)
        await stage.pulls.service.acknowledge(stage.world.brand_id, pull.id, lease.page.id)

    try:
        with pytest.raises(Died):
            await lease_and_acknowledge()
    finally:
        failpoints.arm("")
    lease = seen[0] if seen else None

    async with Database(db.dsn, size=3, shift=timedelta(hours=1)) as later:
        others = Pulls(later)
        if point != "acknowledge.after_commit":
            lease = await leased(stage, pull, pulls=others)
        assert lease is not None
        assert names(lease.rows) == ["p0", "p1", "p2"]
        await others.service.acknowledge(stage.world.brand_id, pull.id, lease.page.id)
        assert await leased(stage, pull, pulls=others) is None

    assert await states(stage, execution_id) == ["handed_over"] * 3
    assert await rows(db, "SELECT max(tries)::integer FROM send") == [(1,)]
    assert await rows(db, "SELECT state FROM execution") == [("ended",)]


async def test_a_page_by_cursors_is_handed_over_when_the_next_is_asked_for(db: Database):
    stage, pull, execution_id = await frozen(db, 5)
    brand_id, service = stage.world.brand_id, stage.pulls.service

    async def read(after: tuple[int, int] | None) -> tuple[list[str | None], int | None]:
        page = await service.rows(brand_id, pull.id, after=after, limit=3, attributes=[], asked_by="key 1")
        return names(page.rows), page.next_position

    assert await read(None) == await read(None) == (["p0", "p1", "p2"], 3)
    assert await states(stage, execution_id) == ["pending"] * 5
    assert await read((0, 3)) == await read((0, 3)) == (["p3", "p4"], 5)
    assert await states(stage, execution_id) == [*["handed_over"] * 3, *["pending"] * 2]
    assert await read((3, 5)) == ([], None)

    assert await states(stage, execution_id) == ["handed_over"] * 5
    assert [
        (page.position_from, page.handed_over) for page in await service.pages(brand_id, pull.id, before=None, limit=9)
    ] == [
        (3, 2),
        (0, 3),
    ]


async def test_what_is_not_there_is_over_or_is_paused_is_said(db: Database):
    stage, pull, execution_id = await frozen(db, 2)
    other = await Stage.made(db, name="Other")
    brand_id, service = stage.world.brand_id, stage.pulls.service
    lease = await leased(stage, pull, 1)
    assert lease is not None

    for rows_asked, lease_s in ((0, 60), (10_001, 60), (1, 9), (1, 3_601)):
        with pytest.raises(Invalid):
            await service.lease(brand_id, pull.id, rows=rows_asked, lease_s=lease_s, attributes=[], asked_by="key")
    with pytest.raises(Invalid, match="not by both"):
        await service.freeze(brand_id, stage.client.puller, campaign=1, execution_id=execution_id, channel_number=505)
    for brand, pull_id in ((other.world.brand_id, pull.id), (brand_id, uuid4())):
        with pytest.raises(NotFound):
            await service.lease(brand, pull_id, rows=1, lease_s=60, attributes=[], asked_by="key")
    with pytest.raises(NotFound):
        await service.freeze(
            other.world.brand_id, stage.client.puller, campaign=1, execution_id=None, channel_number=505
        )
    await stage.pulls.engine.executions.pause(brand_id, execution_id)
    with pytest.raises(Unavailable):
        await leased(stage, pull)
    # What was fetched before the pause was.
    await service.acknowledge(brand_id, pull.id, lease.page.id)
    await stage.pulls.engine.executions.cancel(brand_id, execution_id)
    with pytest.raises(Conflict, match="cancelled"):
        await leased(stage, pull)
    await stage.pulls.engine.drain()

    assert await states(stage, execution_id) == ["handed_over", "skipped execution_cancelled"]
    assert await unbalanced(db) == []
