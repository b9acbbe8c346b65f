"""Where an execution's people are, by the variant that they got: counted from rows, a range of people at a time."""

from collections import Counter
from uuid import UUID

from stentor.db.by_keys import go_by_keys
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.report.reconciliations import pieces_of


class Sql(QuerySet, file="variants.sql", package=__package__):
    count_variants: Statement


async def count_variants(
    db: Database, brand_id: UUID, execution_id: UUID, people: int
) -> Counter[tuple[int, int, int]]:
    """Sends by channel, number of the variant and state.

    Each range is as it was when it was read, some 20,000 people in 15 ms: of a running execution the sum is of no one moment.
    """
    counted: Counter[tuple[int, int, int]] = Counter()
    for piece in pieces_of(execution_id, brand_id, people):
        async with db.transaction() as conn:
            await go_by_keys(conn)
            rows = await Sql.count_variants.tuples(
                conn,
                brand_id=brand_id,
                execution_id=execution_id,
                part_from=piece.part_from,
                part_to=piece.part_to,
            )
        for channel, variant, state, sends in rows:
            counted[channel, variant, state] += sends
    return counted
