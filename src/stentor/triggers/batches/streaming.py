"""Batches of any size: a stream with a profile on each line, which is an import, and its campaign once all of it is in.

The batch is made with its import, under one id, before the first line comes. Its campaign is started by the transaction in
which the import ends well: whoever was left out by a stream that broke off would never be written to.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from stentor.audience import import_store
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
from stentor.triggers.batches.service import BatchService, made_tag, run_of_batch
from stentor.triggers.batches.store import NewBatch
from stentor.triggers.campaign_runs import Runnable, checked_campaign, write_run

_START, _CAMPAIGN = ("start_at",), ("campaign",)
ANSWERED = timedelta(days=7)
"""So long a source that came in is answered with its batch; later it makes a new one."""

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


class Begun(msgspec.Struct, frozen=True):
    """The batch of a stream; `has_ended`: all of it came in already."""

    batch_id: UUID
    has_ended: bool


class StreamService:
    """Makes batches whose profiles come as a stream."""

    def __init__(self, db: Database, batches: BatchService) -> None:
        self._db = db
        self._batches = batches

    async def begin(self, call: StreamCall) -> Begun:
        """The batch of the stream, and of its import: a new one, or the one that this source was begun with.

        That is the one which never came to its end, however long ago, or the one that did in the last `ANSWERED`. Raises
        Unprocessable, naming the parameters that break a rule; Conflict where the source was begun with other parameters, or
        cancelled.
        """
        wish = _read(call)
        terms = _terms(call, wish)
        async with self._db.read() as conn:
            begun = await _known(conn, call, terms)
        if begun is not None:
            return begun
        campaign = None if wish is None else await self._batches.runnable(call.brand_id, wish, _START, _CAMPAIGN)
        async with self._db.transaction() as conn:
            await import_store.hold_source(conn, call.brand_id, call.source)
            begun = await _known(conn, call, terms)
            if begun is None:
                begun = Begun(await _begun(conn, call, wish, campaign, terms), has_ended=False)
            failpoint("stream_begin.before_commit")
        failpoint("stream_begin.after_commit")
        return begun


def _terms(call: StreamCall, wish: ScheduleWish | None) -> dict[str, str]:
    """What makes two streams of one source the same one."""
    return {
        "name": (call.name or "").strip(),
        "start_at": "" if wish is None else wish.start_at.isoformat(),
        "campaign": "" if wish is None else str(wish.campaign_id),
        "country": call.region or "",
        "key": "a test key" if call.is_test else "a live key",
    }


async def _known(conn: Connection, call: StreamCall, terms: dict[str, str]) -> Begun | None:
    job = await import_store.job_of_stream(conn, call.brand_id, call.source, answered=ANSWERED)
    if job is None:
        return None
    if job.resume.is_cancelled:
        raise Conflict("The stream of this source was cancelled. Choose another source to send it once more.")
    if others := [name for name, said in terms.items() if said != job.resume.terms.get(name, said)]:
        text = f"Another stream was begun with this source: its {', '.join(others)} differs. "
        raise Conflict(text + "Say the same as then to go on with that one, or choose another source for this one.")
    return Begun(job.id, has_ended=job.state == "succeeded")


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


async def _begun(
    conn: Connection, call: StreamCall, wish: ScheduleWish | None, campaign: Runnable | None, terms: dict[str, str]
) -> UUID:
    job_id = new_id()
    campaigns = campaign.name if campaign else None
    tag = await made_tag(conn, call.brand_id, campaigns if call.name is None else call.name.strip())
    if tag is None:
        raise Conflict("Another batch got the same profile tag at this moment. Try again.")
    await import_store.insert_job(
        conn,
        call.brand_id,
        job_id,
        kind="profiles",
        file_format="ndjson",
        source=call.source,
        bytes_total=None,
        resume=Resume(region=call.region, tag_id=tag.id, terms=terms),
    )
    batch = NewBatch(
        id=job_id,
        kind="stream",
        tag_id=tag.id,
        campaign=campaign,
        start_at=None if wish is None else wish.start_at,
        execution_id=None,
        profiles=0,
        is_test=call.is_test,
        made_by=call.made_by,
    )
    await store.insert(conn, call.brand_id, batch)
    return job_id


async def stream_ended(conn: Connection, brand_id: UUID, job: ImportJob) -> None:
    """Lets a stream's campaign wait for its time, or begin, now that all its profiles are in; in the import's last transaction."""
    await store.lock(conn, brand_id, job.id)
    row = await store.find(conn, brand_id, job.id)
    if row is None:
        return
    execution_id = None
    if row.start_at is not None and row.campaign_id is not None and row.tag_id is not None:
        campaign = await _published(conn, brand_id, row.campaign_id)
        # A stream that took longer than that starts when it is in.
        start_at = max(row.start_at, await present(conn))
        run = run_of_batch(brand_id, row.id, campaign, start_at=start_at, tag_id=row.tag_id, is_test=row.is_test)
        execution_id = await write_run(conn, run)
    people = job.added + job.changed + job.unchanged
    await store.end_stream(conn, brand_id, row.id, profiles=people, execution_id=execution_id)


async def _published(conn: Connection, brand_id: UUID, campaign_id: UUID) -> Runnable:
    """The campaign as it is published by now: what was published once stays, and so does its campaign."""
    campaign = await published_campaign(conn, brand_id, campaign_id)
    if campaign is None:
        raise Conflict("The campaign of this batch is gone. Send its people as a new batch, for another campaign.")
    return checked_campaign(campaign)
