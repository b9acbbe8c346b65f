"""A call that is made by the clock, and what became of each time that it was due."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.campaigns.model import GeneratorType
from stentor.domain.timetable import Moment, Rule
from stentor.executions.audiences import Audience, audience_of
from stentor.executions.model import OVER, ErrorCode, ExecutionState
from stentor.triggers.model import ScheduleStatus

RUNNABLE: tuple[GeneratorType, ...] = ("scheduled", "api_triggered")
"""The types of event generators that a schedule may run."""

Outcome: TypeAlias = Literal["started", "missed", "refused"]


class GeneratorTarget(msgspec.Struct, frozen=True):
    """An event generator, called for a topic."""

    generator_id: str
    topic_key: str


class CampaignTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign that is published itself, run for an audience.

    `in_their_zones`: each person is written to when their own clock shows the time. `spread_s` and `per_hour` are as in `Pace`.
    """

    campaign_id: UUID
    audience: Audience
    in_their_zones: bool = False
    spread_s: int = 0
    per_hour: int | None = None


Target: TypeAlias = GeneratorTarget | CampaignTarget


class ScheduleDraft(msgspec.Struct, frozen=True, kw_only=True):
    """All of a schedule that can be edited. `misfire_grace_s`: how late, in seconds, an occurrence may still start."""

    name: str
    target: Target
    context: dict[str, Any]
    rule: Rule
    misfire_grace_s: int
    enabled: bool


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it is stored. What was due until `seen` is decided; `next_at` is None when nothing more is to come."""

    id: UUID
    brand_id: UUID
    name: str
    generator_id: str
    topic_key: str
    campaign_id: UUID | None
    audience: dict[str, Any] | None
    in_their_zones: bool
    spread_s: int
    per_hour: int | None
    context: dict[str, Any]
    is_test: bool
    time_zone: str
    at: str | None
    cron: str | None
    misfire_grace_s: int
    enabled: bool
    seen_local: datetime
    seen_at: datetime
    next_at: datetime | None
    created_at: datetime
    updated_at: datetime
    campaign_name: str | None = None
    last_execution_id: UUID | None = None
    """Which it started last; this and the two beside it are known where they were asked for."""
    last_state: ExecutionState | None = None

    @property
    def status(self) -> ScheduleStatus:
        """How it stands, in a word."""
        if not self.enabled:
            return "cancelled"
        if self.next_at is not None:
            return "scheduled"
        return "running" if self.is_under_way else "finished"

    @property
    def is_under_way(self) -> bool:
        """Whether what it started last is not over."""
        return self.last_state is not None and self.last_state not in OVER

    @property
    def target(self) -> Target:
        """What it starts."""
        audience = audience_of(self.audience)
        if self.campaign_id is None or audience is None:
            return GeneratorTarget(self.generator_id, self.topic_key)
        return CampaignTarget(
            campaign_id=self.campaign_id,
            audience=audience,
            in_their_zones=self.in_their_zones,
            spread_s=self.spread_s,
            per_hour=self.per_hour,
        )

    @property
    def rule(self) -> Rule:
        """When it is due."""
        return Rule(time_zone=self.time_zone, at=self.at, cron=self.cron)

    @property
    def seen(self) -> Moment:
        """The last moment that is decided."""
        return Moment(self.seen_local, self.seen_at.astimezone(UTC))

    @property
    def triggered_by(self) -> str:
        """Who calls when it is due, for people."""
        return f"schedule {self.name}"


class LockedSchedule(Schedule, frozen=True, kw_only=True):
    """A schedule that is due and locked by its keeper, and the time at which it was."""

    now: datetime
    silent_until: datetime | None = None
    """Until when a restored copy was silent: what was due by then, the installation that it was copied from may have started."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one time that a schedule was due. `reason` is a stable word and `message` a sentence."""

    moment: Moment
    outcome: Outcome
    reason: str | None = None
    message: str | None = None
    execution_id: UUID | None = None


class Fate(msgspec.Struct, frozen=True):
    """What came of one schedule that was due, and when it is due next."""

    schedule: LockedSchedule
    decisions: Sequence[Decision]
    following: Moment | None


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """A time at which a schedule was due, what came of it, and how far its execution is."""

    due_at: datetime
    local_at: datetime
    outcome: Outcome
    reason: str | None
    message: str | None
    execution_id: UUID | None
    execution_state: ExecutionState | None
    error_code: ErrorCode | None
    decided_at: datetime
