"""What a schedule starts: a call of an event generator, or a run of a campaign for an audience."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from stentor.executions.audiences import Audience
from stentor.executions.pacing import LAST_ZONE_LATER
from stentor.triggers.campaign_runs import CampaignChecker, CampaignRun, Pace
from stentor.triggers.checking import CallChecker
from stentor.triggers.model import RunCall
from stentor.triggers.schedules.model import RUNNABLE, CampaignTarget, GeneratorTarget, Target


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as an occurrence writes it: the columns that its target gives."""

    id: UUID
    brand_id: UUID
    publication_id: UUID
    generator_id: str = ""
    topic_key: str = ""
    campaign_id: UUID | None = None
    audience: Audience | None = None
    context: msgspec.Raw
    lane: int
    is_test: bool
    triggered_by: str
    deadline_s: int | None
    spread_s: int = 0
    per_hour: int | None = None
    in_their_zones: bool = False


class TargetChecker:
    """Says of what schedules start, as of less than a second ago, whether it may run."""

    def __init__(self, calls: CallChecker, campaigns: CampaignChecker) -> None:
        self._calls = calls
        self._campaigns = campaigns

    async def check(
        self, brand_id: UUID, target: Target, context: dict[str, Any], *, triggered_by: str = "", is_test: bool = False
    ) -> Start:
        """The start as it may be written. Raises as `CallChecker.check` and `CampaignChecker.check`."""
        if isinstance(target, GeneratorTarget):
            call = RunCall(
                brand_id=brand_id,
                generator_id=target.generator_id,
                topic_key=target.topic_key,
                context=context,
                triggered_by=triggered_by,
                is_test=is_test,
            )
            queued = (await self._calls.check(call, RUNNABLE)).queued
            return Start(
                id=queued.id,
                brand_id=brand_id,
                publication_id=queued.publication_id,
                generator_id=queued.generator_id,
                topic_key=queued.topic_key,
                context=queued.context,
                lane=queued.lane,
                is_test=is_test,
                triggered_by=triggered_by,
                deadline_s=queued.deadline_s,
            )
        return await self._campaign(brand_id, target, context, triggered_by=triggered_by, is_test=is_test)

    async def _campaign(
        self, brand_id: UUID, target: CampaignTarget, context: dict[str, Any], *, triggered_by: str, is_test: bool
    ) -> Start:
        run = CampaignRun(
            brand_id=brand_id,
            campaign_id=target.campaign_id,
            audience=target.audience,
            context=context,
            triggered_by=triggered_by,
            is_test=is_test,
            pace=Pace(target.spread_s, target.per_hour),
        )
        queued = await self._campaigns.check(run)
        deadline_s = queued.deadline_s
        if deadline_s is not None and target.in_their_zones:
            deadline_s += int(LAST_ZONE_LATER.total_seconds())
        return Start(
            id=queued.id,
            brand_id=brand_id,
            publication_id=queued.campaign.publication_id,
            campaign_id=target.campaign_id,
            audience=target.audience,
            context=queued.context,
            lane=queued.campaign.lane,
            is_test=is_test,
            triggered_by=triggered_by,
            deadline_s=deadline_s,
            spread_s=target.spread_s,
            per_hour=target.per_hour,
            in_their_zones=target.in_their_zones,
        )


class Occurring(msgspec.Struct, frozen=True):
    """A start that is due: of which schedule, at which of its times, and how late it may begin."""

    start: Start
    schedule_id: UUID
    due_at: datetime
    local_at: datetime
    misfire_grace_s: int
