"""Organisations from the command line."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stentor.accounts.letters import link_of
from stentor.cli.installation import organisation_named, with_core
from stentor.cli.output import print_json, say, table
from stentor.wiring.core import Core, accounts, base_url
from stentor.wiring.services import people_accounts

if TYPE_CHECKING:
    from uuid import UUID

    from stentor.accounts.model import Organisation


def create_organisation(given: Mapping[str, Any], name: str, *, as_json: bool) -> None:
    """Makes an organisation and prints the link by which its first owner joins."""

    async def act(core: Core) -> None:
        made = await accounts(core).create_organisation(name)
        link = await owner_link(core, made.id)
        if as_json:
            print_json({**told(made), "owner_link": link})
        else:
            say(
                f"Made the organisation {made.name!r}.\n  organisation  {made.id}\n  tenant        {made.number}\n\n"
                f"Whoever opens this link owns it, once, within a week:\n  {link}"
            )

    with_core(given, act)


def list_organisations(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints all organisations."""

    async def act(core: Core) -> None:
        present = await accounts(core).organisations()
        if as_json:
            print_json({"organisations": [told(one) for one in present]})
        else:
            rows = [(str(one.id), str(one.number), one.name) for one in present]
            say(table([("organisation", "tenant", "name"), *rows]))

    with_core(given, act)


def rename_organisation(given: Mapping[str, Any], organisation: str, name: str, *, as_json: bool) -> None:
    """Gives an organisation another name."""

    async def act(core: Core) -> None:
        service = accounts(core)
        renamed = await service.rename_organisation((await organisation_named(service, organisation)).id, name)
        if as_json:
            print_json(told(renamed))
        else:
            say(f"It is called {renamed.name!r} now.")

    with_core(given, act)


async def owner_link(core: Core, organisation_id: "UUID") -> str | None:
    """The link by which the organisation's first owner joins; None where it has members."""
    invitations = people_accounts(core).invitations
    invitation = await invitations.invite_first_owner(organisation_id)
    return None if invitation is None else link_of(base_url(core.settings), "invitation", invitations.token(invitation))


def told(organisation: "Organisation") -> dict[str, Any]:
    return {"organisation_id": str(organisation.id), "tenant_id": organisation.number, "name": organisation.name}
