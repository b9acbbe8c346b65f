"""Bodies of batches: all of their mistakes are found at once, and named as callers of that API read them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from stentor.audience.profiles import Entrants, ProfileReader
from stentor.errors import Unprocessable, Violation, pointer_to
from stentor.triggers.batches.model import BatchCall, BatchSchedule, ScheduleWish
from stentor.triggers.service import START_AHEAD_DAYS_MAX, START_TOLERANCE

VIOLATIONS_MAX = 100
"""Mistakes that are named in one answer; whoever has more has made one of them often."""

# As the documentation has it; and as answers write it, so that what was read can be sent back.
_START = re.compile(r"(\d{4}-\d\d-\d\d)(?: |T)(\d\d:\d\d:\d\d)(?:\.\d{1,6})?Z?", re.ASCII)


class ReadBatch(NamedTuple):
    """What a body says."""

    entrants: Entrants
    wish: ScheduleWish | None


def read_batch(call: BatchCall) -> ReadBatch:
    """What the body says. Raises Unprocessable with every mistake in it, the first `VIOLATIONS_MAX`."""
    if not isinstance(call.body, Mapping):
        raise refused([Violation("", "no-object", "The body must be an object with `profiles` in it.")])
    violations: list[Violation] = []
    reader = ProfileReader(("profiles",))
    said = call.body.get("profiles")
    if said is None:
        violations.append(Violation("/profiles", "missing", "The profiles field is required."))
    elif not isinstance(said, list):
        violations.append(Violation("/profiles", "no-list", "The profiles field must be an array."))
    elif not said:
        violations.append(Violation("/profiles", "too-few", "The profiles field must have at least 1 items."))
    elif len(said) > call.profiles_max:
        text = (
            f"The profiles field must not have more than {call.profiles_max} items. "
            "Send several batches, or a stream to `batches:bulk`."
        )
        violations.append(Violation("/profiles", "too-many", text))
    else:
        for place, profile in enumerate(said):
            reader.read(profile, place)
    wish = read_schedule(call.body.get("schedule"), violations)
    entrants = reader.entrants(call.brand_id, region=call.region)
    violations += [refusal.violation for refusal in sorted(entrants.refused, key=lambda refusal: refusal.line)]
    if violations:
        raise refused(violations)
    return ReadBatch(entrants, wish)


def refused(violations: list[Violation]) -> Unprocessable:
    """The answer to a body with these mistakes."""
    return Unprocessable(violations[0].message, violations=violations[:VIOLATIONS_MAX])


def read_schedule(said: Any, violations: list[Violation]) -> ScheduleWish | None:
    """What a body's `schedule` wants, if it has one; what is wrong with it is added to the violations."""
    if said is None:
        return None
    if not isinstance(said, Mapping):
        violations.append(Violation("/schedule", "no-object", "The schedule field must be an object."))
        return None
    campaign = said.get("campaign")
    start_at = read_start(said.get("start_at"), ("schedule", "start_at"), violations)
    campaign_id = read_campaign(
        campaign.get("uuid") if isinstance(campaign, Mapping) else None, ("schedule", "campaign", "uuid"), violations
    )
    return None if start_at is None or campaign_id is None else ScheduleWish(start_at, campaign_id)


def read_changes(said: Any, present: BatchSchedule) -> ScheduleWish:
    """What a change of a schedule wants; what it leaves out stays. Raises Unprocessable."""
    if not isinstance(said, Mapping):
        raise refused([Violation("", "no-object", "The body must be an object with `start_at` or `campaign` in it.")])
    violations: list[Violation] = []
    start_at: datetime | None = present.start_at
    campaign_id: UUID | None = present.campaign_id
    if said.get("start_at") is not None:
        start_at = read_start(said["start_at"], ("start_at",), violations)
    if (campaign := said.get("campaign")) is not None:
        uuid = campaign.get("uuid") if isinstance(campaign, Mapping) else None
        campaign_id = read_campaign(uuid, ("campaign", "uuid"), violations)
    if violations or start_at is None or campaign_id is None:
        raise refused(violations)
    return ScheduleWish(start_at, campaign_id)


def read_start(said: Any, at: tuple[str, ...], violations: list[Violation]) -> datetime | None:
    """The time, which is UTC: `2026-12-01 09:30:00`."""
    field = ".".join(at)
    if said is None:
        violations.append(Violation(pointer_to(*at), "missing", f"The {field} field is required."))
        return None
    found = _START.fullmatch(said) if isinstance(said, str) else None
    if found is not None:
        try:
            return datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=UTC)
        except ValueError:
            pass
    text = f"The {field} field must match the format Y-m-d H:i:s, in UTC, as 2026-12-01 09:30:00."
    violations.append(Violation(pointer_to(*at), "invalid-time", text))
    return None


def read_campaign(said: Any, at: tuple[str, ...], violations: list[Violation]) -> UUID | None:
    """The id of a campaign."""
    field = ".".join(at)
    if said is None:
        violations.append(Violation(pointer_to(*at), "missing", f"The {field} field is required."))
        return None
    try:
        return UUID(said) if isinstance(said, str) else _no_uuid()
    except ValueError:
        violations.append(Violation(pointer_to(*at), "no-uuid", f"The {field} field must be a valid UUID."))
        return None


def _no_uuid() -> UUID:
    raise ValueError("not a text")


def checked_start(start_at: datetime, now: datetime, at: tuple[str, ...]) -> list[Violation]:
    """What is wrong with a start at that time, if anything is."""
    field, pointer = ".".join(at), pointer_to(*at)
    if start_at < now - START_TOLERANCE:
        text = f"The {field} field must be a date after now, which is {now:%Y-%m-%d %H:%M:%S} in UTC."
        return [Violation(pointer, "past", text)]
    if start_at > now + timedelta(days=START_AHEAD_DAYS_MAX):
        text = f"The {field} field must be a date at most {START_AHEAD_DAYS_MAX} days from now."
        return [Violation(pointer, "too-far", text)]
    return []


def no_campaign(at: tuple[str, ...], hint: str) -> Violation:
    """That no such campaign can be run."""
    return Violation(pointer_to(*at), "unknown-campaign", f"The selected {'.'.join(at)} is invalid. {hint}")
