"""A call that is made by the clock, and what became of each time that it was due."""

from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.campaigns.model import GeneratorType
from stentor.domain.timetable import Moment, Rule
from stentor.executions.model import ErrorCode, ExecutionState
from stentor.triggers.model import RunCall

RUNNABLE: tuple[GeneratorType, ...] = ("scheduled", "api_triggered")
"""The types of event generators that a schedule may run."""

Outcome: TypeAlias = Literal["started", "missed", "refused"]


class ScheduleDraft(msgspec.Struct, frozen=True, kw_only=True):
    """All of a schedule that can be edited. `misfire_grace_s`: how late, in seconds, an occurrence may still start."""

    name: str
    generator_id: str
    topic_key: str
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

    @property
    def rule(self) -> Rule:
        """When it is due."""
        return Rule(time_zone=self.time_zone, at=self.at, cron=self.cron)

    @property
    def seen(self) -> Moment:
        """The last moment that is decided."""
        return Moment(self.seen_local, self.seen_at.astimezone(UTC))

    @property
    def call(self) -> RunCall:
        """What is called when it is due."""
        return RunCall(
            brand_id=self.brand_id,
            generator_id=self.generator_id,
            topic_key=self.topic_key,
            context=self.context,
            triggered_by=f"schedule {self.name}",
            is_test=self.is_test,
        )


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
