"""Starting a run: an execution for each template and time, all of them in one transaction, whatever was notified twice."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.campaigns import generator_store, template_store
from stentor.campaigns.ingredients import CampaignItself, Ingredients, gather
from stentor.campaigns.model import PublishedContent, Template
from stentor.campaigns.publishing import freeze
from stentor.campaigns.sources import PublicationSource, PublishedCampaign, published_campaign
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Conflict, Invalid, Problem
from stentor.executions.audiences import OfTag
from stentor.executions.service import ExecutionService
from stentor.failpoints import failpoint
from stentor.guard.store import present
from stentor.integrations.connector import runs
from stentor.integrations.connector.hearing import revoke_marked
from stentor.integrations.connector.model import Connector, ConnectorChannel
from stentor.integrations.connector.runs import Claimed, Group, Sql
from stentor.triggers.campaign_runs import CampaignRun, Runnable, checked_campaign, queued_run, write_run


class _Content(NamedTuple):
    """What a template says, frozen under the channel's campaign; `problem`: why it cannot be sent."""

    publication_id: UUID
    content: PublishedContent | None
    problem: str


class _Under(NamedTuple):
    """What all groups of a run start under."""

    connector: Connector
    campaign: PublishedCampaign | None
    contents: Mapping[int, _Content]


class Starter:
    """Turns pulled people into executions."""

    def __init__(self, db: Database, publications: PublicationSource, executions: ExecutionService) -> None:
        self._db = db
        self._publications = publications
        self._executions = executions

    async def start(self, connector: Connector, run: Claimed) -> None:
        """Writes the run's executions. Who cannot be written to, for their template is gone, stays without one and is dropped."""
        async with self._db.read() as conn:
            groups = await runs.groups(conn, run.brand_id, run.id)
        channel = next((one for one in connector.channels if one.number == run.channel_number), None)
        numbers = sorted({group.template_number for group in groups})
        contents = {number: await self._frozen(connector, channel, run, number) for number in numbers}
        async with self._db.transaction() as conn:
            locked = await runs.lock(conn, run)
            if locked is None or locked[0] != "pulled":
                return
            is_cancelled = locked[2] is not None
            campaign = None if channel is None else await published_campaign(conn, run.brand_id, channel.campaign_id)
            under = _Under(connector, campaign, contents)
            for content in contents.values():
                if content.content is not None and not is_cancelled:
                    await generator_store.insert_publication(
                        conn, run.brand_id, content.publication_id, content.content
                    )
            for group in groups:
                execution_id, problem = None, "The hub cancelled the campaign before it started."
                if not is_cancelled:
                    execution_id, problem = await _started(conn, run, group, under)
                await Sql.note_execution.run(
                    conn,
                    run_id=run.id,
                    brand_id=run.brand_id,
                    number=group.number,
                    execution_id=execution_id,
                    problem=problem,
                )
            await revoke_marked(conn, run)
            await Sql.note_started.run(
                conn, id=run.id, brand_id=run.brand_id, tick=runs.FIRST_TICK, window=runs.window(connector)
            )
            failpoint("connector.before_start")
        failpoint("connector.after_start")

    async def cancel(self, run: Claimed) -> None:
        """Cancels what the hub cancelled: whoever was not written to yet is skipped."""
        async with self._db.transaction() as conn:
            for group in await runs.groups(conn, run.brand_id, run.id):
                if group.execution_id is not None:
                    # What ended before, or was cancelled here, stays as it is.
                    with suppress(Conflict):
                        await self._executions.cancel_with(conn, run.brand_id, group.execution_id)
            failpoint("connector.before_cancel")
        failpoint("connector.after_cancel")

    async def _frozen(
        self, connector: Connector, channel: ConnectorChannel | None, run: Claimed, number: int
    ) -> _Content:
        """The template's content under the sender, the consent and the policy that the channel's campaign is published with."""
        if channel is None:
            return _none(f"ChannelID {run.channel_number} is none of this connector any more. Add it again.")
        brand_id, itself = run.brand_id, CampaignItself(channel.campaign_id)
        async with self._db.read() as conn:
            template_id = await Sql.template_of.value(
                conn, connector_id=connector.id, brand_id=brand_id, channel=channel.number, number=number
            )
            if template_id is None:
                return _none(f"TemplateID {number} is none that this connector gave the hub.")
            found = await template_store.templates_in_full(conn, brand_id, [template_id])
            campaign = await published_campaign(conn, brand_id, channel.campaign_id)
            ingredients = (await gather(conn, brand_id, [itself])).get(itself.id)
        if template_id not in found:
            return _none(f"The template of TemplateID {number} was deleted.")
        if campaign is None or campaign.publication_id is None or ingredients is None:
            return _none("The channel's campaign is gone, or is not published. Name another one in the connector.")
        published = (await self._publications.load(brand_id, campaign.publication_id)).content
        try:
            content = await asyncio.to_thread(_with_template, published, ingredients, found[template_id])
        except Invalid as refusal:
            return _none(f"TemplateID {number} cannot be sent: {refusal.detail}")
        return _Content(new_id(), content, "")


def _none(problem: str) -> _Content:
    return _Content(new_id(), None, problem)


def _with_template(published: PublishedContent, ingredients: Ingredients, template: Template) -> PublishedContent:
    """The publication with this template alone. Raises Invalid as `freeze`."""
    route = published.routes[0]
    drafted = msgspec.structs.replace(
        ingredients.routes[0],
        channel=template.channel,
        template_id=template.id,
        template_version=template.version,
        sender_id=route.sender_id,
        when=None,
        arm=None,
        partner=None,
        is_gone=False,
    )
    alone = msgspec.structs.replace(ingredients, routes=(drafted,), steps=(), experiment=None)
    frozen = freeze(alone, {template.id: template}).content
    return msgspec.structs.replace(
        published,
        routes=frozen.routes,
        bindings=frozen.bindings,
        mail_sender=published.mail_sender,
        mode="all",
        experiment=None,
        steps=(),
        made_from=frozen.made_from,
    )


async def _started(conn: Connection, run: Claimed, group: Group, at: _Under) -> tuple[UUID | None, str]:
    """The id of the group's execution, or why it has none."""
    content = at.contents[group.template_number]
    if content.content is None or at.campaign is None:
        return None, content.problem or "The channel's campaign is gone. Name another one in the connector."
    try:
        checked = checked_campaign(at.campaign)
    except Problem as refusal:
        return None, refusal.detail
    queued = queued_run(
        Runnable(checked.campaign_id, checked.name, content.publication_id, checked.lane, checked.deadline_s),
        CampaignRun(
            brand_id=run.brand_id,
            campaign_id=checked.campaign_id,
            audience=OfTag(group.tag_id),
            triggered_by=f"connector {at.connector.name}: campaign {run.campaign_number}",
            # What the hub wanted earlier than it was pulled goes out now.
            start_at=max(group.start_at, await present(conn)),
        ),
    )
    return await write_run(conn, queued), ""
