"""The commands of `stentor audit`. What they do is imported when they run."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from stentor.cli.options import Data, said

audit_app = typer.Typer(help="Who changed what, when, from where.", no_args_is_help=True)

_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


@audit_app.command("export")
def export_audit(
    brand: Annotated[
        str | None,
        typer.Option("--brand", metavar="BRAND", help="The brand's id, key or name.", show_default="all there is"),
    ] = None,
    organisation: Annotated[
        str | None,
        typer.Option(
            "--organisation",
            metavar="ORGANISATION",
            help="The organisation's id, number or name: its own entries and those of its brands.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", metavar="TIME", formats=_TIMES, help="From this time on, in UTC.", show_default=False),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", metavar="TIME", formats=_TIMES, help="Before this time, in UTC.", show_default=False),
    ] = None,
    fmt: Annotated[
        Literal["ndjson", "csv", "spreadsheet"],
        typer.Option("--format", help="spreadsheet is CSV that a spreadsheet takes for no formulas."),
    ] = "ndjson",
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="A new file to write.", show_default="standard output"),
    ] = None,
    data: Data = None,
) -> None:
    """Write the audit log, the oldest entry first.

    Example: stentor audit export --brand "Fan Club" --since 2026-11-01 --format csv
    """
    from stentor.cli.audit import export_audit as export

    export(
        said(data=data),
        brand=brand,
        organisation=organisation,
        since=_utc(since),
        until=_utc(until),
        fmt=fmt,
        output=output,
    )


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=UTC)
