"""What becomes of the open waves of a worker that was lost or froze, by what is in its journal."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from stentor.channels.contract import Accepted, Deferred, InDoubt, Message, Outcome, Rejected, Wave
from stentor.channels.model import InDoubtPolicy
from stentor.db.pool import Database
from stentor.deliver.journals import DIRECTORY, Journals
from stentor.domain.policy import BrandCap, BrandPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.settings import Settings
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from stentor.wiring.core import core
from stentor.wiring.roles import worker_journal

pytestmark = pytest.mark.anyio

AFTER_THE_LEASE = timedelta(seconds=30)

ANSWERS: dict[str, Outcome | None] = {
    "accepted": Accepted(),
    "refused": Rejected("554 no"),
    "dead": Rejected("550 5.1.1 nobody", bad_address=True),
    "deferred": Deferred("450 later"),
    "cut": InDoubt("the connection was cut"),
    "started": None,
}
"""What happened to whom before the worker was heard of no more; nothing to anybody else."""


class NotingChannel(ScriptedChannel):
    """Starts and answers some of its messages, then stands still until it is thawed; then it starts the others."""

    def __init__(self, answers: Mapping[str, Outcome | None]) -> None:
        super().__init__()
        self.answers = answers
        self.reached = asyncio.Event()
        self.thawed = asyncio.Event()
        self.late: list[str] = []

    @property
    def keeps_notes(self) -> Literal[True]:
        return True

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        names = [message.address.partition("@")[0] for message in messages]
        for index, name in enumerate(names):
            if name in self.answers:
                wave.notes.start(index)
                if outcome := self.answers[name]:
                    wave.notes.answer(index, outcome)
        self.reached.set()
        await self.thawed.wait()
        self.late += [name for index, name in enumerate(names) if name not in self.answers and wave.notes.start(index)]
        return [Accepted()] * len(messages)


async def lost_at_hand_over(db: Database, channel: NotingChannel, data: Path) -> "asyncio.Task[int]":
    engine = Engine(db, channel, worker="lost:1:a", data=data)
    await engine.plan()
    task = asyncio.create_task(engine.deliver())
    await channel.reached.wait()
    return task


async def taken_over(db: Database, data: Path) -> ScriptedChannel:
    """The channel of an heir that took everything over which is due."""
    channel = ScriptedChannel()
    async with Database(db.dsn, size=3, shift=AFTER_THE_LEASE) as later:
        await Engine(later, channel, worker="heir:2:b", data=data).drain()
    return channel


async def end(task: "asyncio.Task[int]") -> None:
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.fault("F1")
async def test_what_was_answered_stays_so_what_was_not_started_is_sent_and_only_the_rest_is_in_doubt(
    db: Database, tmp_path: Path
):
    world, channel = await World.made(db), NotingChannel(ANSWERS)
    await world.people([Someone(name) for name in [*ANSWERS, "untouched"]])
    execution_id = await world.execution(await world.publication())
    task = await lost_at_hand_over(db, channel, tmp_path)

    heir = await taken_over(db, tmp_path)

    assert await world.fates(execution_id) == {
        "accepted": "handed_over",
        "refused": "failed provider_rejected",
        "dead": "failed provider_rejected",
        "deferred": "pending",
        "cut": "unknown",
        "started": "unknown",
        "untouched": "handed_over",
    }
    assert heir.addresses == ["untouched@example.com"]
    await end(task)


@pytest.mark.parametrize("policy", ["at_least_once", "at_most_once"])
async def test_what_was_on_the_wire_is_sent_again_where_the_sender_wants_that_and_nothing_else(
    db: Database, tmp_path: Path, policy: InDoubtPolicy
):
    world, channel = await World.made(db), NotingChannel(ANSWERS)
    async with db.transaction() as conn:
        await conn.execute("UPDATE sender SET in_doubt = %s", (policy,))
    await world.people([Someone(name) for name in ANSWERS])
    await world.execution(await world.publication())
    task = await lost_at_hand_over(db, channel, tmp_path)

    heir = await taken_over(db, tmp_path)

    again = ["cut@example.com", "started@example.com"] if policy == "at_least_once" else []
    assert sorted(heir.addresses) == again
    await end(task)


@pytest.mark.fault("F4")
async def test_a_worker_that_comes_back_starts_nothing_of_what_was_taken_over(db: Database, tmp_path: Path):
    world, channel = await World.made(db), NotingChannel({"started": None})
    await world.people([Someone(name) for name in ("started", "one", "two")])
    execution_id = await world.execution(await world.publication())
    task = await lost_at_hand_over(db, channel, tmp_path)
    heir = await taken_over(db, tmp_path)

    channel.thawed.set()
    await task

    assert channel.late == []
    assert sorted(heir.addresses) == ["one@example.com", "two@example.com"]
    assert await world.fates(execution_id) == {"started": "unknown", "one": "handed_over", "two": "handed_over"}


@pytest.mark.fault("F1")
async def test_without_its_journal_a_lost_wave_is_in_doubt_as_a_whole(db: Database, tmp_path: Path):
    world, channel = await World.made(db), NotingChannel(ANSWERS)
    await world.people([Someone(name) for name in [*ANSWERS, "untouched"]])
    execution_id = await world.execution(await world.publication())
    task = await lost_at_hand_over(db, channel, tmp_path)
    (tmp_path / DIRECTORY / "lost:1:a").unlink()

    heir = await taken_over(db, tmp_path)

    assert set((await world.fates(execution_id)).values()) == {"unknown"}
    assert heir.addresses == []
    await end(task)


async def test_an_acceptance_is_dated_when_it_was_also_for_caps(db: Database, tmp_path: Path):
    world, channel = await World.made(db), NotingChannel({"one": Accepted()})
    await world.brand_policy(BrandPolicy(caps=(BrandCap(at_most=5, per="1d"),)))
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())
    task = await lost_at_hand_over(db, channel, tmp_path)
    async with db.read() as conn:
        # More than what lies between two statements, and the acceptance is well before it.
        cursor = await conn.execute("SELECT clock_timestamp() FROM (SELECT pg_sleep(0.3)) slept")
        ((taken_over_from,),) = await cursor.fetchall()

    await taken_over(db, tmp_path)

    async with db.read() as conn:
        cursor = await conn.execute(
            "SELECT s.decided_at, c.at FROM send s JOIN contact c USING (execution_id, customer_id, channel)"
            " WHERE s.execution_id = %s",
            (execution_id,),
        )
        ((decided_at, counts_from),) = await cursor.fetchall()
    assert decided_at - AFTER_THE_LEASE < taken_over_from
    assert counts_from - AFTER_THE_LEASE < taken_over_from
    await end(task)


async def test_a_dead_address_is_barred_unless_its_owner_has_another_by_now(db: Database, tmp_path: Path):
    dead = Rejected("550 5.1.1 nobody", bad_address=True)
    world, channel = await World.made(db), NotingChannel({"stays": dead, "moves": dead})
    await world.people([Someone("stays"), Someone("moves")])
    await world.execution(await world.publication())
    task = await lost_at_hand_over(db, channel, tmp_path)
    async with db.transaction() as conn:
        await conn.execute("UPDATE customer SET email = 'new@example.com' WHERE external_id = 'moves'")

    await taken_over(db, tmp_path)

    async with db.read() as conn:
        cursor = await conn.execute(
            "SELECT external_id FROM recipient WHERE bounced_mask & %s <> 0", (ChannelKind.EMAIL.bit,)
        )
        barred = await cursor.fetchall()
    assert barred == [("stays",)]
    await end(task)


async def test_what_nobody_began_with_is_sent_though_its_wave_was_committed(db: Database, tmp_path: Path):
    world, channel = await World.made(db), NotingChannel({})
    await world.people([Someone("one"), Someone("two")])
    execution_id = await world.execution(await world.publication())
    task = await lost_at_hand_over(db, channel, tmp_path)

    heir = await taken_over(db, tmp_path)

    assert sorted(heir.addresses) == ["one@example.com", "two@example.com"]
    assert set((await world.fates(execution_id)).values()) == {"handed_over"}
    await end(task)


async def test_journals_stay_as_long_as_somebody_may_need_them(db: Database, tmp_path: Path):
    world, channel = await World.made(db), NotingChannel({"started": None})
    await world.people([Someone("started")])
    await world.execution(await world.publication())
    lost = Engine(db, channel, worker="lost:1:a", data=tmp_path)
    await lost.plan()
    task = asyncio.create_task(lost.deliver())
    await channel.reached.wait()
    await end(task)
    closed(lost)
    journals = Journals(tmp_path)
    journals.open("idle:3:c", waves=1)
    (tmp_path / DIRECTORY / "dead:4:d").write_bytes(b"of a worker that has just gone")

    at_once = await journals.tidy(db)
    grow_old(tmp_path)
    later = await journals.tidy(db)
    kept = names(tmp_path)
    await taken_over(db, tmp_path)
    grow_old(tmp_path)
    when_settled = await journals.tidy(db)

    assert (at_once, later, when_settled) == (0, 1, 1)
    assert kept == {"idle:3:c", "lost:1:a"}
    assert names(tmp_path) == {"idle:3:c", "heir:2:b"}


def closed(engine: Engine) -> None:
    """Its lock goes, as when its process ends."""
    assert engine.journal is not None
    engine.journal.close()


def grow_old(data: Path) -> None:
    for file in (data / DIRECTORY).iterdir():
        os.utime(file, (0, 0))


@pytest.mark.fault("F10")
async def test_a_worker_that_can_have_no_journal_works_without(db: Database, tmp_path: Path):
    (tmp_path / DIRECTORY).write_bytes(b"a file where the directory should be")
    settings = Settings.model_validate({"secret": "a secret that is long enough to be one", "data": tmp_path})

    async with core(settings, db.dsn, role="test", size=2) as started:
        with worker_journal(started, "host:1:a") as journal:
            assert journal is None


def names(data: Path) -> set[str]:
    return {path.name for path in (data / DIRECTORY).iterdir() if not path.name.startswith(".")}
