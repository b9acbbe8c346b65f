"""Pages about one brand: who may see and change what there, and what they share."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import Brand
from stentor.accounts.roles import Permission
from stentor.accounts.user_model import SignedIn
from stentor.console.account import read_id
from stentor.console.navigation import side_of
from stentor.console.visits import AnyRequest, Visits
from stentor.errors import Forbidden, NotFound, Problem

HERE = "/brands/{brand_id:str}"


class Place(msgspec.Struct, frozen=True):
    """A brand, who is there, and the brands beside it."""

    who: SignedIn
    brand: Brand
    neighbours: Sequence[Brand] = ()

    @property
    def root(self) -> str:
        """Where the brand's pages begin."""
        return f"/console/brands/{self.brand.id}"

    def may(self, permission: Permission) -> bool:
        """Whether the role allows that here."""
        return self.who.may(permission, self.brand.organisation_id, self.brand.id)


class BrandDoor:
    """Lets people in to the pages of a brand. To whoever has no role there, it does not exist."""

    def __init__(self, visits: Visits, brands: BrandDirectory) -> None:
        self._visits = visits
        self._brands = brands

    async def inside(self, request: AnyRequest, permission: Permission = "read") -> Place:
        """Whoever may do this in the brand of the path. Raises Unauthenticated, NotFound, Forbidden."""
        who = await self._visits.needed(request)
        brand = await self._brands.by_id(read_id(request.path_params["brand_id"]))
        role = None if brand is None else who.role(brand.organisation_id, brand.id)
        if brand is None or role is None:
            raise NotFound("There is no such brand.")
        place = Place(who, brand, await self._brands.of_organisation(brand.organisation_id))
        if not place.may(permission):
            raise Forbidden(f"Your role in {brand.name} is {role}, which may not do that. Ask an owner or an admin.")
        return place

    async def is_still_inside(self, request: AnyRequest, place: Place, permission: Permission) -> bool:
        """Whether they who came in with that request are signed in still, and may do this in the brand still."""
        who = await self._visits.still(request)
        return who is not None and who.may(permission, place.brand.organisation_id, place.brand.id)

    async def posted(self, request: AnyRequest, permission: Permission) -> tuple[Place, Mapping[str, str]]:
        """The same, and the fields of the form that they sent from a page of ours."""
        form = await self._visits.form(request)
        return await self.inside(request, permission), form

    def page(
        self,
        request: AnyRequest,
        template: str,
        place: Place,
        *,
        tab: str,
        problem: Problem | None = None,
        **facts: Any,
    ) -> Response[str]:
        """A page of the brand under that tab."""
        return self._visits.page(
            request,
            template,
            who=place.who,
            problem=problem,
            place=place,
            tab=tab,
            nav=side_of(place.who, place.brand, place.neighbours, tab),
            may_write=place.may("write"),
            **facts,
        )


def id_in(form: Mapping[str, str], name: str) -> UUID | None:
    """The id that a field holds; None where it holds none."""
    try:
        return UUID(form.get(name, ""))
    except ValueError:
        return None
