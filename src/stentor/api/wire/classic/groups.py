"""Target groups, which are the brand's segments."""

from stentor.api.wire.classic.actions import OfDay, group_of
from stentor.api.wire.classic.calls import Call
from stentor.api.wire.classic.reading import Answer, Query
from stentor.api.wire.classic.registry import Category
from stentor.errors import NotFound
from stentor.integrations.runs import RunQuery

groups = Category("groups")


class OfGroup(Query, frozen=True, kw_only=True):
    target_group_id: int


class OfGroupName(Query, frozen=True, kw_only=True):
    target_group_name: str


class GroupID(Answer, frozen=True, kw_only=True):
    target_group_id: int


class GroupName(Answer, frozen=True, kw_only=True):
    target_group_name: str


class GroupDetails(Answer, frozen=True, kw_only=True):
    target_group_id: int
    target_group_name: str
    target_group_priority: int


@groups.get("GetTargetGroupName")
async def get_target_group_name(call: Call, query: OfGroup) -> GroupName:
    """The name of one target group."""
    for each in await call.services.hub_numbers.all(call.brand.id, "segment"):
        if each.number == query.target_group_id:
            return GroupName(target_group_name=each.name)
    raise NotFound("There is no such target group.")


@groups.get("GetTargetGroupID")
async def get_target_group_id(call: Call, query: OfGroupName) -> GroupID:
    """The id of the target group of that name."""
    for each in await call.services.hub_numbers.all(call.brand.id, "segment"):
        if each.name == query.target_group_name:
            return GroupID(target_group_id=each.number)
    raise NotFound("There is no such target group.")


@groups.get("GetTargetGroupsByDate")
async def get_target_groups_by_date(call: Call, query: OfDay) -> list[GroupID]:
    """The target groups for which something was executed on a day."""
    numbers = await call.services.hub_numbers.numbers(call.brand.id, "segment")
    runs = await call.services.partner_runs.runs(call.client, RunQuery(day=query.date))
    found = {group_of(run, numbers) for run in runs}
    return [GroupID(target_group_id=number) for number in sorted(found) if number > 0]


@groups.get("GetTargetGroupDetails")
async def get_target_group_details(call: Call) -> list[GroupDetails]:
    """All target groups. Their priority is their place: nobody here is in one at the cost of another."""
    found = await call.services.hub_numbers.all(call.brand.id, "segment")
    return [
        GroupDetails(target_group_id=each.number, target_group_name=each.name, target_group_priority=place)
        for place, each in enumerate(found, start=1)
    ]
