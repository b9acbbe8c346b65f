import asyncio
import time

import pytest

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.key_format import new_secret
from stentor.accounts.keyring import KeyRing
from stentor.accounts.model import Brand, Principal
from stentor.accounts.service import AccountService
from stentor.db.pool import Database
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

PEPPER = b"p" * 32


@pytest.fixture
def accounts(db: Database) -> AccountService:
    return AccountService(db, PEPPER)


@pytest.fixture
async def brand(accounts: AccountService) -> Brand:
    return await accounts.create_brand("Football")


@pytest.fixture
def ring(db: Database) -> KeyRing:
    return KeyRing(db, PEPPER)


async def test_one_secret_serves_as_api_key_and_as_bearer_token(accounts: AccountService, brand: Brand, ring: KeyRing):
    key = await accounts.create_key("backend", brand_id=brand.id, scopes=["run"])

    principal = Principal(
        key.number, brand.organisation_id, brand.id, frozenset({"run"}), False, "backend", f"key {key.number}"
    )
    assert await ring.principal(key.api_key) == principal
    assert await ring.principal(key.token) == principal


async def test_a_secret_under_another_number_is_no_key(accounts: AccountService, brand: Brand, ring: KeyRing):
    key = await accounts.create_key("backend", brand_id=brand.id)

    assert await ring.principal(f"{key.number + 1}|{key.api_key}") is None


async def test_a_secret_hashed_under_another_pepper_is_no_key(accounts: AccountService, brand: Brand, db: Database):
    key = await accounts.create_key("backend", brand_id=brand.id)

    assert await KeyRing(db, b"q" * 32).principal(key.api_key) is None


async def test_a_key_acts_for_its_brand_or_for_its_whole_organisation(
    accounts: AccountService, brand: Brand, ring: KeyRing
):
    other = await accounts.create_brand("Tennis")
    narrow = await ring.principal((await accounts.create_key("a", brand_id=brand.id)).api_key)
    wide = await ring.principal((await accounts.create_key("b")).api_key)

    assert narrow is not None
    assert wide is not None
    assert [narrow.may_act_for(brand), narrow.may_act_for(other)] == [True, False]
    assert [wide.may_act_for(brand), wide.may_act_for(other)] == [True, True]


async def test_an_admin_key_may_everything_and_others_what_they_say(
    accounts: AccountService, brand: Brand, ring: KeyRing
):
    admin = await ring.principal((await accounts.create_key("a", brand_id=brand.id, scopes=["admin"])).api_key)
    reader = await ring.principal((await accounts.create_key("b", brand_id=brand.id, scopes=["read"])).api_key)

    assert admin is not None
    assert reader is not None
    assert [admin.may("run"), admin.may("write"), reader.may("read"), reader.may("run")] == [True, True, True, False]


@pytest.mark.fault("S2")
async def test_a_revoked_key_is_dead_in_every_process_within_a_second(
    accounts: AccountService, brand: Brand, db: Database
):
    key = await accounts.create_key("backend", brand_id=brand.id)
    rings = [KeyRing(db, PEPPER), KeyRing(db, PEPPER)]
    for ring in rings:
        assert await ring.principal(key.api_key) is not None

    await accounts.revoke_key(brand.organisation_id, key.number)
    revoked_at = time.monotonic()

    async def all_refuse() -> bool:
        return [await ring.principal(key.api_key) for ring in rings] == [None, None]

    await eventually(all_refuse, within_s=1.0)
    assert time.monotonic() - revoked_at < 1.0


@pytest.mark.fault("S2")
async def test_what_fails_its_checksum_is_refused_without_a_query(database_dsn: str):
    closed = Database(database_dsn)
    secret = new_secret(is_test=False)

    assert await KeyRing(closed, PEPPER).principal(f"{secret[:-1]}{'0' if secret[-1] != '0' else '1'}") is None


async def test_the_last_use_is_recorded_to_the_minute(accounts: AccountService, brand: Brand, ring: KeyRing):
    key = await accounts.create_key("backend", brand_id=brand.id)
    unused = await accounts.create_key("spare", brand_id=brand.id)
    await ring.principal(key.api_key)

    await ring.flush()
    await ring.flush()

    used_at = {listed.number: listed.last_used_at for listed in await accounts.keys_of_brand(brand.id)}
    assert used_at[unused.number] is None
    last_used_at = used_at[key.number]
    assert last_used_at is not None
    assert (last_used_at.second, last_used_at.microsecond) == (0, 0)


async def test_the_last_use_is_recorded_at_the_end_too(accounts: AccountService, brand: Brand, ring: KeyRing):
    key = await accounts.create_key("backend", brand_id=brand.id)
    stop = asyncio.Event()
    running = asyncio.ensure_future(ring.run(stop))
    await ring.principal(key.api_key)

    stop.set()
    await running

    (listed,) = await accounts.keys_of_brand(brand.id)
    assert listed.last_used_at is not None


async def test_a_brand_is_found_by_id_and_by_key_with_settings_that_are_fresh(
    accounts: AccountService, brand: Brand, db: Database
):
    directory = BrandDirectory(db)
    assert await directory.by_id(brand.id) == await directory.by_key(brand.brand_key) == brand
    assert await directory.by_key("br_nobody") is None

    changed = await accounts.update_brand_settings(brand.id, {"run_rate_per_s": 5})

    async def seen() -> bool:
        return await directory.by_id(brand.id) == await directory.by_key(brand.brand_key) == changed

    await eventually(seen, within_s=1.0)
