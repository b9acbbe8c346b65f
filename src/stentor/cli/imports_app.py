"""The commands of `stentor customers` and `stentor subscriptions`. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

from stentor.cli.options import AsJson, Data, OnlyBrand, said

customers_app = typer.Typer(help="People, by the million.", no_args_is_help=True)
subscriptions_app = typer.Typer(help="What people opted in to, by the million.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file with a header, or NDJSON; in UTF-8.")]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="FORMAT", help="csv or ndjson.", show_default="what the file's name says"),
]
Rejects = Annotated[
    Path | None,
    typer.Option(
        "--rejects",
        metavar="FILE",
        help="Where rejected lines are listed, with the reason.",
        show_default="the file's name and .rejects.csv",
    ),
]


ExternalIds = Annotated[
    list[str], typer.Argument(metavar="EXTERNAL_ID", help="Your ids of the people; at most 100 at once.")
]


@customers_app.command("erase")
def erase_customers(
    external_ids: ExternalIds,
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Erase people, for good.

    When it returns they are gone, and nothing more is begun for them; what had been sent to them is emptied within minutes by
    the workers, and files of opt-out lists within 30 days. Their addresses stay suppressed. The same command again answers
    with the same erasures.

    Example: stentor customers erase crm-77 --brand "Fan Club"
    """
    from stentor.cli.erasures import erase_people

    erase_people(said(data=data), external_ids, brand=brand, as_json=as_json)


@customers_app.command("export")
def export_customer(
    external_id: Annotated[str, typer.Argument(metavar="EXTERNAL_ID", help="Your id of the person.")],
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="The file to write, private; - for standard output.")
    ] = "-",
    lines: Annotated[bool, typer.Option("--ndjson", help="One thing a line, instead of one JSON object.")] = False,
    brand: OnlyBrand = None,
    data: Data = None,
) -> None:
    """Export all that is held of a person.

    Example: stentor customers export crm-77 --brand "Fan Club" --out crm-77.json
    """
    from stentor.cli.erasures import export_person

    export_person(said(data=data), external_id, out=out, lines=lines, brand=brand)


@customers_app.command("erasures")
def list_erasures(
    limit: Annotated[
        int, typer.Option("--limit", metavar="NUMBER", min=1, max=1000, help="How many, the newest first.")
    ] = 100,
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List erasures: when, and by whom.

    Who it was is not known any more; a hash says whether it was the same person.

    Example: stentor customers erasures --brand "Fan Club" --json
    """
    from stentor.cli.erasures import list_erasures as show

    show(said(data=data), brand=brand, limit=limit, as_json=as_json)


@customers_app.command("import")
def import_customers(
    file: File,
    brand: OnlyBrand = None,
    file_format: Format = None,
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="COUNTRY",
            help="Country of phone numbers without a country code, as DE.",
            show_default="the brand's",
        ),
    ] = None,
    rejects: Rejects = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Import people.

    The same file again changes nothing, and an interrupted import goes on where it stopped.

    The header (or each JSON object) names external_id, email, phone, push_tokens, locale, time_zone; any other name is an
    attribute.

    Example: stentor customers import people.csv --brand "Fan Club" --region DE
    """
    from stentor.cli.imports import import_file

    import_file(
        said(data=data),
        "customers",
        file,
        brand=brand,
        file_format=file_format,
        region=region,
        rejects=rejects,
        as_json=as_json,
    )


@subscriptions_app.command("import")
def import_subscriptions(
    file: File,
    brand: OnlyBrand = None,
    file_format: Format = None,
    rejects: Rejects = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Import what people opted in to.

    The header (or each JSON object) names external_id, topic, and optionally channels and subscribed (yes or no).

    Example: stentor subscriptions import opt-ins.ndjson
    """
    from stentor.cli.imports import import_file

    import_file(
        said(data=data),
        "subscriptions",
        file,
        brand=brand,
        file_format=file_format,
        region=None,
        rejects=rejects,
        as_json=as_json,
    )
