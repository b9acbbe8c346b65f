"""What partners tell of the executions that they carry out: facts in batches, and what was reported of an execution."""

import asyncio
import re
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.auth import live
from stentor.api.executions import executions
from stentor.api.groups import group_noun
from stentor.api.request import ApiRequest, Caller
from stentor.api.strict_json import below, decode
from stentor.errors import Invalid, TooLarge
from stentor.integrations.metrics.checking import NUMBER_MAX
from stentor.integrations.metrics.model import (
    DETAIL_CHARS_MAX,
    FACT_ID_CHARS_MAX,
    FACTS_BYTES_MAX,
    FACTS_MAX,
    NO_TEMPLATE,
    FactKind,
    ReportedTemplate,
    Told,
    ToldFact,
)

partner_events = group_noun(
    "partner events",
    "What became of messages that partners carry out, told person by person by the partner or by whoever relays it.",
)

_MEDIA = re.compile(
    r"(?:text/plain|application/(?:(?:x-)?ndjson|jsonl|octet-stream))\s*(?:;\s*charset\s*=\s*\"?utf-8\"?\s*)?\Z",
    re.IGNORECASE,
)
# So many lines are read in one go: about 5 ms, in which nobody else is answered.
_LINES_AT_ONCE = 500

Number = Annotated[int, Meta(ge=1, le=NUMBER_MAX)]
EventName = Literal["sent", "delivered", "opened", "clicked", "unsubscribed", "dropped", "complained", "bounced"]


class PartnerEventInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of a batch."""

    id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=FACT_ID_CHARS_MAX,
            description="The partner's own id of it: on one channel, an id that was told in the last 30 days changes nothing.",
        ),
    ]
    campaign: Annotated[Number, Meta(description="The execution, by its `CampaignID`.")]
    channel: Annotated[Number, Meta(description="The partner channel, by its `ChannelID`.")]
    external_id: Annotated[str, Meta(description="Your own id of the customer.")]
    event: EventName
    at: Annotated[datetime, Meta(tz=True, description="When it happened, with an offset.")]
    template: Annotated[Number, Meta(description="The partner template, by its `TemplateID`.")] | None = None
    detail: Annotated[
        str, Meta(max_length=DETAIL_CHARS_MAX, description="The partner's own words, such as why it was dropped.")
    ] = ""


class ReportedBody(msgspec.Struct, frozen=True):
    """What partners reported of an execution, by channel and template."""

    templates: list[ReportedTemplate]


_DECODER = msgspec.json.Decoder(PartnerEventInput)
_EXAMPLE = '{"id":"e-1","campaign":324,"channel":505,"template":7,"external_id":"crm-77","event":"delivered","at":"2026-11-21T10:04:00Z"}\n'


@partner_events.post(
    "/partner-events",
    scope="write",
    problems=[TooLarge],
    upload={"application/x-ndjson": _EXAMPLE},
    bytes_max=FACTS_BYTES_MAX,
)
async def tell_partner_events(request: ApiRequest, caller: Caller) -> Told:
    """Tell what became of messages that partners carry out: up to 10,000 events, one JSON object a line.

    All lines are taken or none. Telling them again changes nothing, so a batch whose answer was lost is sent again as it was.
    `unsubscribed` is the person's own no to the channel and to the address behind it; `bounced` and `complained` bar that address.
    People whom nothing was sent to are counted as `unknown` and passed over; when something was, tell it again.
    """
    live(caller, "What partners tell is of real people")
    request.check_media(_MEDIA, "application/x-ndjson")
    facts = await _read(await request.body())
    actor = f"key {caller.principal.key_number}"
    return await request.services.partner_facts.tell(caller.brand_id, facts, actor=actor)


@executions.get("/executions/{execution_id:str}/reported", scope="read")
async def get_reported(request: ApiRequest, caller: Caller, execution_id: UUID) -> ReportedBody:
    """Show what partners reported of an execution, by partner channel and template.

    `reported` are totals that a partner counted, `people` of how many persons it told the same; where it did, they are what is
    `counted`, and `difference` is how many more were reported. Totals move no send.
    """
    return ReportedBody(await request.services.reported.of_execution(caller.brand_id, execution_id))


async def _read(body: bytes) -> list[ToldFact]:
    lines = [(place, line) for place, line in enumerate(body.split(b"\n")) if line.strip()]
    if len(lines) > FACTS_MAX:
        raise TooLarge(f"{len(lines)} events in one batch; at most {FACTS_MAX}. Send several.")
    facts: list[ToldFact] = []
    for count, (place, line) in enumerate(lines, 1):
        try:
            said = decode(line, _DECODER)
        except Invalid as error:
            raise below(f"/{place}", error) from None
        facts.append(
            ToldFact(
                id=said.id,
                campaign=said.campaign,
                channel=said.channel,
                template=said.template or NO_TEMPLATE,
                external_id=said.external_id,
                kind=FactKind[said.event.upper()],
                at=said.at,
                detail=said.detail,
                line=place,
            )
        )
        if count % _LINES_AT_ONCE == 0:
            await asyncio.sleep(0)
    return facts
