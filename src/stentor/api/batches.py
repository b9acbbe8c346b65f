"""Batches of a group: people who are handed over together, and the campaign that is to run for them."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.auth import allowed
from stentor.api.groups import group_noun
from stentor.api.imports import FILE_BYTES_MAX, ImportBody, received
from stentor.api.imports import shown as import_shown
from stentor.api.paging import Listing, ListQuery, Walk, counted_listing
from stentor.api.request import ApiRequest, Caller
from stentor.api.wire.groups import NOTHING, Metadata, Ref, WireTime, act_of, group_ref, wire_time
from stentor.audience.imports import SOURCE_CHARS_MAX
from stentor.audience.model import TaggedProfile
from stentor.audience.profiles import ATTRIBUTE_NAME_CHARS_MAX, NAME_CHARS_MAX
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.domain.ids import EXTERNAL_ID_BYTES_MAX
from stentor.domain.locale import LOCALE_CHARS_MAX, TIME_ZONE_CHARS_MAX
from stentor.errors import Conflict, NoRoom, Unprocessable
from stentor.triggers.batches.model import Batch, BatchCall, BatchSchedule
from stentor.triggers.batches.streaming import STREAM_NAME_CHARS_MAX, StreamCall
from stentor.triggers.model import ScheduleStatus

BATCH_BYTES_MAX = 4 << 20

batches = group_noun(
    "batches",
    "Up to 50 profiles, handed over with one call (a setting of the group, `batch_profiles_max`): each is found again or made, all get one "
    "profile tag, and a campaign may be scheduled for them. All of it is stored, or nothing.",
)

Text = Annotated[str, Meta(max_length=NAME_CHARS_MAX)]


class PersonInput(msgspec.Struct, frozen=True, kw_only=True):
    """Who it is; a phone number or an e-mail address is needed."""

    first_name: Text | None = None
    last_name: Text | None = None
    phone_number: (
        Annotated[str, Meta(max_length=ADDRESS_CHARS_MAX, description="E.164, or as the group's country writes it.")]
        | None
    ) = None
    email_address: Annotated[str, Meta(max_length=ADDRESS_CHARS_MAX)] | None = None
    locale: Annotated[str, Meta(max_length=LOCALE_CHARS_MAX, description="BCP 47.")] | None = None
    time_zone: Annotated[str, Meta(max_length=TIME_ZONE_CHARS_MAX, description="As `Europe/Berlin`.")] | None = None


class AttributeBody(msgspec.Struct, frozen=True):
    """A fact about a profile; null takes it away."""

    name: Annotated[str, Meta(min_length=1, max_length=ATTRIBUTE_NAME_CHARS_MAX)]
    value: Any


class ProfileInput(msgspec.Struct, frozen=True, kw_only=True):
    """One profile."""

    person: PersonInput
    attributes: list[AttributeBody] | None = None
    external_id: (
        Annotated[
            str,
            Meta(
                max_length=EXTERNAL_ID_BYTES_MAX,
                description="Your id of the profile. Without one, a profile is found again by its address, or made with an id of ours.",
            ),
        ]
        | None
    ) = None


class CampaignChoice(msgspec.Struct, frozen=True):
    """Which campaign."""

    uuid: Annotated[UUID, Meta(description="Of kind `batch` or `scheduled`, published.")]


class ScheduleWishInput(msgspec.Struct, frozen=True):
    """What is to run for the profiles, and when."""

    start_at: Annotated[
        str,
        Meta(
            description="`YYYY-MM-DD HH:MM:SS` in UTC; up to a minute ago means at once, and 400 days ahead is the most."
        ),
    ]
    campaign: CampaignChoice


class BatchInput(msgspec.Struct, frozen=True):
    """A batch to be made."""

    profiles: Annotated[list[ProfileInput], Meta(min_length=1)]
    schedule: ScheduleWishInput | None = None


class WireSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """When the campaign runs, and how far it is."""

    metadata: Metadata = NOTHING
    status: ScheduleStatus
    start_at: WireTime
    uuid: UUID
    updated_at: WireTime
    created_at: WireTime


class BatchBody(msgspec.Struct, frozen=True, kw_only=True):
    """A batch."""

    metadata: Metadata = NOTHING
    profiles: Annotated[list[TaggedProfile], Meta(description="In the order of the request; none of a stream.")]
    uuid: UUID
    updated_at: WireTime
    created_at: WireTime
    group: Ref
    campaign: Ref | None
    profile_tag: Annotated[Ref | None, Meta(description="Which all its profiles have; null once it was deleted.")]
    schedule: WireSchedule | None
    profiles_count: Annotated[
        int | UnsetType, Meta(description="How many came, those that were erased or untagged since included.")
    ] = UNSET


_PROFILE = {
    "external_id": "crm-77",
    "person": {
        "first_name": "Aino",
        "last_name": "Laine",
        "phone_number": "+358401112222",
        "email_address": "aino@example.org",
    },
    "attributes": [{"name": "Tier", "value": "Gold"}],
}


def schedule_shown(schedule: BatchSchedule) -> WireSchedule:
    """The schedule as a batch's answer has it."""
    return WireSchedule(
        status=schedule.status,
        start_at=wire_time(schedule.start_at),
        uuid=schedule.id,
        updated_at=wire_time(schedule.updated_at),
        created_at=wire_time(schedule.created_at),
    )


def shown(caller: Caller, batch: Batch) -> BatchBody:
    """The batch as the API answers it."""
    row, schedule = batch.row, batch.schedule
    return BatchBody(
        profiles=batch.profiles,
        uuid=row.id,
        updated_at=wire_time(row.updated_at),
        created_at=wire_time(row.created_at),
        group=group_ref(caller),
        campaign=Ref(row.campaign_id, row.campaign_name) if row.campaign_id else None,
        profile_tag=Ref(batch.tag.id, batch.tag.name) if batch.tag else None,
        schedule=schedule_shown(schedule) if schedule else None,
        profiles_count=row.profiles,
    )


@batches.post(
    "/batches",
    scope="write",
    status=201,
    problems=[Unprocessable],
    reads=BatchInput,
    bytes_max=BATCH_BYTES_MAX,
    example={"profiles": [_PROFILE]},
)
async def create_batch(request: ApiRequest, caller: Caller) -> BatchBody:
    """Create a batch.

    You say with it that its new profiles agreed to hear from you on the channels that they have an address for, and that is
    written to the consent ledger. Nobody's refusal, opt-out, STOP or bounce is lifted by it. What is wrong with the profiles is
    told field by field. With a `schedule` the key needs the scope `run` too.
    """
    body = await request.json_value()
    if isinstance(body, Mapping) and body.get("schedule") is not None:
        allowed(caller, "run")
    call = BatchCall(
        brand_id=caller.brand_id,
        body=body,
        region=caller.brand.settings.default_country,
        profiles_max=caller.brand.settings.batch_profiles_max,
        act=act_of(caller, request.client_address),
        is_test=caller.principal.is_test,
    )
    made = shown(caller, await request.services.batches.create(call))
    return msgspec.structs.replace(made, profiles_count=UNSET)


@batches.get("/batches", scope="read")
async def list_batches(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[BatchBody]:
    """List the group's batches, newest first."""

    async def fetch(before: UUID | None, limit: int) -> list[Batch]:
        return await request.services.batches.page(caller.brand_id, before=before, limit=limit)

    return await counted_listing(
        request,
        query,
        Walk(fetch, lambda batch: batch.row.id, UUID),
        lambda batch: shown(caller, batch),
        total=lambda: request.services.batches.count(caller.brand_id),
    )


@batches.get("/batches/{batch_id:str}", scope="read")
async def get_batch(request: ApiRequest, caller: Caller, batch_id: UUID) -> BatchBody:
    """Show a batch with its profiles and how far its schedule is."""
    return shown(caller, await request.services.batches.find(caller.brand_id, batch_id))


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream is, and what is to run for its profiles."""

    source: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=SOURCE_CHARS_MAX,
            description=(
                "A name of the stream, and of no other one: a stream that never came to its end is gone on with, and one that "
                "did in the last 7 days is answered with its batch."
            ),
        ),
    ]
    name: (
        Annotated[
            str,
            Meta(min_length=1, max_length=STREAM_NAME_CHARS_MAX, description="What its profile tag begins with."),
        ]
        | None
    ) = None
    campaign: Annotated[str, Meta(description="The uuid of a campaign; then `start_at` is needed as well.")] | None = (
        None
    )
    start_at: Annotated[str, Meta(description="`YYYY-MM-DD HH:MM:SS` in UTC.")] | None = None


class StreamBody(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that came as a stream, and the import that took it in: its progress, and its rejects under `…/imports`."""

    batch: BatchBody
    job: ImportBody = msgspec.field(name="import")


@batches.post(
    "/batches:bulk",
    scope="write",
    status=201,
    problems=[Conflict, NoRoom, Unprocessable],
    upload={"application/x-ndjson": f"{msgspec.json.encode(_PROFILE).decode()}\n"},
    bytes_max=FILE_BYTES_MAX,
)
async def stream_batch(request: ApiRequest, caller: Caller, query: StreamQuery) -> StreamBody:
    """Create a batch of any size, from NDJSON with a profile on each line; the answer comes when all of it is stored.

    A line that breaks a rule is rejected and the others go on. Look at the import of the batch's id meanwhile to see how far it
    is. When the connection breaks, send the stream again with the same `source`, whole or, with the header `Upload-Offset`, from
    `bytes_done` of the import on, also after `start_at`. The campaign starts at `start_at`, or when the stream is in, whichever is
    later.

    A `source` is one stream. Said again within 7 days of its end, the same stream is answered with the batch that it made, and
    nobody is written to twice; for a new batch of the same people choose another `source`, as with the day in it. Other parameters,
    another length, or a key that is a test where the first was none, are refused with 409. With a campaign the key needs the scope
    `run` too.
    """
    if query.campaign is not None or query.start_at is not None:
        allowed(caller, "run")
    call = StreamCall(
        brand_id=caller.brand_id,
        source=query.source,
        name=query.name,
        start_at=query.start_at,
        campaign_id=query.campaign,
        region=caller.brand.settings.default_country,
        made_by=f"key {caller.principal.key_number}",
        is_test=caller.principal.is_test,
    )
    begun = await request.services.streams.begin(call)
    job = await received(request, caller, begun.batch_id, has_ended=begun.has_ended)
    batch = await request.services.batches.find(caller.brand_id, begun.batch_id)
    return StreamBody(batch=shown(caller, batch), job=import_shown(job))
