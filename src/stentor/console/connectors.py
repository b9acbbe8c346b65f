"""`/console/brands/…/partners/connectors`: the hubs for which the brand is the service, and the campaigns that they let run here."""

from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import NotFound
from stentor.integrations.connector.model import CONNECTORS_MAX, Patch
from stentor.integrations.connector.service import ConnectorService

RUNS_SHOWN = 10
REFUSED_SHOWN = 20

_LIST = f"{HERE}/partners/connectors"
_ONE = f"{_LIST}/{{connector_id:str}}"
_TOLD = {"on": "The connector is on.", "off": "The connector is off.", "in": "The hub lets the connector in."}


class ConnectorPages:
    """Connectors in the console. Whoever is in the brand reads them; its admins switch and check them."""

    def __init__(self, door: BrandDoor, connectors: ConnectorService) -> None:
        self._door = door
        self._connectors = connectors

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(_LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            return await self._list(request, place, told=_TOLD.get(request.query_params.get("done", ""), ""))

        @post(f"{_ONE}/switch", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def switch(request: AnyRequest) -> Redirect:
            place, form = await self._door.posted(request, "admin")
            is_on = form.get("enabled") == "yes"
            await self._connectors.update(place.brand.id, _named(request), Patch(enabled=is_on))
            return Redirect(f"{place.root}/partners/connectors?done={'on' if is_on else 'off'}", status_code=303)

        @post(f"{_ONE}/check", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def check(request: AnyRequest) -> Response[str] | Redirect:
            place, _ = await self._door.posted(request, "admin")
            problem = await self._connectors.check(place.brand.id, _named(request))
            if problem:
                return await self._list(request, place, refusal=problem)
            return Redirect(f"{place.root}/partners/connectors?done=in", status_code=303)

        return [listed, switch, check]

    async def _list(self, request: AnyRequest, place: Place, *, told: str = "", refusal: str = "") -> Response[str]:
        found = await self._connectors.page(place.brand.id, limit=CONNECTORS_MAX)
        runs = {one.id: await self._connectors.runs(place.brand.id, one.id, limit=RUNS_SHOWN) for one in found}
        refused = {
            run.id: await self._connectors.refused(place.brand.id, one.id, run.id, limit=REFUSED_SHOWN)
            for one in found
            for run in runs[one.id]
            if run.refused
        }
        return self._door.page(
            request,
            "connectors.html",
            place,
            tab="partners",
            connectors=found,
            runs=runs,
            refused=refused,
            refusal=refusal,
            may_admin=place.may("admin"),
            told=told,
        )


def _named(request: AnyRequest) -> UUID:
    try:
        return UUID(request.path_params["connector_id"])
    except ValueError:
        raise NotFound("This brand has no such connector.") from None
