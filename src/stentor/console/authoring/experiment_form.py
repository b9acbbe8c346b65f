"""An A/B test's form: its arms and their shares, who is held out, how a winner is found, and which arm each route is for."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stentor.audience.casting import ARMS_MAX
from stentor.campaigns.experiments import Experiment
from stentor.campaigns.model import Campaign, Route
from stentor.console.segment_form.texts import percents, read
from stentor.errors import Invalid, Violation

METRICS: Mapping[str, str] = {
    "": "nobody waits for a winner",
    "delivered": "the highest share delivered",
    "opened": "the highest share opened",
    "clicked": "the highest share clicked",
}
OTHERWISE: Mapping[str, str] = {
    "ask": "wait until somebody chooses",
    "first": "get the first arm",
    "nobody": "get nothing",
}

_ARM = re.compile(r"arm-(\d)-(name|share)", re.ASCII)
_WHOLE = re.compile(r"\d{1,8}", re.ASCII)
_RULE = ("holdout", "by", "after", "at_least", "otherwise")


class ArmRow(msgspec.Struct, frozen=True):
    """An arm as it was typed; the share in percent."""

    name: str = ""
    share: str = ""


class ExperimentForm(msgspec.Struct, frozen=True):
    """The form as it is drawn. `arms_of_routes`: for each route the place of its arm, empty for all of them."""

    arms: list[ArmRow]
    fields: dict[str, str]
    arms_of_routes: list[str]


def form_of(campaign: Campaign) -> ExperimentForm:
    """The form of the campaign's experiment; of two arms and halves where it has none."""
    said = campaign.experiment
    if said is None:
        return ExperimentForm(
            [ArmRow("A", "50"), ArmRow("B", "50")], {"otherwise": "ask"}, ["" for _ in campaign.routes]
        )
    names, winner = said.names, said.winner
    fields = {"holdout": percents(said.holdout) if said.holdout else "", "otherwise": "ask"}
    if winner is not None:
        fields |= {
            "by": winner.by,
            "after": winner.after,
            "at_least": str(winner.at_least),
            "otherwise": winner.otherwise,
        }
    return ExperimentForm(
        [ArmRow(arm.name, percents(arm.share)) for arm in said.arms],
        fields,
        [str(names.index(route.arm)) if route.arm in names else "" for route in campaign.routes],
    )


def posted_form(form: Mapping[str, str], campaign: Campaign) -> ExperimentForm:
    """The form as it was posted, changed as its button asks for."""
    found: dict[int, dict[str, str]] = {}
    for name, text in form.items():
        if match := _ARM.fullmatch(name):
            found.setdefault(int(match[1]), {})[match[2]] = text
    arms = [ArmRow(said.get("name", ""), said.get("share", "")) for _, said in sorted(found.items())]
    routes = [form.get(f"route-{place}-arm", "") for place in range(len(campaign.routes))]
    what, _, where = form.get("do", "").partition(" ")
    if what == "add" and len(arms) < ARMS_MAX:
        arms.append(ArmRow())
    elif what == "remove" and where.isdecimal() and len(where) == 1 and int(where) < len(arms):
        arms.pop(int(where))
        # Those behind it moved up by one place.
        routes = [_moved(arm, int(where)) for arm in routes]
    return ExperimentForm(arms, {name: form.get(name, "") for name in _RULE}, routes)


def experiment_of(drawn: ExperimentForm) -> Experiment:
    """The experiment that the form says. Raises Invalid for what cannot be read; the campaign's service checks the rest."""
    wrong: list[Violation] = []
    arms: list[dict[str, Any]] = []
    for place, row in enumerate(drawn.arms):
        share = _share(row.share, f"/experiment/arms/{place}/share", wrong, needed=True)
        if not row.name.strip():
            wrong.append(Violation(f"/experiment/arms/{place}/name", "arm-name", "Give each arm a name of its own."))
        arms.append({"name": row.name.strip(), "share": share})
    said = drawn.fields
    holdout = _share(said.get("holdout", ""), "/experiment/holdout", wrong, needed=False)
    winner = None
    if said.get("by") in METRICS and said["by"]:
        if not _WHOLE.fullmatch(said.get("at_least", "").strip() or "100"):
            wrong.append(Violation("/experiment/winner/at_least", "range", "Write a whole number of people."))
        if not said.get("after", "").strip():
            text = "Say as 4h or 2d how long to wait before the winner is looked for."
            wrong.append(Violation("/experiment/winner/after", "missing", text))
        winner = {
            "by": said["by"],
            "after": said.get("after", "").strip(),
            "at_least": said.get("at_least", "").strip() or "100",
            "otherwise": said.get("otherwise") if said.get("otherwise") in OTHERWISE else "ask",
        }
    if wrong:
        raise Invalid(wrong[0].message, violations=wrong)
    try:
        made = {**winner, "at_least": int(winner["at_least"])} if winner is not None else None
        return msgspec.convert({"arms": arms, "holdout": holdout, "winner": made}, Experiment)
    except msgspec.ValidationError as error:
        raise Invalid.field("/experiment/arms", "invalid", f"{error}.") from None


def routes_of(drawn: ExperimentForm, routes: Sequence[Route]) -> tuple[Route, ...]:
    """The routes, each for the arm that the form says."""
    names = [row.name.strip() for row in drawn.arms]
    return tuple(
        msgspec.structs.replace(route, arm=names[int(arm)] if arm.isdecimal() and int(arm) < len(names) else None)
        for route, arm in zip(routes, drawn.arms_of_routes, strict=True)
    )


def places(arms: int, routes: int) -> dict[str, str]:
    """Of each place in the campaign, the field that is about it."""
    found = {
        "/experiment/arms": "arm-0-share",
        "/experiment/holdout": "holdout",
        "/experiment/winner": "by",
        "/experiment/winner/after": "after",
        "/experiment/winner/at_least": "at_least",
        "/routes": "route-0-arm",
    }
    found |= {
        f"/experiment/arms/{arm}/{name}": f"arm-{arm}-{name}" for arm in range(arms) for name in ("name", "share")
    }
    return found | {f"/routes/{route}": f"route-{route}-arm" for route in range(routes)}


def _share(text: str, pointer: str, wrong: list[Violation], *, needed: bool) -> float:
    if not text.strip() and not needed:
        return 0.0
    try:
        share = float(read("share", text.strip()))
    except ValueError as error:
        wrong.append(Violation(pointer, "unreadable", str(error)))
        return 0.0
    if not (0 < share < 1 or (share == 0 and not needed)):
        wrong.append(Violation(pointer, "range", "Write more than 0 and less than 100 percent."))
    return share


def _moved(arm: str, removed: int) -> str:
    if not arm.isdecimal() or int(arm) == removed:
        return ""
    return str(int(arm) - 1) if int(arm) > removed else arm
