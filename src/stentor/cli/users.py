"""Users from the command line."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from stentor.accounts.letters import link_of
from stentor.accounts.roles import ROLES
from stentor.cli.installation import brand_named, with_core
from stentor.cli.output import Exit, fail, print_json, say
from stentor.wiring import Core, accounts, base_url, people_accounts

if TYPE_CHECKING:
    from stentor.accounts.roles import Role
    from stentor.accounts.user_model import User


def create_user(
    given: Mapping[str, Any], email: str, *, role: str, brand: str | None, name: str | None, as_json: bool
) -> None:
    """Makes a user and prints the link by which they choose a password."""
    if role not in ROLES:
        fail(f"There is no role {role!r}; choose from {', '.join(ROLES)}.", Exit.USAGE)

    async def act(core: Core) -> None:
        service, people = accounts(core), people_accounts(core)
        in_brand = None if brand is None else await brand_named(service, brand)
        organisation_id = (
            (await service.ensure_first_organisation()).id if in_brand is None else in_brand.organisation_id
        )
        user = await people.users.create(
            email,
            name or email.partition("@")[0],
            organisation_id=organisation_id,
            brand_id=None if in_brand is None else in_brand.id,
            role=cast("Role", role),
        )
        await _tell_link(core, user, as_json=as_json, made=f"Made {user.email}, as {role}.")

    with_core(given, act)


def tell_link(given: Mapping[str, Any], email: str, *, as_json: bool) -> None:
    """Prints a link by which a user chooses a new password once."""

    async def act(core: Core) -> None:
        user = await people_accounts(core).users.named(email)
        await _tell_link(core, user, as_json=as_json, made=f"A link for {user.email}.")

    with_core(given, act)


def list_users(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints all users."""

    async def act(core: Core) -> None:
        users = await people_accounts(core).users.users()
        if as_json:
            print_json({"users": [_told(user) for user in users]})
        else:
            lines = [f"{user.email}  {user.name}{'  (disabled)' if user.disabled_at else ''}" for user in users]
            say("\n".join(lines) or "No user yet. Make one with `stentor user create EMAIL --role owner`.")

    with_core(given, act)


def set_disabled(given: Mapping[str, Any], email: str, *, disabled: bool, as_json: bool) -> None:
    """Signs a user out for good, or lets them in again."""

    async def act(core: Core) -> None:
        users = people_accounts(core).users
        user = await users.set_disabled((await users.named(email)).id, disabled=disabled)
        if as_json:
            print_json(_told(user))
        else:
            say(f"{user.email} is signed out, and cannot sign in." if disabled else f"{user.email} can sign in again.")

    with_core(given, act)


async def _tell_link(core: Core, user: "User", *, as_json: bool, made: str) -> None:
    link = link_of(base_url(core.settings), "password", await people_accounts(core).sign_in.link_for(user))
    if as_json:
        print_json({**_told(user), "link": link})
        return
    say(f"{made} Whoever opens this link chooses the password, once, within a week:\n  {link}")


def _told(user: "User") -> dict[str, Any]:
    return {
        "user_id": str(user.id),
        "email": user.email,
        "name": user.name,
        "is_disabled": user.disabled_at is not None,
    }
