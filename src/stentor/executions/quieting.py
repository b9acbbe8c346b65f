"""Quiet hours in the flow: asked when a slice is planned, and again when a wave is about to leave."""

from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import msgspec

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import BrandSettings
from stentor.audience.reach import Recipient
from stentor.campaigns.model import Publication, PublishedContent
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.deliver import store as deliver
from stentor.deliver.model import Change, Claim, PendingSend
from stentor.domain.ids import PARTS
from stentor.domain.quiet_hours import QuietRule
from stentor.domain.vocabulary import ChannelKind, Reason
from stentor.executions import store
from stentor.executions.facts import ExecutionFacts
from stentor.executions.model import AudienceTable, PlannedRoute
from stentor.executions.quiet_plan import QuietPlan, quiet_plan
from stentor.guard import store as guard_store
from stentor.guard.places import Zones, brand_zones, place_of
from stentor.guard.quiet_hours import QuietHours, quiet_hours
from stentor.report.tally import Moves

if TYPE_CHECKING:
    from stentor.domain.objections import Objection

_PLACES_KEPT = 64

Cleared: TypeAlias = list[tuple[PendingSend, Recipient]]


class BrandQuiet(msgspec.Struct, frozen=True):
    """A brand's quiet hours, and where its people are of whom nothing else is known."""

    rules: tuple[QuietRule, ...]
    fallback: Zones

    @classmethod
    def of(cls, settings: BrandSettings) -> "BrandQuiet":
        """What these settings say of it."""
        zones = brand_zones(settings.default_time_zone, settings.default_country)
        return cls(settings.quiet_hours, zones)

    def on(self, content: PublishedContent, channel: ChannelKind) -> QuietHours | None:
        """The brand's and the campaign's rules on that channel; None where there are none, and for transactional ones."""
        of_campaign = content.policy.quiet_hours
        if content.lane == "transactional" or not (self.rules or of_campaign):
            return None
        return quiet_hours(channel, self.rules, of_campaign, self.fallback)


class QuietSource:
    """The quiet hours of brands, as they were less than a second ago."""

    def __init__(self, brands: BrandDirectory) -> None:
        self._brands = brands
        self._places: OrderedDict[UUID, list[str]] = OrderedDict()

    async def load(self, brand_id: UUID) -> BrandQuiet:
        """The brand's."""
        brand = await self._brands.by_id(brand_id)
        if brand is None:
            return BrandQuiet((), ("UTC",))
        return BrandQuiet.of(brand.settings)

    async def plan(
        self, conn: Connection, publication: Publication, routes: Sequence[PlannedRoute]
    ) -> Sequence[PlannedRoute]:
        """The routes of one publication with what quiet hours make of their people now.

        Whom a service pulls is told apart when it pulls: it gets them with the time from when on it may write to them.
        """
        asked = {ChannelKind(route.channel) for route in routes if not route.pulled}
        on_channel = {kind: quiet for kind, quiet in (await self._on_channels(publication)).items() if kind in asked}
        first = routes[0]
        if not on_channel or first.table == "named":
            return routes
        if first.part_to - first.part_from == PARTS - 1:
            places = await places_of(conn, publication.brand_id, routes)
        else:
            places = await self._kept_places(conn, publication.brand_id, routes)
        now = await guard_store.present(conn)
        plans = {channel: quiet_plan(hours, places, now) for channel, hours in on_channel.items()}
        return [
            route if route.pulled else msgspec.structs.replace(route, quiet=plans.get(ChannelKind(route.channel)))
            for route in routes
        ]

    async def forecast(
        self, conn: Connection, publication: Publication, table: AudienceTable, audience: tuple[UUID, int]
    ) -> Mapping[ChannelKind, QuietPlan | None]:
        """What quiet hours would make now of the people of that audience and mask; channels without any are absent."""
        on_channel = await self._on_channels(publication)
        if not on_channel:
            return {}
        audience_id, mask = audience
        places = await store.places(conn, publication.brand_id, table, {(audience_id, 0, PARTS - 1): mask})
        now = await guard_store.present(conn)
        return {channel: quiet_plan(hours, places, now) for channel, hours in on_channel.items()}

    async def _on_channels(self, publication: Publication) -> dict[ChannelKind, QuietHours]:
        quiet, content = await self.load(publication.brand_id), publication.content
        found = {route.channel: quiet.on(content, route.channel) for route in content.routes}
        return {channel: hours for channel, hours in found.items() if hours is not None}

    async def _kept_places(self, conn: Connection, brand_id: UUID, routes: Sequence[PlannedRoute]) -> list[str]:
        """Those of the first slice that this process plans of a large execution: asking each took a fifth of its planning.

        People of a place that only another slice has are planned as if it were open, and the wave knows better.
        """
        execution_id = routes[0].execution_id
        kept = self._places.get(execution_id)
        if kept is None:
            kept = self._places[execution_id] = await places_of(conn, brand_id, routes)
            if len(self._places) > _PLACES_KEPT:
                self._places.popitem(last=False)
        return kept


async def places_of(conn: Connection, brand_id: UUID, routes: Sequence[PlannedRoute]) -> list[str]:
    """Where the people of these routes are, each place once."""
    slices: defaultdict[tuple[UUID, int, int], int] = defaultdict(int)
    for route in routes:
        slices[route.audience_id, route.part_from, route.part_to] |= route.mask
    await go_by_keys(conn)
    return await store.places(conn, brand_id, routes[0].table, slices)


async def hold_quiet(
    conn: Connection, claim: Claim, cleared: Cleared, facts: Mapping[UUID, ExecutionFacts], quiet: BrandQuiet
) -> tuple[Cleared, list[Change]]:
    """Who of these people may be written to at this moment, and what becomes of the others."""
    by_chunk = [quiet.on(facts[chunk.execution_id].publication.content, claim.channel) for chunk in claim.chunks]
    if not cleared or not any(by_chunk):
        return cleared, []
    now = await guard_store.present(conn)
    answers: dict[tuple[int, str], Objection | None] = {}
    open_now: Cleared = []
    objected: list[Change] = []
    for send, person in cleared:
        hours = by_chunk[send.chunk]
        if hours is None:
            open_now.append((send, person))
            continue
        key = id(hours), place_of(person.time_zone, person.phone)
        if key not in answers:
            answers[key] = hours.objection(key[1], now)
        objection = answers[key]
        if objection is None:
            open_now.append((send, person))
        else:
            objected.append(Change.objected(send, objection))
    return open_now, objected


async def wake_held(conn: Connection, claim: Claim, moves: Moves) -> None:
    """Makes pending what was held until the claim's chunks fell due: once in each pass over them, at its beginning."""
    due = [chunk for chunk in claim.chunks if chunk.was_held and chunk.cursor == chunk.key_from]
    if due:
        for execution_id, sends in (await deliver.wake_held(conn, claim, due)).items():
            moves.woken(execution_id, claim.channel, Reason.QUIET_HOURS, sends)
