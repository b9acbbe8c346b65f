"""`/console/brands/…/settings/usage`: how much the brand sends and keeps, and the same as CSV."""

from datetime import date

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from stentor.console.brand import BrandDoor
from stentor.console.settings.sections import SETTINGS, settings_page
from stentor.console.visits import AnyRequest
from stentor.errors import Invalid, Unavailable
from stentor.report.usage import UsageService, as_csv


class UsagePages:
    """Usage. Whoever is in the brand sees it."""

    def __init__(self, door: BrandDoor, usage: UsageService) -> None:
        self._door = door
        self._usage = usage

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(f"{SETTINGS}/usage", include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            problem = usage = None
            try:
                usage = await self._usage.of(place.brand.id, *_days(request))
            except (Invalid, Unavailable) as refusal:
                problem = refusal
            return settings_page(
                self._door,
                request,
                "usage.html",
                place,
                section="usage",
                problem=problem,
                usage=usage,
                asked={name: request.query_params.get(name, "")[:10] for name in ("first_day", "last_day")},
            )

        @get(f"{SETTINGS}/usage.csv", include_in_schema=False)
        async def file(request: AnyRequest) -> Response[bytes]:
            place = await self._door.inside(request)
            usage = await self._usage.of(place.brand.id, *_days(request))
            name = f"usage-{place.brand.id}-{usage.first_day}-{usage.last_day}.csv"
            headers = {"Content-Disposition": f'attachment; filename="{name}"'}
            return Response(as_csv(usage.days), media_type="text/csv", headers=headers)

        return [shown, file]


def _days(request: AnyRequest) -> tuple[date | None, date | None]:
    """The days that are asked for. Raises Invalid."""
    try:
        return _day(request, "first_day"), _day(request, "last_day")
    except ValueError:
        raise Invalid.field("/first_day", "day", "Write a day as 2026-11-23.") from None


def _day(request: AnyRequest, name: str) -> date | None:
    text = request.query_params.get(name, "")
    return date.fromisoformat(text) if text else None
