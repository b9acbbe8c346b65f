"""Executions that partners execute: their run numbers, and what is told of them.

A run number is what services call an execution, their CampaignID: an integer of the brand, given in the transaction that publishes
the execution, together with the event of which listeners are told. So there is no execution to be pulled without a number, and
none was told of that was not published. Executions that nobody pulls cost nothing here.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.accounts.model import BrandSettings
from stentor.accounts.service import find_brand
from stentor.campaigns.model import Publication
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id


class Sql(QuerySet, file="partner_runs.sql", package=__package__):
    take_numbers: Statement
    give_numbers: Statement
    tell_published: Statement
    set_deadlines: Statement
    tell_cancelled: Statement
    run_of_number: Statement
    runs_of: Statement


class PartnerRun(msgspec.Struct, frozen=True):
    """An execution as partners know it. `channels`: the numbers of the partner channels that it goes out by."""

    number: int
    execution_id: UUID
    published_at: datetime
    channels: list[int]


async def publish(conn: Connection, publication: Publication, execution_ids: Sequence[UUID], *, is_test: bool) -> None:
    """Gives numbers to executions that this transaction publishes, tells of them, and sets a deadline where there is none.

    Does nothing, and asks nothing, where no service pulls anything: for most campaigns, and for what a test key started.
    """
    channels = publication.content.partner_channels
    if not channels or is_test or not execution_ids:
        return
    brand_id, ids = publication.brand_id, sorted(execution_ids)
    brand = await find_brand(conn, brand_id)
    settings = brand.settings if brand else BrandSettings()
    clearance_s = publication.content.policy.clearance_s
    await Sql.set_deadlines.run(
        conn, brand_id=brand_id, execution_ids=ids, pull_within_s=settings.pull_within_s + (clearance_s or 0)
    )
    # Last, because its row makes whoever publishes for the brand at the same moment wait for this commit.
    last: int = await Sql.take_numbers.value(conn, brand_id=brand_id, wanted=len(ids))
    numbers = list(range(last - len(ids) + 1, last + 1))
    await Sql.give_numbers.run(
        conn, brand_id=brand_id, execution_ids=ids, numbers=numbers, channels=channels, clearance_s=clearance_s
    )
    await Sql.tell_published.run(conn, brand_id=brand_id, execution_ids=ids, ids=[new_id() for _ in ids])


async def tell_cancelled(conn: Connection, brand_id: UUID, execution_id: UUID) -> None:
    """Tells that an execution was cancelled, if services were told that it was published."""
    await Sql.tell_cancelled.run(conn, id=new_id(), brand_id=brand_id, execution_id=execution_id)


async def run_of_number(conn: Connection, brand_id: UUID, number: int) -> PartnerRun | None:
    """The execution of that number of the brand; None where the brand has given it to none."""
    return await Sql.run_of_number.first(conn, PartnerRun, brand_id=brand_id, number=number)


async def runs_of(conn: Connection, brand_id: UUID, execution_ids: Sequence[UUID]) -> dict[UUID, PartnerRun]:
    """Those of the executions that services execute, by their ids."""
    rows = await Sql.runs_of.rows(conn, PartnerRun, brand_id=brand_id, execution_ids=list(execution_ids))
    return {run.execution_id: run for run in rows}
