"""`/console/brands/…`: where a brand's pages begin."""

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from stentor.console.brand import HERE, BrandDoor
from stentor.console.visits import AnyRequest


class HomePages:
    """The first page of a brand."""

    def __init__(self, door: BrandDoor) -> None:
        self._door = door

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(HERE, include_in_schema=False)
        async def home(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            return self._door.page(request, "running/home.html", place, tab="home")

        return [home]
