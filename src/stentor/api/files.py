"""Files of opt-out lists, sent and fetched by signed links: no key, as with the links of an object storage.

An upload is one PUT, answered as S3 does, or goes on piece by piece as connections last (tus 1.0: HEAD, then PATCH).
"""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote
from xml.sax.saxutils import escape

from litestar import HttpMethod, Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from stentor.api.problems import Failure
from stentor.api.request import ApiRequest, UnsupportedMedia
from stentor.errors import Invalid, NotFound, Unavailable
from stentor.forms import STREAM
from stentor.optouts.addresses import PREFIX, download_path, upload_path
from stentor.optouts.jobs.model import Encoding, Job, ResultFile
from stentor.optouts.jobs.service import FILE_BYTES_MAX
from stentor.optouts.links import FileLink, LinkExpired, LinkForged, Purpose
from stentor.optouts.storage import NotStored
from stentor.optouts.uploads import Received

if TYPE_CHECKING:
    from collections import Counter
    from uuid import UUID

RECEIVED_AT_ONCE_MAX = 6
"""Uploads that a process takes in at once; each holds two pieces of 16 MiB."""

RECEIVED_OF_BRAND_MAX = 2
"""Those of one brand: files that come slowly, which may take days, leave the others room."""

OFFSET_DIGITS_MAX = 15

_TUS_VERSION = "1.0.0"
_TUS = {"Tus-Resumable": _TUS_VERSION, "Cache-Control": "no-store"}
_TUS_OFFERS = {**_TUS, "Tus-Version": _TUS_VERSION, "Tus-Max-Size": str(FILE_BYTES_MAX)}
_PIECE = "application/offset+octet-stream"
_ENCODINGS: Mapping[str, Encoding] = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
_RANGE = re.compile(r"bytes=(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))", re.IGNORECASE)
_MEDIA = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "gz": "application/gzip",
    "zst": "application/zstd",
}

# What S3 calls these; its clients tell errors apart by the code.
_CODES = {
    400: "InvalidRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    409: "OperationAborted",
    413: "EntityTooLarge",
    415: "InvalidArgument",
    416: "InvalidRange",
    500: "InternalError",
    503: "SlowDown",
    507: "InsufficientStorage",
}
EXPIRED = "Request has expired"


def upload_url(request: ApiRequest, job: Job) -> str:
    """Where the job's file is sent to."""
    return f"{request.base_url_text}{upload_path(request.services.file_links, job)}"


def download_url(request: ApiRequest, job: Job, file_name: str) -> str:
    """Where a file that the job makes, or has made, is fetched from; 404 until it is whole."""
    return f"{request.base_url_text}{download_path(request.services.file_links, job, file_name)}"


async def put(request: ApiRequest) -> Response[bytes]:
    """Takes in a file whole."""
    link = await _opened(request, "upload")
    if "content-range" in request.headers:
        # Taken for the whole, a part would be all that is ever loaded.
        raise Invalid("A PUT sends the whole file. Send a piece of it by PATCH, with the header `Upload-Offset`.")
    received = await _received(request, link, encoding=_encoding(request))
    return _empty(200, {"ETag": f'"{received.etag}"'})


async def patch(request: ApiRequest) -> Response[bytes]:
    """Takes in a piece of a file, from where the file has come to."""
    link = await _opened(request, "upload")
    if _speaks_another_tus(request):
        return _empty(412, _TUS_OFFERS)
    if request.headers.get("content-type", _PIECE).partition(";")[0].strip().lower() != _PIECE:
        raise UnsupportedMedia(f"A piece of a file is sent as `{_PIECE}`.")
    offset = _number(request, "upload-offset")
    if offset is None:
        raise Invalid(
            "Where does this piece begin? Send the header `Upload-Offset`, as a HEAD to this link answers it."
        )
    received = await _received(request, link, offset=offset, declared_bytes=_number(request, "upload-length"))
    return _empty(204, {**_TUS, "Upload-Offset": str(received.bytes)})


async def get(request: ApiRequest) -> Response[bytes] | Stream:
    """A file, or of an upload how far it has come; HEAD as GET."""
    link = request.services.file_links.read(request.path_params["token"])
    if link is None or link.purpose == "download":
        return await _download(request, await _opened(request, "download"))
    link = await _opened(request, "upload")
    return _empty(412, _TUS_OFFERS) if _speaks_another_tus(request) else await _standing(request, link)


async def options() -> Response[bytes]:
    """What an upload may ask for."""
    return _empty(204, {**_TUS_OFFERS, "Allow": "GET, HEAD, OPTIONS, PATCH, PUT"})


_PATH = f"{PREFIX}{{token:str}}"

handlers = (
    HTTPRouteHandler(_PATH, http_method=HttpMethod.OPTIONS, status_code=200)(options),
    HTTPRouteHandler(_PATH, http_method=HttpMethod.GET, status_code=200)(get),
    HTTPRouteHandler(_PATH, http_method=HttpMethod.PUT, status_code=200, request_max_body_size=FILE_BYTES_MAX)(put),
    HTTPRouteHandler(_PATH, http_method=HttpMethod.PATCH, status_code=200, request_max_body_size=FILE_BYTES_MAX)(patch),
)


def envelope(request: ApiRequest, failure: Failure) -> Response[bytes]:
    """An error as clients of object storages read it."""
    code, message = _CODES.get(failure.status, failure.code), failure.detail
    match failure.problem:
        case LinkForged():
            code = "SignatureDoesNotMatch"
        case LinkExpired():
            message = EXPIRED
        case NotFound(detail=why):
            # Whoever has the link may know; who is no brand's cannot make one.
            message = why
    # A 404 says nothing that could differ.
    about = "" if failure.status == 404 else f"<RequestId>{escape(request.request_id)}</RequestId>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{escape(message)}</Message>{about}</Error>'
    return Response(
        body.encode(), status_code=failure.status, media_type="application/xml", headers=dict(failure.headers)
    )


async def _opened(request: ApiRequest, purpose: Purpose) -> FileLink:
    """What the link in the path opens. Raises LinkForged for one that was not made here, or for something else."""
    link = request.services.file_links.read(request.path_params["token"])
    said = request.query_params.get("Expires")
    if link is None or link.purpose != purpose or said not in {None, str(int(link.until.timestamp()))}:
        raise LinkForged("This link was not made here, or was changed. Take it as it was answered.")
    return link


async def _received(
    request: ApiRequest,
    link: FileLink,
    *,
    offset: int | None = None,
    declared_bytes: int | None = None,
    encoding: Encoding | None = None,
) -> Received:
    receiving: Counter[UUID] = request.app.state.list_uploads
    if receiving.total() >= RECEIVED_AT_ONCE_MAX or receiving[link.brand_id] >= RECEIVED_OF_BRAND_MAX:
        raise Unavailable("Other files are still coming in. Send yours in a moment.", retry_after_s=5)
    receiving[link.brand_id] += 1
    try:
        return await request.services.optout_uploads.receive(
            link.brand_id,
            link.job_id,
            request.stream(),
            offset=offset,
            declared_bytes=declared_bytes,
            encoding=encoding,
        )
    finally:
        receiving[link.brand_id] -= 1


async def _standing(request: ApiRequest, link: FileLink) -> Response[bytes]:
    job = await request.services.optout_jobs.get(link.brand_id, link.job_id)
    if job.state == "removed":
        raise NotFound("The upload was removed.")
    if job.is_too_late and not job.is_begun:
        raise LinkExpired(EXPIRED)
    length = {"Upload-Defer-Length": "1"} if job.declared_bytes is None else {"Upload-Length": str(job.declared_bytes)}
    return _empty(200, {**_TUS, "Upload-Offset": str(job.received_bytes), **length})


async def _download(request: ApiRequest, link: FileLink) -> Response[bytes] | Stream:
    job = await request.services.optout_jobs.get(link.brand_id, link.job_id)
    if link.until <= job.now:
        raise LinkExpired(EXPIRED)
    result = job.results.get(link.file_name)
    if result is None:
        raise NotFound(_why_there_is_none(job))
    etag = f'"{result.etag}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Last-Modified": _http_date(job.ended_at or job.now),
        "Expires": _http_date(link.until),
        "Cache-Control": "private, no-cache",
    }
    if _names(request.headers.get("if-none-match", ""), etag):
        return _empty(304, headers)
    start, end = 0, result.bytes
    asked = request.headers.get("range", "")
    if asked and request.headers.get("if-range", etag) == etag:
        part = _range(asked, result.bytes)
        if part == "unsatisfiable":
            return _empty(416, {**headers, "Content-Range": f"bytes */{result.bytes}"})
        if part is not None:
            start, end = part
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{result.bytes}"
    headers["Content-Length"] = str(end - start)
    headers["Content-Disposition"] = attachment(link.file_name)
    stream = await streamed(request, result, start, end)
    status = 206 if "Content-Range" in headers else 200
    return Stream(stream, status_code=status, media_type=_media(link.file_name), headers=headers)


def _why_there_is_none(job: Job) -> str:
    match job.state:
        case "failed":
            return f"The file could not be made: {job.message}"
        case "removed":
            return "The file was removed."
        case "success":
            return "No such file was made."
        case _:
            return "The file is not ready yet. Ask again."


async def streamed(
    request: ApiRequest, result: ResultFile, start: int = 0, end: int | None = None
) -> AsyncIterator[bytes]:
    """The bytes of a result from `start` up to `end`, in pieces of at most 1 MiB. Raises NotFound when the file is gone."""
    pieces = request.services.optout_jobs.read(result, start, end)
    request.scope["state"][STREAM] = pieces
    # The first piece before the first byte: a file that is gone is answered as such.
    try:
        first = await anext(pieces, b"")
    except NotStored:
        raise NotFound("The file is there no more.") from None

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return rest()


def attachment(file_name: str) -> str:
    """The Content-Disposition of a file to be saved (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"


def _range(asked: str, size: int) -> tuple[int, int] | Literal["unsatisfiable"] | None:
    """From where up to where one range goes; None for several, and for what is no range: then the whole is sent."""
    found = _RANGE.fullmatch(asked.strip())
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return None
    return (start, end) if start < end else "unsatisfiable"


def _names(header: str, etag: str) -> bool:
    return header.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in header.split(",")}


def _media(file_name: str) -> str:
    return _MEDIA.get(file_name.rpartition(".")[2], "application/octet-stream")


def _http_date(at: datetime) -> str:
    return format_datetime(at.astimezone(UTC), usegmt=True)


def _speaks_another_tus(request: ApiRequest) -> bool:
    return request.headers.get("tus-resumable", _TUS_VERSION) != _TUS_VERSION


def _encoding(request: ApiRequest) -> Encoding | None:
    said = request.headers.get("content-encoding")
    if said is None:
        return None
    encoding = _ENCODINGS.get(said.strip().lower())
    if encoding is None:
        raise UnsupportedMedia("A file is sent as it is, or in `Content-Encoding: gzip` or `zstd`.")
    return encoding


def _number(request: ApiRequest, header: str) -> int | None:
    said = request.headers.get(header)
    if said is None:
        return None
    if not (said.isascii() and said.isdigit() and len(said) <= OFFSET_DIGITS_MAX):
        raise Invalid(f"The header `{header.title()}` is not a number of bytes.")
    return int(said)


def _empty(status: int, headers: Mapping[str, str]) -> Response[bytes]:
    return Response(b"", status_code=status, media_type="application/xml", headers=dict(headers))
