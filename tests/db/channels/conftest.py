"""Brands with their sandboxes for the tests of this folder."""

from uuid import UUID

import pytest

from sandbox_letters import SEND_IDS, reassemble
from stentor.accounts.service import AccountService
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.sandbox.chaos import ChaosSource
from stentor.channels.sandbox.inbox import InboxService
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


@pytest.fixture
def sandbox(db: Database) -> SandboxChannel:
    return SandboxChannel(db, ChaosSource(db))


@pytest.fixture
def inbox(db: Database) -> InboxService:
    return InboxService(db, SEND_IDS, reassemble)
