"""Brands and keys from the command line."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from stentor.accounts.model import SCOPES
from stentor.cli.installation import brand_named, with_core
from stentor.cli.output import Exit, fail, print_json, say
from stentor.wiring import Core, accounts

if TYPE_CHECKING:
    from stentor.accounts.model import Scope


def create_brand(given: Mapping[str, Any], name: str, *, as_json: bool) -> None:
    """Makes a brand and prints its id and key."""

    async def act(core: Core) -> None:
        brand = await accounts(core).create_brand(name)
        if as_json:
            print_json({"group_id": str(brand.id), "brand_key": brand.brand_key})
        else:
            say(f"Made the brand {brand.name!r}.\n  group id   {brand.id}\n  brand key  {brand.brand_key}")

    with_core(given, act)


def list_brands(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints all brands."""

    async def act(core: Core) -> None:
        brands = await accounts(core).brands()
        if as_json:
            rows = [{"group_id": str(brand.id), "brand_key": brand.brand_key, "name": brand.name} for brand in brands]
            print_json({"brands": rows})
        else:
            say("\n".join(f"{brand.id}  {brand.brand_key}  {brand.name}" for brand in brands) or "No brand yet.")

    with_core(given, act)


def create_key(
    given: Mapping[str, Any], brand: str, *, name: str, scopes: Sequence[str] | None, is_test: bool, as_json: bool
) -> None:
    """Makes a key of a brand and prints its secret, which is shown nowhere else."""
    if unknown := sorted(set(scopes or ()) - set(SCOPES)):
        fail(f"There is no scope {', '.join(unknown)}; choose from {', '.join(SCOPES)}.", Exit.USAGE)

    async def act(core: Core) -> None:
        service = accounts(core)
        owner = await brand_named(service, brand)
        key = await service.create_key(
            name, brand_id=owner.id, scopes=cast("Sequence[Scope]", scopes or SCOPES), is_test=is_test
        )
        if as_json:
            print_json({"number": key.number, "token": key.token, "api_key": key.api_key})
        else:
            say(f"Made key {key.number}. It is shown this once.\n  token    {key.token}\n  api key  {key.api_key}")

    with_core(given, act)
