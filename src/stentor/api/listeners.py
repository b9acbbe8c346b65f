"""Listeners of a group: where clients are told of events, how that goes, and what is sent again."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.auth import live
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Conflict
from stentor.integrations.listeners.model import REPLAYED_MAX, Event, Listener, Notice, NoticeState
from stentor.integrations.listeners.urls import ENCODED_CHARS_MAX

listeners = group_noun(
    "listeners",
    "Where partners are told what became of campaigns that they execute: one URL for each event of a client, of one "
    "partner channel or of all that it executes. Each notice is signed as Standard Webhooks has it, sent with the same bytes and the same "
    "`webhook-id` until it is answered with 2xx, over three days, and kept for 30.",
)

Events = Literal[
    "campaign_processed",
    "day_processed",
    "day_closed",
    "campaign_cancelled",
    "clearance_required",
    "trigger_met",
    "channel_executed",
    "revocation",
    "attributes_updated",
]
Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=ENCODED_CHARS_MAX,
        description="https; its query is kept byte for byte. One that is percent-encoded as a whole is taken for what it stands for.",
    ),
]
Since = Annotated[datetime, Meta(tz=True, description="From when on it was made.")]
Until = Annotated[datetime, Meta(tz=True, description="Until when, that moment left out.")]


class ListenerInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A listener to be made, or the one of the same client, event and channel with another URL."""

    client_id: Annotated[UUID, Meta(description="Of a hub client.")]
    event: Events
    channel: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="The number of a partner channel that the client executes; null: all of them."),
    ] = None
    url: Url


class ListenerChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes to a listener; what is left out stays."""

    url: Url | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class ListenerBody(msgspec.Struct, frozen=True, kw_only=True):
    """A listener, and how it goes."""

    id: UUID
    client_id: UUID
    event: Events
    event_type_id: Annotated[int | None, Meta(description="The classic API's number of the event.")]
    channel: int | None
    url: str
    enabled: bool
    disabled_at: datetime | None
    disabled_why: str
    waiting: Annotated[int, Meta(description="Notices that have no yes yet.")]
    last_answer: Annotated[str, Meta(description="What was answered last, or why there was no answer.")]
    answered_at: datetime | None
    delivered_at: Annotated[datetime | None, Meta(description="When it last said yes.")]
    failing_since: Annotated[
        datetime | None, Meta(description="Its first failure after a yes; after three days it is disabled.")
    ]
    failures: int
    created_at: datetime
    updated_at: datetime


class NoticeQuery(ListQuery, frozen=True, kw_only=True):
    """Which notices."""

    state: NoticeState | None = None


class NoticeBody(msgspec.Struct, frozen=True, kw_only=True):
    """One notification, and what became of it."""

    id: UUID
    webhook_id: str
    event: Events
    body: Annotated[str, Meta(description="Its bytes, as they are sent at each try.")]
    execution_id: UUID | None
    state: NoticeState
    tries: int
    status: Annotated[int | None, Meta(description="Of the last answer; null where there was none.")]
    last_answer: str
    answered_at: datetime | None
    due_at: Annotated[datetime | None, Meta(description="When it is tried next.")]
    made_at: datetime


class ReplayInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which notices to send again."""

    since: Since
    until: Until
    delivered_too: Annotated[bool, Meta(description="Also those that were answered with 2xx.")] = False
    notice_id: Annotated[UUID | None, Meta(description="This one alone.")] = None


class ReplayBody(msgspec.Struct, frozen=True):
    """What is sent again."""

    notices: Annotated[
        int, Meta(description=f"At most {REPLAYED_MAX:,}; where it is that many, ask again for the rest.")
    ]


class SigningSecretBody(msgspec.Struct, frozen=True):
    """What a client's notices are signed with."""

    signing_secret: Annotated[str, Meta(description="`whsec_…`, as Standard Webhooks has it.")]


def shown(listener: Listener) -> ListenerBody:
    """The listener as the API answers it."""
    return ListenerBody(
        id=listener.id,
        client_id=listener.client_id,
        event=listener.event.value,
        event_type_id=listener.event_type_id,
        channel=listener.channel,
        url=listener.url,
        enabled=listener.disabled_at is None,
        disabled_at=listener.disabled_at,
        disabled_why=listener.disabled_why,
        waiting=listener.waiting,
        last_answer=listener.answer,
        answered_at=listener.answered_at,
        delivered_at=listener.delivered_at,
        failing_since=listener.failing_since,
        failures=listener.failures,
        created_at=listener.created_at,
        updated_at=listener.updated_at,
    )


def shown_notice(notice: Notice) -> NoticeBody:
    """The notice as the API answers it."""
    return NoticeBody(
        id=notice.id,
        webhook_id=notice.webhook_id,
        event=notice.event.value,
        body=notice.body,
        execution_id=notice.execution_id,
        state=notice.state,
        tries=notice.tries,
        status=notice.status,
        last_answer=notice.answer,
        answered_at=notice.answered_at,
        due_at=notice.due_at,
        made_at=notice.made_at,
    )


@listeners.get("/listeners", scope="read")
async def list_listeners(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[ListenerBody]:
    """List the group's listeners."""

    async def fetch(after: UUID | None, limit: int) -> list[Listener]:
        return await request.services.listeners.page(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda listener: listener.id, UUID), shown)


@listeners.post(
    "/listeners",
    scope="write",
    status=201,
    problems=[Conflict],
    example={
        "client_id": "0198c0de-0000-7000-8000-000000000001",
        "event": "revocation",
        "url": "https://hooks.example.org/stentor",
    },
)
async def create_listener(request: ApiRequest, caller: Caller, body: ListenerInput) -> ListenerBody:
    """Register a listener. The one that the client has for the same event and channel gets the URL, and is enabled again."""
    live(caller, "Listeners are told of what is sent for real")
    made = await request.services.listeners.put(
        caller.brand_id, body.client_id, Event(body.event), body.url, body.channel
    )
    return shown(made)


@listeners.get("/listeners/{listener_id:str}", scope="read")
async def get_listener(request: ApiRequest, caller: Caller, listener_id: UUID) -> ListenerBody:
    """Show a listener."""
    return shown(await request.services.listeners.get(caller.brand_id, listener_id))


@listeners.patch("/listeners/{listener_id:str}", scope="write", example={"enabled": True})
async def update_listener(
    request: ApiRequest, caller: Caller, listener_id: UUID, body: ListenerChanges
) -> ListenerBody:
    """Change a listener. Disabled, it gets nothing; what is made meanwhile is kept as missed, to be replayed."""
    live(caller, "Listeners are told of what is sent for real")
    changed = await request.services.listeners.update(
        caller.brand_id,
        listener_id,
        url=None if body.url is UNSET else body.url,
        enabled=None if body.enabled is UNSET else body.enabled,
    )
    return shown(changed)


@listeners.delete("/listeners/{listener_id:str}", scope="write", status=204)
async def delete_listener(request: ApiRequest, caller: Caller, listener_id: UUID) -> None:
    """Delete a listener, with its notices."""
    live(caller, "Listeners are told of what is sent for real")
    await request.services.listeners.delete(caller.brand_id, listener_id)


@listeners.get("/listeners/{listener_id:str}/notices", scope="read")
async def list_notices(
    request: ApiRequest, caller: Caller, listener_id: UUID, query: NoticeQuery
) -> Listing[NoticeBody]:
    """List a listener's notices, the newest first."""

    async def fetch(before: UUID | None, limit: int) -> list[Notice]:
        return await request.services.listeners.notices(
            caller.brand_id, listener_id, state=query.state, before=before, limit=limit
        )

    return await listing(request, query, Walk(fetch, lambda notice: notice.id, UUID), shown_notice)


@listeners.post(
    "/listeners/{listener_id:str}/replay",
    scope="write",
    problems=[Conflict],
    example={"since": "2026-11-20T00:00:00Z", "until": "2026-11-23T00:00:00Z"},
)
async def replay_notices(request: ApiRequest, caller: Caller, listener_id: UUID, body: ReplayInput) -> ReplayBody:
    """Send notices again that were missed or given up, each with its bytes and its `webhook-id`."""
    live(caller, "Listeners are told of what is sent for real")
    replayed = await request.services.listeners.replay(
        caller.brand_id,
        listener_id,
        since=body.since,
        until=body.until,
        delivered_too=body.delivered_too,
        notice_id=body.notice_id,
    )
    return ReplayBody(replayed)


@listeners.get("/hub-clients/{client_id:str}/signing-secret", scope="admin")
async def get_signing_secret(request: ApiRequest, caller: Caller, client_id: UUID) -> SigningSecretBody:
    """Show what a hub client's notices are signed with, for the client to check them by."""
    live(caller, "Notices are of what is sent for real")
    return SigningSecretBody(await request.services.listeners.signing_secret(caller.brand_id, client_id))


@listeners.post("/hub-clients/{client_id:str}/signing-secret/rotate", scope="admin", idempotent=False)
async def rotate_signing_secret(request: ApiRequest, caller: Caller, client_id: UUID) -> SigningSecretBody:
    """Give a hub client another signing secret. For a day, its notices are signed with the one before, too."""
    live(caller, "Notices are of what is sent for real")
    return SigningSecretBody(await request.services.listeners.rotate_signing_secret(caller.brand_id, client_id))
