"""Executions whose recipients were named in the call: who they are, and what was said of each alone."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from stentor.audience.casting import NamedSource, casting
from stentor.audience.reach import Recipient, recipients
from stentor.campaigns.model import Publication
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.deliver.model import PendingSend
from stentor.domain.ids import part_of
from stentor.executions.audiences import choices_of
from stentor.executions.facts import ExecutionFacts
from stentor.executions.model import PlannedRoute
from stentor.executions.store import routes_as_arrays
from stentor.guard.contacts import SendKey
from stentor.guard.holdout import holdout_threshold

OwnContexts: TypeAlias = Mapping[SendKey, Mapping[str, Any]]
"""By execution and customer, the context that is only theirs: the call's with the recipient's own fields over it."""

ShownFields: TypeAlias = Mapping[SendKey, Mapping[str, Any]]
"""By execution and customer, the fields that their message is made of instead of their own: of test sends alone."""


class NamedSql(QuerySet, file="named.sql", package=__package__):
    plan_named: Statement
    own_contexts: Statement
    shown_as: Statement
    is_named: Statement
    is_cast: Statement


async def plan_named(conn: Connection, publication: Publication, routes: Sequence[PlannedRoute]) -> None:
    """Writes one send per named person and route (mode `all`) or per named person (mode `first`), verdict included.

    Where routes have conditions, they are decided here, of these few people: a message that is waited for waits for no caster.
    """
    content = publication.content
    if content.needs_cast:
        choices = await choices_of(conn, publication.brand_id, content)
        for execution_id in sorted({route.execution_id for route in routes}):
            await casting(conn, publication.brand_id, execution_id, NamedSource(execution_id), choices)
    await go_by_keys(conn)
    await NamedSql.plan_named.run(
        conn,
        masks=[1 << route.ordinal if content.needs_cast else None for route in routes],
        only_first=content.mode == "first",
        brand_id=publication.brand_id,
        campaign_id=content.campaign_id,
        holdout=holdout_threshold(content.policy.holdout),
        **routes_as_arrays(routes),
    )


async def own_contexts(
    conn: Connection,
    brand_id: UUID,
    facts: Mapping[UUID, ExecutionFacts],
    wave: Sequence[tuple[PendingSend, Recipient]],
) -> OwnContexts:
    """The contexts of those of the wave's people who have one of their own; asked only where a call named its recipients."""
    if not any(execution.named_in for execution in facts.values()):
        return {}
    named = [(send, named_in) for send, _ in wave if (named_in := facts[send.execution_id].named_in) is not None]
    rows = await NamedSql.own_contexts.tuples(
        conn,
        brand_id=brand_id,
        execution_ids=[named_in for _, named_in in named],
        parts=[part_of(send.customer_id) for send, _ in named],
        customer_ids=[send.customer_id for send, _ in named],
    )
    own_of = {(named_in, customer_id): own for named_in, customer_id, own in rows}
    return {
        (send.execution_id, send.customer_id): {**facts[send.execution_id].context, **own}
        for send, named_in in named
        if (own := own_of.get((named_in, send.customer_id))) is not None
    }


async def shown_fields(
    conn: Connection,
    brand_id: UUID,
    facts: Mapping[UUID, ExecutionFacts],
    wave: Sequence[tuple[PendingSend, Recipient]],
) -> ShownFields:
    """What the messages of the wave's test sends are made of: a customer as they are now, or made-up fields."""
    if not any(execution.publication.content.is_test_send for execution in facts.values()):
        return {}
    sends = [send for send, _ in wave if facts[send.execution_id].publication.content.is_test_send]
    rows = await NamedSql.shown_as.tuples(
        conn,
        brand_id=brand_id,
        execution_ids=[send.execution_id for send in sends],
        parts=[part_of(send.customer_id) for send in sends],
        customer_ids=[send.customer_id for send in sends],
    )
    people = list({customer for _, _, customer, _ in rows if customer is not None})
    found = dict(zip(people, await recipients(conn, brand_id, [(one, None) for one in people]), strict=True))
    return {
        (execution_id, customer_id): made_up if person is None else person.fields()
        for execution_id, customer_id, customer, made_up in rows
        # Somebody who was erased in between has no fields any more.
        for person in [found.get(customer)]
        if person is not None or made_up is not None
    }


async def is_named(conn: Connection, brand_id: UUID, execution_id: UUID, customer_id: UUID) -> bool:
    """Whether the execution's call named this person."""
    return bool(
        await NamedSql.is_named.value(
            conn, brand_id=brand_id, execution_id=execution_id, part=part_of(customer_id), customer_id=customer_id
        )
    )


async def is_cast(conn: Connection, brand_id: UUID, execution_id: UUID, customer_id: UUID) -> bool:
    """Whether this person is in the execution's cast."""
    return bool(
        await NamedSql.is_cast.value(
            conn, brand_id=brand_id, execution_id=execution_id, part=part_of(customer_id), customer_id=customer_id
        )
    )
