"""`/console/brands/…/settings/integration` and `…/developer`: ids and API tokens, and how each family of calls is called with them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.accounts.model import SCOPES, ApiKey, KeyState, NewKey
from stentor.accounts.service import AccountService
from stentor.clock import Clock
from stentor.console.brand import BrandDoor, Place
from stentor.console.settings.families import Families
from stentor.console.settings.sections import SETTINGS, settings_page
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, Problem

if TYPE_CHECKING:
    from stentor.accounts.model import Scope

_AT_THE_FORM = (Conflict, Forbidden, Invalid)
_DAYS = {"30": "30 days", "90": "90 days", "365": "a year", "": "never"}
_NUMBER_DIGITS = 18
_PATH = f"{SETTINGS}/integration"


class IntegrationPages:
    """Where a developer finds what a program needs. Ids are for whoever is in the brand; tokens for those who may see them."""

    def __init__(
        self, door: BrandDoor, *, accounts: AccountService, families: Families, clock: Clock, base_url: str
    ) -> None:
        self._door = door
        self._accounts = accounts
        self._families = families
        self._clock = clock
        self._base_url = base_url

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(_PATH, include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            told = "The token is revoked. It opens nothing any more." if "revoked" in request.query_params else ""
            return await self._page(request, place, state=_state(request), told=told)

        @post(f"{_PATH}/tokens", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def create(request: AnyRequest) -> Response[str]:
            place, form = await self._door.posted(request, "admin")
            days = form.get("days", "")
            try:
                made = await self._accounts.create_key(
                    form.get("name", ""),
                    organisation_id=place.brand.organisation_id,
                    brand_id=place.brand.id,
                    scopes=[cast("Scope", scope) for scope in SCOPES if form.get(f"scope_{scope}")],
                    is_test="is_test" in form,
                    expires_at=self._clock.now() + timedelta(days=int(days)) if days in _DAYS and days else None,
                )
            except _AT_THE_FORM as problem:
                return await self._page(request, place, problem=problem, typed=form)
            return await self._page(request, place, made=made)

        @post(f"{_PATH}/tokens/{{number:str}}/revoke", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def revoke(request: AnyRequest) -> Redirect:
            place, _ = await self._door.posted(request, "tokens")
            number = request.path_params["number"]
            if not number.isascii() or not number.isdigit() or len(number) > _NUMBER_DIGITS:
                raise NotFound("There is no such token.")
            # A token of the whole organisation is revoked by whoever may there.
            everywhere = place.who.may("tokens", place.brand.organisation_id)
            await self._accounts.revoke_key(
                place.brand.organisation_id, int(number), brand_id=None if everywhere else place.brand.id
            )
            return Redirect(f"{place.root}/settings/integration?revoked=yes", status_code=303)

        @get(f"{SETTINGS}/developer", include_in_schema=False)
        async def developer(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            keys = await self._keys(place, "live") if place.may("tokens") else []
            return settings_page(
                self._door,
                request,
                "developer.html",
                place,
                section="developer",
                families=await self._families.of(place.brand, keys),
                base_url=self._base_url,
                may_see_keys=place.may("tokens"),
            )

        return [shown, create, revoke, developer]

    async def _keys(self, place: Place, state: KeyState) -> list[ApiKey]:
        """The keys that open the brand: its own, and for who may see them those of the whole organisation."""
        keys = await self._accounts.keys_of_brand(place.brand.id, state)
        organisation_id = place.brand.organisation_id
        if place.who.may("tokens", organisation_id):
            everywhere = await self._accounts.keys_of_organisation(organisation_id, state)
            keys += [key for key in everywhere if key.brand_id is None]
        return sorted(keys, key=lambda key: key.number)

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        *,
        state: KeyState = "live",
        problem: Problem | None = None,
        made: NewKey | None = None,
        typed: Mapping[str, str] | None = None,
        told: str = "",
    ) -> Response[str]:
        may_see = place.may("tokens")
        shown = settings_page(
            self._door,
            request,
            "integration.html",
            place,
            section="integration",
            problem=problem,
            base_url=self._base_url,
            may_see=may_see,
            keys=await self._keys(place, state) if may_see else [],
            may_revoke_all=place.who.may("tokens", place.brand.organisation_id),
            state=state,
            scopes=SCOPES,
            days=_DAYS,
            now=self._clock.now(),
            made=made,
            typed=typed or {},
            told=told,
        )
        if made is not None:
            # Neither a cache nor the way back through a browser's history shows a secret again.
            shown.headers["Cache-Control"] = "no-store"
        return shown


def _state(request: AnyRequest) -> KeyState:
    return "ended" if request.query_params.get("state") == "ended" else "live"
