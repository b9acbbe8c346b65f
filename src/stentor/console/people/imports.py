"""`/console/brands/…/imports`: files of people brought in, looked at before they begin, and followed until their end."""

import csv
import io
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import PurePath
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.datastructures import UploadFile
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect, Stream

from stentor.audience.held_imports import HELD_BYTES_MAX, HELD_DAYS_MAX, HeldFiles
from stentor.audience.import_carrier import ImportCarrier
from stentor.audience.import_preview import preview
from stentor.audience.imports import ImportService
from stentor.audience.model import FileKind, ImportFormat, ImportJob, Reject
from stentor.clock import Clock
from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, Place, id_in
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Conflict, Invalid, NoRoom, NotFound, Problem, TooLarge, Unavailable

SHOWN = 50
REJECTS_SHOWN = 50
REJECTS_READ = 1000

LIST = f"{HERE}/imports"
ONE = f"{LIST}/{{import_id:str}}"
FILE = f"{LIST}/files/{{file_id:str}}"

_STILL_AFTER = timedelta(seconds=15)
_KINDS: dict[str, FileKind] = {"customers": "customers", "subscriptions": "subscriptions", "events": "events"}
_KIND_WORDS = {
    "customers": "Customers",
    "subscriptions": "Subscriptions",
    "events": "Events of customers",
    "profiles": "Profiles of a batch",
}
_AT_THE_FORM = (Conflict, Invalid, NoRoom, TooLarge, Unavailable)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """An import as its page shows it. `per_s` and `left_s` are None where nobody can tell."""

    job: ImportJob
    is_moving: bool
    is_here: bool
    per_s: int | None
    left_s: int | None


class ImportPages:
    """Imports in the console. They are the imports of the API, whoever began them."""

    def __init__(
        self, door: BrandDoor, *, imports: ImportService, files: HeldFiles, carrier: ImportCarrier, clock: Clock
    ) -> None:
        self._door = door
        self._imports = imports
        self._files = files
        self._carrier = carrier
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._bringing(), *self._ordering()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get(LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            before = id_in(request.query_params, "before")
            found = await self._imports.page(place.brand.id, before=before, limit=SHOWN + 1)
            return self._door.page(
                request,
                "people/imports.html",
                place,
                tab="imports",
                imports=[self._progress(job, is_here=False) for job in found[:SHOWN]],
                kinds=_KIND_WORDS,
                more=found[SHOWN - 1].id if len(found) > SHOWN else None,
                is_first=before is None,
            )

        @get(ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            return await self._page(request, place, read_id(request.path_params["import_id"]))

        @get(f"{ONE}/rejects.csv", include_in_schema=False)
        async def rejects(request: AnyRequest) -> Stream:
            place, import_id = await self._door.inside(request), read_id(request.path_params["import_id"])
            first = await self._imports.rejects(place.brand.id, import_id, limit=REJECTS_READ)
            return Stream(
                self._csv(place.brand.id, import_id, first),
                media_type="text/csv",
                headers={"Content-Disposition": f'attachment; filename="rejects-{import_id}.csv"'},
            )

        return [listed, one, rejects]

    def _bringing(self) -> list[HTTPRouteHandler]:
        @get(f"{LIST}/new", include_in_schema=False)
        async def new(request: AnyRequest) -> Response[str]:
            return self._form(request, await self._door.inside(request, "write"))

        @post(
            f"{LIST}/new",
            include_in_schema=False,
            request_max_body_size=HELD_BYTES_MAX + FORM_BYTES_MAX,
            status_code=200,
        )
        async def bring(request: AnyRequest) -> Response[str] | Redirect:
            # Who may not, and whose page it is not, is known before a byte of the file is read.
            await self._door.inside(request, "write")
            place, form = await self._door.posted(request, "write")
            try:
                kind = _KINDS.get(form.get("kind", ""))
                file = (await request.form()).get("file")
                if kind is None:
                    raise Invalid.field("/kind", "no-kind", "Say what is in the file.")
                if not isinstance(file, UploadFile):
                    raise Invalid.field("/file", "no-file", "Choose a file.")
                name = PurePath(file.filename.replace("\\", "/")).name or "file"
                held = await self._files.keep(place.brand.id, _plain(name), kind, _format_of(name, kind), file.read)
            except _AT_THE_FORM as problem:
                return self._form(request, place, problem=problem, kind=form.get("kind", ""))
            return Redirect(f"{place.root}/imports/files/{held.id}", status_code=303)

        @get(FILE, include_in_schema=False)
        async def look(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            return await self._preview(request, place, read_id(request.path_params["file_id"]))

        @post(FILE, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def begin(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            file_id = read_id(request.path_params["file_id"])
            held = await self._files.find(place.brand.id, file_id)
            if form.get("do") == "discard":
                await self._files.drop(place.brand.id, file_id)
                return Redirect(f"{place.root}/imports", status_code=303)
            try:
                job = await self._carrier.begin(held, region=place.brand.settings.default_country)
            except _AT_THE_FORM as problem:
                return await self._preview(request, place, file_id, problem=problem)
            return Redirect(f"{place.root}/imports/{job.id}", status_code=303)

        return [new, bring, look, begin]

    def _ordering(self) -> list[HTTPRouteHandler]:
        @post(ONE, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def order(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            import_id, brand_id = read_id(request.path_params["import_id"]), place.brand.id
            await self._imports.get(brand_id, import_id)
            try:
                match form.get("do"):
                    case "pause":
                        await self._imports.stop(brand_id, import_id)
                    case "go on":
                        await self._carrier.go_on(brand_id, import_id)
                    case "cancel":
                        await self._carrier.cancel(brand_id, import_id, asked_by=place.who.user.email)
                    case _:
                        raise Invalid("Nothing is changed: press one of the buttons.")
            except (*_AT_THE_FORM, NotFound) as problem:
                return await self._page(request, place, import_id, problem=problem)
            return Redirect(f"{place.root}/imports/{import_id}", status_code=303)

        return [order]

    async def _page(
        self, request: AnyRequest, place: Place, import_id: UUID, *, problem: Problem | None = None
    ) -> Response[str]:
        job = await self._imports.get(place.brand.id, import_id)
        rejects = await self._imports.rejects(place.brand.id, import_id, limit=REJECTS_SHOWN)
        return self._door.page(
            request,
            "people/import.html",
            place,
            tab="imports",
            problem=problem,
            shown=self._progress(job, is_here=await self._is_here(place, import_id)),
            rejects=rejects,
            kinds=_KIND_WORDS,
        )

    async def _is_here(self, place: Place, import_id: UUID) -> bool:
        try:
            await self._files.find(place.brand.id, import_id)
        except NotFound:
            return False
        return True

    def _progress(self, job: ImportJob, *, is_here: bool) -> Progress:
        is_moving = job.state == "running" and (
            self._carrier.is_carrying(job.id) or self._clock.now() - job.updated_at < _STILL_AFTER
        )
        until = self._clock.now() if is_moving else job.updated_at
        seconds = (until - job.created_at).total_seconds()
        lines = job.added + job.changed + job.unchanged + job.rejected
        per_s = round(lines / seconds) if seconds >= 1 and lines else None
        left: int | None = None
        if is_moving and job.bytes_total and job.bytes_done and seconds >= 1:
            left = round((job.bytes_total - job.bytes_done) * seconds / job.bytes_done)
        return Progress(job=job, is_moving=is_moving, is_here=is_here, per_s=per_s, left_s=left)

    def _form(
        self, request: AnyRequest, place: Place, *, problem: Problem | None = None, kind: str = "customers"
    ) -> Response[str]:
        return self._door.page(
            request,
            "people/import_new.html",
            place,
            tab="imports",
            problem=problem,
            kind=kind,
            kinds={name: _KIND_WORDS[name] for name in _KINDS},
            bytes_max=HELD_BYTES_MAX,
            days_max=HELD_DAYS_MAX,
        )

    async def _preview(
        self, request: AnyRequest, place: Place, file_id: UUID, *, problem: Problem | None = None
    ) -> Response[str]:
        held = await self._files.find(place.brand.id, file_id)
        sample = await self._files.sample(held)
        return self._door.page(
            request,
            "people/import_file.html",
            place,
            tab="imports",
            problem=problem,
            held=held,
            kinds=_KIND_WORDS,
            preview=preview(
                place.brand.id,
                held.kind,
                held.format,
                sample,
                is_whole=len(sample) == held.bytes,
                region=place.brand.settings.default_country,
            ),
        )

    async def _csv(self, brand_id: UUID, import_id: UUID, rejects: list[Reject]) -> AsyncGenerator[str, None]:
        yield "line,reason\r\n"
        while rejects:
            written = io.StringIO()
            csv.writer(written).writerows((reject.line, reject.reason) for reject in rejects)
            yield written.getvalue()
            rejects = await self._imports.rejects(brand_id, import_id, after=rejects[-1].line, limit=REJECTS_READ)


def _format_of(name: str, kind: FileKind) -> ImportFormat:
    """By the end of its name. Raises Invalid for one that says something else."""
    ending = name.rpartition(".")[2].lower()
    if ending in {"ndjson", "jsonl", "json"}:
        return "ndjson"
    if ending in {"csv", "tsv", "txt"} and kind != "events":
        return "csv"
    text = (
        "Events come as NDJSON: a file that ends in .ndjson or .jsonl, with an object on each line."
        if kind == "events"
        else "Choose a file that ends in .csv or .ndjson. Save a spreadsheet as CSV in UTF-8 first."
    )
    raise Invalid.field("/file", "no-format", text)


def _plain(name: str) -> str:
    """A file's name as one line."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in name)
