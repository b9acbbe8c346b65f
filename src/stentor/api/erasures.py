"""What a person may ask for: all that is held of them, and to be forgotten."""

from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.response import Stream
from msgspec import Meta

from stentor.api.customers import ExternalId
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.erasures.exporting import Held, as_document, as_lines
from stentor.erasures.model import PEOPLE_MAX, Erased, Erasure
from stentor.errors import TooLarge, Unavailable
from stentor.forms import STREAM

erasures = group_noun(
    "erasures",
    "What a person may ask for: all that is held of them, and to be forgotten. What is left of somebody who was erased are the "
    "states of what was sent to them, under an id that names nobody, and the hashes by which their addresses stay suppressed.",
)


_MEDIA = {"json": "application/json", "ndjson": "application/x-ndjson"}


class ErasureBody(msgspec.Struct, frozen=True, kw_only=True):
    """The record of an erasure. It does not name the person: `digest` is a keyed hash of the external id."""

    id: UUID
    digest: Annotated[str, Meta(description="In hex digits; the same for every erasure of the same person.")]
    asked_by: str
    erased_at: Annotated[datetime, Meta(description="Since then the person is gone.")]
    completed_at: Annotated[
        datetime | None,
        Meta(description="Since then so is what was kept of what was sent to them; null for the first minutes."),
    ]
    lists_by: Annotated[datetime, Meta(description="By then no file of an opt-out list has the address any more.")]
    counts: Annotated[dict[str, int], Meta(description="How many rows were emptied or deleted, by what they were.")]


class ErasedBody(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one person of the call."""

    external_id: str
    is_new: Annotated[bool, Meta(description="Whether this call erased them; false where an earlier one had.")]
    erasure: ErasureBody


class ErasuresInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is to be erased."""

    external_ids: Annotated[list[ExternalId], Meta(min_length=1, max_length=PEOPLE_MAX)]


class ErasuresResult(msgspec.Struct, frozen=True):
    """What became of them, in the order of the request. `unknown`: whom this group never had."""

    data: list[ErasedBody]
    unknown: list[str]


@erasures.get("/customers/{external_id:str}/export", scope="read", problems=[Unavailable])
async def export_customer(request: ApiRequest, caller: Caller, external_id: str) -> dict[str, Any] | Response[Any]:
    """Export all that is held of a customer, as one JSON object.

    `person` is what is stored; the other members are lists: `earlier` what the guard went by before, `merged` who was merged
    into them, `subscriptions`, `tags`, `consents` (the ledger), `told` (what callers told of them), `contexts`, `contacts`
    (what caps count), `reports` of providers, `messages` in the sandbox, `opt_outs` of the present addresses, `sends` with
    their reasons, `revocations` that services were told of, `events` of delivery.
    """
    return await _exported(request, caller, external_id, as_document, "json")


@erasures.get(
    "/customers/{external_id:str}/export.ndjson", scope="read", media="application/x-ndjson", problems=[Unavailable]
)
async def export_customer_as_ndjson(request: ApiRequest, caller: Caller, external_id: str) -> Stream:
    """Export all that is held of a customer as NDJSON, one thing a line, each with its `section`."""
    return await _exported(request, caller, external_id, as_lines, "ndjson")


@erasures.delete("/customers/{external_id:str}", scope="write", problems=[Unavailable])
async def erase_customer(request: ApiRequest, caller: Caller, external_id: str) -> ErasedBody:
    """Erase a customer, for good. Saying it again answers with the same erasure.

    When this returns the person is gone and nothing more is begun for them; a message on the wire ends as it ends. Their
    addresses stay suppressed by their hashes. Whoever is told of under the same external id later is a new person.
    """
    return erased_shown(await request.services.erasures.erase(caller.brand_id, external_id, asked_by=asker(caller)))


@erasures.post(
    "/customers:erase",
    scope="write",
    idempotent=False,
    problems=[TooLarge, Unavailable],
    example={"external_ids": ["crm-77", "crm-78"]},
)
async def erase_customers(request: ApiRequest, caller: Caller, body: ErasuresInput) -> ErasuresResult:
    """Erase up to 100 customers together: all of them or none."""
    erased = await request.services.erasures.erase_many(caller.brand_id, body.external_ids, asked_by=asker(caller))
    known = {one.external_id for one in erased}
    return ErasuresResult([erased_shown(one) for one in erased], [one for one in body.external_ids if one not in known])


@erasures.get("/erasures", scope="read")
async def list_erasures(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[ErasureBody]:
    """List the group's erasures, newest first."""

    async def fetch(before: UUID | None, limit: int) -> list[Erasure]:
        return await request.services.erasures.page(caller.brand_id, before=before, limit=limit)

    return await listing(request, query, Walk(fetch, lambda erasure: erasure.id, UUID), _shown)


@erasures.get("/erasures/{erasure_id:str}", scope="read")
async def get_erasure(request: ApiRequest, caller: Caller, erasure_id: UUID) -> ErasureBody:
    """Show an erasure."""
    return _shown(await request.services.erasures.get(caller.brand_id, erasure_id))


async def _exported(
    request: ApiRequest,
    caller: Caller,
    external_id: str,
    write: Callable[[AsyncGenerator[list[Held], None]], AsyncGenerator[bytes, None]],
    ending: Literal["json", "ndjson"],
) -> Stream:
    text = write(request.services.person_exports.everything(caller.brand_id, external_id))
    request.scope["state"][STREAM] = text
    # Before the first byte: nobody of that external id is answered as a problem.
    first = await anext(text)

    async def stream() -> AsyncGenerator[bytes, None]:
        yield first
        async for piece in text:
            yield piece

    return Stream(
        stream(),
        media_type=_MEDIA[ending],
        headers={"Content-Disposition": f'attachment; filename="customer.{ending}"'},
    )


def asker(caller: Caller) -> str:
    """Who asks, as an erasure keeps it: for people to read."""
    return f"key {caller.principal.key_number}"


def erased_shown(one: Erased) -> ErasedBody:
    """What became of the person as the API answers it."""
    return ErasedBody(external_id=one.external_id, is_new=one.is_new, erasure=_shown(one.erasure))


def _shown(erasure: Erasure) -> ErasureBody:
    return ErasureBody(
        id=erasure.id,
        digest=erasure.digest.hex(),
        asked_by=erasure.asked_by,
        erased_at=erasure.erased_at,
        completed_at=erasure.completed_at,
        lists_by=erasure.lists_by,
        counts=erasure.counts,
    )
