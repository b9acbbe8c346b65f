"""Figures of an execution beside its counters: its pace, what limits it, what providers said, and how its variants fared.

None of them reads a row for each person while somebody waits for a page, but for the variants: these are counted on demand, by
few at once, and what was counted is shown again for as long as a new count would cost more than it tells.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from stentor.accounts.directory import BrandDirectory
from stentor.campaigns.model import Publication, PublishedContent
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind, SendState
from stentor.errors import NotFound, Unavailable
from stentor.executions.facts import PublicationSource
from stentor.executions.limits_now import Limit, limits_now
from stentor.executions.model import Execution
from stentor.executions.quieting import BrandQuiet
from stentor.executions.service import ExecutionService
from stentor.report import rates, troubles, variants
from stentor.report.rates import RateSeries
from stentor.report.troubles import Troubles

T = TypeVar("T")

COUNTS_MAX = 2
"""How many executions' variants are counted at once in a process; who asks beside them is told to ask again."""

KEPT_MAX = 256
"""How many executions' figures of each sort a process keeps."""

_FRESH_S = 2.0
# A figure is worked out for a fiftieth of the time at most.
_TIMES_ITS_COST = 50


class QuietBand(msgspec.Struct, frozen=True):
    """A span in which quiet hours held, by the clock of `zone`, the brand's own; recipients elsewhere have their own nights."""

    since: datetime
    until: datetime
    zone: str


class Rates(msgspec.Struct, frozen=True):
    """The pace of an execution by time, and the quiet hours in that time."""

    series: RateSeries
    quiet: list[QuietBand]


class VariantFunnel(msgspec.Struct, frozen=True, kw_only=True):
    """Where the people of one variant are: a language of a route, and of an experiment the arm that the route is for."""

    channel: str
    route: int
    template: str
    language: str
    arm: str | None
    audience: int
    pending: int = 0
    held: int = 0
    handed_over: int = 0
    skipped: int = 0
    failed: int = 0
    unknown: int = 0


class Variants(msgspec.Struct, frozen=True):
    """Every variant's people, counted from rows until `counted_at`."""

    counted_at: datetime
    variants: list[VariantFunnel]


class FigureService:
    """The figures of all brands' executions; every call names its brand and sees nothing of the others."""

    def __init__(
        self,
        db: Database,
        executions: ExecutionService,
        publications: PublicationSource,
        brands: BrandDirectory,
        clock: Clock,
    ) -> None:
        self._db = db
        self._executions = executions
        self._publications = publications
        self._brands = brands
        self._clock = clock
        self._rates: _Fresh[Rates] = _Fresh()
        self._troubles: _Fresh[Troubles] = _Fresh()
        self._variants: _Fresh[Variants] = _Fresh()
        self._counting = 0

    async def rates(self, brand_id: UUID, execution_id: UUID) -> Rates:
        """Messages tried by time, as they were some seconds ago at most. Raises NotFound."""
        execution = await self._executions.find(brand_id, execution_id)
        return await self._rates.get(execution, lambda: self._rated(execution))

    async def limits(self, brand_id: UUID, execution_id: UUID) -> list[Limit]:
        """What limits the execution at this moment, what stops everybody first; empty where nothing does. Raises NotFound."""
        execution = await self._executions.find(brand_id, execution_id)
        publication = await self._publications.load(brand_id, execution.publication_id)
        brand = await self._brands.by_id(brand_id)
        if brand is None:
            raise NotFound("There is no such brand.")
        async with self._db.read() as conn:
            return await limits_now(conn, brand, execution, publication)

    async def troubles(self, brand_id: UUID, execution_id: UUID) -> Troubles:
        """What providers said of the sends that did not go out, and what to do about it. Raises NotFound."""
        progress = await self._executions.progress(brand_id, execution_id)
        channels = [
            ChannelKind.named(one.channel)
            for one in progress.channels
            if one.failed or one.unknown or one.skipped_by_reason.keys() & {"template_error", "abort_by_template"}
        ]
        if not channels:
            return Troubles([], 0, is_all=True)

        async def look() -> Troubles:
            async with self._db.read() as conn:
                return await troubles.troubles(conn, brand_id, execution_id, channels)

        return await self._troubles.get(progress.execution, look)

    async def variants(self, brand_id: UUID, execution_id: UUID) -> Variants:
        """Where the people of each variant are. It looks at all of them: about a second for a million.

        Raises NotFound, and Unavailable while `COUNTS_MAX` others are counted.
        """
        execution = await self._executions.find(brand_id, execution_id)
        return await self._variants.get(execution, lambda: self._counted(execution))

    async def _rated(self, execution: Execution) -> Rates:
        publication = await self._publications.load(execution.brand_id, execution.publication_id)
        until = execution.ended_at or self._clock.now()
        async with self._db.read() as conn:
            series = await rates.series(
                conn, execution.brand_id, execution.id, execution.start_at or execution.created_at, until
            )
        return Rates(series, await self._quiet(publication, series))

    async def _quiet(self, publication: Publication, series: RateSeries) -> list[QuietBand]:
        brand = await self._brands.by_id(publication.brand_id)
        if brand is None or not series.points:
            return []
        quiet, content = BrandQuiet.of(brand.settings), publication.content
        channels = dict.fromkeys(route.channel for route in content.routes)
        hours = [found for channel in channels if (found := quiet.on(content, channel)) is not None]
        zone = quiet.fallback[0]
        if not hours:
            return []
        times = [point.at for point in series.points]
        is_quiet = [any(one.ruling((zone,), at).objection is not None for one in hours) for at in times]
        return list(_bands(times, is_quiet, zone, series))

    async def _counted(self, execution: Execution) -> Variants:
        if self._counting >= COUNTS_MAX:
            raise Unavailable(
                f"{COUNTS_MAX} executions are being counted already. Ask again in a moment.", retry_after_s=5
            )
        self._counting += 1
        try:
            content = (await self._publications.load(execution.brand_id, execution.publication_id)).content
            counted = await variants.count_variants(
                self._db, execution.brand_id, execution.id, max(execution.audience_size, execution.cast_size or 0)
            )
        finally:
            self._counting -= 1
        return Variants(self._clock.now(), list(_variant_funnels(content, counted)))


def _bands(times: list[datetime], is_quiet: list[bool], zone: str, series: RateSeries) -> Iterator[QuietBand]:
    since: datetime | None = None
    for at, quiet in zip(times, is_quiet, strict=True):
        if quiet and since is None:
            since = at
        if not quiet and since is not None:
            yield QuietBand(since, at, zone)
            since = None
    if since is not None:
        yield QuietBand(since, rates.end_of(series), zone)


def _variant_funnels(content: PublishedContent, counted: dict[tuple[int, int, int], int]) -> Iterator[VariantFunnel]:
    for ordinal, (route, base) in enumerate(zip(content.routes, content.variant_bases, strict=True)):
        for number, variant in enumerate(route.variants):
            states = {
                state.label: counted.get((int(route.channel), base + number, int(state)), 0) for state in SendState
            }
            yield VariantFunnel(
                channel=route.channel.label,
                route=ordinal,
                template=route.template_name,
                language=variant.language,
                arm=route.arm,
                audience=sum(states.values()),
                **states,
            )


class _Fresh(Generic[T]):
    """What was worked out for executions, each for some seconds: longer where it took longer, and asked for once at a time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[UUID, UUID], tuple[float, object, T]] = OrderedDict()
        self._under_way: dict[tuple[UUID, UUID], asyncio.Task[T]] = {}

    async def get(self, execution: Execution, work: Callable[[], Awaitable[T]]) -> T:
        """The kept value while it is fresh, else what `work` gives now."""
        key = execution.brand_id, execution.id
        found = self._kept.get(key)
        if found is not None and found[1] == _mark(execution) and time.monotonic() < found[0]:
            return found[2]
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._work(key, execution, work))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # Whoever waits may go away: the others, and the next one, want it still.
        return await asyncio.shield(task)

    async def _work(self, key: tuple[UUID, UUID], execution: Execution, work: Callable[[], Awaitable[T]]) -> T:
        began = time.monotonic()
        value = await work()
        now = time.monotonic()
        self._kept[key] = now + max(_FRESH_S, _TIMES_ITS_COST * (now - began)), _mark(execution), value
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return value


def _mark(execution: Execution) -> object:
    """What makes a kept figure wrong at once, however fresh: that it ended, went on or was stopped."""
    return execution.state, execution.ended_at, execution.paused_at
