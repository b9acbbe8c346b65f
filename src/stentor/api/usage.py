"""How much a group uses."""

from datetime import date
from typing import Annotated

import msgspec
from litestar import Response
from msgspec import Meta

from stentor.api.groups import group_noun
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Unavailable
from stentor.report.usage import DAYS_USUAL, USAGE_DAYS_MAX, Usage, as_csv

usage = group_noun(
    "usage",
    "How much the group sends, by day and channel, whether the history of these days is kept or only its totals are; and what its "
    "opt-out lists hold. Test sends count nowhere.",
)


class UsageQuery(msgspec.Struct, frozen=True):
    """Which days, of UTC, both included."""

    first_day: Annotated[
        date | None, Meta(description=f"Left out: {DAYS_USUAL} days in all. At most {USAGE_DAYS_MAX} at once.")
    ] = None
    last_day: Annotated[date | None, Meta(description="Left out: today.")] = None


@usage.get("/usage", scope="read", problems=[Unavailable])
async def get_usage(request: ApiRequest, caller: Caller, query: UsageQuery) -> Usage:
    """Show the sends of the group by the day on which their executions started, and what its opt-out lists hold."""
    return await request.services.usage.of(caller.brand_id, query.first_day, query.last_day)


@usage.get("/usage.csv", scope="read", media="text/csv", problems=[Unavailable])
async def get_usage_as_csv(request: ApiRequest, caller: Caller, query: UsageQuery) -> Response[bytes]:
    """Download the same sends as CSV."""
    found = await request.services.usage.of(caller.brand_id, query.first_day, query.last_day)
    return Response(as_csv(found.days), media_type="text/csv")
