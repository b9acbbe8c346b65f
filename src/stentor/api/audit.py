"""The audit log of a group: who changed its configuration, when, from where."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar.response import Stream
from msgspec import Meta

from stentor.accounts.acting import ActorKind
from stentor.accounts.audit_files import AuditFormat, file_name, header, lines
from stentor.accounts.audit_model import AuditEntry, Narrowed
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Unavailable
from stentor.forms import STREAM

audit = group_noun(
    "audit",
    "Who changed what, from where, and what it was before and after. Entries are only ever added, in the transaction of the "
    "change that they tell of. Needs a key with the scope `admin`.",
)

THING_CHARS_MAX = 255
ACTOR_CHARS_MAX = 64
KIND_CHARS_MAX = 64

_MEDIA: dict[AuditFormat, str] = {"ndjson": "application/x-ndjson", "csv": "text/csv", "spreadsheet": "text/csv"}

Time = Annotated[datetime, Meta(tz=True)]
Since = Annotated[Time | None, Meta(description="From this time on.")]
Until = Annotated[Time | None, Meta(description="Before this time.")]
Who = Annotated[
    ActorKind | None,
    Meta(
        description="`user`, `key`, `cli` (a command on a machine of the installation), `engine` (nobody) or `client` (a partner)."
    ),
]
WhoId = (
    Annotated[
        str,
        Meta(max_length=ACTOR_CHARS_MAX, description="A user's id, a key's number, or the number of a machine's user."),
    ]
    | None
)
ThingKind = Annotated[str, Meta(max_length=KIND_CHARS_MAX, description="`campaign`, `template`, `key`, …")] | None
ThingId = Annotated[str, Meta(max_length=THING_CHARS_MAX, description="Of what was changed.")] | None


class AuditQuery(ListQuery, frozen=True, kw_only=True):
    """Which entries are listed."""

    since: Since = None
    until: Until = None
    actor_kind: Who = None
    actor_id: WhoId = None
    thing_kind: ThingKind = None
    thing_id: ThingId = None


class AuditExportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are exported."""

    since: Since = None
    until: Until = None
    actor_kind: Who = None
    actor_id: WhoId = None
    thing_kind: ThingKind = None
    thing_id: ThingId = None


class AuditTableQuery(AuditExportQuery, frozen=True, kw_only=True):
    """Which entries are exported, and for whom."""

    spreadsheet: Annotated[
        bool,
        Meta(
            description="For people: what a spreadsheet would take for a formula begins with an apostrophe, and the file is "
            "called `….spreadsheet.csv`."
        ),
    ] = False


class Actor(msgspec.Struct, frozen=True):
    """Who acted: `id` is a user's id, a key's number or the number of a machine's user, `label` what people call them.

    `ip` is where from. What is unknown is empty.
    """

    kind: ActorKind
    id: str
    label: str
    ip: str


class Thing(msgspec.Struct, frozen=True):
    """What was changed."""

    kind: str
    id: str


class AuditEntryBody(msgspec.Struct, frozen=True):
    """One change. `before` and `after` have the members that differ; of what was made or deleted, all; never a secret."""

    number: int
    at: datetime
    action: Annotated[str, Meta(description="`campaign.updated`, `key.revoked`, …")]
    actor: Actor
    thing: Thing
    before: Annotated[
        dict[str, Any] | None, Meta(description="A member that is long is told by its size and its SHA-256.")
    ]
    after: dict[str, Any] | None

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditEntryBody":
        return cls(
            entry.number,
            entry.at,
            entry.action,
            Actor(entry.actor_kind, entry.actor_id, entry.actor_label, entry.ip),
            Thing(entry.thing_kind, entry.thing_id),
            entry.before,
            entry.after,
        )


@audit.get("/audit", scope="admin")
async def list_audit_entries(request: ApiRequest, caller: Caller, query: AuditQuery) -> Listing[AuditEntryBody]:
    """List what was changed, the latest first."""
    narrowed = narrowed_by(query)

    async def fetch(before: int | None, limit: int) -> list[AuditEntry]:
        return await request.services.audit.page(caller.brand_id, narrowed, before_number=before, limit=limit)

    return await listing(request, query, Walk(fetch, lambda entry: entry.number, int), AuditEntryBody.of)


@audit.get("/audit/export.ndjson", scope="admin", media="application/x-ndjson", problems=[Unavailable])
async def export_audit_entries(request: ApiRequest, caller: Caller, query: AuditExportQuery) -> Stream:
    """Download what was changed, the oldest first, as NDJSON, all as it is at one moment.

    A download that breaks off is not complete; whoever reads nothing for a minute is cut off.
    """
    return await _of_group(request, caller, query, "ndjson")


@audit.get("/audit/export.csv", scope="admin", media="text/csv", problems=[Unavailable])
async def export_audit_entries_as_csv(request: ApiRequest, caller: Caller, query: AuditTableQuery) -> Stream:
    """Download the same as CSV, for programs or, with `spreadsheet`, for people."""
    return await _of_group(request, caller, query, "spreadsheet" if query.spreadsheet else "csv")


async def _of_group(request: ApiRequest, caller: Caller, query: AuditExportQuery, fmt: AuditFormat) -> Stream:
    pages = request.services.audit.export(narrowed_by(query), brand_id=caller.brand_id)
    return await exported(request, pages, caller.brand_id, fmt)


async def exported(
    request: ApiRequest, pages: AsyncGenerator[list[AuditEntry], None], of: UUID, fmt: AuditFormat
) -> Stream:
    """The pages as a file that is called after whose entries they are. Raises Unavailable before the first byte."""
    request.scope["state"][STREAM] = pages
    # The first page before the first byte: what cannot be exported is answered as a problem.
    first = await anext(pages, [])
    name = file_name(str(of), fmt)
    return Stream(
        _written(first, pages, fmt),
        media_type=_MEDIA[fmt],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _written(
    first: Sequence[AuditEntry], pages: AsyncGenerator[list[AuditEntry], None], fmt: AuditFormat
) -> AsyncIterator[bytes]:
    yield header(fmt) + lines(first, fmt)
    async for page in pages:
        yield lines(page, fmt)


def narrowed_by(query: AuditQuery | AuditExportQuery) -> Narrowed:
    """Which entries the query asks for."""
    return Narrowed(**{name: getattr(query, name) for name in Narrowed.__struct_fields__})
