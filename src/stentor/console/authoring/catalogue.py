"""`/console/brands/…/catalogue`: what the brand can be called with, as it is now; shared by links that need no login."""

from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Response, Router, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.accounts.directory import BrandDirectory
from stentor.campaigns.catalogue import Catalogue, CatalogueService
from stentor.campaigns.catalogue_shares import SHARE_DAYS_MAX, CatalogueShares
from stentor.console.account import read_id
from stentor.console.authoring.catalogue_text import anchor_of, markdown_of
from stentor.console.authoring.generators import path_of
from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.pages import page
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Invalid, NotFound, Problem, QuotaExceeded

_HERE = f"{HERE}/catalogue"
_FILES = {"catalogue.md": "text/markdown; charset=utf-8", "catalogue.json": "application/json"}
_AT_THE_PAGE = (Invalid, QuotaExceeded)
_NO_INDEX = {"X-Robots-Tag": "noindex, nofollow"}


class CataloguePages:
    """The catalogue for whoever is signed in, and the links that share it."""

    def __init__(self, door: BrandDoor, *, catalogue: CatalogueService, shares: CatalogueShares, base_url: str) -> None:
        self._door = door
        self._catalogue = catalogue
        self._shares = shares
        self._base_url = base_url

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(_HERE, include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            return await self._page(request, place, told=_TOLD.get(request.query_params.get("told", ""), ""))

        @get(f"{_HERE}/{{file:str}}", include_in_schema=False)
        async def downloaded(request: AnyRequest) -> Response[Any]:
            place = await self._door.inside(request)
            return file_of(request.path_params["file"], await self._catalogue.of(place.brand), self._base_url)

        @post(f"{_HERE}/shares", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def share(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            try:
                await self._shares.make(
                    place.brand.id,
                    note=form.get("note", ""),
                    days=_days(form.get("days", "")),
                    made_by=place.who.user.email,
                )
            except _AT_THE_PAGE as problem:
                return await self._page(request, place, problem=problem)
            return Redirect(f"{place.root}/catalogue?told=shared#shares", status_code=303)

        @post(f"{_HERE}/shares/{{share_id:str}}/end", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def end(request: AnyRequest) -> Redirect:
            place, _ = await self._door.posted(request, "write")
            await self._shares.end(place.brand.id, read_id(request.path_params["share_id"]))
            return Redirect(f"{place.root}/catalogue?told=ended#shares", status_code=303)

        return [shown, downloaded, share, end]

    async def _page(
        self, request: AnyRequest, place: Place, *, problem: Problem | None = None, told: str = ""
    ) -> Response[str]:
        shares = await self._shares.all(place.brand.id) if place.may("write") else []
        links = {
            share.id: f"{self._base_url}{shared_path(self._shares.token(place.brand.id, share.id))}" for share in shares
        }
        return self._door.page(
            request,
            "authoring/catalogue.html",
            place,
            tab="catalogue",
            problem=problem,
            told=told,
            catalogue=await self._catalogue.of(place.brand),
            base_url=self._base_url,
            anchor_of=anchor_of,
            path_of=path_of,
            shares=shares,
            links=links,
            share_days_max=SHARE_DAYS_MAX,
        )


class SharedCatalogue:
    """The same for strangers who have a link: to read, and nothing else.

    `throttled` raises RateLimited for a caller who comes too often.
    """

    def __init__(
        self,
        *,
        catalogue: CatalogueService,
        shares: CatalogueShares,
        brands: BrandDirectory,
        base_url: str,
        throttled: Callable[[AnyRequest], None],
    ) -> None:
        self._catalogue = catalogue
        self._shares = shares
        self._brands = brands
        self._base_url = base_url
        self._throttled = throttled

    def routes(self) -> Router:
        """The handlers, to be mounted at the root. They set no cookie."""

        @get("/u/c/{token:str}", include_in_schema=False)
        async def look(request: AnyRequest) -> Response[str]:
            token = request.path_params["token"]
            found = await self._found(request, token)
            if found is None:
                return _strangers("authoring/unknown_share.html", status=404)
            return _strangers(
                "authoring/shared_catalogue.html",
                catalogue=found,
                base_url=self._base_url,
                anchor_of=anchor_of,
                here=shared_path(token),
            )

        @get("/u/c/{token:str}/{file:str}", include_in_schema=False)
        async def downloaded(request: AnyRequest) -> Response[Any]:
            found = await self._found(request, request.path_params["token"])
            if found is None:
                return _strangers("authoring/unknown_share.html", status=404)
            return file_of(request.path_params["file"], found, self._base_url)

        return Router("/", route_handlers=[look, downloaded])

    async def _found(self, request: AnyRequest, token: str) -> Catalogue | None:
        self._throttled(request)
        brand_id = await self._shares.opened(token)
        brand = None if brand_id is None else await self._brands.by_id(brand_id)
        return None if brand is None else await self._catalogue.of(brand)


def shared_path(token: str) -> str:
    """Where a link leads."""
    return f"/u/c/{token}"


def file_of(name: str, catalogue: Catalogue, base_url: str) -> Response[bytes]:
    """The catalogue as a file. Raises NotFound for a name that is none of its files."""
    if name not in _FILES:
        raise NotFound("There is no such file. There are catalogue.md and catalogue.json.")
    if name.endswith(".json"):
        content = msgspec.json.format(msgspec.json.encode(catalogue), indent=2)
    else:
        content = markdown_of(catalogue, base_url).encode()
    headers = {**_NO_INDEX, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=_FILES[name], headers=headers)


def _strangers(template: str, *, status: int = 200, **facts: Any) -> Response[str]:
    shown = page(template, status=status, who=None, **facts)
    # Its address is all that a stranger needs: no other site gets to see it.
    shown.headers |= {**_NO_INDEX, "Referrer-Policy": "no-referrer"}
    return shown


def _days(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0


_TOLD = {"shared": "The link is made: copy it below.", "ended": "The link is taken back: it opens nothing any more."}
