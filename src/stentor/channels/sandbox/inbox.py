"""The inbox behind the sandbox: what was "delivered", newest first, to be looked at and deleted."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from stentor.accounts.audit import record
from stentor.channels.sandbox import store
from stentor.channels.sandbox.model import (
    RULES_MAX,
    ChaosRule,
    InboxEntry,
    InboxPage,
    InboxPosition,
    Reassemble,
    StoredMessage,
)
from stentor.channels.sandbox.pruning import keep_newest
from stentor.db.pool import Database
from stentor.domain.ids import SendIds, part_of
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, NotFound

PAGE_MAX = 200
SEARCH_CHARS_MAX = 200
_EMPTY_BATCHES = 2_000
# A search that finds nothing has read the whole inbox: about a second for 200,000 messages.
_SEARCH_TIMEOUT = timedelta(seconds=10)


class InboxService:
    """A brand's sandbox inbox. A message's id is that of its send."""

    def __init__(self, db: Database, send_ids: SendIds, reassemble: Reassemble) -> None:
        self._db = db
        self._send_ids = send_ids
        self._reassemble = reassemble

    async def page(
        self,
        brand_id: UUID,
        *,
        channel: ChannelKind | None = None,
        search: str = "",
        before: InboxPosition | None = None,
        limit: int = 50,
    ) -> InboxPage:
        """The newest messages, at most `limit` (and 200); `search` is a part of the recipient or subject.

        Messages that arrive meanwhile come before the first page and move nothing behind `before`. Raises Invalid for a
        position that was never given out and for a search of more than 200 characters.
        """
        if len(search) > SEARCH_CHARS_MAX or "\x00" in search:
            raise Invalid.field("/search", "search", f"search takes at most {SEARCH_CHARS_MAX} characters, and no NUL.")
        limit = max(1, min(limit, PAGE_MAX))
        place = self._place(before) if before else None
        async with self._db.read(statement_timeout=_SEARCH_TIMEOUT if search else None) as conn:
            rows = await store.newest_entries(
                conn, brand_id, before=place, channel=channel, search=search, limit=limit + 1
            )
        entries = [self._entry(row) for row in rows[:limit]]
        return InboxPage(entries, entries[-1].position if len(rows) > limit else None)

    async def get(self, brand_id: UUID, message_id: str) -> StoredMessage:
        """The message, put together again byte for byte. Raises NotFound."""
        key = self._key(message_id)
        async with self._db.read() as conn:
            row = await store.message(conn, brand_id, *key)
        if row is None:
            raise _missing()
        return StoredMessage(self._entry(row.entry), self._reassemble(row.skeleton, row.parts))

    async def delete(self, brand_id: UUID, message_id: str) -> None:
        """Deletes the message. Raises NotFound."""
        key = self._key(message_id)
        async with self._db.transaction() as conn:
            if not await store.delete_message(conn, brand_id, *key):
                raise _missing()

    async def empty(self, brand_id: UUID) -> int:
        """Deletes the messages that are in the brand's inbox now, and returns how many."""
        return await keep_newest(self._db, brand_id, 0, batches_max=_EMPTY_BATCHES)

    async def chaos(self, brand_id: UUID) -> Sequence[ChaosRule]:
        """The faults that the brand's sandbox plays."""
        async with self._db.read() as conn:
            return await store.chaos_rules(conn, brand_id)

    async def set_chaos(self, brand_id: UUID, rules: Sequence[ChaosRule]) -> None:
        """Replaces the brand's chaos rules, at most 20; every process goes by them within a second."""
        if len(rules) > RULES_MAX:
            raise Invalid.field("/rules", "too-many", f"At most {RULES_MAX} rules can hold at once.")
        async with self._db.transaction() as conn:
            before = await store.lock_chaos_rules(conn, brand_id)
            await store.set_chaos_rules(conn, brand_id, rules)
            await record(
                conn,
                "chaos.replaced",
                brand_id,
                brand_id=brand_id,
                before={"rules": before},
                after={"rules": list(rules)},
            )

    def _entry(self, row: store.EntryRow) -> InboxEntry:
        channel = ChannelKind(row.channel)
        return InboxEntry(
            id=self._send_ids.encode(row.execution_id, row.customer_id, channel),
            execution_id=row.execution_id,
            channel=channel,
            at=row.at,
            recipient=row.recipient,
            subject=row.subject,
        )

    def _key(self, message_id: str) -> tuple[UUID, UUID, ChannelKind]:
        try:
            return self._send_ids.decode(message_id)
        except ValueError:
            raise _missing() from None

    def _place(self, position: InboxPosition) -> store.Place:
        try:
            execution_id, customer_id, channel = self._send_ids.decode(position.id)
        except ValueError:
            raise Invalid.field(
                "/before", "position", "This is no place in the list. Begin at its first page."
            ) from None
        return store.Place(position.at, part_of(customer_id), customer_id, execution_id, int(channel))


def _missing() -> NotFound:
    return NotFound("This brand has no such message in its inbox; perhaps it was deleted or pruned.")
