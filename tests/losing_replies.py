"""A database whose commits are in doubt when a test wants them to be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import Unavailable


class LosingReplies(Database):
    """A database whose reply to a COMMIT is lost on the way, as often as told."""

    lose = 0

    @asynccontextmanager
    async def transaction(self, *, statement_timeout: timedelta | None = None) -> AsyncIterator[Connection]:
        async with super().transaction(statement_timeout=statement_timeout) as conn:
            yield conn
        if self.lose:
            self.lose -= 1
            raise Unavailable("The database does not answer: the connection is closed")
