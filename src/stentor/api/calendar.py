"""A group's calendar: what ran and what is to come, by the day."""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from stentor.api.groups import group_noun
from stentor.api.request import ApiRequest, Caller
from stentor.domain.locale import normal_time_zone
from stentor.errors import Invalid
from stentor.triggers.calendar import CALENDAR_DAYS_MAX, Calendar

calendar = group_noun(
    "calendar",
    "What ran and what schedules will start, by the day, with how many people: the figures of the console's calendar.",
)


class CalendarQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which days, on which clock."""

    first: Annotated[date | None, Meta(description="The first day, as `2026-11-01`; left out, today.")] = None
    days: Annotated[int, Meta(ge=1, le=CALENDAR_DAYS_MAX, description="How many days from it on.")] = 7
    time_zone: Annotated[
        str | None, Meta(description="Whose days, as `Europe/Berlin`; left out, those of the group's own time zone.")
    ] = None


@calendar.get("/calendar", scope="read", problems=[Invalid])
async def get_calendar(request: ApiRequest, caller: Caller, query: CalendarQuery) -> Calendar:
    """Show what ran and what is to come on some days.

    Runs of one campaign for one audience are one entry of a day: `times` says how many they are, and `people` how many messages were
    handed over so far; of what is `expected`, how many its schedule meant last time, null where that is not known. `again` marks an
    audience that is meant more than once on a day. Messages to people whom a call names, and test sends, are not on it.
    """
    zone = caller.brand.settings.default_time_zone
    if query.time_zone is not None:
        named = normal_time_zone(query.time_zone)
        if named is None:
            text = "There is no such time zone. Name one of the IANA database, as `Europe/Berlin`."
            raise Invalid.field("/time_zone", "unknown-time-zone", text)
        zone = named
    return await request.services.calendar.between(caller.brand_id, query.first, query.days, zone)
