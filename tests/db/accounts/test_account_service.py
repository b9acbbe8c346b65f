import asyncio
from typing import Any
from uuid import UUID

import pytest

from stentor.accounts.installation import InstallationSecret, SecretRefused, check_installation
from stentor.accounts.service import AccountService
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Conflict, Invalid, NotFound
from stentor.testing.world import World

pytestmark = pytest.mark.anyio

PEPPER = b"p" * 32


@pytest.fixture
def accounts(db: Database) -> AccountService:
    return AccountService(db, PEPPER)


async def test_processes_that_start_at_once_make_one_organisation(db: Database):
    starts = [AccountService(db, PEPPER).ensure_first_organisation() for _ in range(8)]

    made = await asyncio.gather(*starts)

    assert len({organisation.id for organisation in made}) == 1


async def test_a_brand_is_made_in_the_first_organisation(accounts: AccountService):
    brand = await accounts.create_brand("  Football  ")

    organisation = await accounts.ensure_first_organisation()
    assert (brand.name, brand.organisation_id, brand.organisation_number) == (
        "Football",
        organisation.id,
        organisation.number,
    )
    assert await accounts.brand(brand.id) == brand
    assert await accounts.brands() == [brand]


async def test_the_brands_are_those_of_every_organisation(db: Database, accounts: AccountService):
    await accounts.create_brand("Football")
    await World.made(db, "Of another organisation")

    assert [brand.name for brand in await accounts.brands()] == ["Football", "Of another organisation"]


async def test_a_second_brand_of_the_same_name_is_a_conflict(accounts: AccountService):
    await accounts.create_brand("Football")

    with pytest.raises(Conflict, match="choose another name"):
        await accounts.create_brand("Football")


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\nb", "a\x00b"])
async def test_a_name_that_is_none_is_refused(accounts: AccountService, name: str):
    with pytest.raises(Invalid):
        await accounts.create_brand(name)


async def test_hooks_give_a_brand_what_it_needs_in_its_own_transaction(db: Database):
    seen: list[UUID] = []

    async def note(conn: Connection, brand_id: UUID) -> None:
        assert conn.info.transaction_status.name == "INTRANS"
        seen.append(brand_id)

    async def fail(conn: Connection, brand_id: UUID) -> None:
        raise OSError("no senders today")

    brand = await AccountService(db, PEPPER, on_brand_created=[note]).create_brand("Made")
    with pytest.raises(OSError, match="no senders"):
        await AccountService(db, PEPPER, on_brand_created=[note, fail]).create_brand("Not made")

    assert seen[0] == brand.id
    assert [brand.name for brand in await AccountService(db, PEPPER).brands()] == ["Made"]


async def test_settings_change_one_by_one_and_the_rest_stays(accounts: AccountService):
    brand = await accounts.create_brand("Football")

    await accounts.update_brand_settings(brand.id, {"run_rate_per_s": 50})
    changed = await accounts.update_brand_settings(brand.id, {"from_name": "Football News"})

    assert (changed.settings.run_rate_per_s, changed.settings.from_name) == (50, "Football News")
    assert changed.updated_at > brand.updated_at


async def test_settings_that_change_at_once_are_all_kept(accounts: AccountService):
    brand = await accounts.create_brand("Football")
    changes = [{"run_rate_per_s": 50}, {"from_name": "News"}, {"sandbox_days": 3}, {"preferences_enabled": True}]

    await asyncio.gather(*(accounts.update_brand_settings(brand.id, change) for change in changes))

    settings = (await accounts.brand(brand.id)).settings
    assert (settings.run_rate_per_s, settings.from_name, settings.sandbox_days, settings.preferences_enabled) == (
        50,
        "News",
        3,
        True,
    )


async def test_what_does_not_exist_is_not_found(accounts: AccountService):
    nobody = new_id()

    with pytest.raises(NotFound):
        await accounts.brand(nobody)
    with pytest.raises(NotFound):
        await accounts.update_brand_settings(nobody, {})
    with pytest.raises(NotFound):
        await accounts.create_brand("Football", nobody)
    with pytest.raises(NotFound):
        await accounts.create_key("key", brand_id=nobody)
    with pytest.raises(NotFound):
        await accounts.create_key("key", organisation_id=nobody)


async def test_a_key_is_listed_without_its_secret(accounts: AccountService, db: Database):
    brand = await accounts.create_brand("Football")

    made = await accounts.create_key("backend", brand_id=brand.id, scopes=["write", "run"], is_test=True)

    (listed,) = await accounts.keys_of_brand(brand.id)
    assert made.token == f"{made.number}|{made.api_key}"
    assert (listed.number, listed.name, listed.hint, list(listed.scopes), listed.is_test) == (
        made.number,
        "backend",
        made.hint,
        ["run", "write"],
        True,
    )
    async with db.read() as conn:
        stored = await (await conn.execute("SELECT api_key::text FROM api_key")).fetchall()
    assert made.api_key[12:] not in str(stored)


async def test_the_keys_of_an_organisation_are_its_own_and_its_brands(accounts: AccountService):
    brand, other = await accounts.create_brand("Football"), await accounts.create_brand("Tennis")
    mine = await accounts.create_key("a", brand_id=brand.id)
    theirs = await accounts.create_key("b", brand_id=other.id)
    ours = await accounts.create_key("c")

    assert [key.number for key in await accounts.keys_of_brand(brand.id)] == [mine.number]
    assert [key.number for key in await accounts.keys_of_organisation(brand.organisation_id)] == [
        mine.number,
        theirs.number,
        ours.number,
    ]


@pytest.mark.parametrize("scopes", [[], ["everything"]])
async def test_a_key_without_a_known_scope_is_refused(accounts: AccountService, scopes: list[Any]):
    with pytest.raises(Invalid, match="run, read, write, admin"):
        await accounts.create_key("key", scopes=scopes)


async def test_a_key_is_revoked_only_by_its_own_organisation_and_brand(accounts: AccountService):
    brand, other = await accounts.create_brand("Football"), await accounts.create_brand("Tennis")
    key = await accounts.create_key("a", brand_id=brand.id)

    with pytest.raises(NotFound):
        await accounts.revoke_key(new_id(), key.number)
    with pytest.raises(NotFound):
        await accounts.revoke_key(brand.organisation_id, key.number, brand_id=other.id)
    await accounts.revoke_key(brand.organisation_id, key.number, brand_id=brand.id)
    (first,) = await accounts.keys_of_brand(brand.id)
    await accounts.revoke_key(brand.organisation_id, key.number)

    (again,) = await accounts.keys_of_brand(brand.id)
    assert first.revoked_at is not None
    assert again.revoked_at == first.revoked_at


async def test_a_database_remembers_the_secret_it_was_made_with(db: Database):
    secret = InstallationSecret(b"x" * 32)
    await check_installation(db, secret)
    await check_installation(db, secret)

    with pytest.raises(SecretRefused, match="STENTOR_SECRET"):
        await check_installation(db, InstallationSecret(b"y" * 32))
