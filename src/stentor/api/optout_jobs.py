"""Files on their way into a group's opt-out lists, out of them, and past them."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar.response import ServerSentEvent, Stream
from msgspec import Meta

from stentor.api.files import attachment, download_url, streamed, upload_url
from stentor.api.groups import group_noun
from stentor.api.optout_lists import Reference
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.api.streams import Watch, watched
from stentor.errors import Conflict, Unavailable
from stentor.optouts.exporting.model import (
    COLLECTIONS,
    DOMAIN_CHARS_MAX,
    DOMAINS_MAX,
    EXPORT_COLUMNS,
    Collection,
    ExportColumn,
    ExportFormat,
    ExportSpec,
)
from stentor.optouts.exporting.model import checked as checked_export
from stentor.optouts.jobs.model import Encoding, Job, JobKind, JobState
from stentor.optouts.jobs.service import FILE_BYTES_MAX
from stentor.optouts.scrubbing.model import REJECTS_FILE, SCRUB_LISTS_MAX
from stentor.optouts.scrubbing.model import checked as checked_scrub

optout_jobs = group_noun(
    "opt-out jobs",
    "Files for opt-out lists. An import takes one in, one entry per line or CSV with a header, up to 5 GiB as sent, plain, gzip or "
    "zstd; an export writes a list down; a scrub parts a file by lists into who is on none of them and who is. Prepare a job, "
    "PUT the file to its `upload_url` (tus 1.0 goes on where a connection broke), watch it, fetch its files.",
)

Bytes = (
    Annotated[
        int,
        Meta(
            ge=0,
            le=FILE_BYTES_MAX,
            description="The file's size as it is sent, where it is known: a file of another size then fails.",
        ),
    ]
    | None
)
Compression = Annotated[
    Encoding,
    Meta(description="How the file is said to be compressed, for whoever looks at the job: its first bytes decide."),
]


class OptoutImportInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file to be taken in."""

    bytes: Bytes = None
    encoding: Compression = ""


class OptoutExportInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be written down."""

    columns: Annotated[
        list[ExportColumn],
        Meta(
            min_length=1,
            max_length=len(EXPORT_COLUMNS),
            description="In that order; `campaign` gives three columns: campaign, affiliate, sub_affiliate.",
        ),
    ]
    collections: Annotated[
        tuple[Collection, ...], Meta(min_length=1, max_length=len(COLLECTIONS), description="Both, unless said.")
    ] = COLLECTIONS
    first_day: Annotated[date | None, Meta(description="Of UTC; that day and later ones.")] = None
    last_day: Annotated[date | None, Meta(description="Of UTC; that day and earlier ones.")] = None
    domains: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=DOMAIN_CHARS_MAX)]],
        Meta(max_length=DOMAINS_MAX, description="Only addresses there, or below: `co.uk` has `shop.co.uk`."),
    ] = []
    format: ExportFormat = "csv"
    spreadsheet: Annotated[
        bool,
        Meta(
            description="Of CSV: cells that a spreadsheet would take for formulas begin with an apostrophe, and the file is"
            " `optouts.spreadsheet.csv`."
        ),
    ] = False


class OptoutScrubInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file to be parted."""

    against: Annotated[
        list[Reference],
        Meta(min_length=1, max_length=SCRUB_LISTS_MAX, description="The lists that it is held against."),
    ]
    gzipped: Annotated[bool, Meta(description="Whether the files that come of it are compressed.")] = False
    bytes: Bytes = None
    encoding: Compression = ""


class JobsQuery(ListQuery, frozen=True, kw_only=True):
    """Which jobs are listed."""

    list: Reference | None = None
    kind: JobKind | None = None


class JobFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a job made."""

    name: str
    bytes: int
    url: Annotated[
        str, Meta(description="Where it is fetched from without a key; takes ranges; good as long as it is kept.")
    ]


class OptoutJobBody(msgspec.Struct, frozen=True, kw_only=True):
    """An import, an export or a scrub, and where it stands."""

    id: UUID
    kind: JobKind
    state: Annotated[
        JobState,
        Meta(
            description="`uploading` awaits its file; `removed` was, or its file never came, or its files are gone by now."
        ),
    ]
    list_id: UUID | None
    spec: Annotated[dict[str, Any], Meta(description="What was asked for.")]
    asked_by: str
    message: Annotated[str, Meta(description="What a failed one failed of, and what to do next.")]
    bytes: Annotated[int | None, Meta(description="The size that was announced.")]
    received_bytes: int
    encoding: Encoding
    progress: Annotated[dict[str, Any], Meta(description="Of a running one: what it does, and how far that is.")]
    submitted: Annotated[
        int, Meta(description="Lines with something in them: added, duplicate and malformed together.")
    ]
    added: int
    duplicate: int
    malformed: int
    upload_url: Annotated[
        str,
        Meta(
            description="Where the file is sent to without a key. Empty when none is awaited, and for keys that may not `write`."
        ),
    ]
    upload_until: Annotated[datetime | None, Meta(description="Until then sending it has to begin.")]
    download_url: Annotated[str, Meta(description="Of an export: where its file will be; 404 until it is there.")]
    files: Annotated[list[JobFile], Meta(description="What it made; kept for seven days.")]
    elapsed_s: Annotated[int | None, Meta(description="Since its file was there.")]
    created_at: datetime
    ended_at: datetime | None


def shown(request: ApiRequest, caller: Caller, job: Job) -> OptoutJobBody:
    """The job as the API answers it. Where its file is sent to is told only to whom may write: who has the link needs no key."""
    is_awaited = job.state == "uploading" and (job.is_begun or not job.is_too_late)
    is_export = job.kind == "export" and job.state not in {"failed", "removed"}
    return OptoutJobBody(
        id=job.id,
        kind=job.kind,
        state=job.state,
        list_id=job.list_id,
        spec=job.spec,
        asked_by=job.asked_by,
        message=job.message,
        bytes=job.declared_bytes,
        received_bytes=job.received_bytes,
        encoding=job.encoding,
        progress=job.progress,
        submitted=job.submitted,
        added=job.added,
        duplicate=job.duplicate,
        malformed=job.malformed,
        upload_url=upload_url(request, job) if is_awaited and caller.principal.may("write") else "",
        upload_until=job.upload_until if is_awaited else None,
        download_url=download_url(request, job, ExportSpec.from_json(job.spec).file_name) if is_export else "",
        files=[
            JobFile(name=name, bytes=made.bytes, url=download_url(request, job, name))
            for name, made in sorted(job.results.items())
        ],
        elapsed_s=job.elapsed_s,
        created_at=job.created_at,
        ended_at=job.ended_at,
    )


@optout_jobs.post(
    "/optout-lists/{optout_list:str}/imports",
    scope="write",
    status=201,
    problems=[Conflict],
    example={"bytes": 536_870_912},
)
async def import_optouts(
    request: ApiRequest, caller: Caller, optout_list: str, body: OptoutImportInput
) -> OptoutJobBody:
    """Prepare an import into an opt-out list: send the file to its `upload_url` within 15 minutes.

    All of the file is on the list at one moment, or, when it fails, nothing. What is there already is counted as duplicate,
    lines that are no entries as malformed; those can be fetched with their numbers and reasons.
    """
    job = await request.services.optout_jobs.prepare_import(
        caller.brand_id,
        optout_list,
        declared_bytes=body.bytes,
        encoding=body.encoding,
        asked_by=_asked_by(caller),
    )
    return shown(request, caller, job)


@optout_jobs.post(
    "/optout-lists/{optout_list:str}/exports",
    scope="write",
    status=201,
    problems=[Conflict],
    example={"columns": ["plain", "timestamp", "campaign"], "first_day": "2026-01-01", "domains": ["example.org"]},
)
async def export_optouts(
    request: ApiRequest, caller: Caller, optout_list: str, body: OptoutExportInput
) -> OptoutJobBody:
    """Write an opt-out list down as CSV, NDJSON or Parquet; the file will be at its `download_url`."""
    spec = checked_export(
        ExportSpec(
            columns=tuple(body.columns),
            collections=body.collections,
            first_day=body.first_day,
            last_day=body.last_day,
            domains=tuple(body.domains),
            format=body.format,
            spreadsheet=body.spreadsheet,
        )
    )
    service = request.services.optout_jobs
    job = await service.begin_export(caller.brand_id, optout_list, spec.as_json(), asked_by=_asked_by(caller))
    return shown(request, caller, job)


@optout_jobs.post(
    "/optout-scrubs", scope="write", status=201, problems=[Conflict], example={"against": ["built-in"], "gzipped": True}
)
async def scrub_by_optouts(request: ApiRequest, caller: Caller, body: OptoutScrubInput) -> OptoutJobBody:
    """Prepare a scrub: the file that is sent to its `upload_url` is parted into who is on none of the lists, and who is."""
    lists = await request.services.optout_lists.all_of(caller.brand_id, body.against)
    spec = checked_scrub([held.id for held in lists], gzipped=body.gzipped)
    job = await request.services.optout_jobs.prepare_scrub(
        caller.brand_id,
        spec.as_json(),
        declared_bytes=body.bytes,
        encoding=body.encoding,
        asked_by=_asked_by(caller),
    )
    return shown(request, caller, job)


@optout_jobs.get("/optout-jobs", scope="read")
async def list_optout_jobs(request: ApiRequest, caller: Caller, query: JobsQuery) -> Listing[OptoutJobBody]:
    """List the group's jobs, newest first: of one list, of one kind, or all."""

    async def fetch(before: UUID | None, limit: int) -> list[Job]:
        return await request.services.optout_jobs.page(
            caller.brand_id, reference=query.list, kind=query.kind, before=before, limit=limit
        )

    return await listing(request, query, Walk(fetch, lambda job: job.id, UUID), lambda job: shown(request, caller, job))


@optout_jobs.get("/optout-jobs/{job_id:str}", scope="read")
async def get_optout_job(request: ApiRequest, caller: Caller, job_id: UUID) -> OptoutJobBody:
    """Show a job and where it stands."""
    return shown(request, caller, await request.services.optout_jobs.get(caller.brand_id, job_id))


@optout_jobs.get("/optout-jobs/{job_id:str}/events", scope="read", media="text/event-stream")
async def watch_optout_job(request: ApiRequest, caller: Caller, job_id: UUID) -> ServerSentEvent:
    """Watch a job as server-sent events.

    An event `progress` with the job as its data comes at once and, while something changes, at most half a second after it
    did. The stream ends with the job.
    """
    service = request.services.optout_jobs
    return await watched(
        request,
        Watch(
            lambda: service.get(caller.brand_id, job_id),
            lambda job: shown(request, caller, job),
            lambda job: job.is_over,
            # That time goes by is no news.
            lambda job: msgspec.structs.replace(job, now=job.created_at),
        ),
    )


@optout_jobs.get("/optout-jobs/{job_id:str}/rejects.csv", scope="read", media="text/csv")
async def download_optout_rejects(request: ApiRequest, caller: Caller, job_id: UUID) -> Stream:
    """Download the lines that an import or a scrub could not read, with their numbers and the reasons: at most a million."""
    result = await request.services.optout_jobs.result(caller.brand_id, job_id, REJECTS_FILE)
    return Stream(
        await streamed(request, result),
        media_type="text/csv",
        headers={"Content-Disposition": attachment(f"rejects-{job_id}.csv"), "Content-Length": str(result.bytes)},
    )


@optout_jobs.delete("/optout-jobs/{job_id:str}", scope="write", problems=[Conflict, Unavailable])
async def delete_optout_job(request: ApiRequest, caller: Caller, job_id: UUID) -> OptoutJobBody:
    """Remove a job and its files, also while it runs: then nothing comes of it.

    An import that has succeeded stays: what it added is on its list.
    """
    return shown(request, caller, await request.services.optout_jobs.remove(caller.brand_id, job_id))


def _asked_by(caller: Caller) -> str:
    return f"key {caller.principal.key_number}"
