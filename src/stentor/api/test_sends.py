"""Test sends: a campaign as it is edited now, to the group's own people."""

from typing import Annotated, Any, cast
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.accounts.limits import limit_of_test_sends
from stentor.api.campaigns import campaigns
from stentor.api.channels import ChannelName, name_of
from stentor.api.customers import ExternalId
from stentor.api.rates import tell
from stentor.api.recipients import SendStateName
from stentor.api.request import ApiRequest, Caller
from stentor.campaigns.naming import ID_CHARS_MAX
from stentor.campaigns.routing import ROUTES_MAX
from stentor.campaigns.steps import STEPS_MAX
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.domain.locale import LOCALE_CHARS_MAX
from stentor.errors import Invalid, RateLimited, TooLarge, Violation
from stentor.triggers.test_sends import TO_MAX, WAIT_S_MAX, TestMessage, TestSendCall

_PREVIEW = {"customer": {"first_name": "Aino"}, "context": {"match_name": "Reds vs Blues"}}


class TestSendInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a test goes, on which routes, and of whose fields its messages are made."""

    to: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=ADDRESS_CHARS_MAX)]],
        Meta(min_length=1, max_length=TO_MAX, description="Addresses of test recipients."),
    ]
    step: Annotated[
        int,
        Meta(
            ge=0,
            le=STEPS_MAX,
            description="Which step's content: 0 is the campaign's own routes, 1 the first that follows.",
        ),
    ] = 0
    routes: Annotated[
        Annotated[list[int], Meta(min_length=1, max_length=ROUTES_MAX)] | None,
        Meta(
            description="Places of that step's routes, from 0, one for each channel; left out, the first of each channel "
            "that an address is for.",
        ),
    ] = None
    external_id: Annotated[
        ExternalId | None, Meta(description="The customer of whose fields the messages are made, as they are now.")
    ] = None
    customer: Annotated[
        dict[str, Any] | None,
        Meta(description="Made-up fields in place of a customer's, system fields and attributes side by side."),
    ] = None
    context: Annotated[dict[str, Any], Meta(description="What the templates read as `context.x`; at most 64 KiB.")] = (
        msgspec.field(default_factory=dict)
    )
    event_generator_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)] | None,
        Meta(description="The event generator by whose schema the context is checked."),
    ] = None
    language: Annotated[
        Annotated[str, Meta(max_length=LOCALE_CHARS_MAX)] | None,
        Meta(description="Left out, the customer's language."),
    ] = None
    wait_s: Annotated[
        int, Meta(ge=0, le=WAIT_S_MAX, description="How long to wait for what becomes of the messages.")
    ] = 3


class TestMessageBody(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a test, and how it stands."""

    id: Annotated[str, Meta(description="`GET …/messages/{id}` tells more.")]
    to: str
    channel: ChannelName
    state: SendStateName
    reason: str
    note: str
    inbox_path: Annotated[
        str | None,
        Meta(description="Where the sandbox shows it; null for one that goes out by a sender that reaches people."),
    ]


class RouteFindingsBody(msgspec.Struct, frozen=True):
    """What is missing in the message of one channel."""

    channel: ChannelName
    language: str
    template: str
    blanks: Annotated[dict[str, list[str]], Meta(description="For each part, the expressions that printed nothing.")]
    problem: Annotated[str, Meta(description="Why it could not be sent like this; empty when it could.")]


class TestSendAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A test, which is on disk."""

    execution_id: UUID
    messages: list[TestMessageBody]
    findings: list[RouteFindingsBody]
    warnings: Annotated[list[Violation], Meta(description="What may come out blank for some people.")]


@campaigns.post(
    "/campaigns/{campaign_id:str}/test-sends",
    scope="run",
    status=202,
    idempotent=False,
    problems=[Invalid, RateLimited, TooLarge],
    example={"to": ["editor@example.org"], **_PREVIEW},
)
async def test_campaign(request: ApiRequest, caller: Caller, campaign_id: UUID, body: TestSendInput) -> TestSendAnswer:
    """Send a campaign as it is edited now to test recipients.

    It need not be published; of a campaign with steps, `step` says which one's content is sent, at once and to everybody named,
    whatever it waits for. Only routes that an e-mail address or a phone number is for can be tested so. Subjects begin with `[Test]`; links work and change nothing; the messages count in no report of the
    campaign, for no cap and no segment. Opt-outs, complaints and bounces of an address hold for it too, consent, caps and quiet
    hours do not. What a test key sends goes to the sandbox. At most ten calls a minute for a group.
    """
    if body.external_id is not None and body.customer is not None:
        raise Invalid.field("/customer", "one-of", "Send either the external_id of a customer, or made-up fields.")
    tell(request.scope, await request.services.limiter.take([limit_of_test_sends(caller.brand)]))
    sent = await request.services.test_sends.send(
        TestSendCall(
            brand_id=caller.brand_id,
            campaign_id=campaign_id,
            to=body.to,
            triggered_by=f"key {caller.principal.key_number}",
            step=body.step,
            routes=body.routes,
            shown_as=body.external_id,
            sample=body.customer,
            context=body.context,
            schema_of=body.event_generator_id,
            language=body.language,
            is_test=caller.principal.is_test,
            wait_s=body.wait_s,
        )
    )
    return TestSendAnswer(
        execution_id=sent.execution_id,
        messages=[_shown(caller.brand_id, message) for message in sent.messages],
        findings=[
            RouteFindingsBody(name_of(found.channel), found.language, found.template, found.blanks, found.problem)
            for found in sent.findings
        ],
        warnings=list(sent.warnings),
    )


def _shown(brand_id: UUID, message: TestMessage) -> TestMessageBody:
    return TestMessageBody(
        id=message.send_id,
        to=message.to,
        channel=name_of(message.channel),
        state=cast("SendStateName", message.state),
        reason=message.reason,
        note=message.note,
        inbox_path=f"/inbox/{brand_id}/{message.send_id}" if message.in_inbox else None,
    )
