"""Senders of a group: the configured ways to deliver."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.channels import ChannelName, name_of
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.channels.model import (
    NAME_CHARS_MAX,
    PACE_PER_S_MAX,
    PACE_PER_S_MIN,
    SECRET_CHARS_MAX,
    InDoubtPolicy,
    NewSender,
    Sender,
    SenderKind,
    SenderPatch,
)
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, RateLimited
from stentor.triggers.sender_tests import Fate

senders = group_noun(
    "senders",
    "The configured ways to deliver. Every channel has a sandbox sender, whose messages stay in the inbox of this "
    "installation; a sender that reaches people needs a public https address (`--public-url`).",
)

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="Unique in the group.")]
Settings = Annotated[
    dict[str, Any],
    Meta(
        description="What its kind needs: for `smtp` `host` and `envelope_from`, and where they are not the usual ones `port`, "
        "`security` (`starttls`, `tls` or `none`), `username`, … (no password); for `webhook` `url`, and `batch_max` "
        "for several messages in one request."
    ),
]
Secret = Annotated[
    str,
    Meta(
        max_length=SECRET_CHARS_MAX,
        description="For `smtp` the password that goes with the settings; for `webhook` the signing secret (`whsec_…`), or "
        "several with blanks between them while it changes. Never shown again.",
    ),
]
InDoubt = Annotated[
    InDoubtPolicy | None,
    Meta(
        description="What becomes of messages that were on the wire when a reply was lost: `at_most_once` counts them as "
        "unknown, and so does `ask`, until somebody decides (`POST …/executions/{id}/unknown`); `at_least_once` sends them again. Null: webhooks and transactional campaigns "
        "are sent again, all else is not."
    ),
]
Pace = (
    Annotated[
        float,
        Meta(
            ge=PACE_PER_S_MIN, le=PACE_PER_S_MAX, description="Messages per second over all processes; null: no limit."
        ),
    ]
    | None
)


class SenderInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sender to be made."""

    name: Name
    channel: ChannelName
    kind: Annotated[SenderKind, Meta(description="A `listener` comes with its partner channel, and is not made here.")]
    settings: Settings = {}
    secret: Secret = ""
    enabled: bool = True
    in_doubt: InDoubt = None
    pace_per_s: Pace = None


class SenderChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to a sender; what is left out stays. An empty `secret` forgets it."""

    name: Name | UnsetType = UNSET
    settings: Settings | UnsetType = UNSET
    secret: Secret | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    in_doubt: InDoubt | UnsetType = UNSET
    pace_per_s: Pace | UnsetType = UNSET


class SenderBody(msgspec.Struct, frozen=True):
    """A sender, without its secret."""

    id: UUID
    name: str
    channel: ChannelName
    kind: SenderKind
    settings: dict[str, Any]
    has_secret: bool
    enabled: bool
    in_doubt: InDoubtPolicy | None
    pace_per_s: float | None
    paused_at: datetime | None
    created_at: datetime
    updated_at: datetime


class SenderAnswerBody(msgspec.Struct, frozen=True):
    """One answer in the provider's own words, and how often it stands in the sample."""

    kind: Annotated[str, Meta(description="accepted, deferred, rejected or in_doubt.")]
    answer: str
    times: int
    last_at: datetime


class SenderHealthBody(msgspec.Struct, frozen=True):
    """How a sender fares."""

    waiting: Annotated[int, Meta(description="Sends in chunks that are not done.")]
    tried: Annotated[int, Meta(description="Sends, each try counted.")]
    lost: Annotated[int, Meta(description="Those among them of which nobody knows what became.")]
    last_at: datetime | None
    errors: Annotated[int, Meta(description="Answers in the sample that were no yes.")]
    sampled: Annotated[int, Meta(description="Answers in the sample.")]
    answers: Annotated[list[SenderAnswerBody], Meta(description="The newest 20 kinds of answers.")]


class SenderTestInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a test goes to."""

    to: Annotated[
        str,
        Meta(
            max_length=ADDRESS_CHARS_MAX,
            description="An address of a test recipient; empty for a sandbox or a webhook: nobody in particular.",
        ),
    ] = ""


class SenderTestBody(msgspec.Struct, frozen=True):
    """What became of a test."""

    fate: Annotated[
        Fate, Meta(description="`deferred`: not taken for now; `in_doubt`: nobody knows whether it was taken.")
    ]
    answer: Annotated[str, Meta(description="The provider's own words, or why there are none.")]
    to: str
    milliseconds: int
    inbox_path: Annotated[str | None, Meta(description="Where the sandbox shows it; null for one that went out.")]


def shown(sender: Sender) -> SenderBody:
    """The sender as the API answers it."""
    return SenderBody(
        id=sender.id,
        name=sender.name,
        channel=name_of(sender.channel),
        kind=sender.kind,
        settings=sender.settings,
        has_secret=sender.has_secret,
        enabled=sender.enabled,
        in_doubt=sender.in_doubt,
        pace_per_s=sender.pace_per_s,
        paused_at=sender.paused_at,
        created_at=sender.created_at,
        updated_at=sender.updated_at,
    )


@senders.get("/senders", scope="read")
async def list_senders(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[SenderBody]:
    """List the group's senders."""

    async def fetch(after: UUID | None, limit: int) -> list[Sender]:
        return await request.services.senders.page(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda sender: sender.id, UUID), shown)


@senders.post(
    "/senders",
    scope="write",
    status=201,
    problems=[Conflict],
    example={"name": "second sandbox", "channel": "email", "kind": "sandbox", "pace_per_s": 50.0},
)
async def create_sender(request: ApiRequest, caller: Caller, body: SenderInput) -> SenderBody:
    """Create a sender.

    When an event generator is published, a campaign route without a sender gets the channel's newest sender that reaches people,
    or the sandbox where there is none. So publish again what is to go by a new sender.
    """
    new = NewSender(
        name=body.name,
        channel=ChannelKind.named(body.channel),
        kind=body.kind,
        settings=body.settings,
        secret=body.secret,
        enabled=body.enabled,
        in_doubt=body.in_doubt,
        pace_per_s=body.pace_per_s,
    )
    return shown(await request.services.senders.create(caller.brand_id, new))


@senders.get("/senders/{sender_id:str}", scope="read")
async def get_sender(request: ApiRequest, caller: Caller, sender_id: UUID) -> SenderBody:
    """Show a sender."""
    return shown(await request.services.senders.get(caller.brand_id, sender_id))


@senders.patch("/senders/{sender_id:str}", scope="write", problems=[Conflict], example={"pace_per_s": 20.0})
async def update_sender(request: ApiRequest, caller: Caller, sender_id: UUID, body: SenderChanges) -> SenderBody:
    """Change a sender. A test key changes the sandbox alone."""
    patch = SenderPatch(**{name: getattr(body, name) for name in SenderChanges.__struct_fields__})
    is_test = caller.principal.is_test
    return shown(await request.services.senders.update(caller.brand_id, sender_id, patch, is_test=is_test))


@senders.post("/senders/{sender_id:str}/pause", scope="write")
async def pause_sender(request: ApiRequest, caller: Caller, sender_id: UUID) -> SenderBody:
    """Pause a sender: its messages wait from the next wave on."""
    return shown(await request.services.senders.pause(caller.brand_id, sender_id))


@senders.post("/senders/{sender_id:str}/resume", scope="write", problems=[Conflict])
async def resume_sender(request: ApiRequest, caller: Caller, sender_id: UUID) -> SenderBody:
    """Let a paused sender go on. A test key does so for the sandbox alone."""
    is_test = caller.principal.is_test
    return shown(await request.services.senders.resume(caller.brand_id, sender_id, is_test=is_test))


@senders.get("/senders/{sender_id:str}/health", scope="read")
async def get_sender_health(request: ApiRequest, caller: Caller, sender_id: UUID) -> SenderHealthBody:
    """Show how a sender fares: what waits for it, and, of the newest 20 executions of the last seven days, what it tried and was answered."""
    await request.services.senders.get(caller.brand_id, sender_id)
    found = await request.services.sender_health.of(caller.brand_id, sender_id)
    answers = [SenderAnswerBody(one.kind, one.answer, one.times, one.last_at) for one in found.answers]
    return SenderHealthBody(found.waiting, found.tried, found.lost, found.last_at, found.errors, found.sampled, answers)


@senders.post(
    "/senders/{sender_id:str}/test",
    scope="write",
    idempotent=False,
    problems=[Conflict, Invalid, RateLimited],
    example={"to": ""},
)
async def test_sender(request: ApiRequest, caller: Caller, sender_id: UUID, body: SenderTestInput) -> SenderTestBody:
    """Test a sender: hand one message over, now, and wait up to 20 seconds for the answer.

    It goes to a test recipient of the group, is in no execution and counts nowhere. At most ten tests a minute for a group. A test
    key tests sandboxes alone.
    """
    tested = await request.services.sender_tests.send(
        caller.brand, sender_id, body.to, is_test=caller.principal.is_test
    )
    inbox_path = None if tested.inbox_id is None else f"/inbox/{caller.brand_id}/{tested.inbox_id}"
    return SenderTestBody(tested.fate, tested.answer, tested.to, tested.milliseconds, inbox_path)


@senders.delete("/senders/{sender_id:str}", scope="write", status=204, problems=[Conflict])
async def delete_sender(request: ApiRequest, caller: Caller, sender_id: UUID) -> None:
    """Delete a sender; what still waits for it goes on waiting, as pending."""
    await request.services.senders.delete(caller.brand_id, sender_id)
