"""Brands and keys from the command line."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import msgspec

from stentor.accounts.model import SCOPES, BrandSettings
from stentor.cli.installation import brand_named, organisation_named, with_core
from stentor.cli.output import Exit, fail, print_json, say, table
from stentor.clock import Clock
from stentor.domain.policy import BrandPolicy
from stentor.domain.type_rules import in_words
from stentor.wiring.core import Core, accounts

if TYPE_CHECKING:
    from stentor.accounts.model import Brand, Scope


def create_brand(given: Mapping[str, Any], name: str, *, organisation: str | None, as_json: bool) -> None:
    """Makes a brand and prints its id and key."""

    async def act(core: Core) -> None:
        service = accounts(core)
        brand = await service.create_brand(name, (await organisation_named(service, organisation)).id)
        if as_json:
            print_json({"group_id": str(brand.id), "brand_key": brand.brand_key})
        else:
            say(f"Made the brand {brand.name!r}.\n  group id   {brand.id}\n  brand key  {brand.brand_key}")

    with_core(given, act)


def rename_brand(given: Mapping[str, Any], brand: str, name: str, *, as_json: bool) -> None:
    """Gives a brand another name."""

    async def act(core: Core) -> None:
        service = accounts(core)
        renamed = await service.rename_brand((await brand_named(service, brand)).id, name)
        if as_json:
            print_json(_told(renamed))
        else:
            say(f"It is called {renamed.name!r} now.")

    with_core(given, act)


def list_brands(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints all brands."""

    async def act(core: Core) -> None:
        brands = await accounts(core).brands()
        if as_json:
            print_json({"brands": [_told(brand) for brand in brands]})
        else:
            rows = [(str(brand.id), brand.brand_key, str(brand.organisation_number), brand.name) for brand in brands]
            say(table([("group id", "brand key", "tenant", "name"), *rows]) if rows else "No brand yet.")

    with_core(given, act)


def change_brand(given: Mapping[str, Any], brand: str, assignments: Sequence[str], *, as_json: bool) -> None:
    """Changes a brand's settings, each written `name=value`, and prints all of them."""
    changes = dict(_assigned(assignment) for assignment in assignments)

    async def act(core: Core) -> None:
        service = accounts(core)
        owner = await brand_named(service, brand)
        if changes:
            owner = await service.update_brand_settings(owner.id, changes)
        settings = msgspec.structs.asdict(owner.settings)
        if as_json:
            print_json({"group_id": str(owner.id), "settings": settings})
        else:
            say("\n".join(f"{name:30}{_shown(value)}" for name, value in settings.items()))

    with_core(given, act)


def create_key(
    given: Mapping[str, Any],
    brand: str | None,
    *,
    organisation: str | None,
    name: str,
    scopes: Sequence[str] | None,
    is_test: bool,
    days: int | None,
    as_json: bool,
) -> None:
    """Makes a key of a brand or an organisation and prints its secret, which is shown nowhere else."""
    if unknown := sorted(set(scopes or ()) - set(SCOPES)):
        fail(f"There is no scope {', '.join(unknown)}; choose from {', '.join(SCOPES)}.", Exit.USAGE)

    if (brand is None) == (organisation is None):
        fail("Say whose key it is: --brand for one of a brand, --organisation for one of all its brands.", Exit.USAGE)

    async def act(core: Core) -> None:
        service = accounts(core)
        key = await service.create_key(
            name,
            brand_id=None if brand is None else (await brand_named(service, brand)).id,
            organisation_id=None if brand is not None else (await organisation_named(service, organisation)).id,
            scopes=cast("Sequence[Scope]", scopes or SCOPES),
            is_test=is_test,
            expires_at=None if days is None else Clock(core.db.shift).now() + timedelta(days=days),
        )
        if as_json:
            print_json({"number": key.number, "token": key.token, "api_key": key.api_key})
        else:
            say(f"Made key {key.number}. It is shown this once.\n  token    {key.token}\n  api key  {key.api_key}")

    with_core(given, act)


def _told(brand: "Brand") -> dict[str, Any]:
    return {
        "group_id": str(brand.id),
        "brand_key": brand.brand_key,
        "tenant_id": brand.organisation_number,
        "name": brand.name,
    }


def _shown(value: Any) -> str:
    if isinstance(value, (bool, tuple, BrandPolicy)):
        return msgspec.json.encode(value).decode()
    return "" if value is None else str(value)


def _assigned(assignment: str) -> tuple[str, Any]:
    """The setting and its value, as the type that the setting has; a list or a policy is written in JSON."""
    name, is_assigned, text = assignment.partition("=")
    field = next((field for field in msgspec.structs.fields(BrandSettings) if field.name == name), None)
    if not is_assigned or field is None:
        fail(
            f"{assignment!r} sets nothing; write name=value. The names: {', '.join(BrandSettings.__struct_fields__)}.",
            Exit.USAGE,
        )
    try:
        if isinstance(field.default, (tuple, BrandPolicy)):
            return name, msgspec.json.decode(text, type=field.type)
        return name, msgspec.convert(text, field.type, strict=False)
    except msgspec.MsgspecError as error:
        fail(f"{name} cannot be {text!r}: {in_words(str(error))}.", Exit.USAGE)
