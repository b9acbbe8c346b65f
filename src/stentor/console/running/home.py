"""`/console/brands/…`: what is under way, how the day goes, what needs a look, what comes next. It moves by itself."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import ServerSentEvent

from stentor.clock import Clock
from stentor.console.brand import HERE, BrandDoor
from stentor.console.live import Fragments, Live
from stentor.console.pages import fragment
from stentor.console.running.alerts import Alert, Alerts
from stentor.console.running.coming import Coming, ComingUp
from stentor.console.running.pace import Paces, seconds_left
from stentor.console.visits import AnyRequest
from stentor.executions.today import Day, TodayService, UnderWay

# What moves slowly is asked for less often than what is under way.
SLOW_EVERY = timedelta(seconds=5)


class Running(msgspec.Struct, frozen=True):
    """An execution under way with its pace; `left_s` is None where its end is not known."""

    standing: UnderWay
    per_s: float | None
    left_s: int | None


class Standing(msgspec.Struct, frozen=True):
    """All that the page shows."""

    now: datetime
    day: Day
    running: list[Running]
    alerts: list[Alert]
    coming: list[Coming]

    @property
    def per_s(self) -> float | None:
        """How many sends per second are settled, of all executions; None where it is not known."""
        known = [one.per_s for one in self.running if one.per_s is not None]
        return sum(known) if known or not self.running else None


class HomePages:
    """The first page of a brand."""

    def __init__(
        self, door: BrandDoor, live: Live, *, today: TodayService, alerts: Alerts, coming: ComingUp, clock: Clock
    ) -> None:
        self._door = door
        self._live = live
        self._today = today
        self._alerts = alerts
        self._coming = coming
        self._clock = clock
        self._paces = Paces()

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(HERE, include_in_schema=False)
        async def home(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            standing = await self._standing(place.brand.id)
            return self._door.page(
                request,
                "running/home.html",
                place,
                tab="home",
                standing=standing,
                root=place.root,
                is_new=not await self._today.has_run(place.brand.id),
                may_run=place.may("run"),
            )

        @get(f"{HERE}/live", include_in_schema=False)
        async def live(request: AnyRequest) -> ServerSentEvent:
            place = await self._door.inside(request)
            brand_id, root = place.brand.id, place.root
            last = await self._standing(brand_id)

            async def look() -> Standing:
                nonlocal last
                if self._clock.now() - last.now >= SLOW_EVERY:
                    last = await self._standing(brand_id)
                    return last
                return msgspec.structs.replace(
                    last, running=await self._running(brand_id), day=await self._today.day(brand_id)
                )

            def draw(standing: Standing) -> Mapping[str, str]:
                return {
                    f"home-{part}": fragment(f"running/home_{part}.html", standing=standing, root=root)
                    for part in _PARTS
                }

            fragments = Fragments(look, draw, mark=lambda seen: msgspec.structs.replace(seen, now=_NEVER))
            return self._live.stream(request, place, ("home", brand_id), fragments)

        return [home, live]

    async def _standing(self, brand_id: UUID) -> Standing:
        now = self._clock.now()
        return Standing(
            now,
            await self._today.day(brand_id),
            await self._running(brand_id),
            await self._alerts.of(brand_id, now),
            await self._coming.of(brand_id, now),
        )

    async def _running(self, brand_id: UUID) -> list[Running]:
        found = await self._today.under_way(brand_id)
        paces = self._paces.note(found)
        return [Running(one, per_s := paces[one.execution.id], seconds_left(one, per_s)) for one in found]


_PARTS = ("day", "running", "alerts", "coming")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
