"""What a schedule would do, before it is saved: when it comes, and the run that it would start."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import msgspec

from stentor.console.schedule_form import rule_of
from stentor.domain.timetable import Moment, Rule, checked_rule, moment_of, next_moments
from stentor.errors import Invalid
from stentor.executions.pacing import FIRST_ZONE
from stentor.triggers.campaign_runs import CampaignRun, Pace
from stentor.triggers.schedules.model import CampaignTarget, ScheduleDraft
from stentor.triggers.service import START_AHEAD_DAYS_MAX

NEXT_SHOWN = 5

Coming: TypeAlias = Sequence[Moment] | str
"""When it would be due next, or why that cannot be told."""


def coming(form: Mapping[str, str], now: datetime) -> Coming:
    """The next five times that a form says."""
    try:
        return _moments(rule_of(form), now, NEXT_SHOWN, in_their_zones=form.get("in_their_zones") == "yes")
    except Invalid as problem:
        return problem.detail


def trial_run(brand_id: UUID, draft: ScheduleDraft, now: datetime) -> CampaignRun:
    """The run that the schedule would start first, to be tried now. Raises Invalid where none ever comes."""
    target = draft.target
    if not isinstance(target, CampaignTarget):
        raise Invalid("Only what runs a campaign can be tried here.")
    first = _moments(draft.rule, now, 1, in_their_zones=target.in_their_zones)[0].at
    return CampaignRun(
        brand_id=brand_id,
        campaign_id=target.campaign_id,
        audience=target.audience,
        triggered_by="console",
        context=draft.context,
        # A run asks for no start further ahead than that; the calendar does.
        start_at=first if first - now < timedelta(days=START_AHEAD_DAYS_MAX) else None,
        pace=Pace(target.spread_s, target.per_hour),
    )


def _moments(rule: Rule, now: datetime, most: int, *, in_their_zones: bool) -> list[Moment]:
    if in_their_zones:
        rule = msgspec.structs.replace(rule, time_zone=FIRST_ZONE)
    checked = checked_rule(rule, now)
    return next_moments(checked, moment_of(now, checked.time_zone), most)
