"""A schedule's form: plain choices of when, whom and how fast, and the draft that they are."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from stentor.console.fields import duration_of, seconds_in
from stentor.domain.policy import PER_HOUR_MAX
from stentor.domain.timetable import Rule
from stentor.errors import Invalid, Violation
from stentor.executions.audiences import Audience, OfSegment, OfTag
from stentor.executions.pacing import SPREAD_S_MAX
from stentor.triggers.schedules.model import CampaignTarget, Schedule, ScheduleDraft

DAYS: Mapping[str, str] = {
    "mon": "Monday",
    "tue": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}
WHENS: Mapping[str, str] = {
    "once": "Once",
    "daily": "Every day",
    "weekly": "Every week, on",
    "monthly": "Every month, on the",
    "cron": "By a cron rule",
    "instant": "Once, at an instant",
}
MONTH_DAYS: Mapping[str, str] = {**{str(day): f"{day}." for day in range(1, 32)}, "L": "last day"}

FIELD_OF: Mapping[str, str] = {
    "/name": "name",
    "/campaign_id": "campaign_id",
    "/segment_id": "whom",
    "/tag_id": "whom",
    "/at": "at",
    "/cron": "cron",
    "/time": "time",
    "/days": "days",
    "/month_day": "month_day",
    "/time_zone": "time_zone",
    "/spread_s": "spread",
    "/per_hour": "per_hour",
    "/misfire_grace_s": "grace",
    "/context": "context",
}
"""Of each place in a schedule, the field of the form that is about it."""

_PLAIN = re.compile(r"(?P<minute>\d{1,2}) (?P<hour>\d{1,2}) (?P<day>\*|L|\d{1,2}) \* (?P<days>\*|[a-z,]+)", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_WALL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d", re.ASCII)
_DIGITS = re.compile(r"\d{1,9}", re.ASCII)


def fields_of(schedule: Schedule) -> dict[str, str]:
    """The form of a schedule that runs a campaign."""
    target = schedule.target
    fields = {
        "name": schedule.name,
        **_when(schedule.rule),
        "time_zone": schedule.time_zone,
        "grace": duration_of(schedule.misfire_grace_s),
        "context": msgspec.json.format(msgspec.json.encode(schedule.context)).decode() if schedule.context else "",
        "enabled": "yes" if schedule.enabled else "",
    }
    if isinstance(target, CampaignTarget):
        fields |= {
            "campaign_id": str(target.campaign_id),
            "whom": written_audience(target.audience),
            "in_their_zones": "yes" if target.in_their_zones else "",
            "spread": duration_of(target.spread_s),
            "per_hour": str(target.per_hour or ""),
        }
    return fields


def new_fields(*, time_zone: str, campaign_id: str = "", whom: str = "") -> dict[str, str]:
    """The form of a schedule that is not there yet."""
    return {
        "when": "once",
        "time_zone": time_zone,
        "grace": "10m",
        "campaign_id": campaign_id,
        "whom": whom,
        "enabled": "yes",
    }


def draft_of(form: Mapping[str, str]) -> ScheduleDraft:
    """The schedule that the form says. Raises Invalid for all that is missing or cannot be read."""
    wrong: list[Violation] = []

    def missing(pointer: str, message: str) -> None:
        wrong.append(Violation(pointer, "missing", message))

    campaign_id, audience = _uuid(form.get("campaign_id", "")), audience_in(form.get("whom", ""))
    if not form.get("name", "").strip():
        missing("/name", "Give it a name.")
    if campaign_id is None:
        missing("/campaign_id", "Choose a campaign.")
    if audience is None:
        missing("/segment_id", "Choose a segment or a tag.")
    spread_s = seconds_in(form.get("spread", ""))
    if spread_s is None or spread_s > SPREAD_S_MAX:
        missing("/spread_s", f"Write a time as 30m, 4h or 2d, at most {duration_of(SPREAD_S_MAX)}.")
    grace_s = seconds_in(form.get("grace", ""))
    if grace_s is None:
        missing("/misfire_grace_s", "Write a time as 10m or 2h.")
    per_hour = _whole(form.get("per_hour", ""))
    if form.get("per_hour", "").strip() and not 1 <= (per_hour or 0) <= PER_HOUR_MAX:
        missing("/per_hour", f"Write a whole number from 1 to {PER_HOUR_MAX}, or nothing.")
    context = _context(form.get("context", ""), wrong)
    try:
        rule = rule_of(form)
    except Invalid as problem:
        wrong += problem.violations
        rule = Rule(time_zone="UTC")
    if wrong or campaign_id is None or audience is None:
        raise Invalid(wrong[0].message, violations=wrong)
    return ScheduleDraft(
        name=form.get("name", ""),
        target=CampaignTarget(
            campaign_id=campaign_id,
            audience=audience,
            in_their_zones=form.get("in_their_zones") == "yes",
            spread_s=spread_s or 0,
            per_hour=per_hour,
        ),
        context=context,
        rule=rule,
        misfire_grace_s=grace_s or 600,
        enabled=form.get("enabled") == "yes",
    )


def rule_of(form: Mapping[str, str]) -> Rule:
    """When it is due. Raises Invalid for what is missing."""
    zone, when = form.get("time_zone", "").strip(), form.get("when", "once")
    if when in {"once", "instant"}:
        at = form.get("at", "").strip()
        if not at:
            raise Invalid.field("/at", "missing", "Say on which day and at what time.")
        return Rule(time_zone=zone, at=at)
    if when == "cron":
        return Rule(time_zone=zone, cron=" ".join(form.get("cron", "").split()))
    time = _TIME.fullmatch(form.get("time", "").strip()[:5])
    days = [day for day in DAYS if form.get(f"day_{day}") == "yes"] if when == "weekly" else ["*"]
    wrong = [] if days else [Violation("/days", "missing", "Choose at least one day.")]
    if time is None:
        wrong.append(Violation("/time", "missing", "Say at what time, as 09:00."))
    if time is None or wrong:
        raise Invalid(wrong[0].message, violations=wrong)
    month_day = form.get("month_day", "") if when == "monthly" else "*"
    if month_day not in {*MONTH_DAYS, "*"}:
        raise Invalid.field("/month_day", "missing", "Choose a day of the month.")
    return Rule(time_zone=zone, cron=f"{int(time[2])} {int(time[1])} {month_day} * {','.join(days)}")


def written_audience(audience: Audience) -> str:
    """The audience as the select names it."""
    return f"tag {audience.tag_id}" if isinstance(audience, OfTag) else f"segment {audience.segment_id}"


def audience_in(text: str) -> Audience | None:
    """The audience that a select names."""
    kind, _, said = text.partition(" ")
    thing = _uuid(said)
    if thing is None or kind not in {"tag", "segment"}:
        return None
    return OfTag(thing) if kind == "tag" else OfSegment(thing)


def _when(rule: Rule) -> dict[str, str]:
    if rule.at is not None:
        return {"when": "once" if _WALL.fullmatch(rule.at) else "instant", "at": rule.at}
    fields = {"when": "cron", "cron": rule.cron or ""}
    found = _PLAIN.fullmatch(rule.cron or "")
    if found is None or int(found["hour"]) > 23 or int(found["minute"]) > 59:
        return fields
    plain = {"time": f"{int(found['hour']):02}:{int(found['minute']):02}", "when": "daily"}
    if found["day"] != "*":
        plain |= {"when": "monthly", "month_day": found["day"]}
    elif found["days"] != "*":
        plain |= {"when": "weekly", **{f"day_{day}": "yes" for day in found["days"].split(",")}}
    # A rule is shown in plain words only where they say the very same one.
    try:
        return plain if rule_of({**plain, "time_zone": rule.time_zone}) == rule else fields
    except Invalid:
        return fields


def _context(text: str, wrong: list[Violation]) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text.strip() else {}
    except (msgspec.DecodeError, RecursionError):
        wrong.append(Violation("/context", "invalid", 'Write a JSON object, as {"match": "Reds vs Blues"}.'))
        return {}


def _whole(text: str) -> int | None:
    return int(text) if _DIGITS.fullmatch(text.strip()) else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
