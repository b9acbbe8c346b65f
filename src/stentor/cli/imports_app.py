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
