"""`/console/brands/…/templates/…/versions`: what a template said before, two versions side by side, and an old one back."""

import asyncio
from collections.abc import Mapping

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.campaigns.model import Template
from stentor.campaigns.templates import TemplateService, edited_meanwhile
from stentor.console.authoring.comparing import PartCompared, compared
from stentor.console.authoring.template_editor import SEEN, seen_of
from stentor.console.authoring.templates import ONE, moment, template_id
from stentor.console.brand import BrandDoor, Place
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Conflict, Invalid, NotFound, Problem

_DIGITS_MAX = 9


class TemplateVersionPages:
    """Versions of templates in the console."""

    def __init__(self, door: BrandDoor, templates: TemplateService) -> None:
        self._door = door
        self._templates = templates

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(f"{ONE}/versions", include_in_schema=False)
        async def versions(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            template = await self._templates.get(place.brand.id, template_id(request))
            return await self._page(request, place, template)

        @post(
            f"{ONE}/versions/{{version:str}}/restore",
            include_in_schema=False,
            request_max_body_size=FORM_BYTES_MAX,
            status_code=200,
        )
        async def restore(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            wanted = _number(request.path_params, "version")
            template = await self._templates.get(place.brand.id, template_id(request))
            try:
                edited_from = moment(form.get(SEEN, ""))
                if wanted is None or edited_from is None:
                    raise edited_meanwhile()
                await self._templates.restore(place.brand.id, template.id, wanted, edited_from=edited_from)
            except (Conflict, Invalid, NotFound) as problem:
                now = await self._templates.get(place.brand.id, template.id)
                return await self._page(request, place, now, problem=problem)
            return Redirect(f"{place.root}/templates/{template.id}/versions?restored={wanted}", status_code=303)

        return [versions, restore]

    async def _page(
        self, request: AnyRequest, place: Place, template: Template, *, problem: Problem | None = None
    ) -> Response[str]:
        query = request.query_params
        kept = await self._templates.versions(place.brand.id, template.id)
        numbers = [one.version for one in kept]
        newer = _number(query, "to")
        newer = newer if newer in numbers else numbers[0]
        older = _number(query, "from")
        older = older if older in numbers else max((one for one in numbers if one < newer), default=numbers[-1])
        restored = _number(query, "restored")
        return self._door.page(
            request,
            "authoring/template_versions.html",
            place,
            tab="templates",
            problem=problem,
            stored=template,
            versions=kept,
            older=older,
            newer=newer,
            differing=await self._compared(place, template, older, newer),
            seen=seen_of(template),
            told=f"Version {template.version} says what version {restored} said."
            if restored and problem is None
            else "",
        )

    async def _compared(self, place: Place, template: Template, older: int, newer: int) -> list[PartCompared]:
        if older == newer:
            return []
        old, new = [(await self._templates.version(place.brand.id, template.id, one)).content for one in (older, newer)]
        return await asyncio.to_thread(compared, old.variants, new.variants)


def _number(fields: Mapping[str, str], name: str) -> int | None:
    """The number of a version that a field says; None for what is none."""
    said = fields.get(name, "")
    return int(said) if said.isascii() and said.isdecimal() and len(said) <= _DIGITS_MAX else None
