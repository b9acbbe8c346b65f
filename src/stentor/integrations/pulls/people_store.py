"""The people of pulls in the database: who is on a list, pages of it, and that they were handed over."""

from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from itertools import compress
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from stentor.audience.reach import Recipient, has_digests
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.equal_bytes import EqualBytes
from stentor.db.sql import QuerySet, Statement
from stentor.deliver.model import PendingSend
from stentor.domain.ids import part_of
from stentor.domain.vocabulary import ConsentBasis, Reason, SendState
from stentor.integrations.pulls.model import Pull, PulledRun, PullRow, Shape, Wording, send_prefix

T = TypeVar("T")

SCANNED_FROM = 50_000
"""Sends from which on a list is read by scans, and not person by person."""


class Sql(QuerySet, file="people.sql", package=__package__):
    go_by_scans: Statement
    everybody: Statement
    named: Statement
    insert_rows: Statement
    everybody_on: Statement
    rows: Statement
    send_details: Statement
    execution_details: Statement
    campaign_details: Statement
    hand_over: Statement
    sent_after_all: Statement
    position_of: Statement
    times_on: Statement
    drop_rows: Statement
    not_handed_over: Statement


_SHAPES: Mapping[Shape, Statement] = {
    "send_details": Sql.send_details,
    "execution_details": Sql.execution_details,
    "campaign_details": Sql.campaign_details,
}


class Batch(NamedTuple):
    """Some whom a list may hold, in its order: by column, because what is made of each of a million people takes seconds.

    `are_plain`: what is keyed by the person says yes, and nothing has to be reserved.
    """

    customers: Sequence[UUID]
    parts: Sequence[int]
    chunks: Sequence[int]
    variants: Sequence[int]
    states: Sequence[int]
    are_plain: Sequence[bool]
    places: Sequence[str | None]
    addresses: Sequence[str | None]
    digests: Sequence[bytes | None]


class Rows(NamedTuple):
    """What becomes rows of a list, in its order and by column."""

    customers: Sequence[UUID]
    parts: Sequence[int]
    templates: Sequence[int]
    times: Sequence[datetime]
    digests: Sequence[bytes | None]

    def only(self, kept: Iterable[bool]) -> "Rows":
        """Those of them, by their order."""
        those = list(kept)

        def of(column: Sequence[T]) -> list[T]:
            return list(compress(column, those))

        return Rows(of(self.customers), of(self.parts), of(self.templates), of(self.times), of(self.digests))


DIGEST_KEPT = 8
"""Bytes of the digest of an address by which a row knows it again."""


async def everybody(
    conn: Connection, run: PulledRun, size: int, *, sends: int, with_places: bool, with_addresses: bool
) -> AsyncGenerator[Batch, None]:
    """Whom the list may hold, in its order, `size` at a time, as of when it is first asked.

    `sends`: about how many they are; `with_places` and `with_addresses`: whether these are needed.
    """
    if sends >= SCANNED_FROM:
        await Sql.go_by_scans.run(conn)
    else:
        await go_by_keys(conn)
    facts = run.facts
    batches = Sql.everybody.batches(
        conn,
        size,
        in_binary=True,
        **_about(run),
        channel_number=run.channel_number,
        heeds_topic=facts.heeds_topic,
        heeds_flags=facts.basis is not ConsentBasis.NONE,
        channel_bit=run.channel.bit,
        with_places=with_places,
        with_addresses=with_addresses,
        with_digests=has_digests(run.channel),
    )
    async with aclosing(batches):
        async for rows in batches:
            yield Batch(*zip(*rows, strict=True))


async def named(
    conn: Connection, run: PulledRun, customers: Sequence[UUID]
) -> list[tuple[PendingSend, SendState, Recipient | None]]:
    """Those of these people who wait or were handed over, as they are now, in the order of their keys.

    Each send is in the place 0 of a claim; attributes and tokens are left out.
    """
    rows = await Sql.named.tuples(conn, **_about(run), **_people(customers))
    found: list[tuple[PendingSend, SendState, Recipient | None]] = []
    for customer, chunk, variant, tries, doubts, state, *person in rows:
        send = PendingSend(0, run.execution_id, chunk, customer, variant, tries, doubts)
        recipient = Recipient(customer, *person) if person[_EXTERNAL_ID] is not None else None
        found.append((send, SendState(state), recipient))
    return found


_EXTERNAL_ID = Recipient._fields.index("external_id") - 1


async def insert_rows(conn: Connection, run: PulledRun, pull_id: UUID, position_from: int, rows: Rows) -> None:
    """Writes the next rows of a list."""
    sorts: dict[tuple[int, datetime], int] = {}
    places = [sorts.setdefault(sort, len(sorts) + 1) for sort in zip(rows.templates, rows.times, strict=True)]
    # Nearly always there is one, which need not be said of each.
    places = places if len(sorts) > 1 else []
    await Sql.insert_rows.run(
        conn,
        brand_id=run.brand_id,
        execution_id=run.execution_id,
        pull_id=pull_id,
        position_from=position_from,
        sorts=places,
        templates=[template for template, _ in sorts],
        schedules=[at for _, at in sorts],
        digests=EqualBytes(
            # Of whoever has none it is none that any address has.
            [digest[:DIGEST_KEPT] if digest else bytes(DIGEST_KEPT) for digest in rows.digests]
            if has_digests(run.channel)
            else []
        ),
        parts=list(rows.parts),
        customer_ids=list(rows.customers),
    )


async def times_on(conn: Connection, run: PulledRun, pull_id: UUID, customers: Sequence[UUID]) -> dict[UUID, datetime]:
    """From when on these people may be written to by a list of the run, those of them who are on it."""
    return dict(
        await Sql.times_on.tuples(
            conn, brand_id=run.brand_id, execution_id=run.execution_id, pull_id=pull_id, customer_ids=list(customers)
        )
    )


async def everybody_on(conn: Connection, pull: Pull, place: tuple[int, int]) -> list[UUID]:
    """Who is on a page."""
    await go_by_keys(conn)
    return await Sql.everybody_on.column(conn, **_place(pull, place))


async def rows(
    conn: Connection, pull: Pull, run: PulledRun, place: tuple[int, int], attributes: Sequence[str]
) -> tuple[list[PullRow], list[UUID]]:
    """The rows from one position to before another; and who of them has another address than was guarded, or is gone."""
    await go_by_keys(conn)
    found = await Sql.rows.tuples(conn, **_page(pull, run, place), names=list(attributes))
    return [PullRow(*row) for *row, _ in found], [row[1] for row in found if row[-1]]


async def page(
    conn: Connection, pull: Pull, run: PulledRun, place: tuple[int, int], wording: Wording
) -> tuple[bytes, list[UUID]]:
    """The same as the classic API writes them, without the brackets of the array; empty where there are none."""
    await go_by_keys(conn)
    said: dict[str, Any] = {}
    if wording.shape != "send_details":
        said["channel_number"] = str(run.channel_number)
    if wording.shape == "execution_details":
        said["template_names"] = msgspec.json.encode(
            {str(key): name for key, name in run.template_names.items()}
        ).decode()
        said["action_number"] = str(wording.action_number)
        said["promo_codes"] = list(run.facts.publication.content.policy.promo_codes)
    if wording.shape == "campaign_details":
        said["with_templates"] = wording.with_templates
        said["send_prefix"] = send_prefix(run.campaign, run.channel_number)
    else:
        said |= {
            "with_attributes": wording.attributes is not None,
            "names": list(wording.attributes or ()),
            "joined": wording.delimiter is not None,
            "delimiter": wording.delimiter or "",
        }
    ((text, changed),) = await _SHAPES[wording.shape].tuples(conn, **_page(pull, run, place), **said)
    return (text or "").encode(), changed or []


async def hand_over(
    conn: Connection, run: PulledRun, pull_id: UUID, bounds: Sequence[int], chunks: Sequence[int], *, named: bool
) -> tuple[list[int], list[UUID]]:
    """Hands over whoever waits in these chunks, from each of these positions to before the next: how many of each.

    If they are to be `named`, who, too.
    """
    place = bounds[0], bounds[-1]
    found = await Sql.hand_over.tuples(conn, **_rows_of(run, pull_id, place), chunks=list(chunks), with_people=named)
    moved = [0] * (len(bounds) - 1)
    for position, _ in found:
        moved[bisect_right(bounds, position) - 1] += 1
    return moved, [customer for _, customer in found if customer is not None]


async def sent_after_all(conn: Connection, run: PulledRun, pull_id: UUID, place: tuple[int, int]) -> list[UUID]:
    """Whom a page reached that was handed over too late: they were let go because their execution is over."""
    reasons = [int(Reason.EXECUTION_CANCELLED), int(Reason.DEADLINE)]
    return await Sql.sent_after_all.column(conn, **_rows_of(run, pull_id, place), over_reasons=reasons)


async def drop_rows(conn: Connection, brand_id: UUID, execution_id: UUID, pull_id: UUID, limit: int) -> int:
    """Deletes some of a list's rows; how many."""
    return await Sql.drop_rows.run(conn, brand_id=brand_id, execution_id=execution_id, pull_id=pull_id, limit=limit)


def _about(run: PulledRun) -> dict[str, Any]:
    return {
        "brand_id": run.brand_id,
        "execution_id": run.execution_id,
        "channel": int(run.channel),
        "variants": run.variants,
        "topic_id": run.facts.topic_id,
        "meant_at": run.facts.meant_at,
    }


def _people(customers: Sequence[UUID]) -> dict[str, Any]:
    return {"parts": [part_of(customer) for customer in customers], "customer_ids": list(customers)}


def _rows_of(run: PulledRun, pull_id: UUID, place: tuple[int, int]) -> dict[str, Any]:
    return {
        "execution_id": run.execution_id,
        "pull_id": pull_id,
        "brand_id": run.brand_id,
        "position_from": place[0],
        "position_to": place[1],
        "channel": int(run.channel),
    }


def _place(pull: Pull, place: tuple[int, int]) -> dict[str, Any]:
    return {
        "brand_id": pull.brand_id,
        "execution_id": pull.execution_id,
        "pull_id": pull.id,
        "position_from": place[0],
        "position_to": place[1],
    }


def _page(pull: Pull, run: PulledRun, place: tuple[int, int]) -> dict[str, Any]:
    return _place(pull, place) | {"started_at": pull.started_at, "channel": int(run.channel)}
