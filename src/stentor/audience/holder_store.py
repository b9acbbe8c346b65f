"""Who has an address, in the database, and what callers say of the consent of people whom they bring."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import uuid_utils

from stentor.audience.model import Act, ConsentKind
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of

_SEPARATOR = ","


class Sql(QuerySet, file="holders.sql", package=__package__):
    owners_of: Statement
    holders: Statement
    assert_consent: Statement
    refuse: Statement


class Holder(NamedTuple):
    """Somebody who has an address; the digests are in hexadecimal."""

    customer_id: UUID
    external_id: str
    email_digest: str | None
    phone_digest: str | None
    refused_mask: int
    is_anonymous: bool


class Holders(NamedTuple):
    """Who has which address, by its digest: the ids of all, and those of them who exist."""

    of_email: Mapping[str, Sequence[UUID]]
    of_phone: Mapping[str, Sequence[UUID]]
    people: Mapping[UUID, Holder]


async def holders_of(conn: Connection, brand_id: UUID, emails: Collection[str], phones: Collection[str]) -> Holders:
    """Who has these addresses, which are named by their digests."""
    digests = [*emails, *phones]
    if not digests:
        return Holders({}, {}, {})
    found = await Sql.owners_of.tuples(
        conn, brand_id=brand_id, separator=_SEPARATOR, emails=len(emails), digests=_SEPARATOR.join(digests)
    )
    of_email = {digests[place]: owners for place, owners in found if place < len(emails)}
    of_phone = {digests[place]: owners for place, owners in found if place >= len(emails)}
    ids = list({owner for _, owners in found for owner in owners})
    rows = (
        await Sql.holders.tuples(
            conn, brand_id=brand_id, parts=[part_of(customer) for customer in ids], customer_ids=ids
        )
        if ids
        else []
    )
    return Holders(of_email, of_phone, {row[0]: Holder(*row) for row in rows})


async def assert_consent(
    conn: Connection, brand_id: UUID, kind: ConsentKind, channels: Mapping[str, int], act: Act
) -> None:
    """Adds to the ledger what is said of people, named by 32 hexadecimal digits, whom this transaction made or locked."""
    people = list(channels)
    await Sql.assert_consent.run(
        conn,
        brand_id=brand_id,
        separator=_SEPARATOR,
        parts=_SEPARATOR.join([str(int(customer[:3], 16)) for customer in people]),
        customer_ids=_SEPARATOR.join(people),
        event_ids=_SEPARATOR.join([str(uuid_utils.uuid7()) for _ in people]),
        channels=_SEPARATOR.join(map(str, channels.values())),
        kind=kind,
        source=act.source,
        actor=act.actor,
        ip=act.ip,
        text_version=act.text_version,
        note=act.note,
    )


async def refuse(conn: Connection, brand_id: UUID, channels: Mapping[str, int], act: Act) -> None:
    """Makes people, named by 32 hexadecimal digits, who are made or locked, refuse these channels, and tells the ledger."""
    people = list(channels)
    await Sql.refuse.run(
        conn,
        brand_id=brand_id,
        separator=_SEPARATOR,
        parts=_SEPARATOR.join([str(int(customer[:3], 16)) for customer in people]),
        customer_ids=_SEPARATOR.join(people),
        channels=_SEPARATOR.join(map(str, channels.values())),
    )
    await assert_consent(conn, brand_id, "refused", channels, act)
