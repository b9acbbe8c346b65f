"""Profiles of a group: its customers, in the form in which batches bring them."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.batches import AttributeBody, PersonInput, ProfileInput
from stentor.api.channels import ChannelName, names_in
from stentor.api.erasures import ErasedBody, asker, erased_shown
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, counted_listing, searched_listing
from stentor.api.request import ApiRequest, Caller
from stentor.api.wire.groups import NOTHING, Metadata, WireTime, wire_time
from stentor.audience.model import Customer
from stentor.audience.profile_service import SEARCH_NAME_CHARS_MAX, ProfileFilter
from stentor.audience.profiles import NAMES
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.domain.ids import EXTERNAL_ID_BYTES_MAX
from stentor.errors import Conflict, Invalid, Unavailable, Unprocessable

profiles = group_noun(
    "profiles",
    "The group's customers, in the form in which batches bring them. A profile is named by its `uuid` or by your own `external_id`.",
)


class MergeInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which other profile is the same person."""

    external_id: Annotated[
        str,
        Meta(min_length=1, max_length=EXTERNAL_ID_BYTES_MAX, description="Of the profile that goes, or its `uuid`."),
    ]


_SEARCHES = ("external_id", "email_address", "phone_number", "name", "tag")


class PersonBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who it is."""

    first_name: str | None
    last_name: str | None
    phone_number: str | None
    email_address: str | None
    locale: str | None
    time_zone: str | None


class ProfileBody(msgspec.Struct, frozen=True, kw_only=True):
    """A profile."""

    metadata: Metadata = NOTHING
    external_id: str
    uuid: UUID
    updated_at: WireTime
    created_at: WireTime
    person: PersonBody
    attributes: list[AttributeBody]
    agreed: Annotated[list[ChannelName], Meta(description="Channels whose flag is yes.")]
    refused: Annotated[list[ChannelName], Meta(description="Channels whose flag is no: nothing goes out there.")]
    bounced: Annotated[list[ChannelName], Meta(description="Channels whose address was refused for good.")]
    complained: Annotated[list[ChannelName], Meta(description="Channels on which the person complained.")]


class ProfileChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What changes: a field that is left out stays, null takes it away."""

    person: PersonInput | None = None
    attributes: list[AttributeBody] | None = None


class ProfileQuery(ListQuery, frozen=True, kw_only=True):
    """Which profiles; at most one of these is said."""

    external_id: str | None = None
    email_address: Annotated[str, Meta(max_length=ADDRESS_CHARS_MAX)] | None = None
    phone_number: Annotated[str, Meta(max_length=ADDRESS_CHARS_MAX)] | None = None
    name: (
        Annotated[
            str,
            Meta(min_length=1, max_length=SEARCH_NAME_CHARS_MAX, description="Part of the first and last name."),
        ]
        | None
    ) = None
    tag: Annotated[UUID, Meta(description="Of a profile tag.")] | None = None


_EXAMPLE = {
    "external_id": "crm-79",
    "person": {"first_name": "Aino", "email_address": "aino@example.org"},
    "attributes": [{"name": "Tier", "value": "Gold"}],
}


def shown(customer: Customer) -> ProfileBody:
    """The person as the API answers it."""
    names = {name: customer.attributes.get(name) for name in NAMES}
    return ProfileBody(
        external_id=customer.external_id,
        uuid=customer.customer_id,
        updated_at=wire_time(customer.updated_at),
        created_at=wire_time(customer.created_at),
        person=PersonBody(
            first_name=_text(names["first_name"]),
            last_name=_text(names["last_name"]),
            phone_number=customer.phone,
            email_address=customer.email,
            locale=customer.locale,
            time_zone=customer.time_zone,
        ),
        attributes=[AttributeBody(name, value) for name, value in customer.attributes.items() if name not in NAMES],
        agreed=names_in(customer.agreed_mask),
        refused=names_in(customer.refused_mask),
        bounced=names_in(customer.bounced_mask),
        complained=names_in(customer.complained_mask),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


@profiles.get("/profiles", scope="read")
async def list_profiles(request: ApiRequest, caller: Caller, query: ProfileQuery) -> Listing[ProfileBody]:
    """List the group's profiles, or those with an address, a name, an external id or a tag.

    A search by name reads people for two seconds at the most: its page may be short, or empty, while `next_cursor` and
    `links.next` lead on to the rest.
    """
    said = [name for name in _SEARCHES if getattr(query, name) is not None]
    if len(said) > 1:
        text = f"Search by one of {', '.join(_SEARCHES)} at a time; this asks for {' and '.join(said)}."
        raise Invalid.field(f"/{said[1]}", "one-search", text)
    service, region = request.services.profiles, caller.brand.settings.default_country
    wanted = ProfileFilter(
        external_id=query.external_id,
        email=query.email_address,
        phone=query.phone_number,
        tag_id=query.tag,
    )
    if query.tag is not None:
        await request.services.tags.find(caller.brand_id, query.tag)
    if (name := query.name) is not None:

        async def find(after: UUID | None, limit: int) -> tuple[list[Customer], UUID | None]:
            found = await service.named(caller.brand_id, name, after=after, limit=limit)
            return found.people, found.behind

        return await searched_listing(request, query, find, shown, kind=UUID)

    async def fetch(after: UUID | None, limit: int) -> list[Customer]:
        return await service.page(caller.brand_id, wanted, region=region, after=after, limit=limit)

    return await counted_listing(
        request,
        query,
        Walk(fetch, lambda customer: customer.customer_id, UUID),
        shown,
        total=lambda: service.count(caller.brand_id, wanted, region=region),
    )


@profiles.post("/profiles", scope="write", status=201, problems=[Unprocessable], reads=ProfileInput, example=_EXAMPLE)
async def create_profile(request: ApiRequest, caller: Caller) -> ProfileBody:
    """Create a profile. Unlike a batch, this says nothing of what it agreed to: its channel flags are unset."""
    region = caller.brand.settings.default_country
    return shown(await request.services.profiles.create(caller.brand_id, await request.json_value(), region=region))


@profiles.get("/profiles/{profile:str}", scope="read")
async def get_profile(request: ApiRequest, caller: Caller, profile: str) -> ProfileBody:
    """Show a profile, by its `uuid` or its `external_id`."""
    return shown(await request.services.profiles.find(caller.brand_id, profile))


@profiles.patch(
    "/profiles/{profile:str}",
    scope="write",
    problems=[Unprocessable],
    reads=ProfileChanges,
    example={"person": {"phone_number": None}, "attributes": [{"name": "Tier", "value": "Silver"}]},
)
async def update_profile(request: ApiRequest, caller: Caller, profile: str) -> ProfileBody:
    """Change a profile. Its external id never changes."""
    region = caller.brand.settings.default_country
    return shown(
        await request.services.profiles.update(caller.brand_id, profile, await request.json_value(), region=region)
    )


@profiles.delete("/profiles/{profile:str}", scope="write", problems=[Unavailable])
async def delete_profile(request: ApiRequest, caller: Caller, profile: str) -> ErasedBody:
    """Erase a profile, for good, by its `uuid` or its `external_id`. Saying it again answers with the same erasure.

    Its addresses stay suppressed by their hashes. `external_id` of the answer is what this call named it by.
    """
    erased = await request.services.erasures.erase_profile(caller.brand_id, profile, asked_by=asker(caller))
    return erased_shown(erased)


@profiles.post(
    "/profiles/{profile:str}/merge",
    scope="write",
    problems=[Conflict, Unavailable, Unprocessable],
    example={"external_id": "crm-78"},
)
async def merge_profile(request: ApiRequest, caller: Caller, profile: str, body: MergeInput) -> ProfileBody:
    """Merge another profile, which is the same person, into this one. Saying it again changes nothing.

    This one keeps its external id, addresses and attributes, and takes from the other one what it has none of. A no of either
    beats a yes. Tags, subscriptions, events and what caps count come together, and nobody is written to as the other one any
    more: asked for it, this one answers, and links in its messages speak of this one. An import or a batch that names the
    other one is told whom it was merged into.
    """
    merged = await request.services.merges.merge(caller.brand_id, profile, body.external_id, asked_by=asker(caller))
    return shown(merged)
