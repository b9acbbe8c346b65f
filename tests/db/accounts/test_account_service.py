import asyncio
from typing import Any
from uuid import UUID

import pytest

from stentor.accounts.audit import AuditLog
from stentor.accounts.audit_model import AuditEntry, Narrowed
from stentor.accounts.installation import InstallationSecret, SecretRefused, check_installation
from stentor.accounts.service import AccountService
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Conflict, Invalid, NotFound, QuotaExceeded
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
    (first,) = await accounts.keys_of_brand(brand.id, "ended")
    await accounts.revoke_key(brand.organisation_id, key.number)

    (again,) = await accounts.keys_of_brand(brand.id, "all")
    assert await accounts.keys_of_brand(brand.id) == []
    assert first.revoked_at is not None
    assert again.revoked_at == first.revoked_at


async def test_of_a_key_each_change_is_told_once_and_where_its_brand_sees_it(accounts: AccountService, db: Database):
    brand = await accounts.create_brand("Football")
    log = AuditLog(db)
    of_brand = await accounts.create_key("a", brand_id=brand.id)
    of_all = await accounts.create_key("b", organisation_id=brand.organisation_id)

    await asyncio.gather(*(accounts.revoke_key(brand.organisation_id, of_brand.number) for _ in range(4)))
    await accounts.revoke_key(brand.organisation_id, of_all.number)

    def told(entries: list[AuditEntry]) -> list[tuple[str, str]]:
        return [(entry.action, entry.thing_id) for entry in entries if entry.thing_kind == "key"]

    mine, theirs = str(of_brand.number), str(of_all.number)
    assert told(await log.page(brand.id, Narrowed())) == [("key.revoked", mine), ("key.created", mine)]
    whole = told(await log.page_of_organisation(brand.organisation_id, Narrowed()))
    assert whole == [("key.revoked", theirs), ("key.revoked", mine), ("key.created", theirs), ("key.created", mine)]


async def test_keys_are_listed_page_by_page_and_what_ended_where_it_is_asked_for(
    accounts: AccountService, db: Database
):
    brand = await accounts.create_brand("Football")
    keys = [(await accounts.create_key(name, brand_id=brand.id)).number for name in "abcd"]
    await accounts.revoke_key(brand.organisation_id, keys[1])
    async with db.transaction() as conn:
        await conn.execute("UPDATE api_key SET expires_at = created_at WHERE number = %s", [keys[2]])

    async def numbers(*said: Any, **more: Any) -> list[int]:
        found = [await accounts.keys_of_brand(brand.id, *said, **more)]
        found.append(await accounts.keys_of_organisation(brand.organisation_id, *said, **more))
        assert found[0] == found[1]
        return [key.number for key in found[0]]

    assert await numbers() == [keys[0], keys[3]]
    assert await numbers("ended") == keys[1:3]
    assert await numbers("all") == keys
    assert await numbers("all", after=keys[0], limit=2) == keys[1:3]


async def test_an_organisation_has_so_many_live_keys_of_its_own(accounts: AccountService, db: Database):
    brand = await accounts.create_brand("Football")
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO api_key (organisation_id, brand_id, name, digest, hint, scopes, is_test, created_at, expires_at)"
            " SELECT %s, CASE WHEN n > 1000 THEN %s END, 'x', sha256(n::text::bytea), '', '{run}', false, now(),"
            " CASE WHEN n = 1 THEN now() END FROM generate_series(1, 2000) n",
            [brand.organisation_id, brand.id],
        )

    last = await accounts.create_key("last", organisation_id=brand.organisation_id)
    with pytest.raises(QuotaExceeded, match="An organisation has at most 1,000 keys of its own"):
        await accounts.create_key("one more", organisation_id=brand.organisation_id)
    with pytest.raises(QuotaExceeded, match="A brand has at most 1,000 keys"):
        await accounts.create_key("one more", brand_id=brand.id)
    await accounts.revoke_key(brand.organisation_id, last.number)
    assert await accounts.create_key("again", organisation_id=brand.organisation_id)


async def test_a_database_remembers_the_secret_it_was_made_with(db: Database):
    secret = InstallationSecret(b"x" * 32)
    await check_installation(db, secret)
    await check_installation(db, secret)

    with pytest.raises(SecretRefused, match="STENTOR_SECRET"):
        await check_installation(db, InstallationSecret(b"y" * 32))
