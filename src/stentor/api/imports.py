"""Imports of a group: files of customers and subscriptions, streamed in and resumable."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar.response import Stream
from msgspec import Meta

from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.audience.imports import SOURCE_CHARS_MAX
from stentor.audience.model import FileKind, ImportFormat, ImportJob, ImportKind, Reject
from stentor.errors import Conflict, Invalid, NoRoom, Unavailable

imports = group_noun(
    "imports",
    "Files of customers and subscriptions, CSV with a header or NDJSON, in UTF-8. Begin an import, send its file as the "
    "content, look at what was rejected. Importing the same file again changes nothing.",
)

FILE_BYTES_MAX = 100_000_000_000
# Each keeps two blocks in memory and a connection busy.
UPLOADS_MAX = 8

FILES = {
    "text/csv": "external_id,email,attributes.first_name\ncrm-77,aino@example.org,Aino\n",
    "application/x-ndjson": '{"external_id":"crm-77","email":"aino@example.org","first_name":"Aino"}\n',
}


# Also what programs say of a file when nobody told them what it is.
_MEDIA = re.compile(
    r"(?:text/(?:csv|plain)|application/(?:(?:x-)?ndjson|jsonl|csv|json|octet-stream))"
    r"\s*(?:;\s*(?:charset\s*=\s*\"?utf-8\"?|header\s*=\s*present)\s*)*\Z",
    re.IGNORECASE,
)


class ImportInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An import to begin."""

    kind: FileKind
    format: ImportFormat
    source: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=SOURCE_CHARS_MAX,
            description="A name of the file, the same for the same file: an import of it that never ended is gone on with.",
        ),
    ]
    bytes_total: (
        Annotated[int, Meta(ge=0, le=FILE_BYTES_MAX, description="The file's size, where it is known.")] | None
    ) = None
    region: (
        Annotated[
            str,
            Meta(
                pattern="^[A-Z]{2}$",
                description="The country (`DE`) of phone numbers without a country code; else the group's.",
            ),
        ]
        | None
    ) = None


class ImportBody(msgspec.Struct, frozen=True, kw_only=True):
    """An import and where it stands."""

    id: UUID
    kind: ImportKind
    format: ImportFormat
    source: str
    state: Literal["running", "succeeded", "failed"]
    bytes_done: Annotated[int, Meta(description="Where it would go on.")]
    bytes_total: int | None
    lines_done: int
    added: int
    changed: int
    unchanged: int
    rejected: int
    bad_addresses: Annotated[int, Meta(description="Addresses that were kept although they are none.")]
    problem: Annotated[str, Meta(description="Why it failed.")]
    created_at: datetime
    updated_at: datetime


def shown(job: ImportJob) -> ImportBody:
    """The import as the API answers it."""
    return ImportBody(**msgspec.structs.asdict(job))


@imports.get("/imports", scope="read")
async def list_imports(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[ImportBody]:
    """List the group's imports, newest first."""

    async def fetch(before: UUID | None, limit: int) -> list[ImportJob]:
        return await request.services.imports.page(caller.brand_id, before=before, limit=limit)

    return await listing(request, query, Walk(fetch, lambda job: job.id, UUID), shown)


@imports.post(
    "/imports",
    scope="write",
    status=201,
    example={"kind": "customers", "format": "csv", "source": "crm-2026-11-21.csv"},
)
async def begin_import(request: ApiRequest, caller: Caller, body: ImportInput) -> ImportBody:
    """Begin an import, or go on with one of the same source and size that never came to its end."""
    job = await request.services.imports.begin(
        caller.brand_id,
        body.kind,
        body.format,
        body.source,
        bytes_total=body.bytes_total,
        region=body.region or caller.brand.settings.default_country,
    )
    return shown(job)


@imports.put(
    "/imports/{import_id:str}/content",
    scope="write",
    problems=[Conflict, NoRoom],
    upload=FILES,
    bytes_max=FILE_BYTES_MAX,
)
async def upload_import(request: ApiRequest, caller: Caller, import_id: UUID) -> ImportBody:
    """Send an import's file; the answer comes when all of it is stored.

    The body may be of any length and is never held whole. It begins at the byte that the header `Upload-Offset` says, by
    default at the first; what is stored already is passed over. When the connection breaks, send the file again, or from
    `bytes_done` on. Look at the import meanwhile to see how far it is.
    """
    return shown(await received(request, caller, import_id))


async def received(request: ApiRequest, caller: Caller, import_id: UUID, *, has_ended: bool = False) -> ImportJob:
    """The import once the request's body is stored, from the byte that its header `Upload-Offset` says.

    `has_ended`: it is stored already, and said again. Raises UnsupportedMedia, Unavailable while many others come in, Invalid, and
    what an import raises.
    """
    request.check_media(_MEDIA, "text/csv` or `application/x-ndjson")
    uploads: set[object] = request.app.state.uploads
    if len(uploads) >= UPLOADS_MAX:
        raise Unavailable(f"{UPLOADS_MAX} files are coming in already. Send yours in a minute.", retry_after_s=60)
    offset = request.headers.get("upload-offset", "0")
    if not (offset.isascii() and offset.isdigit() and len(offset) <= 15):
        raise Invalid(
            "The header `Upload-Offset` is not a number of bytes. Take `bytes_done` of the import, or leave it out."
        )
    own = object()
    uploads.add(own)
    try:
        services, chunks = request.services, request.stream()
        if has_ended:
            return await services.imports.said_again(caller.brand_id, import_id, chunks, offset=int(offset))
        return await services.imports.run(caller.brand_id, import_id, chunks, offset=int(offset))
    finally:
        uploads.discard(own)


@imports.get("/imports/{import_id:str}", scope="read")
async def get_import(request: ApiRequest, caller: Caller, import_id: UUID) -> ImportBody:
    """Show an import and where it stands."""
    return shown(await request.services.imports.get(caller.brand_id, import_id))


@imports.post("/imports/{import_id:str}/stop", scope="write", problems=[Conflict])
async def stop_import(request: ApiRequest, caller: Caller, import_id: UUID) -> ImportBody:
    """Stop an import after the block that is being stored. Send its file again, or from `bytes_done` on, to go on."""
    await request.services.imports.stop(caller.brand_id, import_id)
    return shown(await request.services.imports.get(caller.brand_id, import_id))


@imports.post("/imports/{import_id:str}/cancel", scope="write", problems=[Conflict])
async def cancel_import(request: ApiRequest, caller: Caller, import_id: UUID) -> ImportBody:
    """Cancel an import for good: it fails, and what was stored until then stays."""
    await request.services.imports.cancel(caller.brand_id, import_id, asked_by=f"key {caller.principal.key_number}")
    return shown(await request.services.imports.get(caller.brand_id, import_id))


@imports.get("/imports/{import_id:str}/rejects", scope="read")
async def list_rejects(request: ApiRequest, caller: Caller, import_id: UUID, query: ListQuery) -> Listing[Reject]:
    """List the lines that an import did not take, and why; at most 100,000 are kept."""

    async def fetch(after: int | None, limit: int) -> list[Reject]:
        return await request.services.imports.rejects(caller.brand_id, import_id, after=after or 0, limit=limit)

    return await listing(request, query, Walk(fetch, lambda reject: reject.line, int), lambda reject: reject)


@imports.get("/imports/{import_id:str}/rejects.csv", scope="read", media="text/csv")
async def download_rejects(request: ApiRequest, caller: Caller, import_id: UUID) -> Stream:
    """Download the lines that an import did not take, and why, as CSV."""
    first = await request.services.imports.rejects(caller.brand_id, import_id)
    return Stream(
        _csv(request, caller, import_id, first),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="rejects-{import_id}.csv"'},
    )


async def _csv(request: ApiRequest, caller: Caller, import_id: UUID, rejects: list[Reject]) -> AsyncIterator[str]:
    yield "line,reason\r\n"
    while rejects:
        yield "".join(f'{reject.line},"{reject.reason.replace(chr(34), chr(34) * 2)}"\r\n' for reject in rejects)
        rejects = await request.services.imports.rejects(caller.brand_id, import_id, after=rejects[-1].line)
