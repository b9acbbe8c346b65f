"""Expressions as they stand: a segment's own by its id, and what has to be looked up before one is compiled."""

from collections import defaultdict
from uuid import UUID

import msgspec

from stentor.audience.segments.compiling import Compiled, campaigns_in, compile_expression
from stentor.audience.segments.expressions import Expression
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement

EXECUTIONS_NAMED_MAX = 100_000
"""Executions of one campaign that a condition on its messages names one by one; of more it asks each message whose it is."""


class Sql(QuerySet, file="standing.sql", package=__package__):
    expression_of: Statement
    executions_of: Statement


async def expression_of(conn: Connection, brand_id: UUID, segment_id: UUID) -> Expression | None:
    """What the segment asks for now; None where the brand has no such segment."""
    text = await Sql.expression_of.value(conn, id=segment_id, brand_id=brand_id)
    return None if text is None else msgspec.json.decode(text, type=Expression)


async def compiled(
    conn: Connection,
    brand_id: UUID,
    expression: Expression,
    prefix: str = "segment",
    *,
    named_max: int = EXECUTIONS_NAMED_MAX,
) -> Compiled:
    """The expression as a condition about the row `c` of `customer`, with the executions of the campaigns that it names.

    The statement that it stands in binds `brand_id`, and `shift` as the connection has it. `named_max`: up to how many
    executions of a campaign are named in it.
    """
    campaigns = campaigns_in(expression)
    executions: defaultdict[UUID, list[UUID]] = defaultdict(list)
    if campaigns:
        rows = await Sql.executions_of.tuples(
            conn,
            brand_id=brand_id,
            campaign_ids=list(campaigns),
            days=[None if period is None else period.delta.total_seconds() / 86400 for period in campaigns.values()],
            limit=named_max + 1,
        )
        for campaign_id, execution_id in rows:
            executions[campaign_id].append(execution_id)
    numerous = {campaign_id for campaign_id, found in executions.items() if len(found) > named_max}
    return compile_expression(
        expression,
        "c",
        prefix,
        executions={each: found for each, found in executions.items() if each not in numerous},
        numerous=numerous,
    )
