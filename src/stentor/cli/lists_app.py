"""The commands of `stentor lists`. What they do is imported when they run."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from stentor.cli.options import AsJson, Data, OnlyBrand, said

lists_app = typer.Typer(help="Opt-out lists, of any size.", no_args_is_help=True)

ListName = Annotated[str, typer.Argument(metavar="LIST", help="The list's id, code or name.")]
ListOrAll = Annotated[
    str | None,
    typer.Argument(metavar="[LIST]", help="The list's id, code or name.", show_default="all of the brand"),
]
Into = Annotated[str, typer.Option("--list", metavar="LIST", help="The list's id, code or name.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there already.")]
Rejects = Annotated[
    Path | None,
    typer.Option(
        "--rejects",
        metavar="FILE",
        help="Where malformed lines are listed, with the reason.",
        show_default="the file's name and .rejects.csv",
    ),
]


@lists_app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people know the list by.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind", metavar="KIND", help="plain, or the hash that is kept alone: md5, sha1, sha256, sha512."
        ),
    ] = "plain",
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a list.

    Everything else about it is set by the API; it is for the whole brand, and asked at once.

    Example: stentor lists create partners --kind sha256
    """
    from stentor.cli.list_questions import create_list

    create_list(said(data=data), name, kind=kind, brand=brand, as_json=as_json)


@lists_app.command("show")
def show(
    name: ListOrAll = None,
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show what lists there are.

    Example: stentor lists show --json
    """
    from stentor.cli.list_questions import show_lists

    show_lists(said(data=data), name, brand=brand, as_json=as_json)


@lists_app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="One address, domain or hash a line, or CSV with a header; plain, gzip or zstd; - for standard input.",
        ),
    ],
    name: Into,
    brand: OnlyBrand = None,
    rejects: Rejects = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Bring a file onto a list.

    All of it is on the list at one moment, or nothing. The same file again adds nothing, and the same command goes on where
    an earlier one was killed.

    Example: stentor lists import optouts.csv.gz --list partners
    """
    from stentor.cli.lists import import_list

    import_list(said(data=data), file, name, brand=brand, rejects=rejects, as_json=as_json)


@lists_app.command("export")
def export(
    name: ListName,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write; - for standard output.")],
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="NAMES",
            help="Of plain, hashed, timestamp, campaign, ip; comma-separated, in that order.",
            show_default="plain, or hashed of a list of hashes",
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help="csv, ndjson or parquet.", show_default="what the file's name says"
        ),
    ] = None,
    collected: Annotated[
        bool, typer.Option("--collected", help="What people and providers said, and not what came in files.")
    ] = False,
    imported: Annotated[bool, typer.Option("--imported", help="What came in files or by the API alone.")] = False,
    first_day: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], metavar="DAY", help="Since that day, of UTC.", show_default=False),
    ] = None,
    last_day: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], metavar="DAY", help="Up to that day, of UTC.", show_default=False),
    ] = None,
    domains: Annotated[
        str,
        typer.Option(
            "--domains", metavar="NAMES", help="Addresses there and below alone, comma-separated.", show_default=False
        ),
    ] = "",
    spreadsheet: Annotated[
        bool, typer.Option("--spreadsheet", help="In CSV, make what a spreadsheet takes for a formula into text.")
    ] = False,
    force: Force = False,
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Write a list down.

    Example: stentor lists export partners --out partners.csv --columns plain,timestamp
    """
    from stentor.cli.lists import ExportAsked, export_list

    asked = ExportAsked(
        columns=columns,
        file_format=file_format,
        collections=[*(["collected"] if collected else []), *(["imported"] if imported else [])],
        first_day=first_day and first_day.date(),
        last_day=last_day and last_day.date(),
        domains=domains,
        spreadsheet=spreadsheet,
    )
    export_list(said(data=data), name, out, asked, brand=brand, force=force, as_json=as_json)


@lists_app.command("scrub")
def scrub(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="One address or hash a line, or CSV with a header, whose rows stay whole; - for standard input.",
        ),
    ],
    against: Annotated[
        list[str], typer.Option("--against", metavar="LIST", help="A list's id, code or name; may be repeated.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="Who is on none of the lists; .gz compresses it."),
    ],
    removed: Annotated[
        Path | None,
        typer.Option("--removed", metavar="FILE", help="Who is on one of them.", show_default=False),
    ] = None,
    rejects: Rejects = None,
    force: Force = False,
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Take out of a file who is on lists.

    Example: stentor lists scrub people.csv --against partners --against built-in --out clean.csv --removed gone.csv
    """
    from stentor.cli.lists import scrub_file

    scrub_file(said(data=data), file, against, out, removed, brand=brand, rejects=rejects, force=force, as_json=as_json)


@lists_app.command("check")
def check(
    name: ListName,
    addresses: Annotated[
        list[str],
        typer.Argument(metavar="ADDRESS...", help="Addresses, numbers, domains or hashes; - reads them from lines."),
    ],
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Say whether addresses are on a list.

    Example: stentor lists check partners ann@example.org +491701234567
    """
    from stentor.cli.list_questions import check_addresses

    check_addresses(said(data=data), name, addresses, brand=brand, as_json=as_json)


@lists_app.command("compact")
def compact(
    name: ListOrAll = None,
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Merge the files of a list now.

    Workers do so by themselves when there are many. Nobody waits for it.

    Example: stentor lists compact partners
    """
    from stentor.cli.list_questions import compact_lists

    compact_lists(said(data=data), name, brand=brand, as_json=as_json)
