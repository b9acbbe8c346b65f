"""The commands of `stentor brand`, `stentor key` and `stentor user`. What they do is imported when they run."""

from typing import Annotated

import typer

from stentor.cli.options import AsJson, Data, said

brand_app = typer.Typer(help="Brands, which own people, topics, campaigns and keys.", no_args_is_help=True)
key_app = typer.Typer(help="Keys for the API.", no_args_is_help=True)

user_app = typer.Typer(help="People who sign in.", no_args_is_help=True)

UserEmail = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's address.")]
BrandName = Annotated[str, typer.Option("--brand", metavar="BRAND", help="The brand's id, key or name.")]


@brand_app.command("create")
def create_brand(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people know the brand by.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a brand, with its built-in opt-out list and its sandbox.

    Example: stentor brand create "Fan Club" --json
    """
    from stentor.cli.accounts import create_brand as create

    create(said(data=data), name, as_json=as_json)


@brand_app.command("list")
def list_brands(data: Data = None, as_json: AsJson = False) -> None:
    """List the brands.

    Example: stentor brand list --json
    """
    from stentor.cli.accounts import list_brands as show

    show(said(data=data), as_json=as_json)


@brand_app.command("set")
def change_brand(
    brand: Annotated[str, typer.Argument(metavar="BRAND", help="The brand's id, key or name.")],
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
    brand: BrandName,
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

    Example: stentor key create --brand "Fan Club" --json
    """
    from stentor.cli.accounts import create_key as create

    create(said(data=data), brand, name=name, scopes=scopes, is_test=test, days=days, as_json=as_json)


@user_app.command("create")
def create_user(
    email: UserEmail,
    role: Annotated[
        str, typer.Option("--role", metavar="ROLE", help="owner, admin, developer, marketer or viewer.")
    ] = "viewer",
    brand: Annotated[
        str | None,
        typer.Option("--brand", metavar="BRAND", help="The role holds in this brand.", show_default="in all brands"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What people call them.", show_default="from the address"),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a user, and print the link by which they choose a password.

    Example: stentor user create ann@club.example --role admin
    """
    from stentor.cli.users import create_user as create

    create(said(data=data), email, role=role, brand=brand, name=name, as_json=as_json)


@user_app.command("list")
def list_users(data: Data = None, as_json: AsJson = False) -> None:
    """List the users.

    Example: stentor user list --json
    """
    from stentor.cli.users import list_users as show

    show(said(data=data), as_json=as_json)


@user_app.command("link")
def tell_link(email: UserEmail, data: Data = None, as_json: AsJson = False) -> None:
    """Print a link by which a user chooses a new password, once, within a week.

    Example: stentor user link ann@club.example
    """
    from stentor.cli.users import tell_link as tell

    tell(said(data=data), email, as_json=as_json)


@user_app.command("disable")
def disable_user(email: UserEmail, data: Data = None, as_json: AsJson = False) -> None:
    """Sign a user out everywhere at once, and let them in no more.

    Example: stentor user disable ann@club.example
    """
    from stentor.cli.users import set_disabled

    set_disabled(said(data=data), email, disabled=True, as_json=as_json)


@user_app.command("enable")
def enable_user(email: UserEmail, data: Data = None, as_json: AsJson = False) -> None:
    """Let a disabled user in again.

    Example: stentor user enable ann@club.example
    """
    from stentor.cli.users import set_disabled

    set_disabled(said(data=data), email, disabled=False, as_json=as_json)
