"""The audit log: who changed which configuration, from where, and what it was before and after.

An entry is written in the transaction of the change that it tells of, so that there is neither without the other:

    async with self._db.transaction() as conn:
        ...
        await record(conn, "campaign.updated", campaign_id, brand_id=brand_id, before=held, after=changed)
"""

import hashlib
import re
from collections.abc import AsyncGenerator, Mapping
from datetime import date
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from stentor.accounts import audit_store
from stentor.accounts.acting import acting
from stentor.accounts.audit_masks import LEFT_OUT, masked
from stentor.accounts.audit_model import AuditEntry, Narrowed
from stentor.accounts.audit_store import NewEntry
from stentor.db.batches import until_short
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.failpoints import failpoint

Told: TypeAlias = msgspec.Struct | Mapping[str, Any]

PAGE_MAX = 100
LABEL_CHARS_MAX = 320
"""Of an actor's label."""
MEMBER_BYTES_MAX = 4 * 1024
"""Of one member of a thing, as JSON; of a longer one the log has size and digest."""
THING_BYTES_MAX = 32 * 1024
"""Of a thing before or after a change, as JSON; of a longer one all members are told by size and digest."""
FORGOTTEN_AT_ONCE_MAX = 10_000

_EXPORTED_AT_ONCE = 500
# What changes by itself, or stands in the entry anyway.
_UNTOLD = frozenset({"created_at", "updated_at", "brand_id", "organisation_id", "subscribers"})
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


async def record(
    conn: Connection,
    action: str,
    thing_id: object,
    *,
    brand_id: UUID | None = None,
    organisation_id: UUID | None = None,
    before: Told | None = None,
    after: Told | None = None,
) -> None:
    """Notes in the caller's transaction that whoever acts did `action` (`campaign.updated`) to the thing.

    It is of a brand, or else of an organisation. Of a change the members that differ are kept; one that left everything as
    it was is none, and is not noted. What is not told of them `stentor.accounts.audit_masks` knows.
    """
    was, now = _told(before), _told(after)
    if was is not None and now is not None:
        differing = [name for name in {**was, **now} if was.get(name) != now.get(name)]
        if not differing:
            return
        was, now = ({name: told[name] for name in differing if name in told} for told in (was, now))
    actor = acting()
    entry = NewEntry(
        actor=msgspec.structs.replace(actor, label=_line(actor.label)[:LABEL_CHARS_MAX]),
        action=action,
        thing_id=_line(str(thing_id)),
        before=_bounded(was, conn.fingerprint_key),
        after=_bounded(now, conn.fingerprint_key),
        brand_id=brand_id,
        organisation_id=organisation_id,
    )
    await audit_store.add(conn, entry)


class AuditLog:
    """The audit log as it is read: page by page, or whole. An organisation's has the entries of its brands too."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(
        self, brand_id: UUID, narrowed: Narrowed, *, before_number: int | None = None, limit: int = PAGE_MAX
    ) -> list[AuditEntry]:
        """At most `limit` (and 100) entries of the brand, the newest first, from before that number."""
        async with self._db.read() as conn:
            return await audit_store.page_of_brand(
                conn, brand_id, narrowed, before_number=before_number, limit=min(limit, PAGE_MAX)
            )

    async def page_of_organisation(
        self, organisation_id: UUID, narrowed: Narrowed, *, before_number: int | None = None, limit: int = PAGE_MAX
    ) -> list[AuditEntry]:
        """The same of the organisation."""
        async with self._db.read() as conn:
            return await audit_store.page_of_organisation(
                conn, organisation_id, narrowed, before_number=before_number, limit=min(limit, PAGE_MAX)
            )

    async def export(
        self, narrowed: Narrowed, *, brand_id: UUID | None = None, organisation_id: UUID | None = None
    ) -> AsyncGenerator[list[AuditEntry], None]:
        """The entries of the brand, of the organisation, or else of the whole installation, oldest first, at one moment."""
        async with self._db.transaction() as conn:
            pages = audit_store.entries(
                conn, narrowed, _EXPORTED_AT_ONCE, brand_id=brand_id, organisation_id=organisation_id
            )
            async for found in pages:
                yield found


async def forget_audit(db: Database, *, days: int | None) -> int:
    """Forgets entries that are older than `days`, with None none of them; the keeper's chore. Returns how many."""
    if days is None:
        return 0
    kept = days

    async def forget() -> int:
        async with db.transaction() as conn:
            return await audit_store.forget(conn, days=kept, limit=FORGOTTEN_AT_ONCE_MAX)

    return await until_short(forget, FORGOTTEN_AT_ONCE_MAX)


async def forget_audit_of(db: Database, brand_id: UUID, *, days: int) -> int:
    """Forgets a brand's entries that are older than `days`, a bounded number of them. Returns how many."""
    async with db.transaction() as conn:
        forgotten = await audit_store.forget_of_brand(conn, brand_id, days=days, limit=FORGOTTEN_AT_ONCE_MAX)
        failpoint("audit_of.before_commit")
    failpoint("audit_of.after_commit")
    return forgotten


def _told(thing: Told | None) -> dict[str, Any] | None:
    """The thing as JSON, without what changes by itself; its secrets are still there, so that a change of one is seen."""
    if thing is None:
        return None
    members = msgspec.structs.asdict(thing) if isinstance(thing, msgspec.Struct) else thing
    return {name: _plain(value) for name, value in members.items() if name not in _UNTOLD}


def _plain(value: Any) -> Any:
    plain: Any
    match value:
        case bytes():
            plain = LEFT_OUT if value else ""
        case ChannelKind():
            plain = value.label
        case msgspec.Struct():
            plain = {inner: _plain(held) for inner, held in msgspec.structs.asdict(value).items()}
        case Mapping():
            plain = {_line(str(inner)): _plain(held) for inner, held in value.items()}
        case set() | frozenset():
            plain = sorted(map(_plain, value), key=str)
        case list() | tuple():
            plain = [_plain(held) for held in value]
        case date():
            plain = value.isoformat()
        case None | bool() | int() | float():
            plain = value
        case _:
            plain = _line(str(value))
    return plain


def _line(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def _bounded(told: dict[str, Any] | None, key: bytes) -> dict[str, Any] | None:
    if told is None:
        return None
    told = masked(told, key)
    short = {name: _shortened(value, MEMBER_BYTES_MAX) for name, value in told.items()}
    if len(msgspec.json.encode(short)) <= THING_BYTES_MAX:
        return short
    return {name: _shortened(value, 0) for name, value in told.items()}


def _shortened(value: Any, bytes_max: int) -> Any:
    text = msgspec.json.encode(value)
    if len(text) <= bytes_max:
        return value
    return {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
