"""Brands and keys from the command line."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from stentor.accounts.model import SCOPES, Brand
from stentor.accounts.service import AccountService
from stentor.cli.output import Exit, fail, print_json, run, say
from stentor.db.locate import located_database
from stentor.db.migrate import migrate
from stentor.settings import Settings
from stentor.wiring import accounts, core, data_directory

if TYPE_CHECKING:
    from stentor.accounts.model import Scope


def create_brand(given: Mapping[str, Any], name: str, *, as_json: bool) -> None:
    """Makes a brand and prints its id and key."""

    async def act(service: AccountService) -> None:
        brand = await service.create_brand(name)
        if as_json:
            print_json({"group_id": str(brand.id), "brand_key": brand.brand_key})
        else:
            say(f"Made the brand {brand.name!r}.\n  group id   {brand.id}\n  brand key  {brand.brand_key}")

    _with_accounts(given, act)


def list_brands(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints all brands."""

    async def act(service: AccountService) -> None:
        brands = await service.brands()
        if as_json:
            rows = [{"group_id": str(brand.id), "brand_key": brand.brand_key, "name": brand.name} for brand in brands]
            print_json({"brands": rows})
        else:
            say("\n".join(f"{brand.id}  {brand.brand_key}  {brand.name}" for brand in brands) or "No brand yet.")

    _with_accounts(given, act)


def create_key(
    given: Mapping[str, Any], brand: str, *, name: str, scopes: Sequence[str] | None, is_test: bool, as_json: bool
) -> None:
    """Makes a key of a brand and prints its secret, which is shown nowhere else."""
    if unknown := sorted(set(scopes or ()) - set(SCOPES)):
        fail(f"There is no scope {', '.join(unknown)}; choose from {', '.join(SCOPES)}.", Exit.USAGE)

    async def act(service: AccountService) -> None:
        owner = _named(await service.brands(), brand)
        key = await service.create_key(
            name, brand_id=owner.id, scopes=cast("Sequence[Scope]", scopes or SCOPES), is_test=is_test
        )
        if as_json:
            print_json({"number": key.number, "token": key.token, "api_key": key.api_key})
        else:
            say(f"Made key {key.number}. It is shown this once.\n  token    {key.token}\n  api key  {key.api_key}")

    _with_accounts(given, act)


def _named(brands: Sequence[Brand], wanted: str) -> Brand:
    found = next((brand for brand in brands if wanted in {str(brand.id), brand.brand_key, brand.name}), None)
    if found is None:
        fail(f"There is no brand {wanted!r}. See `stentor brand list`.")
    return found


def _with_accounts(given: Mapping[str, Any], act: Any) -> None:
    settings = Settings(**given)
    with located_database(
        settings.database_url, data_directory(settings), bin_dir=settings.postgres_bin, progress=say
    ) as dsn:

        async def main() -> None:
            await migrate(dsn)
            async with core(settings, dsn, role="command", size=2) as started:
                await act(accounts(started))

        run(main)
