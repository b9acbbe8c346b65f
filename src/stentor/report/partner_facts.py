"""Facts that partners tell of people, in the histories of their sends beside what providers said."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of
from stentor.domain.vocabulary import ChannelKind
from stentor.report import reactions
from stentor.report.reactions import Told

_FIRST = UUID(int=0)


class Sql(QuerySet, file="partner_facts.sql", package=__package__):
    standing: Statement
    tell: Statement
    people_of: Statement
    told_of: Statement


class PartnerFact(NamedTuple):
    """One fact about one person's send. `number` and `template` are the partner's channel and template, `kind` the history's."""

    execution_id: UUID
    customer_id: UUID
    event_id: UUID
    at: datetime
    channel: ChannelKind
    kind: str
    answer: str
    number: int
    template: int
    group: int | None


class Standing(NamedTuple):
    """A fact's send, by the fact's place: when it was decided, whether nothing of the kind was told, and who may be written of.

    `variant` is the send's number for its route and language.
    """

    place: int
    decided_at: datetime
    variant: int
    is_first: bool
    may_have_words: bool


class PersonTold(NamedTuple):
    """A person of whom something was told, of which template, and on which day first (UTC)."""

    customer_id: UUID
    external_id: str
    template: int
    day: date


class FactTold(NamedTuple):
    """What was told of a person, on which day (UTC)."""

    execution_id: UUID
    day: date
    kind: str
    number: int
    template: int
    group: int | None


async def standing(conn: Connection, brand_id: UUID, facts: Sequence[PartnerFact]) -> list[Standing]:
    """How the facts' sends stand; left out are facts of people whom nothing was sent to by that partner channel."""
    rows = await Sql.standing.tuples(
        conn,
        brand_id=brand_id,
        execution_ids=[fact.execution_id for fact in facts],
        parts=[part_of(fact.customer_id) for fact in facts],
        customer_ids=[fact.customer_id for fact in facts],
        channels=[int(fact.channel) for fact in facts],
        numbers=[fact.number for fact in facts],
        kinds=[fact.kind for fact in facts],
        have_words=[fact.answer != "" for fact in facts],
    )
    return [Standing(*row) for row in rows]


async def tell(conn: Connection, brand_id: UUID, facts: Sequence[PartnerFact]) -> set[tuple[UUID, UUID, UUID]]:
    """Enters them in the histories of their sends, and returns what is new: (execution, customer, event)."""
    told = [Told(fact.execution_id, fact.customer_id, int(fact.channel), fact.kind) for fact in facts]
    await reactions.count(conn, brand_id, told)
    rows = await Sql.tell.tuples(
        conn,
        brand_id=brand_id,
        execution_ids=[fact.execution_id for fact in facts],
        customer_ids=[fact.customer_id for fact in facts],
        event_ids=[fact.event_id for fact in facts],
        ats=[fact.at for fact in facts],
        parts=[part_of(fact.customer_id) for fact in facts],
        channels=[int(fact.channel) for fact in facts],
        kinds=[fact.kind for fact in facts],
        answers=[fact.answer for fact in facts],
        numbers=[fact.number for fact in facts],
        templates=[fact.template for fact in facts],
        groups=[fact.group for fact in facts],
    )
    return {(execution_id, customer_id, event_id) for execution_id, customer_id, event_id in rows}


async def people_of(
    conn: Connection,
    brand_id: UUID,
    execution_id: UUID,
    *,
    numbers: Sequence[int],
    kind: str,
    template: int | None,
    after: UUID | None,
    limit: int,
) -> list[PersonTold]:
    """People of whom partners told that, each once, in the order of their ids, from behind `after`."""
    rows = await Sql.people_of.tuples(
        conn,
        brand_id=brand_id,
        execution_id=execution_id,
        numbers=list(numbers),
        kind=kind,
        template=template,
        after_part=-1 if after is None else part_of(after),
        after_customer=after or _FIRST,
        limit=limit,
    )
    return [PersonTold(*row) for row in rows]


async def told_of(
    conn: Connection,
    brand_id: UUID,
    customer_id: UUID,
    *,
    execution_ids: Sequence[UUID],
    numbers: Sequence[int],
    since: datetime,
    until: datetime,
    limit: int,
) -> list[FactTold]:
    """What the partners of these channels told of the person in these executions from then until then, in the order of time."""
    rows = await Sql.told_of.tuples(
        conn,
        brand_id=brand_id,
        part=part_of(customer_id),
        customer_id=customer_id,
        execution_ids=list(execution_ids),
        numbers=list(numbers),
        since=since,
        until=until,
        limit=limit,
    )
    return [FactTold(*row) for row in rows]
