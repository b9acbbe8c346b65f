"""Running a campaign itself: it was published without an event generator, and reaches a tag or a segment."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.accounts.acting import acting
from stentor.accounts.directory import BrandDirectory
from stentor.campaigns.sources import CampaignSource, PublishedCampaign
from stentor.clock import Clock
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id
from stentor.domain.policy import PER_HOUR_MAX
from stentor.domain.vocabulary import Lane
from stentor.errors import Invalid, NotFound, Unprocessable
from stentor.executions.audiences import Audience, OfTag, source_of
from stentor.executions.forecasting import Forecast, Trial
from stentor.executions.pacing import SPREAD_S_MAX
from stentor.executions.service import ExecutionService
from stentor.failpoints import failpoint
from stentor.guard.store import present
from stentor.triggers.context import checked_context
from stentor.triggers.service import START_TOLERANCE, check_start


class Sql(QuerySet, file="campaign_runs.sql", package=__package__):
    insert_run: Statement


class Pace(msgspec.Struct, frozen=True):
    """How fast a run is sent, as all at once where nothing is said.

    `spread_s`: over how many seconds, at most seven days; `per_hour`: how many people may fall due in an hour.
    """

    spread_s: int = 0
    per_hour: int | None = None


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
    pace: Pace = Pace()


class Runnable(msgspec.Struct, frozen=True):
    """A campaign that may run itself, as it is published."""

    campaign_id: UUID
    name: str
    publication_id: UUID
    lane: Lane
    deadline_s: int | None


class QueuedRun(msgspec.Struct, frozen=True):
    """A checked run as it is written: its execution's id, and what it runs."""

    id: UUID
    run: CampaignRun
    campaign: Runnable
    context: msgspec.Raw

    @property
    def deadline_s(self) -> int | None:
        """How long after its start its last message may leave: what the campaign allows, after what it is spread over."""
        deadline_s = self.campaign.deadline_s
        return None if deadline_s is None else deadline_s + self.run.pace.spread_s


class CampaignChecker:
    """Says of runs of campaigns, as of less than a second ago, whether they may start."""

    def __init__(self, brands: BrandDirectory, campaigns: CampaignSource) -> None:
        self._brands = brands
        self._campaigns = campaigns

    async def check(self, run: CampaignRun) -> QueuedRun:
        """The run as it may be written. Raises as `CampaignRunner.start`, but for its audience and its start."""
        campaign = await self.runnable(run.brand_id, run.campaign_id)
        _check_pace(run.pace)
        return queued_run(campaign, run)

    async def runnable(self, brand_id: UUID, campaign_id: UUID) -> Runnable:
        """The campaign, which may run itself.

        Raises NotFound, and Unprocessable for one that runs by event generators or was never published.
        """
        if await self._brands.by_id(brand_id) is None:
            raise NotFound("There is no such brand.")
        campaign = await self._campaigns.find(brand_id, campaign_id)
        if campaign is None:
            raise NotFound(f"This brand has no campaign {campaign_id}. List them with GET …/campaigns.")
        return checked_campaign(campaign)


class CampaignRunner:
    """Starts campaigns that are published themselves."""

    def __init__(self, db: Database, checker: CampaignChecker, executions: ExecutionService, *, clock: Clock) -> None:
        self._db = db
        self._checker = checker
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
        return await self._checker.check(run)

    async def queue(self, conn: Connection, queued: QueuedRun) -> None:
        """Writes the execution in the caller's transaction. Raises Invalid for an audience that is not there."""
        await check_audience(conn, queued.run.brand_id, queued.run.audience)
        await write_run(conn, queued)

    async def dry_run(self, run: CampaignRun) -> Forecast:
        """Who the run would reach now, who it would leave out and why, and three rendered samples. Nothing is written.

        Raises what `start` raises for a run that it would not accept.
        """
        queued = await self.checked(run)
        trial = Trial("", run.context, run.start_at or self._clock.now(), run.audience)
        return await self._executions.dry_run(run.brand_id, queued.campaign.publication_id, trial)


def checked_campaign(campaign: PublishedCampaign) -> Runnable:
    """The campaign, which may run itself. Raises Unprocessable."""
    if campaign.kind == "api_triggered":
        raise Unprocessable("This campaign runs by its event generators. Run one of them, or change its kind.")
    if campaign.publication_id is None:
        raise Unprocessable("This campaign was never published. Publish it, then run it.")
    return Runnable(campaign.campaign_id, campaign.name, campaign.publication_id, campaign.lane, campaign.deadline_s)


def queued_run(campaign: Runnable, run: CampaignRun) -> QueuedRun:
    """The run as it may be written. Raises Invalid for a context that breaks a limit."""
    # Its id is of the time of its start, so that its sends lie in that week's partition.
    return QueuedRun(new_id(run.start_at), run, campaign, checked_context(run.context))


async def write_run(conn: Connection, queued: QueuedRun) -> UUID:
    """Writes the execution, `queued`, or `scheduled` for its start, and answers with its id.

    A start that is more than a minute past is left to the keeper too, which starts it within the hour and fails it after that.
    """
    run = queued.run
    await Sql.insert_run.run(
        conn,
        id=queued.id,
        brand_id=run.brand_id,
        publication_id=queued.campaign.publication_id,
        campaign_id=run.campaign_id,
        audience=Jsonb(run.audience),
        context=Jsonb(queued.context),
        lane=queued.campaign.lane,
        is_test=run.is_test,
        triggered_by=run.triggered_by,
        start_at=run.start_at,
        tolerance_s=START_TOLERANCE.total_seconds(),
        spread_s=run.pace.spread_s,
        per_hour=run.pace.per_hour,
        deadline_s=queued.deadline_s,
        request_id=acting().request_id,
    )
    return queued.id


async def check_audience(conn: Connection, brand_id: UUID, audience: Audience) -> None:
    """Raises Invalid for an audience that is not there."""
    if await source_of(conn, brand_id, audience) is None:
        raise _no_audience(audience)


def _check_pace(pace: Pace) -> None:
    if not 0 <= pace.spread_s <= SPREAD_S_MAX:
        raise Invalid.field("/spread_s", "range", f"A run is spread over at most {SPREAD_S_MAX} seconds.")
    if pace.per_hour is not None and not 1 <= pace.per_hour <= PER_HOUR_MAX:
        raise Invalid.field("/per_hour", "range", f"A limit per hour is 1 to {PER_HOUR_MAX} people.")


def _no_audience(audience: Audience) -> Invalid:
    if isinstance(audience, OfTag):
        return Invalid.field("/tag_id", "unknown-tag", f"This brand has no tag {audience.tag_id}.")
    return Invalid.field("/segment_id", "unknown-segment", f"This brand has no segment {audience.segment_id}.")
