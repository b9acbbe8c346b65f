"""The commands of `stentor organisation`, `stentor brand` and `stentor key`. What they do is imported when they run."""

from typing import Annotated

import typer

from stentor.cli.options import AsJson, Data, OfOrganisation, said

organisation_app = typer.Typer(help="Organisations, which own brands and have members.", no_args_is_help=True)
brand_app = typer.Typer(help="Brands, which own people, topics, campaigns and keys.", no_args_is_help=True)
key_app = typer.Typer(help="Keys for the API.", no_args_is_help=True)

OrganisationArgument = Annotated[
    str, typer.Argument(metavar="ORGANISATION", help="The organisation's id, number or name.")
]
BrandArgument = Annotated[str, typer.Argument(metavar="BRAND", help="The brand's id, key or name.")]


@organisation_app.command("create")
def create_organisation(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What its members know it by.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make an organisation, and print its first owner's link.

    Example: stentor organisation create "Rowing Club"
    """
    from stentor.cli.organisations import create_organisation as create

    create(said(data=data), name, as_json=as_json)


@organisation_app.command("list")
def list_organisations(data: Data = None, as_json: AsJson = False) -> None:
    """List the organisations.

    Example: stentor organisation list --json
    """
    from stentor.cli.organisations import list_organisations as show

    show(said(data=data), as_json=as_json)


@organisation_app.command("rename")
def rename_organisation(
    organisation: OrganisationArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Give an organisation another name.

    Example: stentor organisation rename Organisation "Sports Club"
    """
    from stentor.cli.organisations import rename_organisation as rename

    rename(said(data=data), organisation, name, as_json=as_json)


@brand_app.command("create")
def create_brand(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people know the brand by.")],
    organisation: OfOrganisation = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a brand, with its built-in opt-out list and its sandbox.

    Example: stentor brand create "Fan Club" --json
    """
    from stentor.cli.accounts import create_brand as create

    create(said(data=data), name, organisation=organisation, as_json=as_json)


@brand_app.command("rename")
def rename_brand(
    brand: BrandArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Give a brand another name.

    It is known by it everywhere within a second.

    Example: stentor brand rename "My brand" "Fan Club"
    """
    from stentor.cli.accounts import rename_brand as rename

    rename(said(data=data), brand, name, as_json=as_json)


@brand_app.command("list")
def list_brands(data: Data = None, as_json: AsJson = False) -> None:
    """List the brands.

    Example: stentor brand list --json
    """
    from stentor.cli.accounts import list_brands as show

    show(said(data=data), as_json=as_json)


@brand_app.command("set")
def change_brand(
    brand: BrandArgument,
    assignments: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Settings to change.", show_default=False)
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Change a brand's settings, and print all of them.

    A change holds everywhere within a second.

    Example: stentor brand set "Fan Club" from_name="Fan Club" from_address=hello@club.example preferences_enabled=true
    """
    from stentor.cli.accounts import change_brand as change

    change(said(data=data), brand, assignments or [], as_json=as_json)


@key_app.command("create")
def create_key(
    brand: Annotated[
        str | None,
        typer.Option("--brand", metavar="BRAND", help="The brand's id, key or name.", show_default=False),
    ] = None,
    organisation: Annotated[
        str | None,
        typer.Option(
            "--organisation",
            metavar="ORGANISATION",
            help="Instead of a brand: a key for all of that organisation.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What the key is for.")] = "Command line",
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", metavar="SCOPE", help="run, read, write or admin; may be repeated.", show_default="all"
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="A test key: what it triggers goes to the sandbox.")] = False,
    days: Annotated[
        int | None,
        typer.Option("--days", metavar="DAYS", min=1, max=3_650, help="Days until it expires.", show_default="never"),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; its secret is shown this once.

    It opens one brand, or an organisation with all its brands.

    Example: stentor key create --brand "Fan Club" --json
    """
    from stentor.cli.accounts import create_key as create

    create(
        said(data=data),
        brand,
        organisation=organisation,
        name=name,
        scopes=scopes,
        is_test=test,
        days=days,
        as_json=as_json,
    )
