"""`/console/brands/…/optouts/jobs`: files on their way into opt-out lists, out of them, and past them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, Place, id_in
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Conflict, Invalid, Problem, Unavailable
from stentor.optouts.addresses import download_path, upload_path
from stentor.optouts.exporting.model import EXPORT_COLUMNS, ExportSpec
from stentor.optouts.exporting.model import checked as checked_export
from stentor.optouts.jobs.model import Job, JobKind, JobState
from stentor.optouts.jobs.service import FILE_BYTES_MAX, JobService
from stentor.optouts.links import FileLinks
from stentor.optouts.lists import PAGE_MAX, ListService
from stentor.optouts.scrubbing.model import checked as checked_scrub

if TYPE_CHECKING:
    from stentor.optouts.exporting.model import ExportFormat

SHOWN = 50

_AT_THE_FORM = (Conflict, Invalid, Unavailable)
_JOBS = f"{HERE}/optouts/jobs"
_ONE = f"{_JOBS}/{{job_id:str}}"
_OF_LIST = f"{HERE}/optouts/lists/{{list_id:str}}"
KINDS: Mapping[JobKind, str] = {"import": "Upload", "export": "Download", "scrub": "Scrub"}
STATES: Mapping[JobState, str] = {
    "uploading": "waits for its file",
    "queued": "waits for a worker",
    "running": "running",
    "success": "done",
    "failed": "failed",
    "removed": "removed",
}
_FORMATS = ("csv", "ndjson", "parquet")
_TONES: Mapping[str, str] = {"success": "go", "failed": "bad", "running": "go", "uploading": "hold"}


class OptoutJobPages:
    """Uploads, downloads and scrubs. Whoever is in the brand sees them; who may write begins and removes them.

    Where a file is sent to and fetched from is shown to those alone who may write: who has the link needs nothing else.
    """

    def __init__(
        self, door: BrandDoor, *, jobs: JobService, lists: ListService, links: FileLinks, base_url: str
    ) -> None:
        self._door = door
        self._jobs = jobs
        self._lists = lists
        self._links = links
        self._base_url = base_url

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._beginning(), self._removing()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get(_JOBS, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            return await self._overview(request, await self._door.inside(request))

        @get(_ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            return await self._page(request, place, read_id(request.path_params["job_id"]))

        return [listed, one]

    def _beginning(self) -> list[HTTPRouteHandler]:
        @post(f"{_OF_LIST}/imports", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def upload(request: AnyRequest) -> Response[str] | Redirect:
            place, _ = await self._door.posted(request, "write")
            held = await self._lists.get(place.brand.id, str(read_id(request.path_params["list_id"])))
            try:
                job = await self._jobs.prepare_import(place.brand.id, str(held.id), asked_by=place.who.user.email)
            except _AT_THE_FORM as problem:
                return await self._overview(request, place, problem=problem)
            return _to(place, job)

        @post(f"{_OF_LIST}/exports", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def download(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            held = await self._lists.get(place.brand.id, str(read_id(request.path_params["list_id"])))
            said = form.get("format", "csv")
            is_for_people = said == "spreadsheet"
            spec = ExportSpec(
                columns=tuple(column for column in EXPORT_COLUMNS if form.get(f"column-{column}") == "yes"),
                format=cast("ExportFormat", said) if said in _FORMATS else "csv",
                spreadsheet=is_for_people,
            )
            try:
                job = await self._jobs.begin_export(
                    place.brand.id, str(held.id), checked_export(spec).as_json(), asked_by=place.who.user.email
                )
            except _AT_THE_FORM as problem:
                return await self._overview(request, place, problem=problem)
            return _to(place, job)

        @post(f"{HERE}/optouts/scrubs", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def scrub(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            against = [name.removeprefix("list-") for name in form if name.startswith("list-")]
            try:
                lists = await self._lists.all_of(place.brand.id, against)
                spec = checked_scrub([held.id for held in lists], gzipped=form.get("gzipped") == "yes")
                job = await self._jobs.prepare_scrub(place.brand.id, spec.as_json(), asked_by=place.who.user.email)
            except _AT_THE_FORM as problem:
                return await self._overview(request, place, problem=problem)
            return _to(place, job)

        return [upload, download, scrub]

    def _removing(self) -> HTTPRouteHandler:
        @post(f"{_ONE}/remove", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def remove(request: AnyRequest) -> Response[str] | Redirect:
            place, _ = await self._door.posted(request, "write")
            job_id = read_id(request.path_params["job_id"])
            try:
                await self._jobs.remove(place.brand.id, job_id)
            except _AT_THE_FORM as problem:
                return await self._page(request, place, job_id, problem=problem)
            return Redirect(f"{place.root}/optouts/jobs", status_code=303)

        return remove

    async def _overview(self, request: AnyRequest, place: Place, *, problem: Problem | None = None) -> Response[str]:
        before = id_in(request.query_params, "before")
        found = await self._jobs.page(place.brand.id, before=before, limit=SHOWN + 1)
        lists = await self._lists.page(place.brand.id, limit=PAGE_MAX)
        return self._door.page(
            request,
            "consent/jobs.html",
            place,
            tab="optouts",
            problem=problem,
            jobs=found[:SHOWN],
            more=found[SHOWN - 1].id if len(found) > SHOWN else None,
            is_first=before is None,
            lists=lists,
            names={held.id: held.name for held in lists},
            kinds=KINDS,
            states=STATES,
            tones=_TONES,
        )

    async def _page(
        self, request: AnyRequest, place: Place, job_id: UUID, *, problem: Problem | None = None
    ) -> Response[str]:
        job = await self._jobs.get(place.brand.id, job_id)
        is_awaited = job.state == "uploading" and (job.is_begun or not job.is_too_late)
        may_write = place.may("write")
        against = job.spec.get("against", []) if job.kind == "scrub" else [job.list_id]
        lists = await self._lists.known(place.brand.id, {str(one) for one in against if one})
        return self._door.page(
            request,
            "consent/job.html",
            place,
            tab="optouts",
            problem=problem,
            job=job,
            is_awaited=is_awaited,
            upload=upload_path(self._links, job) if is_awaited and may_write else "",
            base_url=self._base_url,
            files=[
                (name, made.bytes, download_path(self._links, job, name) if may_write else "")
                for name, made in sorted(job.results.items())
            ],
            lists=lists,
            kinds=KINDS,
            states=STATES,
            tones=_TONES,
            file_bytes_max=FILE_BYTES_MAX,
        )


def _to(place: Place, job: Job) -> Redirect:
    return Redirect(f"{place.root}/optouts/jobs/{job.id}", status_code=303)
