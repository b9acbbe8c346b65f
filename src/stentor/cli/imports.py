"""Importing people, and what they chose, from a file: with progress, resumable, the rejected lines in a file of their own."""

import csv
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, cast
from uuid import UUID

from stentor.audience.imports import ImportService
from stentor.audience.model import FileKind, ImportFormat, ImportJob, Reject
from stentor.cli.installation import brand_or_only, with_core
from stentor.cli.output import Exit, fail, print_json, say
from stentor.cli.processes import spare_the_collector
from stentor.cli.progress import row_progress
from stentor.wiring.core import Core, accounts, imports

_CHUNK_BYTES = 1 << 20
_FORMATS: dict[str, ImportFormat] = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}


def import_file(
    given: Mapping[str, Any],
    kind: FileKind,
    file: Path,
    *,
    brand: str | None,
    file_format: str | None,
    region: str | None,
    rejects: Path | None,
    as_json: bool,
) -> None:
    """Imports the file, going on where an interrupted import of it stopped, and prints what became of its lines."""
    chosen = _format(file, file_format)
    source, size = source_of(file), file.stat().st_size
    rejects = rejects or file.with_name(file.name + ".rejects.csv")
    _check_can_be_written(rejects)

    async def act(core: Core) -> None:
        owner = await brand_or_only(accounts(core), brand)
        service = imports(core)
        country = region or owner.settings.default_country
        spare_the_collector()
        job = await service.begin(owner.id, kind, chosen, source, bytes_total=size, region=country)
        ended = await _run(service, owner.id, job, file, rejects)
        if as_json:
            print_json(ended)
        else:
            say(_summary(ended, rejects))

    with_core(given, act)


async def _run(service: ImportService, brand_id: UUID, job: ImportJob, file: Path, rejects: Path) -> ImportJob:
    if job.bytes_done:
        say(f"Going on at byte {job.bytes_done:,} of {job.bytes_total:,}.")
    with _RejectsFile(rejects, goes_on=job.bytes_done > 0) as rejected, row_progress("rejected") as shown:
        if job.rejected:
            await _catch_up(service, brand_id, job, rejected)
        task = shown.add_task(
            job.kind, total=job.bytes_total, completed=job.bytes_done, unit="bytes", rows=0, refused=job.rejected
        )

        def show(now: ImportJob) -> None:
            rows = now.lines_done - job.lines_done
            shown.update(task, completed=now.bytes_done, rows=rows, refused=now.rejected)

        return await service.run(
            brand_id, job.id, _chunks(file, job.bytes_done), on_progress=show, on_rejects=rejected.write
        )


async def _catch_up(service: ImportService, brand_id: UUID, job: ImportJob, rejected: "_RejectsFile") -> None:
    """Writes down what an earlier run stored and was killed before it could tell."""
    told, last = rejected.lines(), 0
    while rejects := await service.rejects(brand_id, job.id, after=last):
        last = rejects[-1].line
        if missing := [reject for reject in rejects if reject.line not in told]:
            rejected.write(missing)


def _format(file: Path, said: str | None) -> ImportFormat:
    if not file.is_file():
        fail(f"{file} is no file that can be read.", Exit.USAGE)
    if said is not None:
        if said not in _FORMATS.values():
            fail(f"There is no format {said!r}; it is csv or ndjson.", Exit.USAGE)
        return cast("ImportFormat", said)
    if file.suffix.lower() not in _FORMATS:
        fail(f"{file.name} does not say what it is; say --format csv or --format ndjson.", Exit.USAGE)
    return _FORMATS[file.suffix.lower()]


def _check_can_be_written(rejects: Path) -> None:
    try:
        is_new = not rejects.exists()
        rejects.open("ab").close()
        if is_new:
            rejects.unlink()
    except OSError as error:
        fail(
            f"{rejects}, where rejected lines are listed, cannot be written: {error.strerror}. "
            "Name another file with --rejects.",
            Exit.USAGE,
        )


def source_of(file: Path) -> str:
    # With its time: an interrupted import must not go on in the middle of another content of the same name and size.
    changed_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return f"{file.name[-200:]} of {changed_at:%Y-%m-%d %H:%M:%S.%f}"


async def _chunks(file: Path, offset: int) -> AsyncIterator[bytes]:
    with file.open("rb") as opened:
        opened.seek(offset)
        while chunk := opened.read(_CHUNK_BYTES):
            yield chunk


class _RejectsFile:
    """Where rejected lines are told of, number and reason; begun with the first of them."""

    def __init__(self, path: Path, *, goes_on: bool) -> None:
        self._path = path
        self._goes_on = goes_on
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def lines(self) -> set[int]:
        """The numbers of the lines that are told of already."""
        if not (self._goes_on and self._path.exists()):
            return set()
        with self._path.open(encoding="utf-8", newline="") as file:
            return {int(row[0]) for row in csv.reader(file) if row and row[0].isdecimal()}

    def write(self, rejects: Sequence[Reject]) -> None:
        """Adds these; they are in the file when this returns."""
        file = self._file or self._begun()
        csv.writer(file).writerows((reject.line, reject.reason) for reject in rejects)
        file.flush()

    def _begun(self) -> TextIO:
        if self._goes_on and self._path.exists():
            self._file = self._path.open("a", encoding="utf-8", newline="")
        else:
            self._file = self._path.open("w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(("line", "reason"))
        return self._file


def _summary(job: ImportJob, rejects: Path) -> str:
    told = f"{job.added:,} added, {job.changed:,} changed, {job.unchanged:,} unchanged, {job.rejected:,} rejected."
    if job.bad_addresses:
        told += f"\nUnusable addresses: {job.bad_addresses:,}. Their people are kept, and left out of what would be sent there."
    if job.rejected:
        told += f"\nThe rejected lines and why: {rejects}"
    return told
