"""Tags in the database, and who has them."""

from collections.abc import Collection, Sequence
from uuid import UUID

from stentor.audience.intake import Rows
from stentor.audience.model import Customer, Tag, TaggedProfile
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of

_SEPARATOR = ","
_FIRST = UUID(int=0)


class Sql(QuerySet, file="tags.sql", package=__package__):
    insert_tag: Statement
    insert_dated_tag: Statement
    find_tag: Statement
    lock_tag: Statement
    hold_tag: Statement
    hold_tags: Statement
    tags_by_id: Statement
    page_of_tags: Statement
    count_tags: Statement
    count_by_hand: Statement
    count_tagged: Statement
    delete_tag: Statement
    tag_people: Statement
    untag_people: Statement
    some_tagged: Statement
    tagged_customers: Statement
    in_order: Statement
    tags_of: Statement


async def insert(conn: Connection, brand_id: UUID, tag_id: UUID, name: str, *, by_hand: bool = False) -> bool:
    """Makes the tag; False when the name is taken. `by_hand`: somebody makes it, and no batch, so that it is counted."""
    return await Sql.insert_tag.run(conn, id=tag_id, brand_id=brand_id, name=name, by_hand=by_hand) > 0


async def count_by_hand(conn: Connection, brand_id: UUID) -> int:
    """How many tags somebody made; those of batches are as many as these."""
    return await Sql.count_by_hand.value(conn, brand_id=brand_id)


async def insert_dated(conn: Connection, brand_id: UUID, tag_id: UUID, head: str, mark: str) -> Tag | None:
    """Makes a tag that is called `head`, this minute and `mark`; None when the name is taken."""
    return await Sql.insert_dated_tag.first(conn, Tag, id=tag_id, brand_id=brand_id, head=head, mark=mark)


async def find(conn: Connection, brand_id: UUID, tag_id: UUID) -> Tag | None:
    """The tag, if it is this brand's."""
    return await Sql.find_tag.first(conn, Tag, id=tag_id, brand_id=brand_id)


async def lock(conn: Connection, brand_id: UUID, tag_id: UUID) -> Tag | None:
    """The tag, locked until the transaction ends: nobody gives it to anybody meanwhile."""
    return await Sql.lock_tag.first(conn, Tag, id=tag_id, brand_id=brand_id)


async def hold(conn: Connection, brand_id: UUID, tag_id: UUID) -> bool:
    """Whether the tag is there; then nobody can delete it before the transaction ends."""
    return bool(await Sql.hold_tag.value(conn, id=tag_id, brand_id=brand_id))


async def hold_all(conn: Connection, brand_id: UUID, tag_ids: Collection[UUID]) -> list[UUID]:
    """Those of these tags that are there; nobody can delete them before the transaction ends."""
    return await Sql.hold_tags.column(conn, brand_id=brand_id, ids=list(tag_ids))


async def by_id(conn: Connection, brand_id: UUID, tag_ids: Collection[UUID]) -> dict[UUID, Tag]:
    """Those of these tags that the brand has, by id."""
    return {tag.id: tag for tag in await Sql.tags_by_id.rows(conn, Tag, brand_id=brand_id, ids=list(tag_ids))}


async def page(conn: Connection, brand_id: UUID, *, before: UUID | None, limit: int) -> list[Tag]:
    """Tags, newest first, from before the id `before`."""
    return await Sql.page_of_tags.rows(conn, Tag, brand_id=brand_id, before=before, limit=limit)


async def count(conn: Connection, brand_id: UUID, most: int) -> int:
    """How many tags there are, as far as that."""
    return await Sql.count_tags.value(conn, brand_id=brand_id, most=most)


async def count_members(conn: Connection, brand_id: UUID, tag_id: UUID, most: int) -> int:
    """How many people have the tag, as far as that."""
    return await Sql.count_tagged.value(conn, brand_id=brand_id, tag_id=tag_id, most=most)


async def delete(conn: Connection, brand_id: UUID, tag_id: UUID) -> bool:
    """Removes the tag itself; False when there is none."""
    return await Sql.delete_tag.run(conn, id=tag_id, brand_id=brand_id) > 0


async def tag_people(conn: Connection, brand_id: UUID, tag_id: UUID, rows: Rows) -> int:
    """Gives the tag to the people of these rows, each with its line as its place; returns how many did not have it."""
    return await Sql.tag_people.run(
        conn,
        brand_id=brand_id,
        tag_id=tag_id,
        separator=_SEPARATOR,
        parts=_SEPARATOR.join(rows.parts),
        customer_ids=_SEPARATOR.join(rows.customer_ids),
        places=_SEPARATOR.join(map(str, rows.lines)),
    )


async def tag_customers(conn: Connection, brand_id: UUID, tag_id: UUID, customer_ids: Sequence[UUID]) -> int:
    """Gives the tag to people who exist, at no place of a batch; returns how many did not have it."""
    return await Sql.tag_people.run(
        conn,
        brand_id=brand_id,
        tag_id=tag_id,
        separator=_SEPARATOR,
        parts=_SEPARATOR.join(str(part_of(customer)) for customer in customer_ids),
        customer_ids=_SEPARATOR.join(customer.hex for customer in customer_ids),
        places=_SEPARATOR.join("0" for _ in customer_ids),
    )


async def untag(conn: Connection, brand_id: UUID, tag_id: UUID, customer_ids: Sequence[UUID]) -> int:
    """Takes the tag from these people; returns how many had it."""
    return await Sql.untag_people.run(
        conn,
        brand_id=brand_id,
        tag_id=tag_id,
        parts=[part_of(customer) for customer in customer_ids],
        customer_ids=list(customer_ids),
    )


async def untag_some(conn: Connection, brand_id: UUID, tag_id: UUID, limit: int) -> int:
    """Takes the tag from some of its people; returns from how many."""
    found = await Sql.some_tagged.tuples(conn, brand_id=brand_id, tag_id=tag_id, limit=limit)
    return await untag(conn, brand_id, tag_id, [customer for _, customer in found]) if found else 0


async def page_of_customers(
    conn: Connection, brand_id: UUID, tag_id: UUID, *, after: UUID | None, limit: int
) -> list[Customer]:
    """The people of a tag in the order of their ids, from behind `after`."""
    behind = after or _FIRST
    return await Sql.tagged_customers.rows(
        conn, Customer, brand_id=brand_id, tag_id=tag_id, after_part=part_of(behind), after=behind, limit=limit
    )


async def in_order(
    conn: Connection, brand_id: UUID, tag_ids: Collection[UUID], limit: int
) -> dict[UUID, list[TaggedProfile]]:
    """The ids of the people of each of these tags, in the order in which they came, at most so many of each."""
    found: dict[UUID, list[TaggedProfile]] = {}
    for tag_id, external_id, customer_id in await Sql.in_order.tuples(
        conn, brand_id=brand_id, tag_ids=list(tag_ids), limit=limit
    ):
        found.setdefault(tag_id, []).append(TaggedProfile(external_id, customer_id))
    return found


async def tags_of(conn: Connection, brand_id: UUID, customer_id: UUID, limit: int) -> list[UUID]:
    """The tags of a person, the newest first."""
    return await Sql.tags_of.column(
        conn, brand_id=brand_id, part=part_of(customer_id), customer_id=customer_id, limit=limit
    )
