"""Pulls: lists of whom partners are to write to, fetched by cursors or by leases, and who has said no since."""

from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.auth import live
from stentor.api.groups import group_noun
from stentor.api.paging import Cursors, Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.channels.partners.attributes import ATTRIBUTE_CHARS_MAX, canonical
from stentor.errors import Conflict, Unavailable
from stentor.integrations.pulls.model import (
    ATTRIBUTES_MAX,
    LEASE_S_MAX,
    LEASE_S_MIN,
    PAGE_ROWS_MAX,
    Pull,
    Puller,
    PullPage,
    PullRow,
    Revocation,
)

pulls = group_noun(
    "pulls",
    "Lists of whom an execution is to reach by a partner channel, for services that fetch them. A list is guarded and frozen once, "
    "and stays as it is; who says no after that is told of by its revocations.",
)

_ROWS_DEFAULT = 1_000
# As a query says them, percent-encoded: the head of a request has room for that. A lease names them in its body.
_ATTRIBUTES_CHARS_MAX = 2_000
_REVOCATIONS_MAX = 1_000
_NUMBER_MAX = 2**31 - 1

AttributeName = Annotated[str, Meta(min_length=1, max_length=ATTRIBUTE_CHARS_MAX)]
Attributes = Annotated[
    list[AttributeName],
    Meta(
        max_length=ATTRIBUTES_MAX,
        description="Names of what each row says of its person: attributes, and `Email`, `Phone`, `PushTokens`, `Locale`, `TimeZone`.",
    ),
]


class PullInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose list is frozen: that of a run, by its number or its execution's id, on one partner channel."""

    channel: Annotated[int, Meta(ge=1, le=_NUMBER_MAX, description="The number of the partner channel.")]
    campaign: (
        Annotated[int, Meta(ge=1, le=_NUMBER_MAX, description="The run's number, `CampaignID` in the classic API.")]
        | UnsetType
    ) = UNSET
    execution_id: UUID | UnsetType = UNSET


class PullBody(msgspec.Struct, frozen=True):
    """A list and how far it was fetched. After `replaced_at` the same client reads another one, and this one's rows go."""

    id: UUID
    execution_id: UUID
    campaign: int
    channel: int
    puller: Annotated[str, Meta(description="Who froze it.")]
    rows: int
    leased_rows: Annotated[
        int, Meta(description="How many of the first rows were leased, some perhaps more than once.")
    ]
    handed_over_rows: Annotated[
        int, Meta(description="Rows of pages that were handed over; one that was fetched twice counts twice.")
    ]
    revoked: Annotated[int, Meta(description="People of its run who have said no since it was first pulled.")]
    frozen_at: datetime | None
    replaced_at: datetime | None

    @classmethod
    def of(cls, pull: Pull) -> "PullBody":
        return cls(
            pull.id,
            pull.execution_id,
            pull.campaign,
            pull.channel_number,
            pull.puller,
            pull.rows,
            pull.leased_to,
            pull.handed_over_rows,
            pull.revoked,
            pull.frozen_at,
            pull.replaced_at,
        )


class PullsQuery(ListQuery, frozen=True, kw_only=True):
    """Which pulls are listed."""

    execution_id: UUID | None = None


class RowsQuery(msgspec.Struct, frozen=True):
    """Which rows are read, and what each says."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_ROWS_MAX)] = _ROWS_DEFAULT
    cursor: Annotated[
        str | None,
        Meta(description="`next_cursor` of the page before, which is handed over by this; none for the first."),
    ] = None
    attributes: Annotated[
        str, Meta(max_length=_ATTRIBUTES_CHARS_MAX, description="Names of attributes, joined by `;`.")
    ] = ""


class Row(msgspec.Struct, frozen=True):
    """One person of a list. Whoever was erased since has neither `external_id` nor attributes, and is not to be written to."""

    position: int
    customer_id: Annotated[UUID, Meta(description="Always made of the group's id and the external id, as UUIDv5.")]
    external_id: str | None
    template: Annotated[int, Meta(description="The number of the partner template, its `TemplateID`.")]
    scheduled_at: Annotated[datetime, Meta(description="From when on they may be written to.")]
    attributes: dict[str, str]


class Rows(msgspec.Struct, frozen=True):
    """A page. It is handed over when the next is asked for by `next_cursor`, which is null once a page is empty."""

    data: list[Row]
    next_cursor: str | None


class LeaseInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many rows are leased for how long, and what each says."""

    rows: Annotated[int, Meta(ge=1, le=PAGE_ROWS_MAX)] = _ROWS_DEFAULT
    lease_s: Annotated[int, Meta(ge=LEASE_S_MIN, le=LEASE_S_MAX)] = 300
    attributes: Attributes = msgspec.field(default_factory=list)


class LeaseBody(msgspec.Struct, frozen=True):
    """Rows that nobody else gets until `lease_until`; `id` is null, and there are no rows, when none are left."""

    id: UUID | None
    lease_until: datetime | None
    data: list[Row]


class PageBody(msgspec.Struct, frozen=True):
    """Rows that somebody fetched: those from one position to before another."""

    id: UUID
    position_from: int
    position_to: int
    asked_by: str
    asked_at: datetime
    lease_until: datetime | None
    released_at: datetime | None
    handed_over_at: datetime | None
    handed_over: Annotated[int, Meta(description="How many people it handed over who had not been before.")]

    @classmethod
    def of(cls, page: PullPage) -> "PageBody":
        return cls(*(getattr(page, name) for name in cls.__struct_fields__))


class RevocationBody(msgspec.Struct, frozen=True):
    """Somebody on the list who must not be written to any more. Without `external_id`, who was erased: `customer_id` says who."""

    number: int
    customer_id: UUID
    external_id: str | None
    reason: str
    revoked_at: datetime


class RevocationsQuery(msgspec.Struct, frozen=True):
    """From where on the feed is read."""

    limit: Annotated[int, Meta(ge=1, le=_REVOCATIONS_MAX)] = 100
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the page before; none for the beginning.")] = None


class Revocations(msgspec.Struct, frozen=True):
    """What became known, oldest first. `next_cursor` is always there: asked again, it has what has come since."""

    data: list[RevocationBody]
    next_cursor: str


@pulls.post(
    "/pulls",
    scope="write",
    status=201,
    problems=[Conflict, Unavailable],
    example={"campaign": 324, "channel": 505},
)
async def create_pull(request: ApiRequest, caller: Caller, body: PullInput) -> PullBody:
    """Freeze the list of a run. Everybody is on it who is not skipped and not revoked, also who was fetched before.

    It replaces the list that the same key froze before. Quiet hours keep nobody off it: `scheduled_at` says from when on somebody
    may be written to.
    """
    live(caller, "A list is of real people")
    return PullBody.of(
        await request.services.pulls.freeze(
            caller.brand_id,
            _puller(caller),
            campaign=None if body.campaign is UNSET else body.campaign,
            execution_id=None if body.execution_id is UNSET else body.execution_id,
            channel_number=body.channel,
        )
    )


@pulls.get("/pulls", scope="read")
async def list_pulls(request: ApiRequest, caller: Caller, query: PullsQuery) -> Listing[PullBody]:
    """List the pulls whose rows are there, newest first."""

    async def fetch(before: UUID | None, limit: int) -> list[Pull]:
        return await request.services.pulls.pulls(
            caller.brand_id, execution_id=query.execution_id, before=before, limit=limit
        )

    return await listing(request, query, Walk(fetch, lambda pull: pull.id, UUID), PullBody.of)


@pulls.get("/pulls/{pull_id:str}", scope="read")
async def get_pull(request: ApiRequest, caller: Caller, pull_id: UUID) -> PullBody:
    """Show a pull."""
    return PullBody.of(await request.services.pulls.pull(caller.brand_id, pull_id))


@pulls.get("/pulls/{pull_id:str}/pages", scope="read")
async def list_pull_pages(request: ApiRequest, caller: Caller, pull_id: UUID, query: ListQuery) -> Listing[PageBody]:
    """List who fetched which rows of a pull, newest first."""

    async def fetch(before: UUID | None, limit: int) -> list[PullPage]:
        return await request.services.pulls.pages(caller.brand_id, pull_id, before=before, limit=limit)

    return await listing(request, query, Walk(fetch, lambda page: page.id, UUID), PageBody.of)


@pulls.get("/pulls/{pull_id:str}/rows", scope="write", problems=[Conflict, Unavailable])
async def list_pull_rows(request: ApiRequest, caller: Caller, pull_id: UUID, query: RowsQuery) -> Rows:
    """Read a pull page by page. A page is handed over when the next one is asked for, so go on until a page is empty.

    Whoever dies in between asks by the last cursor again and gets the same page.
    """
    live(caller, "A list is of real people")
    cursors, path = Cursors(request.settings.secret), request.scope["path"]
    after = None if query.cursor is None else cursors.opened(path, query.cursor, tuple[int, int])
    names = [canonical(name) for name in query.attributes.split(";") if name]
    page = await request.services.pulls.rows(
        caller.brand_id, pull_id, after=after, limit=query.limit, attributes=names, asked_by=_puller(caller).label
    )
    start = 0 if after is None else after[1]
    following = None if page.next_position is None else cursors.sealed(path, (start, page.next_position))
    return Rows([_row(row, names) for row in page.rows], following)


@pulls.post(
    "/pulls/{pull_id:str}/leases",
    scope="write",
    status=201,
    problems=[Conflict, Unavailable],
    example={"rows": 1000, "lease_s": 300, "attributes": ["Phone", "city"]},
)
async def lease_pull_rows(request: ApiRequest, caller: Caller, pull_id: UUID, body: LeaseInput) -> LeaseBody:
    """Lease the next rows of a pull. Nobody else gets them until they are released or the lease runs out.

    They are handed over when the lease is acknowledged. Several workers of a service may lease side by side; what one of them did not
    live to acknowledge goes to the next that asks.
    """
    live(caller, "A list is of real people")
    names = [canonical(name) for name in body.attributes]
    lease = await request.services.pulls.lease(
        caller.brand_id,
        pull_id,
        rows=body.rows,
        lease_s=body.lease_s,
        attributes=names,
        asked_by=_puller(caller).label,
    )
    if lease is None:
        return LeaseBody(None, None, [])
    return LeaseBody(lease.page.id, lease.page.lease_until, [_row(row, names) for row in lease.rows])


@pulls.post("/pulls/{pull_id:str}/leases/{lease_id:str}/acknowledge", scope="write", problems=[Conflict])
async def acknowledge_pull_lease(request: ApiRequest, caller: Caller, pull_id: UUID, lease_id: UUID) -> PageBody:
    """Acknowledge a lease: its rows are handed over. Said again it changes nothing.

    One that ran out can be acknowledged while nobody else has its rows.
    """
    live(caller, "A list is of real people")
    return PageBody.of(await request.services.pulls.acknowledge(caller.brand_id, pull_id, lease_id))


@pulls.post("/pulls/{pull_id:str}/leases/{lease_id:str}/release", scope="write", status=204, problems=[Conflict])
async def release_pull_lease(request: ApiRequest, caller: Caller, pull_id: UUID, lease_id: UUID) -> None:
    """Release a lease: its rows go to the next that asks."""
    live(caller, "A list is of real people")
    await request.services.pulls.release(caller.brand_id, pull_id, lease_id)


@pulls.get("/pulls/{pull_id:str}/revocations", scope="read")
async def list_pull_revocations(
    request: ApiRequest, caller: Caller, pull_id: UUID, query: RevocationsQuery
) -> Revocations:
    """Read who of a pull has said no since, or cannot be written to any more: within five seconds of it, for seven days.

    It is the feed of the run on that channel: a list that was frozen before or after by the same or another client has the same.
    """
    cursors, path = Cursors(request.settings.secret), request.scope["path"]
    after = 0 if query.cursor is None else cursors.opened(path, query.cursor, int)
    found = await request.services.pulls.revocations(caller.brand_id, pull_id, after=after, limit=query.limit)
    return Revocations([_revocation(one) for one in found], cursors.sealed(path, found[-1].number if found else after))


def _puller(caller: Caller) -> Puller:
    principal = caller.principal
    return Puller(uuid5(principal.organisation_id, f"key {principal.key_number}"), principal.label)


def _row(row: PullRow, names: list[str]) -> Row:
    said = dict(zip(names, row.attributes, strict=True)) if row.attributes else {}
    return Row(row.position, row.customer_id, row.external_id, row.template, row.scheduled_at, said)


def _revocation(one: Revocation) -> RevocationBody:
    return RevocationBody(one.number, one.customer_id, one.external_id, one.reason.label, one.at)
