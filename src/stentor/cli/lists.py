"""Opt-out lists from the command line: files into them, out of them and past them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
from rich.console import Console
from rich.table import Table

from stentor.cli.installation import with_core
from stentor.cli.list_files import STANDARD, Source, Target, source_of
from stentor.cli.list_jobs import ASKED_BY, ListDesk, check_succeeded, command_key
from stentor.cli.output import Exit, fail, print_json
from stentor.cli.progress import row_progress
from stentor.optouts.exporting.model import (
    COLLECTIONS,
    EXPORT_FORMATS,
    Collection,
    ExportColumn,
    ExportFormat,
    ExportSpec,
    domains_in,
)
from stentor.optouts.exporting.model import checked as checked_export
from stentor.optouts.jobs.model import Job
from stentor.optouts.model import OptOutList
from stentor.optouts.scrubbing.model import CLEAN_FILE, REJECTS_FILE, REMOVED_FILE
from stentor.optouts.scrubbing.model import checked as checked_scrub
from stentor.wiring.core import Core

_FORMATS: dict[str, ExportFormat] = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
}
_MALFORMED = "malformed"


class ExportAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What an export is asked for, as the command says it."""

    columns: str | None
    file_format: str | None
    collections: Sequence[Collection]
    first_day: date | None
    last_day: date | None
    domains: str
    spreadsheet: bool


def import_list(
    given: Mapping[str, Any],
    file: Path,
    reference: str,
    *,
    brand: str | None,
    rejects: Path | None,
    as_json: bool,
) -> None:
    """Brings the file onto the list, going on where the same command was killed, and prints what became of its lines."""
    source = source_of(file)
    rejected = _rejects(source, rejects, as_json=as_json)
    _check_apart([file, *(target.path for target in rejected.values())])

    async def act(desk: ListDesk) -> None:
        into = await desk.lists.get(desk.brand_id, reference)
        command = command_key("import", into.id, source.stamp)

        async def make() -> Job:
            return await desk.jobs.prepare_import(
                desk.brand_id,
                str(into.id),
                declared_bytes=source.size,
                spec={"source": source.name, "command": command},
                asked_by=ASKED_BY,
            )

        job = await (make() if source.stamp is None else desk.job(command, make))
        with row_progress(_MALFORMED) as progress:
            job = await desk.finished(job, progress, source)
            told = _import_told(job, into, rejected)
            await desk.fetch(job, rejected, progress)
            check_succeeded(job, told if as_json else None)
        _print(told, as_json=as_json, to_stderr=_on_stdout(rejected))

    _at_desk(given, brand, act)


def export_list(
    given: Mapping[str, Any],
    reference: str,
    out: Path,
    asked: ExportAsked,
    *,
    brand: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Writes the list down, and prints what is in the file."""
    target = _target(out, force=force, option="--out", as_json=as_json)
    file_format = _format(out, asked.file_format)

    async def act(desk: ListDesk) -> None:
        of = await desk.lists.get(desk.brand_id, reference)
        spec = _export_spec(asked, of, file_format)
        kept = spec.as_json()
        command = command_key("export", of.id, kept, str(target.path))

        async def make() -> Job:
            return await desk.jobs.begin_export(
                desk.brand_id, str(of.id), {**kept, "command": command}, asked_by=ASKED_BY
            )

        job = await desk.job(command, make)
        with row_progress(_MALFORMED) as progress:
            job = await desk.finished(job, progress)
            told = {
                "job": str(job.id),
                "list": of.name,
                "state": job.state,
                "columns": spec.header,
                "format": spec.format,
                "elapsed_s": job.elapsed_s,
                "bytes": sum(result.bytes for result in job.results.values()),
                "file": str(target.path),
            }
            check_succeeded(job, told if as_json else None)
            await desk.fetch(job, {spec.file_name: target}, progress, clears_away=True)
        _print(told, as_json=as_json, to_stderr=target.is_standard)

    _at_desk(given, brand, act)


def scrub_file(
    given: Mapping[str, Any],
    file: Path,
    against: Sequence[str],
    out: Path,
    removed: Path | None,
    *,
    brand: str | None,
    rejects: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Parts the file into who is on none of the lists, and who is, and prints how many these are."""
    source = source_of(file)
    targets = {CLEAN_FILE: _target(out, force=force, option="--out", as_json=as_json)}
    if removed is not None:
        targets[REMOVED_FILE] = _target(removed, force=force, option="--removed", as_json=as_json)
    gzipped = _gzipped(out, removed)
    rejected = _rejects(source, rejects, as_json=as_json)
    _check_apart([file, *(target.path for target in (*targets.values(), *rejected.values()))])

    async def act(desk: ListDesk) -> None:
        lists = await desk.lists.all_of(desk.brand_id, against)
        spec = checked_scrub([held.id for held in lists], gzipped=gzipped)
        kept = spec.as_json()
        named = {spec.file_name(name): target for name, target in targets.items()}
        paths = [str(target.path) for target in named.values()]
        command = command_key("scrub", kept, source.stamp, paths)

        async def make() -> Job:
            return await desk.jobs.prepare_scrub(
                desk.brand_id,
                {**kept, "source": source.name, "command": command},
                declared_bytes=source.size,
                asked_by=ASKED_BY,
            )

        job = await (make() if source.stamp is None else desk.job(command, make))
        with row_progress(_MALFORMED) as progress:
            job = await desk.finished(job, progress, source)
            told = {
                "job": str(job.id),
                "against": [held.name for held in lists],
                "state": job.state,
                "submitted": job.submitted,
                "clean": job.added,
                "removed": job.duplicate,
                "malformed": job.malformed,
                "elapsed_s": job.elapsed_s,
                "file": str(targets[CLEAN_FILE].path),
                "removed_file": str(targets[REMOVED_FILE].path) if removed is not None else None,
                "rejects_file": _rejects_told(job, rejected),
            }
            check_succeeded(job, told if as_json else None)
            await desk.fetch(job, {**rejected, **named}, progress, clears_away=True)
        _print(told, as_json=as_json, to_stderr=_on_stdout({**targets, **rejected}))

    _at_desk(given, brand, act)


def _at_desk(given: Mapping[str, Any], brand: str | None, act: Callable[[ListDesk], Awaitable[None]]) -> None:

    async def main(core: Core) -> None:
        desk = await ListDesk.opened(core, brand)
        await desk.check_not_paused()
        await act(desk)

    with_core(given, main)


def _target(path: Path, *, force: bool, option: str, as_json: bool) -> Target:
    if path == STANDARD and as_json:
        fail(f"With --json standard output is for the result; name a file with {option}.", Exit.USAGE)
    return Target(path, force=force, option=option)


def _rejects(source: Source, path: Path | None, *, as_json: bool) -> dict[str, Target]:
    """Where rejected lines are listed; of a pipe only if somewhere was named."""
    if path is None and source.stamp is not None:
        path = source.path.with_name(f"{source.path.name}.rejects.csv")
    return {} if path is None else {REJECTS_FILE: _target(path, force=True, option="--rejects", as_json=as_json)}


def _on_stdout(targets: Mapping[str, Target]) -> bool:
    return any(target.is_standard for target in targets.values())


def _rejects_told(job: Job, rejected: Mapping[str, Target]) -> str | None:
    return str(rejected[REJECTS_FILE].path) if job.results.keys() & rejected.keys() else None


def _check_apart(paths: Sequence[Path]) -> None:
    places = [path.resolve() for path in paths if path != STANDARD]
    if len(set(places)) < len(places) or sum(path == STANDARD for path in paths[1:]) > 1:
        fail("The files that are read and written must be different ones.", Exit.USAGE)


def _gzipped(out: Path, removed: Path | None) -> bool:
    gzipped = out.suffix == ".gz"
    if removed is not None and (removed.suffix == ".gz") != gzipped:
        fail("Both files are compressed, or none: let both names end in .gz, or neither.", Exit.USAGE)
    return gzipped


def _format(out: Path, said: str | None) -> ExportFormat:
    if said is not None:
        if said not in EXPORT_FORMATS:
            fail(f"There is no format {said!r}; it is {', '.join(EXPORT_FORMATS)}.", Exit.USAGE)
        return cast("ExportFormat", said)
    if out == STANDARD:
        return "csv"
    if out.suffix.lower() not in _FORMATS:
        fail(f"{out.name} does not say what it shall be; say --format {' or '.join(EXPORT_FORMATS)}.", Exit.USAGE)
    return _FORMATS[out.suffix.lower()]


def _export_spec(asked: ExportAsked, of: OptOutList, file_format: ExportFormat) -> ExportSpec:
    said = asked.columns or ("hashed" if of.keeps_hashes_only else "plain")
    columns = [name.strip() for name in said.split(",")]
    if unknown := [name for name in columns if name not in get_args(ExportColumn)]:
        fail(f"There is no column {unknown[0]!r}; choose from {', '.join(get_args(ExportColumn))}.", Exit.USAGE)
    return checked_export(
        ExportSpec(
            columns=cast("tuple[ExportColumn, ...]", tuple(columns)),
            collections=tuple(asked.collections) or COLLECTIONS,
            first_day=asked.first_day,
            last_day=asked.last_day,
            domains=domains_in(asked.domains),
            format=file_format,
            spreadsheet=asked.spreadsheet,
        )
    )


def _import_told(job: Job, into: OptOutList, rejected: Mapping[str, Target]) -> dict[str, Any]:
    return {
        "job": str(job.id),
        "list": into.name,
        "state": job.state,
        "submitted": job.submitted,
        "added": job.added,
        "duplicate": job.duplicate,
        "malformed": job.malformed,
        "elapsed_s": job.elapsed_s,
        "rejects_file": _rejects_told(job, rejected),
    }


def _print(told: Mapping[str, Any], *, as_json: bool, to_stderr: bool) -> None:
    if as_json:
        print_json(told)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in told.items():
        if name not in {"job", "state"} and value is not None:
            table.add_row(
                *(("took", f"{value:,} s") if name == "elapsed_s" else (name.replace("_", " "), _shown(value)))
            )
    Console(stderr=to_stderr, soft_wrap=True, markup=False, highlight=False).print(table)


def _shown(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
