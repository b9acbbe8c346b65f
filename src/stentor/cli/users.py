"""Users from the command line."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from stentor.accounts.letters import link_of
from stentor.accounts.roles import ROLES
from stentor.cli.installation import brand_named, organisation_named, with_core
from stentor.cli.organisations import owner_link, told
from stentor.cli.output import Exit, fail, print_json, say
from stentor.wiring.core import Core, accounts, base_url
from stentor.wiring.services import people_accounts

if TYPE_CHECKING:
    from uuid import UUID

    from stentor.accounts.roles import Role
    from stentor.accounts.user_model import User


def create_user(
    given: Mapping[str, Any],
    email: str,
    *,
    role: str,
    brand: str | None,
    organisation: str | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Makes a user and prints the link by which they choose a password."""
    _check_place(role, brand, organisation)

    async def act(core: Core) -> None:
        people = people_accounts(core)
        organisation_id, brand_id = await _place(core, brand, organisation)
        user = await people.users.create(
            email,
            name or email.partition("@")[0],
            organisation_id=organisation_id,
            brand_id=brand_id,
            role=cast("Role", role),
        )
        await _tell_link(core, user, as_json=as_json, made=f"Made {user.email}, as {role}.")

    with_core(given, act)


def give_role(
    given: Mapping[str, Any], email: str, *, role: str, brand: str | None, organisation: str | None, as_json: bool
) -> None:
    """Gives a user a role, also where they have none yet."""
    _check_place(role, brand, organisation)

    async def act(core: Core) -> None:
        users = people_accounts(core).users
        user, (organisation_id, brand_id) = await users.named(email), await _place(core, brand, organisation)
        await users.give_role(organisation_id, user.id, cast("Role", role), brand_id=brand_id)
        if as_json:
            print_json({**_told(user), "role": role})
        else:
            say(
                f"{user.email} is {role} there, and signs in anew. API tokens that they made there and that may do more are "
                "revoked."
            )

    with_core(given, act)


def tell_owner_link(given: Mapping[str, Any], organisation: str | None, *, as_json: bool) -> None:
    """Prints the link by which the first owner of an organisation joins."""

    async def act(core: Core) -> None:
        owned = await organisation_named(accounts(core), organisation)
        link = await owner_link(core, owned.id)
        if link is None:
            fail(f"{owned.name} has members already. Name whose link it is to be: `stentor user link EMAIL`.")
        if as_json:
            print_json({**told(owned), "owner_link": link})
        else:
            say(f"Whoever opens this link owns {owned.name}, once, within a week of its making:\n  {link}")

    with_core(given, act)


def reset_factor(given: Mapping[str, Any], email: str, *, as_json: bool) -> None:
    """Takes a lost second factor off."""
    _change(
        given, email, _reset_factor, "No second factor is asked of {} any more. They are signed out.", as_json=as_json
    )


def unlink(given: Mapping[str, Any], email: str, *, as_json: bool) -> None:
    """Forgets by which id an identity provider knows a user."""
    _change(given, email, _unlink, "The identity provider knows {} no more. They are signed out.", as_json=as_json)


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
            say(
                f"{user.email} is signed out, and cannot sign in. All API tokens that they made are revoked."
                if disabled
                else f"{user.email} can sign in again. API tokens that were revoked stay so."
            )

    with_core(given, act)


def _change(
    given: Mapping[str, Any], email: str, change: Callable[[Core, "User"], Awaitable[None]], said: str, *, as_json: bool
) -> None:
    async def act(core: Core) -> None:
        user = await people_accounts(core).users.named(email)
        await change(core, user)
        if as_json:
            print_json(_told(user))
        else:
            say(said.format(user.email))

    with_core(given, act)


async def _reset_factor(core: Core, user: "User") -> None:
    await people_accounts(core).sign_in.reset_second_factor(user)


async def _unlink(core: Core, user: "User") -> None:
    await people_accounts(core).joining.unlink(user)


def _check_place(role: str, brand: str | None, organisation: str | None) -> None:
    if role not in ROLES:
        fail(f"There is no role {role!r}; choose from {', '.join(ROLES)}.", Exit.USAGE)
    if brand is not None and organisation is not None:
        fail("A brand belongs to one organisation: say --brand or --organisation.", Exit.USAGE)


async def _place(core: Core, brand: str | None, organisation: str | None) -> "tuple[UUID, UUID | None]":
    """The organisation that is meant, and the brand, if one is."""
    service = accounts(core)
    if brand is None:
        return (await organisation_named(service, organisation)).id, None
    in_brand = await brand_named(service, brand)
    return in_brand.organisation_id, in_brand.id


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
