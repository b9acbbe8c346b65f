"""Profile tags of a group: who came together, and whatever else people are grouped by."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, counted_listing
from stentor.api.profiles import ProfileBody
from stentor.api.profiles import shown as profile_shown
from stentor.api.request import ApiRequest, Caller
from stentor.api.wire.groups import NOTHING, Metadata, WireTime, wire_time
from stentor.audience.model import Customer, Tag
from stentor.audience.tags import NAME_CHARS_MAX
from stentor.errors import Conflict, QuotaExceeded

profile_tags = group_noun(
    "profile-tags",
    "Names that profiles are given: each batch gives its own one, and segments and schedules can ask for them.",
)


class TagInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tag to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="Unique in the group.")]


class TagBody(msgspec.Struct, frozen=True, kw_only=True):
    """A profile tag."""

    metadata: Metadata = NOTHING
    name: str
    uuid: UUID
    updated_at: WireTime
    created_at: WireTime


def shown(tag: Tag) -> TagBody:
    """The tag as the API answers it."""
    return TagBody(
        name=tag.name, uuid=tag.id, updated_at=wire_time(tag.updated_at), created_at=wire_time(tag.created_at)
    )


@profile_tags.get("/profile-tags", scope="read")
async def list_profile_tags(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[TagBody]:
    """List the group's profile tags, newest first."""
    tags = request.services.tags

    async def fetch(before: UUID | None, limit: int) -> list[Tag]:
        return await tags.page(caller.brand_id, before=before, limit=limit)

    walk = Walk(fetch, lambda tag: tag.id, UUID)
    return await counted_listing(request, query, walk, shown, total=lambda: tags.count(caller.brand_id))


@profile_tags.post(
    "/profile-tags", scope="write", status=201, problems=[Conflict, QuotaExceeded], example={"name": "Members"}
)
async def create_profile_tag(request: ApiRequest, caller: Caller, body: TagInput) -> TagBody:
    """Create a profile tag that no profile has yet: at most 10,000 for a group, beside those that its batches make."""
    return shown(await request.services.tags.create(caller.brand_id, body.name))


@profile_tags.get("/profile-tags/{tag_id:str}", scope="read")
async def get_profile_tag(request: ApiRequest, caller: Caller, tag_id: UUID) -> TagBody:
    """Show a profile tag."""
    return shown(await request.services.tags.find(caller.brand_id, tag_id))


@profile_tags.delete("/profile-tags/{tag_id:str}", scope="write", status=204, problems=[Conflict])
async def delete_profile_tag(request: ApiRequest, caller: Caller, tag_id: UUID) -> None:
    """Take a tag from all its profiles and delete it. The profiles stay."""
    await request.services.tags.delete(caller.brand_id, tag_id)


@profile_tags.get("/profile-tags/{tag_id:str}/profiles", scope="read")
async def list_tagged_profiles(
    request: ApiRequest, caller: Caller, tag_id: UUID, query: ListQuery
) -> Listing[ProfileBody]:
    """List the profiles that have the tag."""
    tags = request.services.tags

    async def fetch(after: UUID | None, limit: int) -> list[Customer]:
        return await tags.members(caller.brand_id, tag_id, after=after, limit=limit)

    walk = Walk(fetch, lambda customer: customer.customer_id, UUID)
    return await counted_listing(
        request, query, walk, profile_shown, total=lambda: tags.count_members(caller.brand_id, tag_id)
    )


@profile_tags.put("/profile-tags/{tag_id:str}/profiles/{external_id:str}", scope="write", status=204)
async def tag_profile(request: ApiRequest, caller: Caller, tag_id: UUID, external_id: str) -> None:
    """Give a profile the tag."""
    await request.services.tags.tag(caller.brand_id, tag_id, external_id)


@profile_tags.delete("/profile-tags/{tag_id:str}/profiles/{external_id:str}", scope="write", status=204)
async def untag_profile(request: ApiRequest, caller: Caller, tag_id: UUID, external_id: str) -> None:
    """Take the tag from a profile."""
    await request.services.tags.untag(caller.brand_id, tag_id, external_id)
