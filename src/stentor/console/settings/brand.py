"""`/console/brands/…/settings`: what a brand is called, what messages say of it, its limits, and how long things are kept."""

from collections.abc import Mapping

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.accounts.service import AccountService
from stentor.console.brand import BrandDoor, Place
from stentor.console.fields import errors_at
from stentor.console.settings.plain import PAGES, changes_in, settings_of, views
from stentor.console.settings.sections import SETTINGS, settings_page
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Conflict, Invalid, Problem

_AT_THE_FORM = (Conflict, Invalid)
_TOLD = {"saved": "Saved. It holds everywhere within a second.", "renamed": "The brand has another name."}


class BrandSettingsPages:
    """Settings that are one value each. Whoever is in the brand reads them; its admins change them."""

    def __init__(self, door: BrandDoor, accounts: AccountService) -> None:
        self._door = door
        self._accounts = accounts

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [handler for section in PAGES for handler in self._of(section)] + [self._renaming()]

    def _of(self, section: str) -> list[HTTPRouteHandler]:
        path = f"{SETTINGS}/{section}" if section else SETTINGS

        @get(path, include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            return await self._page(request, place, section, told=_TOLD.get(request.query_params.get("done", ""), ""))

        @post(path, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "admin")
            # Whoever may in the brand alone leaves traces in its log, and does not shorten it.
            said = [each for each in settings_of(section) if _may(place, organisation_alone=each.organisation_alone)]
            try:
                await self._accounts.update_brand_settings(place.brand.id, changes_in(form, said))
            except _AT_THE_FORM as problem:
                return await self._page(request, place, section, problem=problem, typed=form)
            return Redirect(f"{place.root}/settings{'/' if section else ''}{section}?done=saved", status_code=303)

        return [shown, change]

    def _renaming(self) -> HTTPRouteHandler:
        @post(f"{SETTINGS}/name", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def rename(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "admin")
            try:
                await self._accounts.rename_brand(place.brand.id, form.get("name", ""))
            except _AT_THE_FORM as problem:
                return await self._page(request, place, "", problem=problem, name=form.get("name", ""))
            return Redirect(f"{place.root}/settings?done=renamed", status_code=303)

        return rename

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        section: str,
        *,
        problem: Problem | None = None,
        typed: Mapping[str, str] | None = None,
        name: str | None = None,
        told: str = "",
    ) -> Response[str]:
        brand = await self._accounts.brand(place.brand.id)
        errors, _ = errors_at(problem, {f"/{each.name}": each.name for each in settings_of(section)})
        groups = [
            (
                group,
                [
                    (view, _may(place, organisation_alone=each.organisation_alone))
                    for each, view in views(group, brand.settings, typed, errors)
                ],
            )
            for group in PAGES[section]
        ]
        return settings_page(
            self._door,
            request,
            "plain.html",
            place,
            section=section,
            problem=problem,
            groups=groups,
            name=brand.name if name is None else name,
            is_about_name=name is not None,
            told=told,
        )


def _may(place: Place, *, organisation_alone: bool) -> bool:
    return not organisation_alone or place.who.may("admin", place.brand.organisation_id)
