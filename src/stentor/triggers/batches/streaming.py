"""Batches of any size: a stream with a profile on each line, which is an import, and its campaign once all of it is in.

The batch is made with its import, under one id, before the first line comes. Its campaign is started by the transaction in
which the import ends well: whoever was left out by a stream that broke off would never be written to.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from stentor.audience import import_store, tag_store
from stentor.audience.import_store import Resume
from stentor.audience.imports import SOURCE_CHARS_MAX
from stentor.audience.model import ImportJob
from stentor.audience.tags import NAME_CHARS_MAX
from stentor.campaigns.sources import published_campaign
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.text import NOT_IN_A_LINE
from stentor.errors import Conflict, Violation
from stentor.failpoints import failpoint
from stentor.guard.store import present
from stentor.triggers.batches import store
from stentor.triggers.batches.model import ScheduleWish
from stentor.triggers.batches.reading import read_campaign, read_start, refused
from stentor.triggers.batches.service import BatchService, run_of_batch, tag_name
from stentor.triggers.batches.store import NewBatch
from stentor.triggers.campaign_runs import Runnable, checked_campaign, write_run

_START, _CAMPAIGN = ("start_at",), ("campaign",)
# Behind it stand the minute and the mark.
STREAM_NAME_CHARS_MAX = NAME_CHARS_MAX - 50


class StreamCall(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that is to come. `source` names it, so that one which broke off is gone on with."""

    brand_id: UUID
    source: str
    name: str | None
    start_at: Any
    campaign_id: Any
    region: str | None
    made_by: str
    is_test: bool = False


class StreamService:
    """Makes batches whose profiles come as a stream."""

    def __init__(self, db: Database, batches: BatchService) -> None:
        self._db = db
        self._batches = batches

    async def begin(self, call: StreamCall) -> UUID:
        """The id of the batch and of its import: the one of the same source that never came to its end, or a new one.

        Raises Unprocessable, naming the parameters that break a rule.
        """
        wish = _read(call)
        async with self._db.read() as conn:
            unfinished = await import_store.unfinished_job(
                conn, call.brand_id, kind="profiles", file_format="ndjson", source=call.source, bytes_total=None
            )
        if unfinished is not None:
            # Sent again as it was before, its time may have passed since it broke off.
            return unfinished
        campaign = None if wish is None else await self._batches.runnable(call.brand_id, wish, _START, _CAMPAIGN)
        async with self._db.transaction() as conn:
            job_id = await _begun(conn, call, wish, campaign)
            failpoint("stream_begin.before_commit")
        failpoint("stream_begin.after_commit")
        return job_id


def _read(call: StreamCall) -> ScheduleWish | None:
    violations: list[Violation] = []
    if not call.source or len(call.source) > SOURCE_CHARS_MAX or NOT_IN_A_LINE.search(call.source):
        text = f"The source field must be one line of 1 to {SOURCE_CHARS_MAX} characters."
        violations.append(Violation("/source", "invalid-source", text))
    if call.name is not None and (not call.name.strip() or NOT_IN_A_LINE.search(call.name)):
        violations.append(Violation("/name", "invalid-name", "The name field must be one line of text."))
    wish = None
    if call.start_at is not None or call.campaign_id is not None:
        start_at = read_start(call.start_at, _START, violations)
        campaign_id = read_campaign(call.campaign_id, _CAMPAIGN, violations)
        wish = None if start_at is None or campaign_id is None else ScheduleWish(start_at, campaign_id)
    if violations:
        raise refused(violations)
    return wish


async def _begun(conn: Connection, call: StreamCall, wish: ScheduleWish | None, campaign: Runnable | None) -> UUID:
    job_id, tag_id = new_id(), new_id()
    if not await tag_store.insert(conn, call.brand_id, tag_id, _name(call, campaign, await present(conn))):
        raise Conflict("Another batch got the same profile tag at this moment. Try again.")
    await import_store.insert_job(
        conn,
        call.brand_id,
        job_id,
        kind="profiles",
        file_format="ndjson",
        source=call.source,
        bytes_total=None,
        resume=Resume(region=call.region, tag_id=tag_id),
    )
    batch = NewBatch(
        id=job_id,
        kind="stream",
        tag_id=tag_id,
        campaign=campaign,
        start_at=None if wish is None else wish.start_at,
        execution_id=None,
        profiles=0,
        is_test=call.is_test,
        made_by=call.made_by,
    )
    await store.insert(conn, call.brand_id, batch)
    return job_id


def _name(call: StreamCall, campaign: Runnable | None, at: datetime) -> str:
    return tag_name(campaign if call.name is None else call.name.strip(), at)


async def stream_ended(conn: Connection, brand_id: UUID, job: ImportJob) -> None:
    """Lets a stream's campaign wait for its time, or begin, now that all its profiles are in; in the import's last transaction."""
    row = await store.find(conn, brand_id, job.id)
    if row is None:
        return
    execution_id = None
    if row.start_at is not None and row.campaign_id is not None and row.tag_id is not None:
        campaign = await _published(conn, brand_id, row.campaign_id)
        run = run_of_batch(brand_id, row.id, campaign, start_at=row.start_at, tag_id=row.tag_id, is_test=row.is_test)
        execution_id = await write_run(conn, run)
    people = job.added + job.changed + job.unchanged
    await store.end_stream(conn, brand_id, row.id, profiles=people, execution_id=execution_id)


async def _published(conn: Connection, brand_id: UUID, campaign_id: UUID) -> Runnable:
    """The campaign as it is published by now: what was published once stays, and so does its campaign."""
    campaign = await published_campaign(conn, brand_id, campaign_id)
    if campaign is None:
        raise Conflict("The campaign of this batch is gone. Send its people as a new batch, for another campaign.")
    return checked_campaign(campaign)
