"""Campaigns in the database."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.campaigns.experiments import Experiment
from stentor.campaigns.model import Basis, Campaign, CampaignDraft, CampaignKind, LaneName, Mode, Route, Step
from stentor.campaigns.naming import USERS_NAMED_MAX
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.policy import CampaignPolicy


class Sql(QuerySet, file="campaigns.sql", package=__package__):
    insert_campaign: Statement
    count_campaigns: Statement
    find_campaign: Statement
    campaigns_by_id: Statement
    page_of_campaigns: Statement
    lock_campaign: Statement
    share_campaign: Statement
    update_campaign: Statement
    delete_campaign: Statement
    generators_of_campaign: Statement
    was_published: Statement
    conditions_naming_campaign: Statement
    publish_campaign: Statement
    find_running_campaign: Statement


class CampaignRow(NamedTuple):
    """A campaign as it is edited, and the fingerprint of what it was published as itself."""

    campaign: Campaign
    made_from: str | None


async def count_campaigns(conn: Connection, brand_id: UUID) -> int:
    return await Sql.count_campaigns.value(conn, brand_id=brand_id)


async def insert_campaign(conn: Connection, brand_id: UUID, campaign_id: UUID, draft: CampaignDraft) -> bool:
    """Makes the campaign; False when the name is taken."""
    return await Sql.insert_campaign.run(conn, id=campaign_id, brand_id=brand_id, **_columns(draft)) > 0


async def update_campaign(conn: Connection, brand_id: UUID, campaign_id: UUID, draft: CampaignDraft) -> bool:
    """Replaces the campaign; False when there is none. Runs within `name_free`."""
    return await Sql.update_campaign.run(conn, id=campaign_id, brand_id=brand_id, **_columns(draft)) > 0


async def find_campaign(conn: Connection, brand_id: UUID, campaign_id: UUID) -> CampaignRow | None:
    """The campaign as it is edited."""
    row = await Sql.find_campaign.first(conn, _CampaignRow, id=campaign_id, brand_id=brand_id)
    return row.told() if row else None


async def campaigns_by_id(conn: Connection, brand_id: UUID, ids: Collection[UUID]) -> dict[UUID, Campaign]:
    """These campaigns as they are edited."""
    rows = await Sql.campaigns_by_id.rows(conn, _CampaignRow, ids=list(ids), brand_id=brand_id)
    return {row.id: row.told().campaign for row in rows}


async def page_of_campaigns(conn: Connection, brand_id: UUID, *, after: UUID | None, limit: int) -> list[CampaignRow]:
    """Campaigns in the order of their making, from behind `after`."""
    rows = await Sql.page_of_campaigns.rows(conn, _CampaignRow, brand_id=brand_id, after=after, limit=limit)
    return [row.told() for row in rows]


async def lock_campaign(conn: Connection, brand_id: UUID, campaign_id: UUID) -> bool:
    """Locks the campaign until the transaction ends; False when there is none."""
    return bool(await Sql.lock_campaign.value(conn, id=campaign_id, brand_id=brand_id))


async def share_campaign(conn: Connection, brand_id: UUID, campaign_id: UUID) -> bool:
    """Keeps the campaign as it is until the transaction ends; False when there is none."""
    return bool(await Sql.share_campaign.value(conn, id=campaign_id, brand_id=brand_id))


async def delete_campaign(conn: Connection, brand_id: UUID, campaign_id: UUID) -> None:
    """Removes the campaign."""
    await Sql.delete_campaign.run(conn, id=campaign_id, brand_id=brand_id)


async def generators_of_campaign(conn: Connection, brand_id: UUID, campaign_id: UUID) -> list[str]:
    """The ids of generators that run the campaign, the first few."""
    return await Sql.generators_of_campaign.column(
        conn, campaign_id=campaign_id, brand_id=brand_id, limit=USERS_NAMED_MAX
    )


async def was_published(conn: Connection, brand_id: UUID, campaign_id: UUID) -> bool:
    """Whether executions may refer to the campaign."""
    return bool(await Sql.was_published.value(conn, campaign_id=campaign_id, brand_id=brand_id))


async def conditions_naming_campaign(conn: Connection, brand_id: UUID, campaign_id: UUID) -> list[str]:
    """What has a condition on the campaign's messages, the first few: `the segment 'Gold'`."""
    return await Sql.conditions_naming_campaign.column(
        conn, campaign_id=campaign_id, brand_id=brand_id, limit=USERS_NAMED_MAX
    )


async def publish_campaign(conn: Connection, brand_id: UUID, campaign_id: UUID, publication_id: UUID) -> None:
    """Lets the campaign run that publication from now on."""
    await Sql.publish_campaign.run(conn, id=campaign_id, brand_id=brand_id, publication_id=publication_id)


async def find_running_campaign(
    conn: Connection, brand_id: UUID, campaign_id: UUID
) -> tuple[str, CampaignKind, UUID | None] | None:
    """The campaign's name and kind, and the publication that it runs itself, None where it was never published so."""
    rows = await Sql.find_running_campaign.tuples(conn, id=campaign_id, brand_id=brand_id)
    return (rows[0][0], rows[0][1], rows[0][2]) if rows else None


def _columns(draft: CampaignDraft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "consent_basis": draft.consent_basis,
        "kind": draft.kind,
        "mode": draft.mode,
        "lane": draft.lane,
        "routes": Jsonb(draft.routes),
        "policy": Jsonb(draft.policy),
        "experiment": None if draft.experiment is None else Jsonb(draft.experiment),
        "steps": Jsonb(draft.steps),
    }


class _CampaignRow(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    consent_basis: Basis
    kind: CampaignKind
    mode: Mode
    lane: LaneName
    routes: str
    policy: str
    experiment: str | None
    steps: str
    publication_id: UUID | None
    published_at: datetime | None
    made_from: str | None
    created_at: datetime
    updated_at: datetime

    def told(self) -> CampaignRow:
        campaign = Campaign(
            id=self.id,
            publication_id=self.publication_id,
            published_at=self.published_at,
            name=self.name,
            consent_basis=self.consent_basis,
            kind=self.kind,
            mode=self.mode,
            lane=self.lane,
            routes=msgspec.json.decode(self.routes, type=tuple[Route, ...]),
            policy=msgspec.json.decode(self.policy, type=CampaignPolicy),
            experiment=None if self.experiment is None else msgspec.json.decode(self.experiment, type=Experiment),
            steps=msgspec.json.decode(self.steps, type=tuple[Step, ...]),
            created_at=self.created_at,
            updated_at=self.updated_at,
        )
        return CampaignRow(campaign, self.made_from)
