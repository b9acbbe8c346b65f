"""A campaign's form: what it says on which channel, and what it keeps of what only the API can say."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args
from uuid import UUID

import msgspec

from stentor.campaigns.model import Basis, Campaign, CampaignDraft, CampaignKind, LaneName, Mode, Route
from stentor.campaigns.routing import APP_CHANNELS, ROUTES_MAX
from stentor.console.segment_form.texts import percents, read
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, Violation

KINDS: Mapping[str, str] = {
    "scheduled": "scheduled",
    "batch": "for batches",
    "external": "by outside services",
    "api_triggered": "by event generators",
}
OFFERED_KINDS = ("scheduled", "batch")
"""What a new campaign of the console may be, and external, where a service has templates; one of another kind keeps it."""

BASES: Mapping[str, str] = {
    "channel": "consent on the channel",
    "none": "nothing more: it is transactional",
    "topic": "a subscription to the topic",
}
LANES: Mapping[str, str] = {"bulk": "bulk", "alert": "alert, before bulk", "transactional": "transactional, first"}
MODES: Mapping[str, str] = {"all": "all, each on its channel", "first": "the first that may reach somebody"}

SEEN = "seen"
"""The field that says which state of the campaign the form was drawn from."""

_ROW = re.compile(r"t-(\d{1,2})-(template_id|sender_id|app|was)", re.ASCII)
_SAID_OF_ROUTE = {"channel", "template_id", "sender_id", "app", "when", "arm"}
_SAID_OF_POLICY = {"deadline", "holdout", "clearance"}


class RouteRow(msgspec.Struct, frozen=True, kw_only=True):
    """A route of the form. `was`: its place in the campaign as it is stored; None for one that is new."""

    template_id: str = ""
    sender_id: str = ""
    app: str = ""
    was: int | None = None
    kept: str = ""


def fields_of(campaign: Campaign | None) -> dict[str, str]:
    """The form of a campaign, or of one that is not there yet, without its routes."""
    if campaign is None:
        return {"kind": "scheduled", "consent_basis": "channel", "lane": "bulk", "mode": "all"}
    policy = campaign.policy
    return {
        SEEN: seen_of(campaign),
        "name": campaign.name,
        "kind": campaign.kind,
        "consent_basis": campaign.consent_basis,
        "lane": campaign.lane,
        "mode": campaign.mode,
        "deadline": policy.deadline or "",
        "clearance": policy.clearance or "",
        "holdout": percents(policy.holdout) if policy.holdout else "",
    }


def seen_of(campaign: Campaign) -> str:
    """Which state of the campaign a form is drawn from: the places of its rows are places in that one."""
    return campaign.updated_at.isoformat()


def rows_of(campaign: Campaign | None) -> list[RouteRow]:
    """The routes of a campaign as rows; one that is empty where there is no campaign yet."""
    if campaign is None:
        return [RouteRow()]
    return [
        RouteRow(
            template_id=str(route.template_id),
            sender_id=str(route.sender_id or ""),
            app=route.app or "",
            was=place,
            kept=_written(route, _SAID_OF_ROUTE),
        )
        for place, route in enumerate(campaign.routes)
    ]


def posted_rows(form: Mapping[str, str], campaign: Campaign | None) -> list[RouteRow]:
    """The routes of a form, changed as its button asks for."""
    found: dict[int, dict[str, str]] = {}
    for name, text in form.items():
        if match := _ROW.fullmatch(name):
            found.setdefault(int(match[1]), {})[match[2]] = text
    stored = rows_of(campaign) if campaign else []
    rows: list[RouteRow] = []
    for _, said in sorted(found.items()):
        was = int(said["was"]) if said.get("was", "").isdecimal() and len(said["was"]) < 3 else None
        old = stored[was] if was is not None and was < len(stored) else RouteRow()
        rows.append(
            RouteRow(
                template_id=said.get("template_id", ""),
                sender_id=said.get("sender_id", ""),
                app=said.get("app", ""),
                was=old.was,
                kept=old.kept,
            )
        )
    what, _, place = form.get("do", "").partition(" ")
    index = int(place) if place.isdecimal() and len(place) < 3 else -1
    if what == "add":
        rows.append(RouteRow())
    elif what == "remove" and 0 <= index < len(rows) > 1:
        rows.pop(index)
    elif what == "up" and 0 < index < len(rows):
        rows[index - 1], rows[index] = rows[index], rows[index - 1]
    return (rows or [RouteRow()])[: 2 * ROUTES_MAX]


def draft_of(
    form: Mapping[str, str],
    rows: Sequence[RouteRow],
    campaign: Campaign | None,
    channels: Mapping[str, ChannelKind],
) -> CampaignDraft:
    """The campaign that the form says; whatever it does not ask for stays as it is in `campaign`.

    `channels`: of each template, the channel that it is for. Raises Invalid for what is missing or cannot be read.
    """
    wrong: list[Violation] = []
    routes: list[Route] = []
    for place, row in enumerate(rows):
        channel = channels.get(row.template_id)
        if channel is None:
            wrong.append(Violation(f"/routes/{place}/template_id", "missing", "Choose a template."))
            continue
        sender_id = UUID(row.sender_id) if _is_id(row.sender_id) else None
        app = (row.app.strip() or None) if channel in APP_CHANNELS else None
        fresh = Route(channel, UUID(row.template_id), sender_id, app=app)
        kept = None if campaign is None or row.was is None else campaign.routes[row.was]
        routes.append(
            fresh
            if kept is None
            else msgspec.structs.replace(
                kept, channel=channel, template_id=fresh.template_id, sender_id=fresh.sender_id, app=app
            )
        )
    holdout = 0.0
    try:
        holdout = read("share", form["holdout"].strip()) if form.get("holdout", "").strip() else 0.0
    except ValueError as error:
        wrong.append(Violation("/policy/holdout", "unreadable", str(error)))
    if not 0 <= holdout < 1:
        wrong.append(Violation("/policy/holdout", "range", "Write less than 100 percent."))
    if wrong:
        raise Invalid(wrong[0].message, violations=wrong)
    policy = CampaignPolicy() if campaign is None else campaign.policy
    stored: dict[str, Any] = (
        {} if campaign is None else {name: getattr(campaign, name) for name in CampaignDraft.__struct_fields__}
    )
    said: dict[str, Any] = {
        "name": form.get("name", ""),
        "kind": cast("CampaignKind", _one_of(form, "kind", get_args(CampaignKind))),
        "consent_basis": cast("Basis", _one_of(form, "consent_basis", get_args(Basis))),
        "lane": cast("LaneName", _one_of(form, "lane", get_args(LaneName))),
        "mode": cast("Mode", _one_of(form, "mode", get_args(Mode))),
        "routes": tuple(routes),
        "policy": msgspec.structs.replace(
            policy,
            deadline=form.get("deadline", "").strip() or None,
            clearance=form.get("clearance", "").strip() or None,
            holdout=holdout,
        ),
    }
    return CampaignDraft(**{**stored, **said})


def kept_of(campaign: Campaign | None) -> str:
    """What the form does not ask for, as JSON; empty where there is nothing."""
    if campaign is None:
        return ""
    more = {
        name: getattr(campaign, name)
        for name in CampaignDraft.__struct_fields__
        if name not in _ASKED and getattr(campaign, name)
    }
    policy = {
        name: value
        for name, value in msgspec.to_builtins(campaign.policy).items()
        if name not in _SAID_OF_POLICY and value
    }
    told = {**msgspec.to_builtins(more), **({"policy": policy} if policy else {})}
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode() if told else ""


_ASKED = {"name", "kind", "consent_basis", "lane", "mode", "routes", "policy", "experiment", "steps"}
"""What this form or those of its parts ask for."""


def _one_of(form: Mapping[str, str], name: str, words: Sequence[str]) -> str:
    said = form.get(name, "")
    return said if said in words else words[0]


def _written(route: Route, asked: set[str]) -> str:
    more = {name: getattr(route, name) for name in route.__struct_fields__ if name not in asked}
    told = {name: value for name, value in more.items() if value is not None and value != ()}
    return msgspec.json.encode(told).decode() if told else ""


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
