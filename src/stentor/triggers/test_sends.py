"""Test sends: a campaign as it is edited now, sent to its makers, so that they see what others would get."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.accounts.audit import record
from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import Brand
from stentor.accounts.test_recipients import TestRecipient, checked_recipients, hold_recipients
from stentor.audience.anonymous import AddressNames, BareAddress, hold_people, take_in_addresses
from stentor.audience.reach import recipients
from stentor.audience.upsert import Overtaken, until_settled
from stentor.campaigns.context_schema import VIOLATIONS_NAMED_MAX, ContextSchema
from stentor.campaigns.generators import find_schema
from stentor.campaigns.model import PublishedContent
from stentor.campaigns.previews import PreviewService, Sample
from stentor.campaigns.test_content import Draft, draft_of, frozen_for_test, keep_for_test
from stentor.clock import boottime_s
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.address import PHONE_CHANNELS
from stentor.domain.ids import SendIds, customer_id, new_id, part_of, recipient_id
from stentor.domain.vocabulary import ChannelKind, Lane
from stentor.errors import Invalid, NotFound, Violation
from stentor.executions.service import ExecutionService
from stentor.failpoints import failpoint
from stentor.triggers import store
from stentor.triggers.admission import rate_limited
from stentor.triggers.context import checked_context
from stentor.triggers.model import QueuedCall

TO_MAX = 5
WAIT_S_MAX = 10

# What is not out an hour later nobody waits for any more.
_DEADLINE_S = 3600
_LOOK_S = 0.1
_NONE_YET = UUID(int=0)


class Sql(QuerySet, file="test_sends.sql", package=__package__):
    insert_shown: Statement


class TestSendCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `shown_as`: the customer whose fields the messages are made of; without one, `sample` has them.

    `step`: which step's content, 0 for the campaign's own routes. `routes`: places of its routes, from 0; None: the first of each
    channel that an address is for. `schema_of`: the event generator by whose schema `context` is read. `wait_s`: how long to
    wait for what becomes of the messages.
    """

    brand_id: UUID
    campaign_id: UUID
    to: Sequence[str]
    triggered_by: str
    step: int = 0
    routes: Sequence[int] | None = None
    shown_as: str | None = None
    sample: dict[str, Any] | None = None
    context: dict[str, Any] = {}
    schema_of: str | None = None
    language: str | None = None
    is_test: bool = False
    wait_s: float = 0.0


class TestMessage(msgspec.Struct, frozen=True):
    """One message and what became of it. `in_inbox`: the sandbox has it, where it was handed over."""

    send_id: str
    to: str
    channel: ChannelKind
    state: str
    reason: str
    note: str
    in_inbox: bool


class RouteFindings(msgspec.Struct, frozen=True):
    """What a route's message lacks: for each part the expressions that printed nothing, and why it could not be sent."""

    channel: ChannelKind
    language: str
    template: str
    blanks: dict[str, list[str]]
    problem: str


class TestSent(msgspec.Struct, frozen=True):
    """An accepted test send: its execution, its messages, what they lack, and what others' may lack."""

    execution_id: UUID
    messages: list[TestMessage]
    findings: list[RouteFindings]
    warnings: tuple[Violation, ...]


class _Person(NamedTuple):
    """Whose fields the messages are made of: a customer's, or made-up ones; neither: the recipient's own."""

    customer_id: UUID | None
    fields: Mapping[str, Any] | None

    @property
    def locale(self) -> str | None:
        found = (self.fields or {}).get("locale")
        return found if isinstance(found, str) else None


class _To(NamedTuple):
    """Where messages go, and on which of the campaign's channels. `listed`: the test recipient's id."""

    listed: UUID
    address: BareAddress
    customer_id: UUID
    channels: list[ChannelKind]

    @property
    def text(self) -> str:
        return self.address.email or self.address.phone or ""


class _Ready(NamedTuple):
    """A call with nothing wrong in it, as it is written; its publication is made or found then."""

    queued: QueuedCall
    content: PublishedContent
    to: Sequence[_To]
    person: _Person


class TestSendService:
    """Sends campaigns to the test recipients of their brand, and to nobody else."""

    def __init__(
        self,
        db: Database,
        brands: BrandDirectory,
        previews: PreviewService,
        executions: ExecutionService,
        *,
        send_ids: SendIds,
        names: AddressNames,
    ) -> None:
        self._db = db
        self._brands = brands
        self._previews = previews
        self._executions = executions
        self._send_ids = send_ids
        self._names = names

    async def send(self, call: TestSendCall) -> TestSent:
        """Sends the campaign as it is edited now; when this returns, its messages are on disk, and perhaps handed over.

        Raises NotFound for a campaign or an event generator that the brand has not; Invalid, naming the field, for addresses
        that are no confirmed test recipients, a customer who does not exist, a context or sample that breaks a limit, and a
        campaign that no message can be made of; RateLimited; Unavailable.
        """
        brand = await self._brands.by_id(call.brand_id)
        if brand is None:
            raise NotFound("There is no such brand.")
        context = checked_context(call.context)
        to, draft, schema, person = await self._asked(call, brand)
        if schema is not None and (violations := schema.violations(call.context)):
            raise Invalid(violations[0].message, violations=violations[:VIOLATIONS_NAMED_MAX])
        fields = call.context.keys() if schema is None else schema.guarantees.fields()
        frozen = await frozen_for_test(draft, context_fields=fields, language=call.language or person.locale)
        findings = await self._findings(frozen.content, Sample(dict(person.fields or {}), call.context))
        queued = QueuedCall(
            id=new_id(),
            brand_id=brand.id,
            rate_per_s=brand.settings.run_rate_per_s,
            publication_id=_NONE_YET,
            generator_id="",
            topic_key="",
            context=context,
            lane=Lane.TRANSACTIONAL,
            is_test=call.is_test,
            triggered_by=f"test send, {call.triggered_by}",
            deadline_s=_DEADLINE_S,
            recipients=len(to),
        )
        await until_settled(self._db, partial(_take_in, call, _Ready(queued, frozen.content, to, person)))
        failpoint("test_send.after_commit")
        await self._settled(call, queued.id)
        return TestSent(queued.id, await self._messages(call, queued.id, draft, to), findings, frozen.warnings)

    async def _asked(self, call: TestSendCall, brand: Brand) -> tuple[list[_To], Draft, ContextSchema | None, _Person]:
        """Everything that the call names, as it is now."""
        async with self._db.read() as conn:
            found = await checked_recipients(conn, brand, call.to)
            channels = {kind for one in found for kind in ChannelKind if _takes(one.address, kind)}
            draft = await draft_of(conn, brand.id, call.campaign_id, channels, step=call.step, chosen=call.routes)
            kinds = draft.sender_kinds
            for place, one in enumerate(found):
                reaches = any(_takes(one.address, kind) and sender != "sandbox" for kind, sender in kinds.items())
                if reaches and one.confirmed_at is None and not call.is_test:
                    text = (
                        "Whoever reads this address has not agreed yet: confirm it with the code that was mailed there."
                    )
                    raise Invalid.field(f"/to/{place}", "unconfirmed", text)
            to = [self._to(brand.id, one, list(kinds)) for one in found]
            schema = None if call.schema_of is None else await find_schema(conn, brand.id, call.schema_of)
            return to, draft, schema, await _person(conn, call)

    def _to(self, brand_id: UUID, recipient: TestRecipient, channels: Sequence[ChannelKind]) -> _To:
        text = recipient.address
        address = self._names.of_email(brand_id, text) if "@" in text else self._names.of_phone(brand_id, text)
        return _To(
            recipient.id,
            address,
            recipient_id(brand_id, address.external_id),
            [kind for kind in channels if _takes(text, kind)],
        )

    async def _findings(self, content: PublishedContent, sample: Sample) -> list[RouteFindings]:
        found: list[RouteFindings] = []
        for route in content.routes:
            shown = await self._previews.of_route(content, route, sample)
            language = route.variants[0].language
            found.append(RouteFindings(route.channel, language, route.template_name, shown.blanks, shown.problem))
        return found

    async def _settled(self, call: TestSendCall, execution_id: UUID) -> None:
        """Waits until nothing is pending, as long as the caller wants to."""
        until_s = boottime_s() + min(call.wait_s, WAIT_S_MAX)
        while boottime_s() < until_s:
            progress = await self._executions.progress(call.brand_id, execution_id)
            if progress.execution.published_at and not any(one.pending + one.held for one in progress.channels):
                return
            await asyncio.sleep(_LOOK_S)

    async def _messages(
        self, call: TestSendCall, execution_id: UUID, draft: Draft, to: Sequence[_To]
    ) -> list[TestMessage]:
        kinds = draft.sender_kinds
        found: list[TestMessage] = []
        for one in to:
            for channel in one.channels:
                story = await self._executions.message(call.brand_id, execution_id, one.customer_id, channel)
                found.append(
                    TestMessage(
                        self._send_ids.encode_many(execution_id, [one.customer_id], channel)[0],
                        one.text,
                        channel,
                        story.state.label,
                        story.reason.label,
                        story.note,
                        call.is_test or kinds[channel] == "sandbox",
                    )
                )
        return found


def _takes(address: str, kind: ChannelKind) -> bool:
    """Whether messages on that channel go to such an address."""
    return kind is ChannelKind.EMAIL if "@" in address else bool(kind.bit & PHONE_CHANNELS)


async def _person(conn: Connection, call: TestSendCall) -> _Person:
    if call.shown_as is None:
        if call.sample is not None:
            checked_context(call.sample, "/customer")
        return _Person(None, call.sample)
    try:
        customer = customer_id(call.brand_id, call.shown_as)
    except ValueError as error:
        raise Invalid.field("/external_id", "invalid-external-id", str(error)) from None
    (person,) = await recipients(conn, call.brand_id, [(customer, None)])
    if person is None:
        raise Invalid.field("/external_id", "unknown-customer", f"This brand has no customer {call.shown_as!r}.")
    return _Person(customer, person.fields())


async def _take_in(call: TestSendCall, ready: _Ready, conn: Connection) -> None:
    """All of the call in one transaction, its token last."""
    queued, person = ready.queued, ready.person
    # They were found a while ago: whoever was removed since gets nothing.
    await hold_recipients(conn, queued.brand_id, [one.listed for one in ready.to])
    await take_in_addresses(conn, queued.brand_id, [one.address for one in ready.to])
    customers = [one.customer_id for one in ready.to]
    if len(await hold_people(conn, queued.brand_id, customers)) < len(customers):
        # The last message of one of them went a moment ago, and so did it.
        raise Overtaken
    publication_id = await keep_for_test(conn, queued.brand_id, ready.content)
    await store.open_bucket(conn, queued.brand_id, queued.rate_per_s)
    if not await store.admit(conn, [msgspec.structs.replace(queued, publication_id=publication_id)]):
        raise rate_limited(queued)
    is_made_up = person.customer_id is None and person.fields is not None
    await Sql.insert_shown.run(
        conn,
        execution_id=queued.id,
        brand_id=queued.brand_id,
        parts=[part_of(customer) for customer in customers],
        customer_ids=customers,
        shown_as=person.customer_id,
        shown=Jsonb(person.fields) if is_made_up else None,
    )
    told = {
        "execution_id": queued.id,
        "step": call.step,
        "to": [one.text for one in ready.to],
        "channels": [route.channel.label for route in ready.content.routes],
    }
    await record(conn, "campaign.test_sent", call.campaign_id, brand_id=queued.brand_id, after=told)
    failpoint("test_send.before_commit")
