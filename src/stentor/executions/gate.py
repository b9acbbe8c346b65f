"""The gate to chunks that wait for a pull: taken before their locks, kept until the transaction ends."""

from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="gate.sql", package=__package__):
    pass_together: Statement
    pass_alone: Statement


async def pass_together(conn: Connection, execution_id: UUID) -> None:
    """Waits for whoever came before and goes alone, and then shares the chunks with others who do."""
    await Sql.pass_together.run(conn, execution_id=execution_id)


async def pass_alone(conn: Connection, execution_id: UUID) -> None:
    """Waits for whoever came before, and then keeps all others out. A second time in one transaction changes nothing."""
    await Sql.pass_alone.run(conn, execution_id=execution_id)
