"""The sandbox inbox of a group, for people's own integration tests: find, read and delete what was "delivered"."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response
from msgspec import Meta

from stentor.api.channels import ChannelName, name_of
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.channels.sandbox.content import Header, content_of
from stentor.channels.sandbox.inbox import SEARCH_CHARS_MAX
from stentor.channels.sandbox.model import RULES_MAX, ChaosRule, InboxEntry, InboxPosition
from stentor.domain.vocabulary import ChannelKind

inbox = group_noun(
    "inbox",
    "What sandbox senders were given: every channel's messages, complete, and nobody outside ever sees them. The id of a "
    "message is that of its send. The newest 200,000 messages of a group are kept for 7 days (settings of the group).",
)

# Of no type that a browser would show: what stands in a message was written by others.
_RAW_MEDIA = "application/octet-stream"


class InboxQuery(ListQuery, frozen=True, kw_only=True):
    """How the inbox is narrowed down."""

    channel: ChannelName | None = None
    search: Annotated[
        str, Meta(max_length=SEARCH_CHARS_MAX, description="A part of the recipient or the subject, whatever its case.")
    ] = ""


class InboxItem(msgspec.Struct, frozen=True):
    """A message as it is listed, newest first."""

    id: str
    execution_id: UUID
    channel: ChannelName
    at: datetime
    recipient: str
    subject: Annotated[str, Meta(description="Of an e-mail; on other channels the title or the beginning of the text.")]


class InboxMessage(InboxItem, frozen=True, kw_only=True):
    """A message in full."""

    bytes: Annotated[int, Meta(description="Size of the message as the channel would put it on the wire.")]
    text: str
    html: Annotated[str | None, Meta(description="E-mail only.")]
    headers: Annotated[list[Header], Meta(description="E-mail only, decoded, in their order.")]
    payload: Annotated[dict[str, Any] | None, Meta(description="The message of a channel that carries JSON.")]


class Emptied(msgspec.Struct, frozen=True):
    """How many messages were deleted."""

    deleted: int


class ChaosSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The faults that a group's sandbox plays."""

    rules: Annotated[list[ChaosRule], Meta(max_length=RULES_MAX)]


@inbox.get("/inbox/messages", scope="read")
async def list_inbox_messages(request: ApiRequest, caller: Caller, query: InboxQuery) -> Listing[InboxItem]:
    """List or search the group's inbox."""
    channel = ChannelKind.named(query.channel) if query.channel else None

    async def fetch(before: InboxPosition | None, limit: int) -> list[InboxEntry]:
        page = await request.services.inbox.page(
            caller.brand_id, channel=channel, search=query.search, before=before, limit=limit
        )
        return page.entries

    return await listing(request, query, Walk(fetch, lambda entry: entry.position, InboxPosition), _item)


@inbox.delete("/inbox/messages", scope="write")
async def empty_inbox(request: ApiRequest, caller: Caller) -> Emptied:
    """Delete all messages of the group's inbox."""
    return Emptied(await request.services.inbox.empty(caller.brand_id))


@inbox.get("/inbox/messages/{message_id:str}", scope="read")
async def get_inbox_message(request: ApiRequest, caller: Caller, message_id: str) -> InboxMessage:
    """Show a message with its text, HTML and headers."""
    stored = await request.services.inbox.get(caller.brand_id, message_id)
    content = content_of(stored.entry.channel, stored.raw)
    return InboxMessage(
        **msgspec.structs.asdict(_item(stored.entry)),
        bytes=len(stored.raw),
        text=content.text,
        html=content.html,
        headers=content.headers,
        payload=content.payload,
    )


@inbox.get("/inbox/messages/{message_id:str}/raw", scope="read", media=_RAW_MEDIA)
async def get_raw_inbox_message(request: ApiRequest, caller: Caller, message_id: str) -> Response[bytes]:
    """Show a message byte for byte as its channel would put it on the wire: RFC 5322 for e-mail, text or JSON else."""
    stored = await request.services.inbox.get(caller.brand_id, message_id)
    return Response(stored.raw, media_type=_RAW_MEDIA)


@inbox.delete("/inbox/messages/{message_id:str}", scope="write", status=204)
async def delete_inbox_message(request: ApiRequest, caller: Caller, message_id: str) -> None:
    """Delete a message."""
    await request.services.inbox.delete(caller.brand_id, message_id)


@inbox.get("/inbox/chaos", scope="read")
async def get_chaos(request: ApiRequest, caller: Caller) -> ChaosSettings:
    """Show which faults the group's sandbox plays."""
    return ChaosSettings(list(await request.services.inbox.chaos(caller.brand_id)))


@inbox.put(
    "/inbox/chaos",
    scope="write",
    example={"rules": [{"effect": "bounce", "share": 0.02, "after_s": 5}, {"effect": "defer", "recipients": "slow@*"}]},
)
async def set_chaos(request: ApiRequest, caller: Caller, body: ChaosSettings) -> ChaosSettings:
    """Choose which faults the group's sandbox plays.

    `refuse`, `defer` (a 4xx) and `drop` (taken, and the reply lost) are answered on hand-over; `bounce`, `complain` and
    `delay` (delivered, but late) are reported `after_s` seconds later for what was accepted. `share` is the part of
    the messages that a rule hits, `recipients` an address in which `*` stands for any text. At each of the two moments
    the first rule that hits decides. The rules hold within a second; an empty list ends the chaos.
    """
    await request.services.inbox.set_chaos(caller.brand_id, body.rules)
    return body


def _item(entry: InboxEntry) -> InboxItem:
    return InboxItem(entry.id, entry.execution_id, name_of(entry.channel), entry.at, entry.recipient, entry.subject)
