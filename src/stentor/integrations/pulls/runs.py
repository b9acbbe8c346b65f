"""What an execution sends by a partner channel, found by the names that services and callers have for it."""

from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import NotFound
from stentor.executions.facts import FactsSource
from stentor.executions.partner_runs import PartnerRun, run_of_number, runs_of
from stentor.integrations.pulls.model import PulledRun


class Runs:
    """Finds runs of partner channels."""

    def __init__(self, db: Database, facts: FactsSource) -> None:
        self._db = db
        self._facts = facts

    async def of_number(self, brand_id: UUID, campaign: int, channel_number: int) -> PulledRun | None:
        """By a CampaignID and a ChannelID; None where the brand has no such run, or it does not go out by that channel."""
        async with self._db.read() as conn:
            found = await run_of_number(conn, brand_id, campaign)
            return None if found is None else await self._read(conn, brand_id, found, channel_number)

    async def of_execution(self, brand_id: UUID, execution_id: UUID, channel_number: int) -> PulledRun | None:
        """By an execution's id; else the same."""
        async with self._db.read() as conn:
            found = (await runs_of(conn, brand_id, [execution_id])).get(execution_id)
            return None if found is None else await self._read(conn, brand_id, found, channel_number)

    async def _read(self, conn: Connection, brand_id: UUID, found: PartnerRun, channel_number: int) -> PulledRun | None:
        if channel_number not in found.channels:
            return None
        try:
            facts = (await self._facts.load(conn, brand_id, [found.execution_id])).get(found.execution_id)
        except NotFound:
            return None
        if facts is None:
            return None
        content = facts.publication.content
        templates: dict[int, int] = {}
        names: dict[int, str] = {}
        route = None
        for place, base in enumerate(content.variant_bases):
            partner = content.routes[place].partner
            if partner is not None and partner.channel_number == channel_number:
                route = content.routes[place]
                templates.update(dict.fromkeys(range(base, base + len(route.variants)), partner.template_number))
                names[partner.template_number] = partner.template_name
        if route is None:
            return None
        return PulledRun(
            brand_id=brand_id,
            execution_id=found.execution_id,
            campaign=found.number,
            channel_number=channel_number,
            channel=route.channel,
            sender_id=route.sender_id,
            facts=facts,
            templates=templates,
            template_names=names,
            published_at=found.published_at,
        )
