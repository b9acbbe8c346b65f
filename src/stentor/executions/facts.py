"""What is the same for everybody in an execution, and the sender that carries it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from stentor.campaigns.kept import Kept
from stentor.campaigns.model import Publication
from stentor.channels.model import Sender
from stentor.db.connection import Connection
from stentor.domain.vocabulary import ChannelKind, ConsentBasis
from stentor.executions.store import Sql

FACTS_CHARS_MAX = 8 << 20
"""How much context is kept, as text: of 2,000 executions that say little, and of 120 that say all that they may.

A context of 64 KiB can take 1.4 MB in memory, so their number alone bounds nothing.
"""

# What an entry takes besides its context.
_ENTRY_CHARS = 4096


class ExecutionFacts(msgspec.Struct, frozen=True):
    """An execution as its messages need it. It never changes once the execution is planned."""

    execution_id: UUID
    publication: Publication
    topic_id: UUID | None
    context: dict[str, Any]
    is_test: bool
    named_in: UUID | None = None
    """The execution whose call named its recipients, each perhaps with a context of their own: itself, or of a step its run."""
    per_hour: int | None = None
    """How many of its sends may leave in an hour, if that was said of this run alone."""
    meant_at: datetime | None = None
    """When it was fixed whom it means: who was made after that is nobody of them. None while its topic is being planned."""

    @property
    def basis(self) -> ConsentBasis:
        """What entitles this execution to write."""
        return ConsentBasis[self.publication.content.consent_basis.upper()]

    @property
    def heeds_topic(self) -> bool:
        """Whether it writes to its topic's subscribers alone, so that who leaves the topic is stopped.

        A campaign by channel flags that is run on a topic does too: its messages' links end the subscription and nothing else.
        """
        return self.basis is ConsentBasis.TOPIC or (self.basis is ConsentBasis.CHANNEL and self.topic_id is not None)


class PublicationSource(Protocol):
    """Where frozen campaigns come from; it keeps what it decoded."""

    async def load(self, brand_id: UUID, publication_id: UUID) -> Publication:
        """The publication. Raises NotFound."""
        ...


class FactsSource:
    """Loads the facts of executions and keeps those of the lately used ones, as far as their contexts let it."""

    def __init__(self, publications: PublicationSource) -> None:
        self._publications = publications
        self._kept: Kept[UUID, ExecutionFacts] = Kept(FACTS_CHARS_MAX)

    async def load(
        self, conn: Connection, brand_id: UUID, execution_ids: Sequence[UUID]
    ) -> Mapping[UUID, ExecutionFacts]:
        """The facts of these executions of one brand."""
        found = {
            execution_id: facts for execution_id in execution_ids if (facts := self._kept.get(execution_id)) is not None
        }
        if missing := [execution_id for execution_id in execution_ids if execution_id not in found]:
            rows = await Sql.contexts.tuples(conn, brand_id=brand_id, execution_ids=missing)
            for execution_id, context, publication_id, topic_id, is_test, named_in, per_hour, meant_at in rows:
                publication = await self._publications.load(brand_id, publication_id)
                facts = ExecutionFacts(
                    execution_id, publication, topic_id, context, is_test, named_in, per_hour, meant_at
                )
                if meant_at is not None:
                    self._kept.put(execution_id, facts, len(str(context)) + _ENTRY_CHARS)
                found[execution_id] = facts
        return found


def resends_in_doubt(sender: Sender, facts: Mapping[UUID, ExecutionFacts]) -> bool:
    """Whether sends that may or may not have been accepted are sent again.

    Where the sender has no policy: transactional campaigns and webhooks would rather be doubled than lost, all else not.
    """
    if sender.in_doubt is not None:
        return sender.in_doubt == "at_least_once"
    return sender.channel is ChannelKind.WEBHOOK or all(
        execution.publication.content.lane == "transactional" for execution in facts.values()
    )
