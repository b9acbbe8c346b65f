"""Opt-out lists as their clients know them: files in and out, single look-ups, single opt-outs.

Paths, headers and bodies are those of the public contract; what it leaves open is decided here. A list is named by its 16 hex
digits alone, and the key is one brand's. Whatever a key cannot use is one and the same 403: a list or an upload that there is
not, another brand's, and where opt-outs are collected also a disabled, grouped or linked one.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Annotated, Literal, TypeVar
from uuid import UUID

import msgspec
from litestar import Response
from litestar.types import HTTPScope
from msgspec import Meta

from stentor.accounts.limits import Standing, limit_of_optout_key
from stentor.accounts.model import Scope
from stentor.api.auth import allowed
from stentor.api.files import download_url, upload_url
from stentor.api.noun import Noun
from stentor.api.operation import Dialect, Reply
from stentor.api.problems import Failure
from stentor.api.request import ApiRequest, Caller
from stentor.api.services import Services
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, RateLimited, Unauthenticated, Violation
from stentor.optouts.exporting.model import (
    Collection,
    ExportColumn,
    ExportFormat,
    ExportSpec,
    checked,
    domains_in,
)
from stentor.optouts.jobs.model import Job

T = TypeVar("T")

LISTS = "/optout-list"
COLLECT = "/client-optout"
HAS = f"{LISTS}/has-optout"

FILTER_CHARS_MAX = 10_000
CODE_CHARS_MAX = 200
"""Of what is looked at as a list's code, which has 16."""

COLUMNS_MAX = 100
"""Columns, or collections, that one call names, the same ones as often as it likes."""

TAG = "opt-out-files"
ABOUT = (
    "Opt-out lists in the words of their clients: a file of opt-outs is sent to a link and fetched from one, and one opt-out is "
    "asked for or collected at a time. `optoutListId` is the list's code of 16 hex digits. The key is one brand's, in "
    "`Authorization: Bearer …` or in the header `api_key`."
)

PROBLEM = "application/problem+json"
REFUSED = (
    "Your key has no list or upload of that id, or this cannot be done with it. Check the id, that the list is enabled and "
    "neither grouped nor linked, and the rights of the key."
)

_BEARER = "bearer "
_CODE = re.compile(r"[0-9a-fA-F]{16}")
_REFERENCE = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_STANDING = "optout_rate"


class Trouble(msgspec.Struct, frozen=True, omit_defaults=True):
    """One broken rule: what is wrong, and where in the body (`pointer`) or which parameter of the query."""

    detail: str
    pointer: str = ""
    parameter: str = ""


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """RFC 9457, with a code and with every broken rule."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    errors: tuple[Trouble, ...] = ()


DIALECT = Dialect(PROBLEM, ProblemBody, ("bearer",))


async def access(request: ApiRequest, scope: Scope) -> Caller:
    """Who calls, counted. Raises Unauthenticated, RateLimited, Forbidden."""
    return await admitted(request.services, request.scope, scope)


async def admitted(services: Services, http: HTTPScope, scope: Scope) -> Caller:
    """The holder of the key, counted; how it stands is left in the state of the HTTP scope."""
    headers = dict(http["headers"])
    presented = _key(headers)
    principal = await services.keys.principal(presented) if presented else None
    if principal is None:
        raise Unauthenticated("No valid key came with the request. Send `Authorization: Bearer <API key>`.")
    if principal.brand_id is None or (brand := await services.brands.by_id(principal.brand_id)) is None:
        raise Forbidden("This key is of a whole organisation. Use one of the brand that has the list.")
    (standing,) = await services.limiter.take([limit_of_optout_key(principal, brand)])
    http["state"][_STANDING] = standing
    if standing.is_over:
        raise RateLimited(
            f"More than {standing.limit.at_most} calls in a second. Wait, and ask again.",
            retry_after_s=standing.retry_after_s,
            limit=standing.limit.at_most,
        )
    return allowed(Caller(principal, brand), scope)


def _key(headers: Mapping[bytes, bytes]) -> str:
    """What comes as `Bearer`; without that, be it that something else is said of authorization, what is in `api_key`."""
    said = headers.get(b"authorization", b"").decode("latin-1")
    if said.lower().startswith(_BEARER):
        return said[len(_BEARER) :].strip()
    return headers.get(b"api_key", b"").decode("latin-1").strip()


optout_files = Noun(TAG, ABOUT, access=access, dialect=DIALECT)

ListCode = Annotated[str, Meta(max_length=CODE_CHARS_MAX, description="The list's code.")]
Text = Annotated[str, Meta(min_length=1, max_length=ADDRESS_CHARS_MAX)]


class DateRange(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}, forbid_unknown_fields=True):
    """Days of UTC, both inclusive; either may be left out."""

    first: date | None = None
    last: date | None = None


class DownloadInput(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a file shall have in it."""

    optout_list_id: ListCode
    columns: Annotated[list[ExportColumn], Meta(min_length=1, max_length=COLUMNS_MAX)]
    collection_type: Annotated[list[Collection], Meta(min_length=1, max_length=COLUMNS_MAX)]
    date_range: DateRange | None = None
    domain_filter: (
        Annotated[str, Meta(max_length=FILTER_CHARS_MAX, description="Ends of domains, with commas between them.")]
        | None
    ) = None
    format: ExportFormat = "csv"


class DownloadBody(msgspec.Struct, frozen=True, rename="camel"):
    """Where the file will be: 404 until it is ready."""

    download_url: str


class UploadInput(msgspec.Struct, frozen=True, rename="camel"):
    """A file that is to be added to a list."""

    optout_list_id: ListCode
    file_content_length: Annotated[int | float, Meta(description="The size of the file in bytes, at most 5 GiB.")]


class UploadBody(msgspec.Struct, frozen=True, rename="camel"):
    """Where the file is sent to within 15 minutes, and by what its import is asked for."""

    upload_url: str
    import_reference: str


class UploadStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """Where an import stands; counts and a message once it is over."""

    status: Annotated[
        Literal["running", "success", "failed", "removed"],
        Meta(description="`running` also while the file is awaited, `removed` where it did not come in time."),
    ]
    message: str | None = None
    elapsed_seconds: Annotated[int | None, Meta(description="Since the file was there.")] = None
    added_count: int | None = None
    malformed_count: int | None = None
    submitted_count: int | None = None


class HasOptoutQuery(msgspec.Struct, frozen=True, rename="camel"):
    """Which list, and what is looked for: an address, a number, a domain (`@example.com`), or a hash as the list has them."""

    optout_list_id: ListCode
    optout: Text


class HasOptout(msgspec.Struct, frozen=True, rename="camel"):
    """Whether the list holds it."""

    has_optout: bool


class CollectInput(msgspec.Struct, frozen=True, rename="camel"):
    """Who opted out: one of both."""

    optout_list_id: ListCode
    email: Text | None = None
    sms: Text | None = None


class Collected(msgspec.Struct, frozen=True):
    """Nothing: it is on the list."""


@optout_files.post(
    f"{LISTS}/prepare-download",
    scope="read",
    idempotent=False,
    problems=[Invalid, RateLimited, Conflict],
    example={
        "optoutListId": "901fad4c46a1e723",
        "columns": ["plain", "timestamp"],
        "collectionType": ["collected", "imported"],
        "dateRange": {"from": "2026-01-01", "to": "2026-06-30"},
        "domainFilter": "gmail.com, co.uk",
    },
)
async def prepare_optout_download(request: ApiRequest, caller: Caller, body: DownloadInput) -> Reply[DownloadBody]:
    """Start to prepare a list for download, and answer at once where it will be.

    The link needs no key. It is 404 until the file is ready, says so in its body should the file never come, and is good for
    seven days; then it is 403. The file has a header, and its columns in the order asked for; `campaign` makes three of them.
    """
    days = body.date_range or DateRange()
    wanted = {"/collections": "/collectionType", "/first_day": "/dateRange/from", "/domains": "/domainFilter"}
    with pointing(wanted):
        spec = checked(
            ExportSpec(
                columns=tuple(body.columns),
                collections=tuple(body.collection_type),
                first_day=days.first,
                last_day=days.last,
                domains=domains_in(body.domain_filter or ""),
                format=body.format,
            )
        )
    with owned():
        job = await request.services.optout_jobs.begin_export(
            caller.brand_id, code_of(body.optout_list_id), spec.as_json(), asked_by=_asker(caller)
        )
    return _reply(request, DownloadBody(download_url(request, job, spec.file_name)))


@optout_files.post(
    f"{LISTS}/prepare-upload",
    scope="write",
    idempotent=False,
    problems=[Invalid, RateLimited, Conflict],
    example={"optoutListId": "901fad4c46a1e723", "fileContentLength": 536870912},
)
async def prepare_optout_upload(request: ApiRequest, caller: Caller, body: UploadInput) -> Reply[UploadBody]:
    """Make a link that a file of opt-outs is sent to, to be added to a list.

    Sending has to begin within 15 minutes, and needs no key. The file has an address, a number, a domain or a hash on each line, or is CSV with a header; it may be compressed with gzip
    or zstd. PUT it whole, or send it in pieces as tus 1.0 does: HEAD answers `Upload-Offset`, and PATCH goes on from there.
    """
    size = body.file_content_length
    if size != int(size):
        raise Invalid.field("/fileContentLength", "size", "The size of a file is a whole number of bytes.")
    with pointing({"/declared_bytes": "/fileContentLength", "/list": "/optoutListId"}), owned():
        job = await request.services.optout_jobs.prepare_import(
            caller.brand_id, code_of(body.optout_list_id), declared_bytes=int(size), asked_by=_asker(caller)
        )
    return _reply(request, UploadBody(upload_url(request, job), str(job.id)))


@optout_files.get(f"{LISTS}/upload-status/{{reference:str}}", scope="read", problems=[RateLimited])
async def get_optout_upload_status(request: ApiRequest, caller: Caller, reference: str) -> Reply[UploadStatus]:
    """Show where the import of an uploaded file stands.

    Submitted are its lines with something in them; those neither added nor malformed were known already, or came twice.
    """
    with owned():
        if _REFERENCE.fullmatch(reference) is None:
            raise NotFound("This is no reference.")
        job = await request.services.optout_jobs.get(caller.brand_id, UUID(reference))
        if job.kind != "import":
            raise NotFound("This is no import.")
    return _reply(request, status_of(job))


@optout_files.get(HAS, scope="read", problems=[Invalid, RateLimited])
async def has_optout(request: ApiRequest, caller: Caller, query: HasOptoutQuery) -> Reply[HasOptout]:
    """Check whether an opt-out is on a list.

    So is an address whose whole domain is. A disabled list holds nobody, nor does a linked one whose grant was taken back.
    """
    return _reply(request, HasOptout(await is_listed(request.services, caller, query)))


@optout_files.post(
    f"{COLLECT}/collect",
    scope="write",
    idempotent=False,
    problems=[Invalid, RateLimited],
    example={"optoutListId": "901fad4c46a1e723", "sms": "12345678900"},
)
async def collect_optout(request: ApiRequest, caller: Caller, body: CollectInput) -> Reply[Collected]:
    """Add one opt-out to a list; it is effective when this answers.

    An opt-out is one person's, no domain and no hash. Lists that are disabled, grouped or linked collect nothing: they are 403,
    as those are that there are not.
    """
    field, text, channel = _one_of(body)
    with pointing({"/entries/0": f"/{field}"}), owned(also=Conflict):
        await request.services.optout_entries.collect(
            caller.brand_id, code_of(body.optout_list_id), text, channel=channel
        )
    return _reply(request, Collected())


def envelope(request: ApiRequest, failure: Failure) -> Response[bytes]:
    """An error as clients of this family read it; a 403 has the same bytes whatever was refused."""
    in_query = request.scope["method"] == "GET"
    body = ProblemBody(
        type=f"{request.base_url_text}/docs/problems#{failure.code}" if failure.status != 403 else "about:blank",
        title=failure.title if failure.status != 403 else "Forbidden",
        status=failure.status,
        detail=failure.detail if failure.status != 403 else REFUSED,
        code=failure.code if failure.status != 403 else "forbidden",
        instance=request.scope["path"] if failure.status != 403 else "",
        errors=tuple(_trouble(violation, in_query=in_query) for violation in failure.violations),
    )
    headers = {name: value for name, value in failure.headers.items() if not name.lower().startswith("x-ratelimit")}
    return Response(
        msgspec.json.encode(body),
        status_code=failure.status,
        media_type=PROBLEM,
        headers={**headers, **rate_headers(request.scope)},
    )


async def is_listed(services: Services, caller: Caller, query: HasOptoutQuery) -> bool:
    """Whether the list holds it. Raises Forbidden for a list that is none of the caller's, Invalid for what is no opt-out."""
    # A number or an address whose `+` was not escaped arrives with a space in its place.
    text = query.optout.strip().replace(" ", "+")
    with owned():
        found = await services.optout_shared_checks.check(caller.brand_id, code_of(query.optout_list_id), text)
    if found.refusal:
        raise Invalid.field("/optout", "invalid-entry", found.refusal)
    return found.is_listed


def status_of(job: Job) -> UploadStatus:
    """An import in this family's words; one whose file never came in time is `removed`."""
    if job.state == "removed" or (job.state == "uploading" and job.is_too_late and not job.is_begun):
        return UploadStatus(status="removed", elapsed_seconds=job.elapsed_s)
    if not job.is_over:
        return UploadStatus(status="running", elapsed_seconds=job.elapsed_s)
    return UploadStatus(
        status="success" if job.state == "success" else "failed",
        message=job.message or _told(job),
        elapsed_seconds=job.elapsed_s,
        added_count=job.added,
        malformed_count=job.malformed,
        submitted_count=job.submitted,
    )


def rate_headers(http: HTTPScope) -> dict[str, str]:
    """What the limit on calls leaves the caller; nothing where nobody was found to call."""
    standing = http["state"].get(_STANDING)
    if not isinstance(standing, Standing):
        return {}
    return {
        "x-rate-limit-limit": str(standing.limit.at_most),
        "x-rate-limit-remaining": str(standing.remaining),
        "x-rate-limit-reset": str(math.ceil(standing.ends_at)),
    }


def code_of(text: str) -> str:
    """The code of a list as it is stored. Raises NotFound for what is none: here a name or another id means nothing."""
    if _CODE.fullmatch(text) is None:
        raise NotFound("This is no code of a list.")
    return text.lower()


@contextmanager
def owned(*, also: type[Exception] | None = None) -> Iterator[None]:
    """Makes what does not exist for the caller a refusal, and `also` such an error."""
    try:
        yield
    except NotFound:
        raise Forbidden(REFUSED) from None
    except Exception as error:
        if also is not None and isinstance(error, also):
            raise Forbidden(REFUSED) from None
        raise


@contextmanager
def pointing(places: Mapping[str, str]) -> Iterator[None]:
    """Lets errors name the places of this family's bodies in place of ours."""
    try:
        yield
    except Invalid as error:
        moved = [_moved(violation, places) for violation in error.violations]
        raise Invalid(error.detail, violations=moved, **error.facts) from None


def _moved(violation: Violation, places: Mapping[str, str]) -> Violation:
    for ours, theirs in places.items():
        if violation.pointer == ours or violation.pointer.startswith(f"{ours}/"):
            return msgspec.structs.replace(violation, pointer=theirs)
    return violation


def _one_of(body: CollectInput) -> tuple[str, str, ChannelKind]:
    if body.email is not None and body.sms is None:
        return "email", body.email, ChannelKind.EMAIL
    if body.sms is not None and body.email is None:
        return "sms", body.sms, ChannelKind.SMS
    raise Invalid.field("/email", "one-of", "Send one of `email` and `sms`.")


def _told(job: Job) -> str:
    return f"Lines: {job.submitted:,}. Added: {job.added:,}. Known already: {job.duplicate:,}. Malformed: {job.malformed:,}."


def _trouble(violation: Violation, *, in_query: bool) -> Trouble:
    if in_query:
        return Trouble(violation.message, parameter=violation.pointer.removeprefix("/"))
    return Trouble(violation.message, pointer=f"#{violation.pointer}")


def _asker(caller: Caller) -> str:
    return f"key {caller.principal.key_number}"


def _reply(request: ApiRequest, value: T) -> Reply[T]:
    return Reply(value, headers=rate_headers(request.scope))
