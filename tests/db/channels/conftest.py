"""Brands with their sandboxes for the tests of this folder."""

from uuid import UUID

import pytest

from stentor.accounts.service import AccountService
from stentor.channels.service import ensure_sandbox
from stentor.db.pool import Database


@pytest.fixture
def accounts(db: Database) -> AccountService:
    return AccountService(db, b"a pepper for tests", on_brand_created=[ensure_sandbox])


@pytest.fixture
async def brand_id(accounts: AccountService) -> UUID:
    return (await accounts.create_brand("Matchday")).id


@pytest.fixture
async def other_brand_id(accounts: AccountService) -> UUID:
    return (await accounts.create_brand("Somebody else")).id
