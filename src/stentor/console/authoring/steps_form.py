"""The steps of a campaign as a form: how long people wait, for whom each step is, and what it says."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from stentor.campaigns.model import Campaign, Route, Step
from stentor.campaigns.routing import APP_CHANNELS, ROUTES_MAX
from stentor.campaigns.steps import (
    STEPS_MAX,
    WHEN_CONDITIONS_MAX,
    AllHappened,
    AnyHappened,
    NoneHappened,
    StepCondition,
    When,
)
from stentor.console.fields import seconds_in
from stentor.domain.text import NOT_IN_A_LINE
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, Violation

KEPT = "kept"
GROUPS: Mapping[str, str] = {
    "": "everybody who waited",
    "all_of": "all of these are true",
    "any_of": "at least one of these is true",
    "none_of": "none of these is true",
}
FACTS: Mapping[str, str] = {
    "delivered": "delivered",
    "opened": "opened",
    "clicked": "clicked",
    "replied": "replied",
    "answered": "answered",
}
HAS: Mapping[str, str] = {"yes": "it was", "no": "it was not"}

_STEP = re.compile(r"s-(\d{1,2})-(wait|mode|group|was|alone)", re.ASCII)
_ROUTE = re.compile(r"s-(\d{1,2})-t-(\d{1,2})-(template_id|sender_id|app|was)", re.ASCII)
_CONDITION = re.compile(r"s-(\d{1,2})-c-(\d{1,2})-(what|has|step|answer)", re.ASCII)
_PLACE = re.compile(r"\d{1,2}", re.ASCII)
_GROUPS = {"all_of": AllHappened, "any_of": AnyHappened, "none_of": NoneHappened}


class ConditionRow(msgspec.Struct, frozen=True):
    """What was, or was not, reported of an earlier step; `step` empty: of the one before."""

    what: str = "opened"
    has: str = "yes"
    step: str = ""
    answer: str = ""


class StepRouteRow(msgspec.Struct, frozen=True, kw_only=True):
    """A route of a step. `was`: its place in the step as it is stored; `kept`: what the form does not ask for of it."""

    template_id: str = ""
    sender_id: str = ""
    app: str = ""
    was: str = ""
    kept: str = ""


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the form. `was`: its place in the campaign as it is stored; `kept`: a condition that the form cannot say, as JSON.

    `alone`: its condition stands in no group, as long as it is one.
    """

    wait: str = "1d"
    mode: str = "all"
    group: str = ""
    alone: str = ""
    was: str = ""
    kept: str = ""
    routes: tuple[StepRouteRow, ...] = (StepRouteRow(),)
    conditions: tuple[ConditionRow, ...] = ()


def rows_of(campaign: Campaign) -> list[StepRow]:
    """The steps of the campaign as rows."""
    return [_row(step, place) for place, step in enumerate(campaign.steps)]


def posted_rows(form: Mapping[str, str], campaign: Campaign) -> list[StepRow]:
    """The rows of a form, changed as its button asks for."""
    steps: dict[int, dict[str, str]] = {}
    routes: dict[int, dict[int, dict[str, str]]] = {}
    conditions: dict[int, dict[int, dict[str, str]]] = {}
    for name, text in form.items():
        if match := _STEP.fullmatch(name):
            steps.setdefault(int(match[1]), {})[match[2]] = text
        elif match := _ROUTE.fullmatch(name):
            routes.setdefault(int(match[1]), {}).setdefault(int(match[2]), {})[match[3]] = text
        elif match := _CONDITION.fullmatch(name):
            conditions.setdefault(int(match[1]), {}).setdefault(int(match[2]), {})[match[3]] = text
    stored = rows_of(campaign)
    rows = [
        _posted(said, routes.get(number, {}), conditions.get(number, {}), stored)
        for number, said in sorted(steps.items())
    ]
    return _changed(rows, form.get("do", ""))


def steps_of(rows: Sequence[StepRow], campaign: Campaign, channels: Mapping[str, ChannelKind]) -> tuple[Step, ...]:
    """The steps that the rows say; what they do not ask for stays as it is. Raises Invalid for what is missing."""
    wrong: list[Violation] = []
    steps: list[Step] = []
    for number, row in enumerate(rows):
        old = campaign.steps[int(row.was)] if row.was else None
        routes: list[Route] = []
        for place, one in enumerate(row.routes):
            route = _route(one, old, channels)
            if route is None:
                pointer = f"/steps/{number}/routes/{place}/template_id"
                wrong.append(Violation(pointer, "missing", "Choose a template."))
            else:
                routes.append(route)
        if not seconds_in(row.wait):
            wrong.append(Violation(f"/steps/{number}/wait", "range", "Write a time as 30m, 2h or 2d."))
        try:
            when = old.when if row.group == KEPT and old is not None else _when(row)
        except ValueError:
            when = None
            wrong.append(Violation(f"/steps/{number}/when", "missing", "Add a condition, or choose everybody."))
        steps.append(
            Step(wait=row.wait.strip(), routes=tuple(routes), when=when, mode="first" if row.mode == "first" else "all")
        )
    if wrong:
        raise Invalid(wrong[0].message, violations=wrong)
    return tuple(steps)


def places(rows: Sequence[StepRow]) -> dict[str, str]:
    """Of each place in the steps, the field that is about it."""
    found: dict[str, str] = {}
    for number, row in enumerate(rows):
        here = f"/steps/{number}"
        found |= {here: f"s-{number}-wait", f"{here}/wait": f"s-{number}-wait", f"{here}/when": f"s-{number}-group"}
        for place in range(len(row.routes)):
            found[f"{here}/routes/{place}"] = f"s-{number}-t-{place}-template_id"
            found[f"{here}/routes/{place}/sender_id"] = f"s-{number}-t-{place}-sender_id"
            found[f"{here}/routes/{place}/app"] = f"s-{number}-t-{place}-app"
        for place in range(len(row.conditions)):
            at = f"{here}/when" if row.alone else f"{here}/when/conditions/{place}"
            found |= {f"{at}/{name}": f"s-{number}-c-{place}-{name}" for name in ("step", "answer")}
    return found


def _row(step: Step, place: int) -> StepRow:
    when, conditions = step.when, None
    if isinstance(when, StepCondition):
        conditions = (when,)
    elif when is not None and all(isinstance(one, StepCondition) for one in when.conditions):
        conditions = tuple(one for one in when.conditions if isinstance(one, StepCondition))
    can_say = when is None or (conditions is not None and all(_can_say(one) for one in conditions))
    kind = "" if when is None else "all_of" if isinstance(when, StepCondition) else _kind(when)
    return StepRow(
        wait=step.wait,
        mode=step.mode,
        group=kind if can_say else KEPT,
        alone="yes" if can_say and isinstance(when, StepCondition) else "",
        was=str(place),
        kept="" if can_say else msgspec.json.encode(when).decode(),
        routes=tuple(_route_row(route, number) for number, route in enumerate(step.routes)),
        conditions=tuple(_condition_row(one) for one in conditions or ()) if can_say else (),
    )


def _kind(when: AllHappened | AnyHappened | NoneHappened) -> str:
    return next(name for name, kind in _GROUPS.items() if isinstance(when, kind))


def _can_say(one: StepCondition) -> bool:
    answer = one.answer
    return answer is None or (answer == answer.strip() and not NOT_IN_A_LINE.search(answer))


def _condition_row(one: StepCondition) -> ConditionRow:
    step = "" if one.step is None else str(one.step)
    return ConditionRow(one.what, "yes" if one.has else "no", step, one.answer or "")


def _route_row(route: Route, place: int) -> StepRouteRow:
    more = {"when": route.when, "arm": route.arm}
    told = {name: value for name, value in more.items() if value is not None}
    return StepRouteRow(
        template_id=str(route.template_id),
        sender_id=str(route.sender_id or ""),
        app=route.app or "",
        was=str(place),
        kept=msgspec.json.encode(told).decode() if told else "",
    )


def _posted(
    said: Mapping[str, str],
    routes: Mapping[int, Mapping[str, str]],
    conditions: Mapping[int, Mapping[str, str]],
    stored: Sequence[StepRow],
) -> StepRow:
    was = said.get("was", "")
    old = stored[int(was)] if _PLACE.fullmatch(was) and int(was) < len(stored) else StepRow(was="")
    group = said.get("group", "")
    known = group in GROUPS or (group == KEPT and old.group == KEPT)
    return StepRow(
        wait=said.get("wait", ""),
        mode=said.get("mode", ""),
        group=group if known else "",
        alone=old.alone if said.get("alone") == "yes" and len(conditions) == 1 and group == "all_of" else "",
        was=old.was,
        kept=old.kept if group == KEPT else "",
        routes=tuple(_posted_route(each, old) for _, each in sorted(routes.items())) or (StepRouteRow(),),
        conditions=tuple(
            ConditionRow(
                each.get("what", ""), each.get("has", "yes"), each.get("step", ""), each.get("answer", "").strip()
            )
            for _, each in sorted(conditions.items())
        ),
    )


def _posted_route(said: Mapping[str, str], step: StepRow) -> StepRouteRow:
    was = said.get("was", "")
    old = (
        step.routes[int(was)] if step.was and _PLACE.fullmatch(was) and int(was) < len(step.routes) else StepRouteRow()
    )
    return StepRouteRow(
        template_id=said.get("template_id", ""),
        sender_id=said.get("sender_id", ""),
        app=said.get("app", ""),
        was=old.was,
        kept=old.kept,
    )


def _changed(rows: list[StepRow], order: str) -> list[StepRow]:
    """Does what a button asks for: `add`, or something to a step (`remove 1`), its routes or conditions (`unroute 1 0`)."""
    what, *where = order.split(" ")
    if what == "add" and len(rows) < STEPS_MAX:
        rows.append(StepRow())
    if not where or not all(_PLACE.fullmatch(each) for each in where) or int(where[0]) >= len(rows):
        return rows
    place, row = int(where[0]), rows[int(where[0])]
    inner = int(where[1]) if len(where) > 1 else 0
    if what == "remove":
        rows.pop(place)
    elif what == "up" and place:
        rows[place - 1], rows[place] = rows[place], rows[place - 1]
    elif what == "route" and len(row.routes) < ROUTES_MAX:
        rows[place] = msgspec.structs.replace(row, routes=(*row.routes, StepRouteRow()))
    elif what == "unroute" and len(row.routes) > 1:
        rows[place] = msgspec.structs.replace(row, routes=row.routes[:inner] + row.routes[inner + 1 :])
    elif what == "condition" and len(row.conditions) < WHEN_CONDITIONS_MAX - 1:
        rows[place] = msgspec.structs.replace(
            row, group=row.group or "all_of", alone="", conditions=(*row.conditions, ConditionRow())
        )
    elif what == "uncondition":
        left = row.conditions[:inner] + row.conditions[inner + 1 :]
        rows[place] = msgspec.structs.replace(row, group=row.group if left else "", alone="", conditions=left)
    return rows


def _route(row: StepRouteRow, step: Step | None, channels: Mapping[str, ChannelKind]) -> Route | None:
    channel = channels.get(row.template_id)
    if channel is None:
        return None
    try:
        sender_id = UUID(row.sender_id) if row.sender_id else None
    except ValueError:
        sender_id = None
    said: dict[str, Any] = {
        "channel": channel,
        "template_id": UUID(row.template_id),
        "sender_id": sender_id,
        "app": (row.app.strip() or None) if channel in APP_CHANNELS else None,
    }
    if step is None or not row.was:
        return Route(**said)
    return msgspec.structs.replace(step.routes[int(row.was)], **said)


def _when(row: StepRow) -> When | None:
    """The condition of the row. Raises ValueError for a group of nothing."""
    if row.group not in _GROUPS:
        return None
    said = [_condition(one) for one in row.conditions]
    if not said:
        raise ValueError("nothing in it")
    return said[0] if row.alone else _GROUPS[row.group](conditions=tuple(said))


def _condition(row: ConditionRow) -> StepCondition:
    what: Any = row.what if row.what in FACTS else "opened"
    step = int(row.step) if _PLACE.fullmatch(row.step) else None
    return StepCondition(what=what, step=step, answer=row.answer or None, has=row.has != "no")
