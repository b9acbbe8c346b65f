"""Roles that one process at a time may have, such as the keeper: a lease by the database's clock."""

from datetime import timedelta

from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement

ROLE_LEASE = timedelta(seconds=15)


class Sql(QuerySet, file="leases.sql", package=__package__):
    take_role: Statement
    leave_role: Statement


class Role:
    """A role that this process would like to have."""

    def __init__(self, db: Database, role: str, holder: str) -> None:
        self._db = db
        self._role = role
        self._holder = holder

    async def take(self) -> bool:
        """Takes the role or keeps it for another 15 s; False while another process has it."""
        async with self._db.transaction() as conn:
            taken = await Sql.take_role.value(conn, role=self._role, holder=self._holder, lease=ROLE_LEASE)
        return taken is not None

    async def leave(self) -> None:
        """Gives the role up, so that nobody has to wait for the lease."""
        async with self._db.transaction() as conn:
            await Sql.leave_role.run(conn, role=self._role, holder=self._holder)
