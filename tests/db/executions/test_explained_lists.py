"""What is told of people whom an opt-out list stopped: which one, by which entry, in which generation, and what has changed since."""

import re
from pathlib import Path
from uuid import UUID

import pytest

from listed import Lists
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.executions.explaining import Check
from stentor.executions.forecasting import Trial
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio


class Stage:
    """A brand with lists, and what is told of its people."""

    def __init__(self, db: Database, world: World, lists: Lists) -> None:
        self.db = db
        self.world = world
        self.lists = lists
        self.engine = Engine(db, ScriptedChannel(), lists=lists.files)

    async def list(self, name: str, **columns: object) -> UUID:
        return await self.lists.made(self.world.brand_id, name, **columns)

    async def delivered(self, *names: str) -> UUID:
        await self.world.people([Someone(name) for name in names])
        execution_id = await self.world.execution(await self.world.publication())
        await self.engine.drain()
        return execution_id

    async def forecast(self, publication_id: UUID) -> int:
        """How many lists would stop, by a dry run."""
        trial = Trial("news", {}, Clock().now())
        found = await self.engine.executions.dry_run(self.world.brand_id, publication_id, trial)
        return found.channels[0].skipped["suppressed"]

    async def suppression(self, execution_id: UUID, name: str) -> Check:
        explanation = await self.engine.executions.explain(self.world.brand_id, execution_id, name)
        (told,) = explanation.channels
        return next(check for check in told.checks if check.name == "suppression")

    async def detail(self, execution_id: UUID, name: str) -> str:
        """Without times; the check must have been made again, and have come to the same."""
        check = await self.suppression(execution_id, name)
        assert (check.outcome, check.replayed, check.differs) == ("objected", True, False)
        return re.sub(r" since [-:\d ]+ UTC", "", check.detail)


@pytest.fixture
async def stage(db: Database, tmp_path: Path) -> Stage:
    return Stage(db, await World.made(db), Lists(db, tmp_path))


async def test_the_list_the_entry_its_cause_and_the_generation_are_told(stage: Stage):
    first, second = await stage.list("first"), await stage.list("second", kind="sha1", hash="sha1")
    await stage.world.people([Someone("cy", email="cy@partner.example"), Someone("di", email="di@xn--exmple-cua.com")])
    await stage.lists.run(first, ["one@example.com", "@partner.example"])
    await stage.lists.run(first, ["other@example.com"])
    await stage.lists.run(second, ["di@exämple.com"])
    await stage.lists.recent(second, "two@example.com", cause="collect")
    await stage.lists.recent(await stage.lists.built_in(stage.world.brand_id), "three@example.com", cause="complaint")

    execution_id = await stage.delivered("one", "two", "three")

    assert {name: await stage.detail(execution_id, name) for name in ("one", "two", "three", "cy", "di")} == {
        "one": "On the first list: import (generation 2 of the list).",
        "two": "On the second list: collect (generation 1 of the list).",
        "three": "On the built-in list: complaint.",
        "cy": "On the first list by its domain: import (generation 2 of the list).",
        "di": "On the second list by the other spelling of its host: import (generation 1 of the list).",
    }


async def test_each_kind_of_list_is_named_by_a_dry_run_the_run_and_who_asks_afterwards(stage: Stage):
    """Of a group and of a link it is the list of this brand that is named, with the generation of the one that has the entry."""
    publication = await stage.world.publication()
    async with stage.db.read() as conn:
        ((campaign_id,),) = await (
            await conn.execute("SELECT campaign_id FROM publication WHERE id = %s", [publication])
        ).fetchall()
    others = await stage.lists.made((await World.made(stage.db, "Other")).brand_id, "theirs")
    await stage.lists.grant(others, stage.world.brand_id)
    member = await stage.list("member", state="disabled")
    lists = {
        **{name: await stage.list(name, kind=name, hash=name) for name in ("md5", "sha1", "sha256", "sha512")},
        "campaign": await stage.list("campaign", scope="campaigns", scope_ids=[campaign_id]),
        "topic": await stage.list("topic", scope="topics", scope_ids=[stage.world.topic_id]),
        "expiring": await stage.list("expiring", expiry_days=30),
        "linked": others,
        "grouped": member,
    }
    await stage.list("link", kind="linked", linked_id=others)
    await stage.list("group", kind="grouped", members=[member])
    for name, list_id in lists.items():
        await stage.lists.run(list_id, [f"{name}@example.com", f"other.{name}@example.com"])
    await stage.lists.run(lists["expiring"], ["lapsed@example.com"], age_days=31)
    await stage.lists.change(member, state="enabled", scope="topics", scope_ids=[stage.world.brand_id])
    people = [*lists, "lapsed", "free"]
    await stage.world.people([Someone(name) for name in people])
    execution_id = await stage.world.execution(publication)

    forecast = await stage.forecast(publication)
    await stage.engine.drain()

    fates = await stage.world.fates(execution_id)
    assert fates == {**dict.fromkeys(lists, "skipped suppressed"), "lapsed": "handed_over", "free": "handed_over"}
    assert forecast == len(lists)
    told = {name: (await stage.suppression(execution_id, name)).detail for name in lists}
    named = {"linked": "link", "grouped": "group"}
    assert {name: re.sub(r" since [-:\d ]+ UTC", "", text) for name, text in told.items()} == {
        name: f"On the {named.get(name, name)} list: import (generation {2 if name == 'expiring' else 1} of the list)."
        for name in lists
    }


async def test_a_list_that_was_taken_off_grew_or_was_exchanged_since_is_told_as_it_was(stage: Stage):
    list_id = await stage.list("partners")
    old = await stage.lists.run(list_id, ["one@example.com", "two@example.com"])
    execution_id = await stage.delivered("one", "two", "three")

    await stage.lists.take_off(list_id, "one@example.com", noted=True)
    await stage.lists.run(list_id, ["two@example.com", "three@example.com"], replaces=[old], generation=1)

    for name in ("one", "two"):
        assert await stage.detail(execution_id, name) == "On the partners list: import (generation 1 of the list)."


async def test_of_a_file_of_which_it_is_not_kept_since_when_it_is_there_only_what_is_stored_is_told(stage: Stage):
    list_id = await stage.list("partners")
    await stage.lists.run(list_id, ["one@example.com"])
    execution_id = await stage.delivered("one", "two")
    async with stage.db.autocommit() as conn:
        await conn.execute("DELETE FROM optout_generation")

    one, two = [await stage.suppression(execution_id, name) for name in ("one", "two")]

    assert (one.outcome, one.replayed, one.differs) == ("objected", False, False)
    assert (two.outcome, two.replayed, two.differs) == ("passed", True, False)


async def test_who_came_on_a_list_only_after_the_hand_over_was_no_fault(stage: Stage):
    list_id = await stage.list("partners")
    execution_id = await stage.delivered("one", "two")

    await stage.lists.run(list_id, ["one@example.com"])
    await stage.lists.recent(list_id, "two@example.com")
    one, two = [await stage.suppression(execution_id, name) for name in ("one", "two")]

    assert (one.outcome, one.differs, two.outcome, two.differs) == ("passed", False, "passed", False)
    # Of a file it is not known what was in it before; of a single entry it is.
    assert (one.replayed, two.replayed) == (False, True)


async def test_who_was_written_to_in_spite_of_a_list_is_said_to_be_a_fault(stage: Stage):
    list_id = await stage.list("partners")
    execution_id = await stage.delivered("one", "two")
    async with stage.db.autocommit() as conn:
        await conn.execute("UPDATE optout_list SET created_at = created_at - interval '2 days'")
    await stage.lists.run(list_id, ["one@example.com"])
    await stage.lists.recent(list_id, "two@example.com", age_days=1)
    async with stage.db.autocommit() as conn:
        await conn.execute("UPDATE optout_generation SET at = at - interval '1 day'")

    assert [(await stage.suppression(execution_id, name)).differs for name in ("one", "two")] == [True, True]


@pytest.mark.parametrize(
    "change", [{"state": "disabled"}, {"state": "deleted"}, {"scope": "topics", "scope_ids": "own"}]
)
async def test_of_a_list_that_was_changed_since_only_what_is_stored_is_told(stage: Stage, change: dict[str, object]):
    list_id = await stage.list("partners")
    await stage.lists.run(list_id, ["one@example.com"])
    execution_id = await stage.delivered("one", "two")

    if "scope_ids" in change:
        change = {**change, "scope_ids": [stage.world.brand_id]}
    await stage.lists.change(list_id, **change)
    async with stage.db.autocommit() as conn:
        await conn.execute("UPDATE optout_list SET updated_at = now() + interval '1 second' WHERE id = %s", [list_id])
    one, two = [await stage.suppression(execution_id, name) for name in ("one", "two")]

    assert (one.outcome, one.replayed, one.differs) == ("objected", False, False)
    assert one.detail == "On the partners list."
    assert (two.outcome, two.replayed, two.differs) == ("passed", False, False)


async def test_what_was_stored_before_traces_named_lists_is_found_again(stage: Stage):
    await stage.lists.recent(await stage.lists.built_in(stage.world.brand_id), "one@example.com", cause="unsubscribe")
    execution_id = await stage.delivered("one")
    async with stage.db.autocommit() as conn:
        await conn.execute("UPDATE send SET rule = 0, evidence = 0")

    assert await stage.detail(execution_id, "one") == "On the built-in list: unsubscribe."
