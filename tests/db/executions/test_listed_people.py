"""Opt-out lists in the flow: whoever is on one that applies is left out at the last moment, whichever way they came there."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from listed import Lists
from stentor.channels.contract import Accepted, Rejected
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Unavailable
from stentor.executions.remedies import carry_out_next
from stentor.optouts.hashing import EntryForm
from stentor.optouts.names import index_name
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

SMS = ChannelKind.SMS


class Stage:
    """A brand with lists and an engine that reads their files."""

    def __init__(self, db: Database, world: World, lists: Lists) -> None:
        self.db = db
        self.world = world
        self.lists = lists
        self.channel = ScriptedChannel()
        self.engine = Engine(db, self.channel, lists=lists.files)

    async def list(self, name: str, **columns: object) -> UUID:
        return await self.lists.made(self.world.brand_id, name, **columns)

    async def planned(self, *names: str, publication: UUID | None = None) -> UUID:
        """An execution for these people that is planned and not delivered."""
        await self.world.people([Someone(name) for name in names])
        execution_id = await self.world.execution(publication or await self.world.publication())
        await self.engine.plan()
        return execution_id

    async def fates(self, execution_id: UUID) -> dict[str, str]:
        return await self.world.fates(execution_id)

    async def traces(self, execution_id: UUID) -> dict[str, tuple[int, int]]:
        """The rule and the evidence of each that was skipped."""
        async with self.db.read() as conn:
            rows = await conn.execute(
                "SELECT c.external_id, s.rule, s.evidence FROM send s JOIN customer c USING (part, customer_id)"
                " WHERE s.execution_id = %s AND s.state = 3",
                [execution_id],
            )
            return {name: (rule, evidence) for name, rule, evidence in await rows.fetchall()}


@pytest.fixture
async def stage(db: Database, tmp_path: Path) -> Stage:
    return Stage(db, await World.made(db), Lists(db, tmp_path))


@pytest.mark.fault("F19")
async def test_an_import_and_a_single_entry_stop_what_is_planned_already(stage: Stage):
    filed, single = await stage.list("filed"), await stage.list("single")
    execution_id = await stage.planned("one", "two", "three")

    await stage.lists.run(filed, ["one@example.com"])
    await stage.lists.recent(single, "two@example.com", cause="collect")
    await stage.engine.deliver()

    assert await stage.fates(execution_id) == {
        "one": "skipped suppressed",
        "two": "skipped suppressed",
        "three": "handed_over",
    }
    assert stage.channel.addresses == ["three@example.com"]


async def test_the_trace_says_which_list_objected_and_by_which_form(stage: Stage):
    first, second = await stage.list("first"), await stage.list("second", kind="sha256", hash="sha256")
    await stage.world.people([Someone("cy", email="cy@partner.example"), Someone("di", email="di@xn--exmple-cua.com")])
    await stage.lists.run(first, ["one@example.com", "@partner.example"])
    await stage.lists.run(second, ["one@example.com", "two@example.com", "di@exämple.com"])
    execution_id = await stage.planned("one", "two", "three")

    await stage.engine.deliver()

    numbers = [await stage.lists.number(each) for each in (first, second)]
    assert await stage.traces(execution_id) == {
        "one": (EntryForm.ADDRESS, numbers[0]),
        "two": (EntryForm.ADDRESS, numbers[1]),
        "cy": (EntryForm.DOMAIN, numbers[0]),
        "di": (EntryForm.OTHER_SPELLING, numbers[1]),
    }


async def test_the_built_in_list_is_told_as_any_other(stage: Stage):
    built_in = await stage.lists.built_in(stage.world.brand_id)
    await stage.lists.recent(built_in, "one@example.com", cause="complaint")
    execution_id = await stage.planned("one")

    await stage.engine.deliver()

    assert await stage.traces(execution_id) == {"one": (EntryForm.ADDRESS, await stage.lists.number(built_in))}


async def test_a_list_stops_the_campaigns_and_topics_that_it_is_for_and_no_others(stage: Stage):
    mine, other = await stage.world.publication(), await stage.world.publication()
    async with stage.db.read() as conn:
        row = await (await conn.execute("SELECT campaign_id FROM publication WHERE id = %s", [mine])).fetchone()
    assert row is not None
    of_campaign = await stage.list("of the campaign", scope="campaigns", scope_ids=[row[0]])
    of_topic = await stage.list("of the topic", scope="topics", scope_ids=[stage.world.topic_id])
    elsewhere = await stage.list("elsewhere", scope="topics", scope_ids=[stage.world.brand_id])
    await stage.lists.run(of_campaign, ["one@example.com"])
    await stage.lists.run(of_topic, ["two@example.com"])
    await stage.lists.run(elsewhere, ["three@example.com"])
    ran = await stage.planned("one", "two", "three", publication=mine)
    other_ran = await stage.world.execution(other)

    await stage.engine.drain()

    assert await stage.fates(ran) == {
        "one": "skipped suppressed",
        "two": "skipped suppressed",
        "three": "handed_over",
    }
    assert await stage.fates(other_ran) == {"one": "handed_over", "two": "skipped suppressed", "three": "handed_over"}


async def test_a_transactional_message_heeds_lists_as_well(stage: Stage):
    await stage.lists.run(await stage.list("all"), ["one@example.com"])
    execution_id = await stage.planned("one", publication=await stage.world.publication(basis="none"))

    await stage.engine.deliver()

    assert await stage.fates(execution_id) == {"one": "skipped suppressed"}


@pytest.mark.parametrize("channel", [SMS, ChannelKind.WHATSAPP])
async def test_a_number_on_a_list_gets_nothing_on_any_channel_that_goes_to_numbers(stage: Stage, channel: ChannelKind):
    await stage.lists.run(await stage.list("numbers", channels=4), ["14155550123"])
    await stage.lists.run(await stage.list("mail", channels=2), ["14155550199"])
    phones = {"one": "+14155550123", "two": "+14155550199"}
    await stage.world.people(
        [
            Someone(name, phone=phone, channels=channel.bit, address_mask=channel.bit, valid_mask=channel.bit)
            for name, phone in phones.items()
        ]
    )
    execution_id = await stage.world.execution(await stage.world.publication([channel]))

    await stage.engine.drain()

    assert await stage.fates(execution_id) == {"one": "skipped suppressed", "two": "handed_over"}


async def test_who_was_taken_off_is_written_to_again_and_a_disabled_list_stops_nobody(stage: Stage):
    list_id, disabled = await stage.list("l"), await stage.list("off", state="disabled")
    await stage.lists.run(list_id, ["one@example.com", "two@example.com"])
    await stage.lists.run(disabled, ["three@example.com"])
    execution_id = await stage.planned("one", "two", "three")

    await stage.lists.take_off(list_id, "one@example.com")
    await stage.engine.deliver()

    assert await stage.fates(execution_id) == {
        "one": "handed_over",
        "two": "skipped suppressed",
        "three": "handed_over",
    }


async def test_nobody_is_written_to_unasked_while_a_file_is_not_there(stage: Stage, tmp_path: Path):
    run = await stage.lists.run(await stage.list("l"), ["one@example.com"])
    path = tmp_path / index_name(run)
    aside = path.rename(tmp_path / "aside")
    execution_id = await stage.planned("one", "two")

    with pytest.raises(Unavailable):
        await stage.engine.deliver()
    waiting = await stage.fates(execution_id)
    aside.rename(path)
    async with Database(stage.db.dsn, size=3, shift=timedelta(minutes=1)) as later:
        await Engine(later, stage.channel, lists=stage.lists.files).deliver()

    assert waiting == {"one": "pending", "two": "pending"}
    assert await stage.fates(execution_id) == {"one": "skipped suppressed", "two": "handed_over"}


async def test_a_wave_that_must_fetch_a_file_first_loses_nobody(stage: Stage):
    """Its transaction is begun anew; what it had let go of is held still."""
    list_id = await stage.list("l")
    paused = await stage.planned("one", "two", publication=await stage.world.publication())
    execution_id = await stage.world.execution(await stage.world.publication())
    await stage.engine.plan()
    await stage.engine.executions.pause(stage.world.brand_id, paused)
    await stage.lists.run(list_id, ["one@example.com"])

    await stage.engine.deliver()
    await stage.engine.executions.resume(stage.world.brand_id, paused)
    await stage.engine.deliver()

    for each in (paused, execution_id):
        assert await stage.fates(each) == {"one": "skipped suppressed", "two": "handed_over"}


async def test_what_is_tried_again_is_asked_about_again(stage: Stage):
    stage.channel.answer = lambda _message: Rejected("550 no")
    execution_id = await stage.planned("one", "two")
    await stage.engine.deliver()
    stage.channel.answer = lambda _message: Accepted()

    await stage.lists.run(await stage.list("l"), ["one@example.com"])
    await stage.engine.executions.remedy(stage.world.brand_id, execution_id, "retry_failed", None, asked_by="key 1")
    while await carry_out_next(stage.db):
        continue
    await stage.engine.drain()

    assert await stage.fates(execution_id) == {"one": "skipped suppressed", "two": "handed_over"}
