"""A brand, and the services that people are told of through."""

from uuid import UUID

import pytest

from stentor.accounts.service import AccountService
from stentor.audience.customers import CustomerService
from stentor.audience.model import Act, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.topics import TopicService
from stentor.db.pool import Database
from stentor.optouts.service import ensure_builtin


@pytest.fixture
def accounts(db: Database) -> AccountService:
    return AccountService(db, b"p" * 32, on_brand_created=[ensure_builtin])


@pytest.fixture
async def brand_id(accounts: AccountService) -> UUID:
    return (await accounts.create_brand("Football")).id


@pytest.fixture
async def other_brand_id(accounts: AccountService) -> UUID:
    return (await accounts.create_brand("Opera")).id


@pytest.fixture
def customers(db: Database) -> CustomerService:
    return CustomerService(db)


@pytest.fixture
def topics(db: Database) -> TopicService:
    return TopicService(db)


@pytest.fixture
def subscriptions(db: Database) -> SubscriptionService:
    return SubscriptionService(db)


@pytest.fixture
def by_api() -> Act:
    return Act(source=Source.API, actor="key 1")
