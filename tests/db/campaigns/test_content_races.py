"""Two people at once: an edit while somebody publishes, a deletion while somebody makes use."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from campaign_world import Content
from stentor.campaigns import campaign_store, template_store
from stentor.campaigns.model import CampaignDraft, Route, TemplateContent, TemplatePatch
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

T = TypeVar("T")

EDITED = TemplateContent("en", {"en": {"text": "after"}})


async def _somebody_waits_for_a_lock(db: Database) -> bool:
    async with db.read() as conn:
        cursor = await conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return await cursor.fetchone() == (1,)


async def _result(call: Awaitable[T]) -> T | Conflict:
    try:
        return await call
    except Conflict as conflict:
        return conflict


async def test_an_edit_while_somebody_publishes_is_not_passed_over(db: Database, content: Content):
    made = await content.generator("before")
    template_id = (await content.campaigns.get(content.brand_id, made.campaign_id)).routes[0].template_id

    async with asyncio.TaskGroup() as group, db.transaction() as conn:
        await template_store.lock_template(conn, content.brand_id, template_id)
        publishing = group.create_task(_result(content.generators.publish(content.brand_id, made.id)))
        await eventually(lambda: _somebody_waits_for_a_lock(db))
        await template_store.insert_version(conn, content.brand_id, template_id, 2, EDITED)
        await template_store.update_template(conn, content.brand_id, template_id, name="match", version=2)

    assert isinstance(conflict := publishing.result(), Conflict)
    assert "publish again" in conflict.detail
    assert (await content.generators.get(content.brand_id, made.id)).publication_id is None


async def test_a_template_is_not_deleted_while_a_campaign_comes_to_use_it(db: Database, content: Content):
    template = await content.template(en="Soon")
    draft = CampaignDraft(name="Match day", consent_basis="topic", routes=(Route(ChannelKind.SMS, template.id),))

    async with asyncio.TaskGroup() as group, db.transaction() as conn:
        await template_store.share_templates(conn, content.brand_id, [template.id])
        deleting = group.create_task(_result(content.templates.delete(content.brand_id, template.id)))
        await eventually(lambda: _somebody_waits_for_a_lock(db))
        await campaign_store.insert_campaign(conn, content.brand_id, new_id(), draft)

    assert isinstance(conflict := deleting.result(), Conflict)
    assert "Match day" in conflict.detail
    assert await content.templates.get(content.brand_id, template.id) == template


async def test_two_edits_make_two_versions(content: Content):
    template = await content.template(en="Soon")

    await asyncio.gather(
        *(
            content.templates.update(
                content.brand_id, template.id, TemplatePatch(variants={"en": {"text": f"edit {number}"}})
            )
            for number in range(4)
        )
    )

    assert (await content.templates.get(content.brand_id, template.id)).version == 5


@pytest.mark.parametrize("patch", [TemplatePatch(name="Kick-off"), TemplatePatch(default_language="de")])
async def test_an_edit_of_something_else_does_not_bring_old_content_back(
    db: Database, content: Content, patch: TemplatePatch
):
    template = await content.template(en="Soon", de="Gleich")
    edited = {"en": {"text": "Now"}, "de": {"text": "Jetzt"}}

    async with asyncio.TaskGroup() as group, db.transaction() as conn:
        await template_store.lock_template(conn, content.brand_id, template.id)
        editing = group.create_task(content.templates.update(content.brand_id, template.id, patch))
        await eventually(lambda: _somebody_waits_for_a_lock(db))
        await template_store.insert_version(conn, content.brand_id, template.id, 2, TemplateContent("en", edited))
        await template_store.update_template(conn, content.brand_id, template.id, name=template.name, version=2)

    assert editing.result().content == TemplateContent(patch.default_language or "en", edited)
    assert editing.result().name == (patch.name or template.name)
