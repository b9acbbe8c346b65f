"""Customers who meet a trigger: an event whose name is a published generator's id runs that generator's campaign for them alone.

So run generators of the type `event` whose campaign partners send: these are told of each person at once. An event names
no topic: where the campaign's consent is a topic's, the campaign says which, and who has not subscribed to it is skipped.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC
from uuid import UUID

import msgspec
import structlog

from stentor.accounts.directory import BrandDirectory
from stentor.audience.customer_events import EventRow
from stentor.campaigns.sources import GeneratorSource, PublicationSource
from stentor.db.connection import Connection
from stentor.domain.ids import new_id, part_of
from stentor.domain.vocabulary import Lane
from stentor.errors import TooLarge
from stentor.triggers import store
from stentor.triggers.addressees import RECIPIENTS_MAX
from stentor.triggers.admission import rate_limited
from stentor.triggers.context import checked_context
from stentor.triggers.messages import Sql
from stentor.triggers.model import QueuedCall

log = structlog.get_logger(__name__)


class _Trigger(msgspec.Struct, frozen=True):
    """What an event of its name runs."""

    publication_id: UUID
    lane: Lane
    deadline_s: int | None
    topic_key: str


class MetTriggers:
    """What the events of one call run; see `EventTriggers.of`."""

    def __init__(self, brand_id: UUID, rate_per_s: int, triggers: Mapping[str, _Trigger]) -> None:
        self._brand_id = brand_id
        self._rate_per_s = rate_per_s
        self._triggers = triggers

    async def run(self, conn: Connection, events: Sequence[EventRow], *, is_test: bool) -> None:
        """Starts executions for whoever met a trigger, in the transaction that stores the events.

        A test (`is_test`) leads to the sandbox. Raises RateLimited, and TooLarge for more at once than the brand starts in a second,
        which no wait would let in.
        """
        starts = [
            (name, trigger, people)
            for name, trigger in self._triggers.items()
            for people in _groups([event for event in events if event.name == name])
        ]
        if len(starts) > self._rate_per_s:
            raise TooLarge(
                f"These events start {len(starts)} executions, and this brand starts at most {self._rate_per_s} in a second: one for "
                f"{RECIPIENTS_MAX} people, and one for each time that the same person met the same trigger. Send several requests."
            )
        for name, trigger, people in starts:
            await self._start(conn, name, trigger, people, is_test=is_test)

    async def _start(
        self, conn: Connection, name: str, trigger: _Trigger, people: Sequence[EventRow], *, is_test: bool
    ) -> None:
        queued = QueuedCall(
            id=new_id(),
            brand_id=self._brand_id,
            rate_per_s=self._rate_per_s,
            publication_id=trigger.publication_id,
            generator_id=name,
            topic_key=trigger.topic_key,
            context=checked_context({}),
            lane=trigger.lane,
            is_test=is_test,
            triggered_by=f"event {name}",
            deadline_s=trigger.deadline_s,
            recipients=len(people),
        )
        await store.open_bucket(conn, self._brand_id, self._rate_per_s)
        if not await store.admit(conn, [queued]):
            raise rate_limited(queued)
        await Sql.insert_named.run(
            conn,
            execution_id=queued.id,
            brand_id=self._brand_id,
            parts=[part_of(event.customer_id) for event in people],
            customer_ids=[event.customer_id for event in people],
            contexts=[_context(event) for event in people],
        )


class EventTriggers:
    """Finds what events run."""

    def __init__(self, brands: BrandDirectory, generators: GeneratorSource, publications: PublicationSource) -> None:
        self._brands = brands
        self._generators = generators
        self._publications = publications

    async def of(self, brand_id: UUID, names: Collection[str]) -> MetTriggers | None:
        """What events of these names run, as it was published less than a second ago; None for nothing, as nearly always."""
        triggers: dict[str, _Trigger] = {}
        for name in sorted(names):
            generator = await self._generators.find(brand_id, name)
            if generator is None or generator.type != "event" or generator.publication_id is None:
                continue
            content = (await self._publications.load(brand_id, generator.publication_id)).content
            if not content.partner_channels:
                continue
            topic_key = content.policy.event_topic if content.consent_basis == "topic" else ""
            if topic_key is None or content.experiment is not None:
                log.warning(
                    "event.runs_nothing",
                    generator_id=name,
                    why="its campaign is an experiment, or for a topic and has no event_topic",
                )
                continue
            triggers[name] = _Trigger(generator.publication_id, generator.lane, generator.deadline_s, topic_key)
        brand = await self._brands.by_id(brand_id) if triggers else None
        return None if brand is None else MetTriggers(brand_id, brand.settings.run_rate_per_s, triggers)


def _groups(events: Sequence[EventRow]) -> list[list[EventRow]]:
    """As few executions as can be: nobody twice in one, and at most 100 people."""
    groups: list[dict[UUID, EventRow]] = []
    # Where each one's next may go: they are in the one before.
    first: dict[UUID, int] = {}
    for event in events:
        place = first.get(event.customer_id, 0)
        while place < len(groups) and len(groups[place]) >= RECIPIENTS_MAX:
            place += 1
        if place == len(groups):
            groups.append({})
        groups[place][event.customer_id] = event
        first[event.customer_id] = place + 1
    return [list(group.values()) for group in groups]


def _context(event: EventRow) -> str:
    said = {
        "event": event.name,
        "at": event.at.astimezone(UTC).isoformat(),
        "properties": msgspec.Raw(event.properties.encode()),
    }
    return msgspec.json.encode(said).decode()
