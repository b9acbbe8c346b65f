"""The commands of `stentor user`. What they do is imported when they run."""

from typing import Annotated

import typer

from stentor.cli.options import AsJson, Data, OfOrganisation, said

user_app = typer.Typer(help="People who sign in.", no_args_is_help=True)

UserEmail = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's address.")]
InBrand = Annotated[
    str | None,
    typer.Option("--brand", metavar="BRAND", help="The role holds in this brand.", show_default="in all brands"),
]


@user_app.command("create")
def create_user(
    email: UserEmail,
    role: Annotated[
        str, typer.Option("--role", metavar="ROLE", help="owner, admin, developer, marketer or viewer.")
    ] = "viewer",
    brand: InBrand = None,
    organisation: OfOrganisation = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What people call them.", show_default="from the address"),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a user, and print a link to choose a password.

    Example: stentor user create ann@club.example --role admin
    """
    from stentor.cli.users import create_user as create

    create(said(data=data), email, role=role, brand=brand, organisation=organisation, name=name, as_json=as_json)


@user_app.command("list")
def list_users(data: Data = None, as_json: AsJson = False) -> None:
    """List the users.

    Example: stentor user list --json
    """
    from stentor.cli.users import list_users as show

    show(said(data=data), as_json=as_json)


@user_app.command("role")
def give_role(
    email: UserEmail,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="owner, admin, developer, marketer or viewer.")],
    brand: InBrand = None,
    organisation: OfOrganisation = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Give a user another role.

    It takes the place of the one that they have there, if any, and signs them out.

    Example: stentor user role ann@club.example owner --organisation "Rowing Club"
    """
    from stentor.cli.users import give_role as give

    give(said(data=data), email, role=role, brand=brand, organisation=organisation, as_json=as_json)


@user_app.command("link")
def tell_link(
    email: Annotated[
        str | None,
        typer.Argument(
            metavar="[EMAIL]", help="The user's address; left out, the first owner's link.", show_default=False
        ),
    ] = None,
    organisation: OfOrganisation = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print a link to choose a new password, or the first owner's.

    It is good once, within a week.

    Without an address: the link by which the first owner of an organisation joins, while it has no member.

    Example: stentor user link ann@club.example
    """
    from stentor.cli.users import tell_link as tell
    from stentor.cli.users import tell_owner_link

    if email is None:
        tell_owner_link(said(data=data), organisation, as_json=as_json)
    else:
        tell(said(data=data), email, as_json=as_json)


@user_app.command("reset-factor")
def reset_factor(email: UserEmail, data: Data = None, as_json: AsJson = False) -> None:
    """Take off a second factor that was lost; signs out.

    Example: stentor user reset-factor ann@club.example
    """
    from stentor.cli.users import reset_factor as reset

    reset(said(data=data), email, as_json=as_json)


@user_app.command("unlink")
def unlink(email: UserEmail, data: Data = None, as_json: AsJson = False) -> None:
    """Forget a user's id at identity providers; signs out.

    Example: stentor user unlink ann@club.example
    """
    from stentor.cli.users import unlink as forget

    forget(said(data=data), email, as_json=as_json)


@user_app.command("disable")
def disable_user(email: UserEmail, data: Data = None, as_json: AsJson = False) -> None:
    """Sign a user out for good, and revoke their tokens.

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
