"""Pages by `$skip` of lists that are made anew for each page: the next one begins behind whoever was last, however rows moved since.

Counted rows would lose people: whoever leaves a list between two pages shifts the rest by one. So the end of each page is kept,
for each client and list, and the page that is asked for from there on begins behind that person. One who was before the end and left shifts
nobody, and one who comes before it is not on this list; the next reading from `$skip` 0 on is another list.
"""

import hashlib
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from stentor.channels.partners.model import HubCaller
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import customer_id, part_of
from stentor.failpoints import failpoint

MARKS_MAX = 1_000
"""Ends of pages that are kept of one client; the oldest go."""
KEPT = timedelta(days=1)
"""For how long the end of a page is kept: so long a list can be read on."""

_FORGOTTEN_AT_ONCE = 10_000


class Sql(QuerySet, file="marks.sql", package=__package__):
    begin: Statement
    before: Statement
    note: Statement
    let_go: Statement
    forget: Statement


class Mark(NamedTuple):
    """A row of a list that is ordered run by run, in each by people's external ids, and for each by channel."""

    run_number: int
    external_id: str
    channel_number: int = 0


class Start(NamedTuple):
    """Where a page begins: behind `after`, which is the row before the one at `position`; at the beginning where that is None."""

    position: int
    after: Mark | None


class ListMarks:
    """Keeps where pages ended."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def start(self, client: HubCaller, question: bytes, skip: int) -> Start:
        """From where to read for the page behind `skip` rows, `skip - position` of which are still to be passed over."""
        key = {"client_id": client.client_id, "brand_id": client.brand_id, "question": question}
        if skip == 0:
            async with self._db.transaction() as conn:
                await Sql.begin.run(conn, **key)
                failpoint("list_begun.before_commit")
            failpoint("list_begun.after_commit")
            return Start(0, None)
        async with self._db.read() as conn:
            found = await Sql.before.tuples(conn, **key, skip=skip)
        if not found:
            return Start(0, None)
        position, run_number, channel_number, external_id = found[0]
        return Start(position, Mark(run_number, external_id, channel_number))

    async def note(self, client: HubCaller, question: bytes, position: int, last: Mark) -> None:
        """The page that ended before row `position` had `last` as its last one."""
        async with self._db.transaction() as conn:
            await _note(conn, client, question, position, last)
            failpoint("list_marked.before_commit")
        failpoint("list_marked.after_commit")


async def _note(conn: Connection, client: HubCaller, question: bytes, position: int, last: Mark) -> None:
    person = customer_id(client.brand_id, last.external_id)
    key = {"client_id": client.client_id, "brand_id": client.brand_id}
    await Sql.note.run(
        conn,
        **key,
        question=question,
        position=position,
        run_number=last.run_number,
        channel_number=last.channel_number,
        part=part_of(person),
        customer_id=person,
    )
    await Sql.let_go.run(conn, **key, most=MARKS_MAX)


def question_of(function: str, asked: dict[str, Any]) -> bytes:
    """What names a list: the function, and all that was asked for but the page."""
    return hashlib.sha256(msgspec.json.encode([function, sorted(asked.items())])).digest()


async def forget_marks(db: Database) -> int:
    """Forgets a bounded number of ends of pages of more than a day ago; the keeper's chore. Returns how many."""
    async with db.transaction() as conn:
        return await Sql.forget.run(conn, age=KEPT, limit=_FORGOTTEN_AT_ONCE)
