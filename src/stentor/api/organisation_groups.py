"""The groups of an organisation: listed, made and named. What is in a group is under `/v1/groups/{group_id}`."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.accounts.model import Brand
from stentor.api.noun import Noun
from stentor.api.organisations import PREFIX, NameInput, OrganisationCaller, organisation_access, organisation_pace
from stentor.api.paging import Listing
from stentor.api.request import ApiRequest
from stentor.errors import Conflict

organisation_groups = Noun(
    "organisation groups",
    "The groups of an organisation, which owns them. Needs a key of the whole organisation with the scope `admin`, and no test key.",
    prefix=PREFIX,
    access=organisation_access,
    pace=organisation_pace,
)


class GroupBody(msgspec.Struct, frozen=True):
    """A group (brand) of the organisation."""

    id: UUID
    name: str
    brand_key: Annotated[str, Meta(description="What names it in `x-brand-key`. It opens nothing.")]
    created_at: datetime

    @classmethod
    def of(cls, brand: Brand) -> "GroupBody":
        return cls(brand.id, brand.name, brand.brand_key, brand.created_at)


@organisation_groups.get("/{organisation_id:str}/groups", scope="admin")
async def list_organisation_groups(request: ApiRequest, caller: OrganisationCaller) -> Listing[GroupBody]:
    """List the organisation's groups, in the order in which they were made."""
    found = await request.services.accounts.brands_of(caller.organisation.id)
    return Listing([GroupBody.of(brand) for brand in found])


@organisation_groups.post(
    "/{organisation_id:str}/groups",
    scope="admin",
    status=201,
    problems=[Conflict],
    idempotent=False,
    example={"name": "Fan Club"},
)
async def create_organisation_group(request: ApiRequest, caller: OrganisationCaller, body: NameInput) -> GroupBody:
    """Make a group, with its built-in opt-out list and its sandbox.

    Keys of the whole organisation open it at once. A name is given once, so that a call that is made again makes no second one.
    """
    made = await request.services.accounts.create_brand(body.name, caller.organisation.id)
    return GroupBody.of(made)


@organisation_groups.patch(
    "/{organisation_id:str}/groups/{group_id:str}", scope="admin", problems=[Conflict], example={"name": "Fan Club"}
)
async def rename_organisation_group(
    request: ApiRequest, caller: OrganisationCaller, group_id: UUID, body: NameInput
) -> GroupBody:
    """Give a group another name, by which it is known everywhere within a second."""
    renamed = await request.services.accounts.rename_brand(group_id, body.name, organisation_id=caller.organisation.id)
    return GroupBody.of(renamed)
