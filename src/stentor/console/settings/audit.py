"""The audit log in the console: a brand's under `/console/brands/…/settings/audit`, an organisation's under `/console/organisations/…/audit`."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from stentor.accounts.acting import ActorKind
from stentor.accounts.audit import AuditLog
from stentor.accounts.audit_files import file_name, header, lines
from stentor.accounts.audit_model import AuditEntry, Narrowed
from stentor.accounts.model import Organisation
from stentor.accounts.service import AccountService
from stentor.accounts.user_model import SignedIn
from stentor.console.account import read_id
from stentor.console.brand import BrandDoor
from stentor.console.settings.sections import SETTINGS, settings_page
from stentor.console.visits import AnyRequest, Visits
from stentor.errors import Forbidden, Invalid, NotFound, Problem
from stentor.forms import STREAM

SHOWN = 50
FILTER_CHARS_MAX = 255
VALUE_CHARS_MAX = 2_000

_OF_ORGANISATION = "/organisations/{organisation_id:str}/audit"
_KINDS: tuple[ActorKind, ...] = get_args(ActorKind)
_FILTERS = ("actor_kind", "actor_id", "thing_kind", "thing_id", "first_day", "last_day")
_NUMBER_DIGITS = 18


class Difference(msgspec.Struct, frozen=True):
    """One member of a thing, before and after; None where it was not there."""

    name: str
    before: str | None
    after: str | None


class Line(msgspec.Struct, frozen=True):
    """An entry as its reader sees it."""

    entry: AuditEntry
    differences: list[Difference]


class AuditPages:
    """Who changed what. Of a brand its admins see it, of an organisation those of the whole organisation."""

    def __init__(self, door: BrandDoor, *, visits: Visits, accounts: AccountService, audit: AuditLog) -> None:
        self._door = door
        self._visits = visits
        self._accounts = accounts
        self._audit = audit

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._of_brands(), *self._of_organisations()]

    def _of_brands(self) -> list[HTTPRouteHandler]:
        @get(f"{SETTINGS}/audit", include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request, "admin")
            filters, narrowed, problem = _narrowed(request)
            before = _before(request)
            found = await self._audit.page(place.brand.id, narrowed, before_number=before, limit=SHOWN + 1)
            facts = _facts(found, filters, is_first=before is None)
            return settings_page(
                self._door, request, "audit.html", place, section="audit", problem=problem, brand_names={}, **facts
            )

        @get(f"{SETTINGS}/audit.csv", include_in_schema=False)
        async def export(request: AnyRequest) -> Stream:
            place = await self._door.inside(request, "admin")
            pages = self._audit.export(_checked(request), brand_id=place.brand.id)
            return await _file(request, pages, place.brand.id)

        return [listed, export]

    def _of_organisations(self) -> list[HTTPRouteHandler]:
        @get(_OF_ORGANISATION, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            who, organisation = await self._inside(request)
            filters, narrowed, problem = _narrowed(request)
            before = _before(request)
            found = await self._audit.page_of_organisation(
                organisation.id, narrowed, before_number=before, limit=SHOWN + 1
            )
            brands = await self._accounts.brands_of(organisation.id)
            return self._visits.page(
                request,
                "settings/organisation_audit.html",
                who=who,
                problem=problem,
                organisation=organisation,
                brand_names={brand.id: brand.name for brand in brands},
                **_facts(found, filters, is_first=before is None),
            )

        @get(f"{_OF_ORGANISATION}.csv", include_in_schema=False)
        async def export(request: AnyRequest) -> Stream:
            _, organisation = await self._inside(request)
            pages = self._audit.export(_checked(request), organisation_id=organisation.id)
            return await _file(request, pages, organisation.id)

        return [listed, export]

    async def _inside(self, request: AnyRequest) -> tuple[SignedIn, Organisation]:
        """Whoever may see the log of the organisation of the path. Raises Unauthenticated, NotFound, Forbidden."""
        who = await self._visits.needed(request)
        organisation_id = read_id(request.path_params["organisation_id"])
        role = who.role(organisation_id)
        if role is None:
            raise NotFound("There is no such organisation.")
        if not who.may("admin", organisation_id):
            raise Forbidden(f"Your role here is {role}, which does not see the audit log. Ask an owner or an admin.")
        return who, await self._accounts.organisation(organisation_id)


def _facts(found: list[AuditEntry], filters: Mapping[str, str], *, is_first: bool) -> dict[str, Any]:
    return {
        "lines": [Line(entry, differences_of(entry)) for entry in found[:SHOWN]],
        "more": found[SHOWN - 1].number if len(found) > SHOWN else None,
        "is_first": is_first,
        "filters": filters,
        "asked": urlencode({name: text for name, text in filters.items() if text}),
        "kinds": _KINDS,
    }


def differences_of(entry: AuditEntry) -> list[Difference]:
    """What an entry says, member by member, as texts of at most 2,000 characters."""
    before, after = entry.before or {}, entry.after or {}
    return [
        Difference(name, _written(before, name), _written(after, name)) for name in dict.fromkeys((*before, *after))
    ]


def _written(members: Mapping[str, Any], name: str) -> str | None:
    if name not in members:
        return None
    value = members[name]
    text = value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value), indent=1).decode()
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}…"


def _narrowed(request: AnyRequest) -> tuple[dict[str, str], Narrowed, Problem | None]:
    """What the reader asks for, as typed and as a question; what cannot be asked is told, and everything shown."""
    filters = {name: request.query_params.get(name, "").strip()[:FILTER_CHARS_MAX] for name in _FILTERS}
    try:
        return filters, _question(filters), None
    except Invalid as problem:
        return filters, Narrowed(), problem


def _checked(request: AnyRequest) -> Narrowed:
    _, narrowed, problem = _narrowed(request)
    if problem is not None:
        # A file of everything would be taken for what was asked for.
        raise problem
    return narrowed


def _question(filters: Mapping[str, str]) -> Narrowed:
    kind = filters["actor_kind"]
    if any("\x00" in text for text in filters.values()):
        raise Invalid("What you look for has a NUL character. Remove it.")
    first, last = _day(filters["first_day"]), _day(filters["last_day"])
    return Narrowed(
        since=first,
        until=None if last is None else last + timedelta(days=1),
        actor_kind=cast("ActorKind", kind) if kind in _KINDS else None,
        actor_id=filters["actor_id"] or None,
        thing_kind=filters["thing_kind"] or None,
        thing_id=filters["thing_id"] or None,
    )


def _day(text: str) -> datetime | None:
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        day = datetime.min.replace(tzinfo=UTC)
    if not 2000 <= day.year < 2200:
        raise Invalid.field("/day", "day", "Write a day as 2026-11-23.")
    return day


def _before(request: AnyRequest) -> int | None:
    """The entry before which the page begins; what is no number begins with the newest."""
    text = request.query_params.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS else None


async def _file(request: AnyRequest, pages: AsyncGenerator[list[AuditEntry], None], of: UUID) -> Stream:
    """The entries as CSV for spreadsheets, the oldest first, all as they are at one moment."""
    request.scope["state"][STREAM] = pages
    # The first page before the first byte: what cannot be exported is answered as a problem.
    nothing: list[AuditEntry] = []
    first = await anext(pages, nothing)

    async def written() -> AsyncIterator[bytes]:
        yield header("spreadsheet") + lines(first, "spreadsheet")
        async for page in pages:
            yield lines(page, "spreadsheet")

    name = file_name(str(of), "spreadsheet")
    return Stream(written(), media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})
