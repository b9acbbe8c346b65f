"""Brands and their content for the tests of this folder."""

from uuid import UUID

import pytest

from campaign_world import Content
from stentor.accounts import store as accounts_store
from stentor.accounts.model import BrandSettings
from stentor.campaigns.generators import GeneratorService
from stentor.campaigns.service import CampaignService
from stentor.campaigns.templates import TemplateService
from stentor.channels.service import ensure_sandbox
from stentor.db.pool import Database
from stentor.domain.ids import new_id


async def _made(db: Database, name: str, letter: str) -> UUID:
    organisation_id, brand_id = new_id(), new_id()
    settings = BrandSettings(postal_address="1 Arena Way, Springfield")
    async with db.transaction() as conn:
        await accounts_store.insert_organisation(conn, organisation_id, f"{name} Inc.")
        await accounts_store.insert_brand(
            conn,
            brand_id=brand_id,
            organisation_id=organisation_id,
            name=name,
            brand_key=f"br_{letter * 22}",
            settings=settings,
        )
        await ensure_sandbox(conn, brand_id)
    return brand_id


@pytest.fixture
async def brand_id(db: Database) -> UUID:
    return await _made(db, "Goal Rush", "a")


@pytest.fixture
async def other_brand_id(db: Database) -> UUID:
    return await _made(db, "Other", "b")


@pytest.fixture
def content(db: Database, brand_id: UUID) -> Content:
    return Content(brand_id, TemplateService(db), CampaignService(db), GeneratorService(db))
