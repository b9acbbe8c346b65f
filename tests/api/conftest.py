"""The app over real services and a database of the test's own, asked in process."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

import pytest
from litestar.testing import AsyncTestClient

from api_world import Client, World
from stentor.accounts.directory import BrandDirectory
from stentor.accounts.keyring import KeyRing
from stentor.accounts.service import AccountService
from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.audience.customers import CustomerService
from stentor.audience.preferences import PreferenceService
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.topics import TopicService
from stentor.campaigns.generators import GeneratorService
from stentor.campaigns.service import CampaignService
from stentor.campaigns.sources import GeneratorSource, PublicationSource
from stentor.campaigns.templates import TemplateService
from stentor.channels.reach import Reach
from stentor.channels.sandbox.inbox import InboxService
from stentor.channels.secrets import SecretBox
from stentor.channels.service import SenderService, ensure_sandbox
from stentor.db.pool import Database
from stentor.domain.ids import SendIds
from stentor.executions.service import ExecutionService
from stentor.optouts.service import ensure_builtin
from stentor.triggers.service import TriggerService

if TYPE_CHECKING:
    from stentor.executions.composing import Composer

PEPPER = b"a pepper for tests"


@pytest.fixture
async def services(db: Database) -> AsyncIterator[Services]:
    publications, brands = PublicationSource(db), BrandDirectory(db)
    executions = ExecutionService(db, publications, cast("Composer", None))
    triggers = TriggerService(db, brands, GeneratorSource(db, publications), executions)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(triggers.run_committer(stop))
        yield Services(
            database=db,
            keys=KeyRing(db, PEPPER),
            brands=brands,
            accounts=AccountService(db, PEPPER, on_brand_created=[ensure_sandbox, ensure_builtin]),
            topics=TopicService(db),
            customers=CustomerService(db),
            subscriptions=SubscriptionService(db),
            preferences=PreferenceService(db, brands),
            senders=SenderService(db, SecretBox(bytes(32)), Reach()),
            templates=TemplateService(db),
            campaigns=CampaignService(db),
            generators=GeneratorService(db),
            triggers=triggers,
            executions=executions,
            inbox=InboxService(db, SendIds(PEPPER), cast("Any", None)),
        )
        stop.set()


@pytest.fixture
async def app_client(services: Services) -> AsyncIterator[Client]:
    app = create_app(services, ApiSettings(secret=b"a secret for tests"))
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
async def world(app_client: Client, services: Services) -> World:
    return await World.made(app_client, services, "Matchday")


@pytest.fixture
async def other_world(app_client: Client, services: Services) -> World:
    return await World.made(app_client, services, "Somebody else")
