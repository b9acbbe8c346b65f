"""Who asks for single messages: a call that names its recipients becomes an execution of a transactional campaign."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from stentor.accounts.directory import BrandDirectory
from stentor.answers import store as answers
from stentor.answers.model import Answer, StoredAnswer
from stentor.answers.service import replay
from stentor.audience.anonymous import AddressNames, hold_people, take_in_addresses
from stentor.audience.upsert import Overtaken, until_settled
from stentor.campaigns.context_schema import VIOLATIONS_NAMED_MAX
from stentor.campaigns.model import PublishedContent
from stentor.campaigns.sources import GeneratorSource, PublicationSource
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import SendIds, new_id, part_of
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, NotFound, Problem, Unavailable, Unprocessable
from stentor.executions.messages import MessageStory
from stentor.executions.service import ExecutionService
from stentor.failpoints import failpoint
from stentor.triggers import store
from stentor.triggers.addressees import Addressee, AddresseeSource, NamedRecipient, missing_addressees
from stentor.triggers.admission import rate_limited
from stentor.triggers.context import checked_context
from stentor.triggers.model import QueuedCall, Replayed
from stentor.triggers.runnable import runnable
from stentor.triggers.service import API_TRIGGERED


class Sql(QuerySet, file="messages.sql", package=__package__):
    insert_named: Statement


class SentMessage(msgspec.Struct, frozen=True):
    """One message of a call: its send id, which recipient it is for (from 0) and on which channel."""

    send_id: str
    recipient: int
    external_id: str
    channel: ChannelKind


class Sent(msgspec.Struct, frozen=True):
    """An accepted call: its execution, which is on disk, and a message for each recipient and channel."""

    execution_id: UUID
    messages: list[SentMessage]


class Once(msgspec.Struct, frozen=True):
    """The caller's wish to be answered once, and what an accepted call is answered."""

    key: str
    request_hash: bytes
    answer_of: Callable[[Sent], Answer]


class MessageCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `triggered_by` says who called, for people: `key 12`."""

    brand_id: UUID
    generator_id: str
    context: dict[str, Any]
    recipients: Sequence[NamedRecipient]
    triggered_by: str
    is_test: bool = False
    once: Once | None = None


class _Checked(NamedTuple):
    """A call with nothing wrong in it that can be known without looking at its recipients."""

    queued: QueuedCall
    addressees: list[Addressee]
    sent: Sent


class MessageService:
    """Takes in messages to named recipients, and tells what became of each."""

    def __init__(
        self,
        db: Database,
        brands: BrandDirectory,
        generators: GeneratorSource,
        publications: PublicationSource,
        executions: ExecutionService,
        *,
        send_ids: SendIds,
        names: AddressNames,
    ) -> None:
        self._db = db
        self._brands = brands
        self._generators = generators
        self._publications = publications
        self._executions = executions
        self._send_ids = send_ids
        self._names = names

    async def send(self, call: MessageCall) -> Sent | Replayed:
        """Accepts the call as a whole: when this returns Sent, its execution and its recipients are on disk.

        Under an idempotency key an equal call that was accepted before is Replayed, at the rate limit too; concurrent
        ones wait for each other.

        Raises NotFound for an event generator that the brand has not; Unprocessable for one that was never published or
        whose campaign is not transactional, and for a key that was used for another request; Invalid, naming the field,
        for a recipient who does not exist, is named twice or has an address that is none, and for a context that breaks
        the schema or a limit; RateLimited; Unavailable.
        """
        try:
            checked = await self._checked(call)
        except Problem:
            # What was accepted once is answered so again, whatever has become of its generator since.
            async with self._db.read() as conn:
                replayed = await _replayed(conn, call)
            if replayed is None:
                raise
            return replayed
        outcome = await until_settled(self._db, lambda conn: _take_in(conn, call, checked))
        failpoint("message.after_commit")
        return outcome

    async def find(self, brand_id: UUID, send_id: str) -> MessageStory:
        """What became of the message. Raises NotFound for an id that is none, or another brand's."""
        try:
            execution_id, customer, channel = self._send_ids.decode(send_id)
        except ValueError:
            raise NotFound("This is not the id of a message.") from None
        return await self._executions.message(brand_id, execution_id, customer, channel)

    async def _checked(self, call: MessageCall) -> _Checked:
        brand = await self._brands.by_id(call.brand_id)
        generator, publication_id = await runnable(self._generators, call.brand_id, call.generator_id, (API_TRIGGERED,))
        if brand is None:
            raise NotFound("There is no such brand.")
        content = (await self._publications.load(call.brand_id, publication_id)).content
        _check_transactional(content)
        _check_no_experiment(content)
        context = checked_context(call.context)
        source = AddresseeSource(brand.id, self._names, brand.settings.default_country)
        addressees = source.find(call.recipients, call.context, generator.context_schema)
        queued = QueuedCall(
            id=new_id(),
            brand_id=brand.id,
            rate_per_s=brand.settings.run_rate_per_s,
            publication_id=publication_id,
            generator_id=call.generator_id,
            topic_key="",
            context=context,
            lane=generator.lane,
            is_test=call.is_test,
            triggered_by=call.triggered_by,
            deadline_s=generator.deadline_s,
            recipients=len(addressees),
        )
        return _Checked(queued, addressees, self._sent(queued.id, addressees, content))

    def _sent(self, execution_id: UUID, addressees: Sequence[Addressee], content: PublishedContent) -> Sent:
        customers = [addressee.customer_id for addressee in addressees]
        by_channel = {
            route.channel: self._send_ids.encode_many(execution_id, customers, route.channel)
            for route in content.routes
        }
        messages = [
            SentMessage(send_ids[place], place, addressee.external_id, channel)
            for place, addressee in enumerate(addressees)
            for channel, send_ids in by_channel.items()
        ]
        return Sent(execution_id, messages)


def _check_transactional(content: PublishedContent) -> None:
    if content.consent_basis != "none" or content.lane != "transactional":
        raise Unprocessable(
            "Messages to named recipients are sent by a campaign whose consent_basis is `none` and whose lane is "
            f"`transactional`; what is published here has `{content.consent_basis}` and `{content.lane}`. Change the "
            "campaign and publish the event generator again, or run it for a topic."
        )


def _check_no_experiment(content: PublishedContent) -> None:
    if content.experiment is not None:
        raise Unprocessable(
            "A campaign with an experiment runs for topics, tags and segments: of named recipients some would get nothing. Take the "
            "experiment out of the campaign and publish the event generator again, or run it for a topic."
        )


async def _take_in(conn: Connection, call: MessageCall, checked: _Checked) -> Sent | Replayed:
    """All of the call in one transaction: its key first, which an equal call waits for, and its token last."""
    queued, addressees = checked.queued, checked.addressees
    if not await _claim_key(conn, call, checked.sent):
        if (replayed := await _replayed(conn, call)) is not None:
            return replayed
        # Claimed by somebody a moment ago, and gone now: its seven days were over in between.
        raise Unavailable("The answer to this Idempotency-Key just expired. Try again.")
    bare = [addressee.address for addressee in addressees if addressee.address is not None]
    await take_in_addresses(conn, queued.brand_id, bare)
    customers = [addressee.customer_id for addressee in addressees]
    existing = await hold_people(conn, queued.brand_id, customers)
    if any(addressee.address is not None and addressee.customer_id not in existing for addressee in addressees):
        # Its last message went a moment ago, and so did it.
        raise Overtaken
    if missing := missing_addressees(addressees, existing):
        raise Invalid(missing[0].message, violations=missing[:VIOLATIONS_NAMED_MAX])
    await store.open_bucket(conn, queued.brand_id, queued.rate_per_s)
    if not await store.admit(conn, [queued]):
        raise rate_limited(queued)
    await Sql.insert_named.run(
        conn,
        execution_id=queued.id,
        brand_id=queued.brand_id,
        parts=[part_of(customer) for customer in customers],
        customer_ids=customers,
        contexts=[None if addressee.context is None else bytes(addressee.context).decode() for addressee in addressees],
    )
    failpoint("message.before_commit")
    return checked.sent


async def _claim_key(conn: Connection, call: MessageCall, sent: Sent) -> bool:
    """Stores the answer under the call's key, if it has one; False when the key was used before."""
    if (once := call.once) is None:
        return True
    answer = once.answer_of(sent)
    claim = StoredAnswer(call.brand_id, once.key, once.request_hash, answer.status, dict(answer.headers), answer.body)
    return bool(await answers.claim_keys(conn, [claim]))


async def _replayed(conn: Connection, call: MessageCall) -> Replayed | None:
    """What an equal call was answered; None where none was. Raises Unprocessable when another one had the key."""
    if (once := call.once) is None:
        return None
    key = call.brand_id, once.key
    stored = (await answers.stored_answers(conn, [key])).get(key)
    if stored is None:
        return None
    found = replay(once.request_hash, stored)
    if isinstance(found, Problem):
        raise found
    return Replayed(found)
