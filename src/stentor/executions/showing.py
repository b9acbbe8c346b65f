"""A message as one person saw it, or sees it: as it lies in the sandbox inbox, else made once more as it would be made now."""

from datetime import datetime
from uuid import UUID

import msgspec

from stentor.audience.reach import recipients
from stentor.campaigns.model import PublishedRoute, PublishedVariant
from stentor.channels.sandbox.inbox import InboxService
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.deliver.model import PendingSend
from stentor.domain.ids import SendIds, recipient_id
from stentor.domain.vocabulary import ChannelKind, SendState
from stentor.errors import NotFound
from stentor.executions.composing import Composer
from stentor.executions.facts import FactsSource, PublicationSource
from stentor.executions.forgetting import forgotten_after
from stentor.executions.named import own_contexts, shown_fields
from stentor.executions.service import ExecutionService
from stentor.report.recipients import SendTrace, sends_of


class ShownMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One person's message on one channel. `raw` is what goes over the wire; None where `problem` says why there is none.

    `is_as_sent`: these are the bytes that were handed over, to the sandbox. Otherwise it was made for this look, of the content that
    was published for the execution and of the person as they are now; its links go by its real address, so that nobody should follow them.
    """

    channel: ChannelKind
    state: SendState
    decided_at: datetime
    template: str
    language: str
    raw: bytes | None
    is_as_sent: bool = False
    problem: str = ""


class MessageViews(msgspec.Struct, frozen=True):
    """Shows the messages of executions. Every call names its brand."""

    db: Database
    executions: ExecutionService
    publications: PublicationSource
    composer: Composer
    inbox: InboxService
    send_ids: SendIds
    clock: Clock

    async def of(self, brand_id: UUID, execution_id: UUID, external_id: str) -> list[ShownMessage]:
        """The person's messages, by channel; none where the execution has nobody of that id. Raises NotFound for no such execution."""
        try:
            customer = recipient_id(brand_id, external_id)
        except ValueError:
            await self.executions.find(brand_id, execution_id)
            return []
        return await self.to(brand_id, execution_id, customer)

    async def to(self, brand_id: UUID, execution_id: UUID, customer: UUID) -> list[ShownMessage]:
        """The same of the person with that id."""
        await self.executions.find(brand_id, execution_id)
        async with self.db.read() as conn:
            sends = await sends_of(conn, brand_id, execution_id, customer)
        return [await self._shown(brand_id, execution_id, customer, send) for send in sends]

    async def _shown(self, brand_id: UUID, execution_id: UUID, customer: UUID, send: SendTrace) -> ShownMessage:
        execution = await self.executions.find(brand_id, execution_id)
        publication = await self.publications.load(brand_id, execution.publication_id)
        route, wording = publication.content.wording(send.channel, send.variant)
        shown = ShownMessage(
            channel=send.channel,
            state=send.state,
            decided_at=send.decided_at,
            template=route.template_name,
            language=wording.language,
            raw=None,
        )
        if (kept := await self._kept(brand_id, execution_id, customer, send.channel)) is not None:
            return msgspec.structs.replace(shown, raw=kept, is_as_sent=True)
        if route.partner is not None:
            return msgspec.structs.replace(shown, problem=_by_partner(route, wording))
        return await self._made(brand_id, execution_id, customer, send, shown)

    async def _kept(self, brand_id: UUID, execution_id: UUID, customer: UUID, channel: ChannelKind) -> bytes | None:
        try:
            stored = await self.inbox.get(brand_id, self.send_ids.encode(execution_id, customer, channel))
        except NotFound:
            return None
        return stored.raw

    async def _made(
        self, brand_id: UUID, execution_id: UUID, customer: UUID, send: SendTrace, shown: ShownMessage
    ) -> ShownMessage:
        pending = PendingSend(
            chunk=0,
            execution_id=execution_id,
            number=0,
            customer_id=customer,
            variant=send.variant,
            tries=send.tries,
        )
        async with self.db.read() as conn:
            if (days := await forgotten_after(conn, brand_id, execution_id)) is not None:
                text = f"What the execution said was forgotten after {days} days, so it cannot be made again."
                return msgspec.structs.replace(shown, problem=text)
            facts = await FactsSource(self.publications).load(conn, brand_id, [execution_id])
            (person,) = await recipients(conn, brand_id, [(customer, facts[execution_id].topic_id)])
            if person is None:
                return msgspec.structs.replace(
                    shown, problem="This person was erased, and with them what it would be made of."
                )
            wave = [(pending, person)]
            contexts = await own_contexts(conn, brand_id, facts, wave)
            fields = await shown_fields(conn, brand_id, facts, wave)
        composed = self.composer.compose(send.channel, facts, wave, self.clock.now(), contexts=contexts, shown=fields)
        if composed.failures:
            return msgspec.structs.replace(shown, problem=str(composed.failures[0][1]))
        return msgspec.structs.replace(shown, raw=composed.messages[0].wire())


def _by_partner(route: PublishedRoute, wording: PublishedVariant) -> str:
    said = " ".join(text for text in wording.parts.values() if text)
    return f"An outside service makes this message of its template {route.template_name}. {said}".strip()
