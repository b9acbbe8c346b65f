"""A hard bounce or a complaint bars an address: on the person who has it, and on the brand's built-in list whoever has it."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.audience import reach
from stentor.audience.reach import Mark
from stentor.db.connection import Connection
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.model import OptOut, listed_as, written_as_listed
from stentor.optouts.service import add_to_builtin

BarringCause: TypeAlias = Literal["bounce", "complaint"]


class Barred(msgspec.Struct, frozen=True):
    """An address that must not be written to any more, by its digest; None on channels whose addresses have none."""

    execution_id: UUID
    customer_id: UUID
    digest: bytes | None
    cause: BarringCause


async def bar(conn: Connection, brand_id: UUID, channel: ChannelKind, barred: Sequence[Barred]) -> None:
    """Bars these addresses on the channel they were written to; saying it again changes nothing."""
    if not barred:
        return
    # One row per person and address: an update that meets a person twice applies only one of the two.
    causes: defaultdict[tuple[UUID, bytes | None], set[str]] = defaultdict(set)
    for one in barred:
        causes[one.customer_id, one.digest].add(one.cause)
    marks = [
        Mark(customer_id, digest, bounced="bounce" in said, complained="complaint" in said)
        for (customer_id, digest), said in causes.items()
    ]
    addresses = await reach.mark(conn, brand_id, channel, marks)
    kind = listed_as(channel)
    entries = [
        OptOut(
            kind,
            one.digest,
            one.cause,
            source=f"execution {one.execution_id}",
            address=written_as_listed(address, kind) if (address := addresses.get(one.digest)) else None,
        )
        for one in barred
        if one.digest is not None
    ]
    await add_to_builtin(conn, brand_id, entries)
