"""Running a campaign itself: it was published without an event generator, and reaches a tag or a segment."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.accounts.directory import BrandDirectory
from stentor.campaigns.sources import CampaignSource, PublishedCampaign
from stentor.clock import Clock
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id
from stentor.errors import Invalid, NotFound, Unprocessable
from stentor.executions.audiences import Audience, OfTag, source_of
from stentor.executions.forecasting import Forecast, Trial
from stentor.executions.service import ExecutionService
from stentor.failpoints import failpoint
from stentor.guard.store import present
from stentor.triggers.context import checked_context
from stentor.triggers.service import check_start


class Sql(QuerySet, file="campaign_runs.sql", package=__package__):
    insert_run: Statement


class CampaignRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a campaign for an audience, to start at once or at `start_at`.

    `triggered_by` says who asked for it, for people: `key 12`.
    """

    brand_id: UUID
    campaign_id: UUID
    audience: Audience
    triggered_by: str
    context: dict[str, Any] = {}
    is_test: bool = False
    start_at: datetime | None = None


class QueuedRun(msgspec.Struct, frozen=True):
    """A checked run as it is written: its execution's id, and what it runs."""

    id: UUID
    run: CampaignRun
    campaign: PublishedCampaign
    publication_id: UUID
    context: msgspec.Raw


class CampaignRunner:
    """Starts campaigns that are published themselves."""

    def __init__(
        self,
        db: Database,
        brands: BrandDirectory,
        campaigns: CampaignSource,
        executions: ExecutionService,
        *,
        clock: Clock,
    ) -> None:
        self._db = db
        self._brands = brands
        self._campaigns = campaigns
        self._executions = executions
        self._clock = clock

    async def start(self, run: CampaignRun) -> UUID:
        """The id of the execution, which is on disk, `queued`, or `scheduled` for its `start_at`.

        Called inside `Database.as_one` it is stored with whatever else is, or not at all: that is how a request is answered
        once. Its people are taken when it starts. Raises NotFound for a campaign that the brand has not; Unprocessable for
        one that runs by event generators or was never published; Invalid, naming the field, for an audience that is not
        there, a context that breaks a limit, and a start that is more than a minute past or more than 400 days ahead.
        """
        queued = await self.checked(run)
        async with self._db.transaction() as conn:
            await self.queue(conn, queued)
            failpoint("campaign_run.before_commit")
        failpoint("campaign_run.after_commit")
        return queued.id

    async def checked(self, run: CampaignRun) -> QueuedRun:
        """The run as it may be written. Raises as `start`."""
        if run.start_at is not None:
            # By the clock that lets it begin: this process's own may be an hour off.
            async with self._db.read() as conn:
                check_start(run.start_at, await present(conn))
        campaign, publication_id = await self._runnable(run)
        return QueuedRun(new_id(run.start_at), run, campaign, publication_id, checked_context(run.context))

    async def queue(self, conn: Connection, queued: QueuedRun) -> None:
        """Writes the execution in the caller's transaction. Raises Invalid for an audience that is not there."""
        run = queued.run
        if await source_of(conn, run.brand_id, run.audience) is None:
            raise _no_audience(run.audience)
        await Sql.insert_run.run(
            conn,
            id=queued.id,
            brand_id=run.brand_id,
            publication_id=queued.publication_id,
            campaign_id=run.campaign_id,
            audience=Jsonb(run.audience),
            context=Jsonb(queued.context),
            lane=queued.campaign.lane,
            is_test=run.is_test,
            triggered_by=run.triggered_by,
            start_at=run.start_at,
            deadline_s=queued.campaign.deadline_s,
        )

    async def dry_run(self, run: CampaignRun) -> Forecast:
        """Who the run would reach now, who it would leave out and why, and three rendered samples. Nothing is written.

        Raises what `start` raises for a run that it would not accept.
        """
        queued = await self.checked(run)
        trial = Trial("", run.context, run.start_at or self._clock.now(), run.audience)
        return await self._executions.dry_run(run.brand_id, queued.publication_id, trial)

    async def _runnable(self, run: CampaignRun) -> tuple[PublishedCampaign, UUID]:
        brand = await self._brands.by_id(run.brand_id)
        campaign = await self._campaigns.find(run.brand_id, run.campaign_id)
        if brand is None or campaign is None:
            raise NotFound(f"This brand has no campaign {run.campaign_id}.")
        if campaign.kind == "api_triggered":
            raise Unprocessable("This campaign runs by its event generators. Run one of them, or change its kind.")
        if campaign.publication_id is None:
            raise Unprocessable("This campaign was never published. Publish it, then run it.")
        return campaign, campaign.publication_id


def _no_audience(audience: Audience) -> Invalid:
    if isinstance(audience, OfTag):
        return Invalid.field("/tag_id", "unknown-tag", f"This brand has no tag {audience.tag_id}.")
    return Invalid.field("/segment_id", "unknown-segment", f"This brand has no segment {audience.segment_id}.")
