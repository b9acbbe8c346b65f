"""From a wave's people to messages: the execution's compiled content, one send id and one unsubscribe link each."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import msgspec

from stentor.audience.reach import Recipient
from stentor.campaigns.model import Publication
from stentor.channels.contract import Message
from stentor.deliver.model import PendingSend
from stentor.domain.ids import SendIds
from stentor.domain.links import LinkSigner
from stentor.domain.vocabulary import ChannelKind, ConsentBasis
from stentor.executions.facts import ExecutionFacts
from stentor.executions.named import OwnContexts, ShownFields
from stentor.render.errors import RenderError

_Pairs: TypeAlias = list[tuple[PendingSend, Recipient]]


class BoundRenderer(Protocol):
    """One language of one route with a context folded in."""

    def render(
        self, customer: Mapping[str, Any], *, send_id: str, address: str, unsubscribe_url: str, at: datetime
    ) -> Message:
        """One person's message. Raises RenderError when the template refuses or passes a limit for this person."""
        ...


class Renderers(Protocol):
    """Where compiled content comes from; it keeps what it compiled."""

    def bind(
        self,
        publication: Publication,
        channel: ChannelKind,
        variant: int,
        context_id: UUID | None,
        context: Mapping[str, Any],
    ) -> BoundRenderer:
        """The renderer of a channel in one language.

        `context_id` always stands for the same context; it is None for one that nobody asks for a second time.
        """
        ...


TURN_PEOPLE = 50
"""Rendered in one turn of the event loop. A whole wave took 10 ms and more, and an alert waits for some twenty turns."""


class Composed(msgspec.Struct, frozen=True):
    """A wave's messages, each with its send, and the sends that have none, each with the reason."""

    sends: list[PendingSend] = msgspec.field(default_factory=list)
    messages: list[Message] = msgspec.field(default_factory=list)
    failures: list[tuple[PendingSend, RenderError]] = msgspec.field(default_factory=list)


class Composer:
    """Makes the messages of a wave."""

    def __init__(self, renderers: Renderers, ids: SendIds, links: LinkSigner, public_url: str) -> None:
        self._renderers = renderers
        self._ids = ids
        self._links = links
        self._unsubscribe_prefix = public_url.rstrip("/") + "/u/"

    def compose(
        self,
        channel: ChannelKind,
        facts: Mapping[UUID, ExecutionFacts],
        wave: Sequence[tuple[PendingSend, Recipient]],
        at: datetime,
        *,
        contexts: OwnContexts = MappingProxyType({}),
        shown: ShownFields = MappingProxyType({}),
    ) -> Composed:
        """The messages in the order of the wave's chunks and languages; a template's failure is that person's alone.

        `contexts`: of the people who have one of their own, in place of their execution's. `shown`: of those whose message is
        made of other fields than their own.
        """
        composed = Composed()
        for (_, variant), pairs in groupby(sorted(wave, key=_place), key=_place):
            group = list(pairs)
            execution = facts[group[0][0].execution_id]
            for context_id, context, sharing in _by_context(execution, group, contexts):
                bound = self._renderers.bind(execution.publication, channel, variant, context_id, context)
                self._compose_group(bound, execution, channel, sharing, at=at, shown=shown, into=composed)
        return composed

    async def compose_in_turns(
        self,
        channel: ChannelKind,
        facts: Mapping[UUID, ExecutionFacts],
        wave: Sequence[tuple[PendingSend, Recipient]],
        at: datetime,
        *,
        contexts: OwnContexts = MappingProxyType({}),
        shown: ShownFields = MappingProxyType({}),
        turn_people: int = TURN_PEOPLE,
    ) -> Composed:
        """As `compose`, so many people at a time: in between, whoever shares the event loop has a turn."""
        composed = Composed()
        for start in range(0, len(wave), turn_people):
            if start:
                await asyncio.sleep(0)
            people = wave[start : start + turn_people]
            turn = self.compose(channel, facts, people, at, contexts=contexts, shown=shown)
            composed.sends.extend(turn.sends)
            composed.messages.extend(turn.messages)
            composed.failures.extend(turn.failures)
        return composed

    def _compose_group(
        self,
        bound: BoundRenderer,
        execution: ExecutionFacts,
        channel: ChannelKind,
        pairs: _Pairs,
        *,
        at: datetime,
        shown: ShownFields,
        into: Composed,
    ) -> None:
        customers = [send.customer_id for send, _ in pairs]
        send_ids = self._ids.encode_many(execution.execution_id, customers, channel)
        urls = self._unsubscribe_urls(execution, channel, customers)
        for (send, person), send_id, url in zip(pairs, send_ids, urls, strict=True):
            fields = shown.get((send.execution_id, send.customer_id)) if shown else None
            try:
                message = bound.render(
                    person.fields() if fields is None else fields,
                    send_id=send_id,
                    address=person.address_on(channel),
                    unsubscribe_url=url,
                    at=at,
                )
            except RenderError as error:
                into.failures.append((send, error))
            else:
                into.sends.append(send)
                into.messages.append(message)

    def _unsubscribe_urls(self, execution: ExecutionFacts, channel: ChannelKind, customers: list[UUID]) -> list[str]:
        content = execution.publication.content
        if execution.basis is ConsentBasis.NONE and not content.is_test_send:
            return [""] * len(customers)
        prefix = self._unsubscribe_prefix
        return [prefix + token for token in self._links.unsubscribe_tokens(execution.execution_id, customers, channel)]


def _by_context(
    execution: ExecutionFacts, group: _Pairs, contexts: OwnContexts
) -> Iterator[tuple[UUID | None, Mapping[str, Any], _Pairs]]:
    """The group's people by the context that their messages are made of: each their own, the others the execution's."""
    sharing = group
    if contexts:
        sharing = []
        for send, person in group:
            own = contexts.get((send.execution_id, send.customer_id))
            if own is None:
                sharing.append((send, person))
            else:
                yield None, own, [(send, person)]
    if sharing:
        yield execution.execution_id, execution.context, sharing


def _place(pair: tuple[PendingSend, Recipient]) -> tuple[int, int]:
    # By chunk rather than by execution: comparing small integers costs a tenth of comparing UUIDs.
    return pair[0].chunk, pair[0].variant
