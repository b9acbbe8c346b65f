"""Opt-out lists in the database."""

import re
from collections.abc import Collection, Sequence
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.optouts.model import Grant, GrantedList, NewList, OptOutList

_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z")
_CODE = re.compile(r"[0-9a-f]{16}\Z")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


class Sql(QuerySet, file="lists.sql", package=__package__):
    insert_list: Statement
    find_lists: Statement
    find_open: Statement
    page_of_lists: Statement
    lock_list: Statement
    hold_lists: Statement
    update_list: Statement
    delete_list: Statement
    count_lists: Statement
    groups_with: Statement
    insert_grant: Statement
    delete_grant: Statement
    count_grants: Statement
    page_of_grants: Statement
    find_granted: Statement
    page_of_granted: Statement


def is_reference(text: str) -> bool:
    """Whether that text is read as an id or a code, so that it cannot be a name."""
    return bool(_ID.match(text.lower()) or _CODE.match(text.lower()))


async def insert_list(conn: Connection, brand_id: UUID, list_id: UUID, new: NewList) -> bool:
    """Makes the list; False when its name is taken."""
    made = await Sql.insert_list.run(
        conn,
        brand_id=brand_id,
        id=list_id,
        name=new.name,
        kind=new.kind,
        hash=new.hash,
        channels=new.channels,
        state="enabled" if new.enabled else "disabled",
        scope=new.scope,
        scope_ids=list(new.scope_ids),
        members=list(new.members),
        linked_id=new.linked_id,
        expiry_days=new.expiry_days,
    )
    return made > 0


async def find_lists(conn: Connection, brand_id: UUID, references: Collection[str]) -> dict[str, OptOutList]:
    """The lists that these ids, codes (either in any case) or names mean; a reference that means none is left out."""
    ids, codes, names = _parted(references)
    rows = await Sql.find_lists.rows(conn, OptOutList, brand_id=brand_id, ids=ids, codes=codes, names=names)
    known = {key: row for row in rows for key in (str(row.id), row.code, row.name)}
    found = {
        reference: known.get(reference.lower() if is_reference(reference) else reference) for reference in references
    }
    return {reference: row for reference, row in found.items() if row is not None}


async def find_open(conn: Connection, code: str) -> tuple[UUID, UUID] | None:
    """Brand and id of the enabled list of that code in which entries lie, whosever it is."""
    if not _CODE.match(code.lower()):
        return None
    return next(iter(await Sql.find_open.tuples(conn, code=code.lower())), None)


async def page_of_lists(conn: Connection, brand_id: UUID, *, after: UUID | None, limit: int) -> list[OptOutList]:
    """Lists in the order of their making, from behind `after`."""
    return await Sql.page_of_lists.rows(conn, OptOutList, brand_id=brand_id, after=after, limit=limit)


async def lock_list(conn: Connection, brand_id: UUID, list_id: UUID) -> bool:
    """Locks the list; False when it is there no more."""
    return bool(await Sql.lock_list.value(conn, brand_id=brand_id, id=list_id))


async def hold_lists(conn: Connection, brand_id: UUID, list_ids: Sequence[UUID]) -> set[UUID]:
    """Keeps these lists from being deleted until the transaction ends; answers with those that are there."""
    return set(await Sql.hold_lists.column(conn, brand_id=brand_id, ids=list(list_ids)))


async def update_list(conn: Connection, brand_id: UUID, changed: OptOutList) -> None:
    """Writes what may change of a list. Raises psycopg's UniqueViolation when its name is taken."""
    await Sql.update_list.run(
        conn,
        brand_id=brand_id,
        id=changed.id,
        name=changed.name,
        state=changed.state,
        scope=changed.scope,
        scope_ids=list(changed.scope_ids),
        members=list(changed.members),
        expiry_days=changed.expiry_days,
    )


async def delete_list(conn: Connection, brand_id: UUID, list_id: UUID) -> None:
    """Marks the list as deleted."""
    await Sql.delete_list.run(conn, brand_id=brand_id, id=list_id)


async def count_lists(conn: Connection, brand_id: UUID) -> int:
    """How many lists the brand has beside the built-in one."""
    return await Sql.count_lists.value(conn, brand_id=brand_id)


async def groups_with(conn: Connection, brand_id: UUID, list_id: UUID, *, limit: int) -> list[str]:
    """Names of groups that this list is a member of."""
    return await Sql.groups_with.column(conn, brand_id=brand_id, id=list_id, limit=limit)


async def insert_grant(conn: Connection, brand_id: UUID, list_id: UUID, grantee_id: UUID, granted_by: str) -> bool:
    """Grants the list to that brand; False when it had it already."""
    made = await Sql.insert_grant.run(
        conn, brand_id=brand_id, list_id=list_id, grantee_id=grantee_id, granted_by=granted_by
    )
    return made > 0


async def delete_grant(conn: Connection, brand_id: UUID, list_id: UUID, grantee_id: UUID) -> bool:
    """Takes the grant back; False when there was none."""
    return await Sql.delete_grant.run(conn, brand_id=brand_id, list_id=list_id, grantee_id=grantee_id) > 0


async def count_grants(conn: Connection, brand_id: UUID, list_id: UUID) -> int:
    """How many brands the list is granted to."""
    return await Sql.count_grants.value(conn, brand_id=brand_id, list_id=list_id)


async def page_of_grants(
    conn: Connection, brand_id: UUID, list_id: UUID, *, after: UUID | None, limit: int
) -> list[Grant]:
    """To whom the list is granted, in the order of their ids."""
    return await Sql.page_of_grants.rows(conn, Grant, brand_id=brand_id, list_id=list_id, after=after, limit=limit)


async def find_granted(conn: Connection, brand_id: UUID, reference: str) -> GrantedList | None:
    """The list of another brand that this one may link to, by its id or code."""
    ids, codes, _ = _parted([reference])
    return await Sql.find_granted.first(conn, GrantedList, brand_id=brand_id, ids=ids, codes=codes)


async def page_of_granted(conn: Connection, brand_id: UUID, *, after: UUID | None, limit: int) -> list[GrantedList]:
    """Lists of other brands that this one may link to."""
    return await Sql.page_of_granted.rows(conn, GrantedList, brand_id=brand_id, after=after, limit=limit)


def _parted(references: Collection[str]) -> tuple[list[UUID], list[str], list[str]]:
    ids: list[UUID] = []
    codes: list[str] = []
    names: list[str] = []
    for reference in references:
        if _ID.match(lowered := reference.lower()):
            ids.append(UUID(lowered))
        elif _CODE.match(lowered):
            codes.append(lowered)
        elif not _UNSTORABLE.search(reference):
            names.append(reference)
    return ids, codes, names
