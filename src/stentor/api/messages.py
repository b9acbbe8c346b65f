"""Messages to named recipients: sent at once, by a transactional campaign, and looked at one by one."""

from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

import msgspec
from litestar import Response
from msgspec import Meta

from stentor.answers.model import Answer
from stentor.api.calling import json_response
from stentor.api.channels import ChannelName, name_of
from stentor.api.customers import ExternalId
from stentor.api.groups import group_noun
from stentor.api.idempotency import REPLAYED, check_key, request_hash
from stentor.api.operation import JSON
from stentor.api.recipients import SendStateName
from stentor.api.request import ApiRequest, Caller
from stentor.campaigns.naming import ID_CHARS_MAX
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.errors import Conflict, Invalid, RateLimited, Unprocessable
from stentor.executions.explaining import Check
from stentor.executions.messages import MessageEvent, MessageStory
from stentor.triggers.addressees import RECIPIENTS_MAX, NamedRecipient
from stentor.triggers.messages import MessageCall, Once, Sent
from stentor.triggers.model import Replayed

messages = group_noun(
    "messages",
    "Single messages to people whom the call names: receipts, codes, answers. Their campaign has the consent_basis `none` "
    "and the lane `transactional`; no topic, channel flag, frequency cap or quiet hours keep them back, an opt-out from "
    "all, a hard bounce or a complaint does. They go before everything else.",
)

Address = Annotated[str, Meta(min_length=1, max_length=ADDRESS_CHARS_MAX)]


class RecipientInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One recipient, named by exactly one of `external_id`, `email` and `phone`."""

    external_id: ExternalId | None = None
    email: (
        Annotated[
            Address,
            Meta(
                description="A bare address. It belongs to no customer, is in no list, and goes with its last message."
            ),
        ]
        | None
    ) = None
    phone: (
        Annotated[Address, Meta(description="A bare number: E.164, or as the group's country writes numbers.")] | None
    ) = None
    context: Annotated[
        dict[str, Any] | None, Meta(description="This recipient's own fields; they win over the call's.")
    ] = None


class MessagesInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is sent to whom."""

    event_generator_id: Annotated[
        str,
        Meta(
            min_length=1, max_length=ID_CHARS_MAX, description="Its published campaign is sent, and its schema holds."
        ),
    ]
    recipients: Annotated[
        list[RecipientInput], Meta(min_length=1, max_length=RECIPIENTS_MAX, description="Each of them once.")
    ]
    context: Annotated[
        dict[str, Any], Meta(description="What the templates read as `context.x`, for all recipients; at most 64 KiB.")
    ] = msgspec.field(default_factory=dict)


class MessageSent(msgspec.Struct, frozen=True):
    """One message: `recipient` is the place in the request, from 0."""

    id: str
    recipient: int
    external_id: str
    channel: ChannelName


class MessagesAnswer(msgspec.Struct, frozen=True):
    """The execution, which is on disk, and a message for each recipient and channel of the campaign."""

    execution_id: UUID
    messages: list[MessageSent]


class MessageBody(msgspec.Struct, frozen=True, kw_only=True):
    """A message, how it stands, and what happened to it."""

    id: str
    execution_id: UUID
    event_generator_id: str
    external_id: Annotated[
        str | None, Meta(description="`addr:…` for a bare address; null when its recipient was erased.")
    ]
    channel: ChannelName
    state: SendStateName
    reason: Annotated[
        str,
        Meta(description="Why it was not sent; `other_channel` where the campaign chose another one for this person."),
    ]
    note: Annotated[str, Meta(description="More about it, in a sentence.")]
    is_test: bool
    created_at: datetime
    tries: int
    template: str
    template_version: int | None
    language: str
    checks: list[Check]
    timeline: Annotated[list[MessageEvent], Meta(description="What happened when, a provider's answers too.")]


_EXAMPLE = {
    "event_generator_id": "order-shipped",
    "context": {"shop": "Rovers Fan Shop"},
    "recipients": [
        {"external_id": "crm-77", "context": {"order": "A-1001"}},
        {"email": "guest@example.org", "context": {"order": "A-1002"}},
    ],
}


@messages.post(
    "/messages",
    scope="run",
    status=202,
    idempotent=False,
    takes_key=True,
    problems=[Invalid, Conflict, Unprocessable, RateLimited],
    example=_EXAMPLE,
)
async def send_messages(request: ApiRequest, caller: Caller, body: MessagesInput) -> Response[bytes] | MessagesAnswer:
    """Send a message to each of up to 100 recipients.

    202 means that all of it is on disk; a recipient who is none of the group's customers, or is named twice, is a 400 that
    names them, and nobody is sent anything. Each call takes one token of the group's rate, as running an event generator does.
    """
    outcome = await request.services.messages.send(
        MessageCall(
            brand_id=caller.brand_id,
            generator_id=body.event_generator_id,
            context=body.context,
            recipients=[
                NamedRecipient(external_id=one.external_id, email=one.email, phone=one.phone, context=one.context)
                for one in body.recipients
            ],
            triggered_by=f"key {caller.principal.key_number}",
            is_test=caller.principal.is_test,
            once=await _once(request, caller),
        )
    )
    if isinstance(outcome, Replayed):
        answer = outcome.answer
        return json_response(answer.body, answer.status, {**answer.headers, REPLAYED: "true"})
    return _accepted(outcome)


@messages.get("/messages/{message_id:str}", scope="read")
async def get_message(request: ApiRequest, caller: Caller, message_id: str) -> MessageBody:
    """Show a message: how it stands, why, and what happened to it when. Messages of any campaign can be looked at."""
    return _shown(message_id, await request.services.messages.find(caller.brand_id, message_id))


async def _once(request: ApiRequest, caller: Caller) -> Once | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    check_key(key)
    asked = request_hash(request.scope, await request.body(), is_test=caller.principal.is_test)
    return Once(key, asked, lambda sent: Answer(202, {"Content-Type": JSON}, msgspec.json.encode(_accepted(sent))))


def _accepted(sent: Sent) -> MessagesAnswer:
    return MessagesAnswer(
        sent.execution_id,
        [
            MessageSent(message.send_id, message.recipient, message.external_id, name_of(message.channel))
            for message in sent.messages
        ],
    )


def _shown(message_id: str, story: MessageStory) -> MessageBody:
    execution, told = story.execution, story.told
    return MessageBody(
        id=message_id.lower(),
        execution_id=execution.id,
        event_generator_id=execution.generator_id,
        external_id=story.external_id,
        channel=name_of(story.channel),
        state=cast("SendStateName", story.state.label),
        reason=story.reason.label,
        note=story.note,
        is_test=execution.is_test,
        created_at=execution.created_at,
        tries=0 if told is None else told.tries,
        template="" if told is None else told.template,
        template_version=None if told is None else told.template_version,
        language="" if told is None else told.language,
        checks=[] if told is None else told.checks,
        timeline=story.timeline,
    )
