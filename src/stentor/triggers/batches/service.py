"""Batches: people whom a caller hands over, tagged together, and the campaign that runs for them.

A batch is one transaction: its people, what they are said to have agreed to, its tag, itself and the execution that waits
for its time are on disk together, or none of it is.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import structs

from stentor.accounts.audit import record
from stentor.audience import tag_store
from stentor.audience.admitting import Recognised, admit, recognise
from stentor.audience.imports import cancel_import
from stentor.audience.intake import Refusal
from stentor.audience.model import Act, Tag, TaggedProfile
from stentor.audience.upsert import Overtaken, until_settled
from stentor.campaigns.sources import published_campaign
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Conflict, Forbidden, NotFound, Unprocessable, Violation, pointer_to
from stentor.executions.audiences import OfTag
from stentor.executions.service import ExecutionService
from stentor.failpoints import failpoint
from stentor.guard.store import present
from stentor.triggers.batches import store
from stentor.triggers.batches.model import (
    Batch,
    BatchCall,
    BatchRow,
    BatchSchedule,
    ScheduleWish,
    schedule_of,
)
from stentor.triggers.batches.reading import (
    ReadBatch,
    checked_start,
    no_campaign,
    read_batch,
    read_changes,
    refused,
)
from stentor.triggers.batches.store import NewBatch
from stentor.triggers.campaign_runs import (
    CampaignChecker,
    CampaignRun,
    QueuedRun,
    Runnable,
    checked_campaign,
    queued_run,
    write_run,
)
from stentor.triggers.schedules.model import Occurrence

PAGE_MAX = 100
COUNTED_MAX = 100_000
PROFILES_SHOWN_MAX = 1_000
"""Of a batch that came by a call: all of them. Those of a stream are listed by its tag."""

_START = ("schedule", "start_at")
_CAMPAIGN = ("schedule", "campaign", "uuid")
_MARK_BYTES = 4


class BatchService:
    """The batches of all brands; every call names its brand and sees nothing of the others."""

    def __init__(self, db: Database, campaigns: CampaignChecker, executions: ExecutionService) -> None:
        self._db = db
        self._campaigns = campaigns
        self._executions = executions

    async def create(self, call: BatchCall) -> Batch:
        """Stores the people, tags them, and schedules the campaign if one is wanted: all of it or nothing.

        Raises Unprocessable, naming every field that breaks a rule: profiles that are too many, repeated, without an
        address or with one that is none, a start that is more than a minute past or more than 400 days ahead, a campaign
        that the brand has not or that was never published. Raises Unavailable.
        """
        said = read_batch(call)
        campaign = None if said.wish is None else await self.runnable(call.brand_id, said.wish, _START, _CAMPAIGN)
        return await until_settled(self._db, lambda conn: _stored(conn, call, said, campaign))

    async def find(self, brand_id: UUID, batch_id: UUID) -> Batch:
        """The batch. Raises NotFound."""
        async with self._db.read() as conn:
            row = await store.find(conn, brand_id, batch_id)
            if row is None:
                raise NotFound("This brand has no such batch. List them with GET …/batches.")
            return (await _whole(conn, brand_id, [row]))[0]

    async def page(self, brand_id: UUID, *, before: UUID | None, limit: int) -> list[Batch]:
        """A brand's batches, newest first, from before the id `before`; at most `PAGE_MAX`."""
        async with self._db.read() as conn:
            return await _whole(conn, brand_id, await store.page(conn, brand_id, before, min(limit, PAGE_MAX)))

    async def count(self, brand_id: UUID) -> int:
        """How many batches the brand has, counted up to `COUNTED_MAX`."""
        async with self._db.read() as conn:
            return await store.count(conn, brand_id, COUNTED_MAX)

    async def schedule(self, brand_id: UUID, schedule_id: UUID) -> BatchSchedule:
        """The schedule of a batch. Raises NotFound."""
        async with self._db.read() as conn:
            return _schedule(await store.find_by_schedule(conn, brand_id, schedule_id))

    async def occurrences(
        self, brand_id: UUID, schedule_id: UUID, *, before: datetime | None, limit: int
    ) -> list[Occurrence]:
        """What came of the one time of a batch's schedule, if it has come. Raises NotFound."""
        async with self._db.read() as conn:
            _schedule(await store.find_by_schedule(conn, brand_id, schedule_id))
            return (await store.occurrences(conn, brand_id, schedule_id, before=before))[:limit]

    async def schedules(self, brand_id: UUID, *, after: UUID | None, limit: int) -> list[BatchSchedule]:
        """The schedules of a brand's batches in the order of their making, from behind the id `after`."""
        async with self._db.read() as conn:
            rows = await store.page_of_schedules(conn, brand_id, after, min(limit, PAGE_MAX))
        return [_schedule(row) for row in rows]

    async def count_schedules(self, brand_id: UUID) -> int:
        """How many of the brand's batches have a schedule, counted up to `COUNTED_MAX`."""
        async with self._db.read() as conn:
            return await store.count_schedules(conn, brand_id, COUNTED_MAX)

    async def change(
        self, brand_id: UUID, schedule_id: UUID, body: Any, *, asked_by: str, is_test: bool = False
    ) -> BatchSchedule:
        """Changes when a batch's campaign runs (`start_at`), or which one (`campaign`), as long as it is to come.

        Raises NotFound, Unprocessable as `create`, Conflict once it has begun and while it is paused, and Forbidden where a
        test would change what is none.
        """
        async with self._db.transaction() as conn:
            row = await _locked(conn, brand_id, schedule_id)
            schedule = _schedule(row)
            wish = read_changes(body, schedule)
            campaign = await _changed(conn, brand_id, schedule, wish)
            _check_is_theirs(row, is_test=is_test)
            if schedule.status != "scheduled":
                raise _begun(row)
            execution_id = row.execution_id
            if execution_id is not None:
                if not await store.drop_waiting(conn, brand_id, execution_id):
                    raise _begun(await store.find(conn, brand_id, row.id) or row)
                run = run_of_batch(
                    brand_id,
                    row.id,
                    campaign,
                    start_at=wish.start_at,
                    tag_id=_kept_tag(row),
                    is_test=row.is_test,
                    asked_by=asked_by,
                )
                execution_id = await write_run(conn, run)
            await store.reschedule(conn, brand_id, row.id, campaign, wish.start_at, execution_id=execution_id)
            changed = _schedule(await store.find_by_schedule(conn, brand_id, schedule_id))
            await record(
                conn,
                "schedule.updated",
                schedule_id,
                brand_id=brand_id,
                before=_told(schedule),
                after=_told(changed),
            )
            failpoint("batch_change.before_commit")
        failpoint("batch_change.after_commit")
        return changed

    async def cancel(self, brand_id: UUID, schedule_id: UUID, *, is_test: bool = False) -> BatchSchedule:
        """Ends what a schedule runs for good, also when it has begun: who was not written to yet is skipped.

        A stream that is still coming in, or broke off, ends as well: those of its people who came stay. Raises NotFound,
        Conflict when it is over, and Forbidden where a test (`is_test`) would end what is none.
        """
        async with self._db.transaction() as conn:
            found = await store.find_by_schedule(conn, brand_id, schedule_id)
            if found is not None:
                _check_is_theirs(found, is_test=is_test)
            # In the order in which the end of a stream takes them: its import, then its batch.
            is_stopped = (
                found is not None
                and found.import_state == "running"
                and await cancel_import(conn, brand_id, found.id, "Its schedule was cancelled.")
            )
            schedule = _schedule(await _locked(conn, brand_id, schedule_id))
            if is_stopped:
                schedule = structs.replace(schedule, status="scheduled")
            elif schedule.execution_id is None:
                raise Conflict("This schedule is cancelled already: its stream failed.", status=schedule.status)
            else:
                await self._executions.cancel_with(conn, brand_id, schedule.execution_id)
            await store.touch_schedule(conn, brand_id, schedule.batch_id)
            cancelled = _schedule(await store.find_by_schedule(conn, brand_id, schedule_id))
            await record(
                conn,
                "schedule.cancelled",
                schedule_id,
                brand_id=brand_id,
                before=_told(schedule),
                after=_told(cancelled),
            )
            return cancelled

    async def runnable(
        self, brand_id: UUID, wish: ScheduleWish, start: tuple[str, ...], campaign: tuple[str, ...]
    ) -> Runnable:
        """The campaign that is to run. Raises Unprocessable, naming the fields `start` and `campaign`, where it cannot."""
        async with self._db.read() as conn:
            violations = checked_start(wish.start_at, await present(conn), start)
        try:
            found = await self._campaigns.runnable(brand_id, wish.campaign_id)
        except (NotFound, Unprocessable) as problem:
            raise refused([*violations, no_campaign(campaign, problem.detail)]) from problem
        if violations:
            raise refused(violations)
        return found


def _check_is_theirs(batch: BatchRow, *, is_test: bool) -> None:
    """Raises Forbidden where a test key would change what writes to people."""
    if is_test and not batch.is_test:
        raise Forbidden("A test key sends nothing to people: this batch is no test. Use another key.")


async def _changed(conn: Connection, brand_id: UUID, schedule: BatchSchedule, wish: ScheduleWish) -> Runnable:
    """The campaign that a locked schedule is to run by this wish. Raises Unprocessable, naming the fields, where it cannot."""
    violations: list[Violation] = []
    if wish.start_at != schedule.start_at:
        violations = checked_start(wish.start_at, await present(conn), ("start_at",))
    found, campaign, at = await published_campaign(conn, brand_id, wish.campaign_id), None, ("campaign", "uuid")
    if found is None:
        hint = f"This brand has no campaign {wish.campaign_id}. List them with GET …/campaigns."
        violations.append(no_campaign(at, hint))
    else:
        try:
            campaign = checked_campaign(found)
        except Unprocessable as problem:
            violations.append(no_campaign(at, problem.detail))
    if violations or campaign is None:
        raise refused(violations)
    return campaign


async def _stored(conn: Connection, call: BatchCall, said: ReadBatch, campaign: Runnable | None) -> Batch:
    brand_id, entrants, batch_id = call.brand_id, said.entrants, new_id()
    recognised = await recognise(conn, brand_id, entrants.intake.rows, entrants.unnamed)
    _refuse_repeated(recognised)
    # Made in the same transaction, nobody can take it away; a name that is taken by chance gets another mark.
    tag = await made_tag(conn, brand_id, campaign.name if campaign else None)
    if tag is None:
        raise Overtaken
    admitted = await admit(conn, brand_id, recognised, tag.id, batch_act(call.act, batch_id))
    if admitted.refused:
        raise refused([_of_profile(refusal) for refusal in admitted.refused])
    execution_id = None
    if campaign is not None and said.wish is not None:
        run = run_of_batch(
            brand_id, batch_id, campaign, start_at=said.wish.start_at, tag_id=tag.id, is_test=call.is_test
        )
        execution_id = await write_run(conn, run)
    batch = NewBatch(
        id=batch_id,
        kind="call",
        tag_id=tag.id,
        campaign=campaign,
        start_at=None if said.wish is None else said.wish.start_at,
        execution_id=execution_id,
        profiles=len(recognised.rows),
        is_test=call.is_test,
        made_by=call.act.actor,
    )
    row = await store.insert(conn, brand_id, batch)
    rows = recognised.rows
    profiles = [
        TaggedProfile(external_id, UUID(hex=customer_id))
        for external_id, customer_id in zip(rows.external_ids, rows.customer_ids, strict=True)
    ]
    return Batch(row=row, tag=tag, profiles=profiles)


def run_of_batch(
    brand_id: UUID,
    batch_id: UUID,
    campaign: Runnable,
    *,
    start_at: datetime,
    tag_id: UUID,
    is_test: bool,
    asked_by: str | None = None,
) -> QueuedRun:
    """The run of the campaign for the people of a batch's tag; `asked_by`: who asked for it, if not the batch itself."""
    return queued_run(
        campaign,
        CampaignRun(
            brand_id=brand_id,
            campaign_id=campaign.campaign_id,
            audience=OfTag(tag_id),
            triggered_by=asked_by or f"batch {batch_id}",
            is_test=is_test,
            start_at=start_at,
        ),
    )


async def made_tag(conn: Connection, brand_id: UUID, after: str | None) -> Tag | None:
    """A tag for a batch, called `after` something and the minute, with a mark that tells batches of a minute apart.

    None when another one got that name by chance.
    """
    return await tag_store.insert_dated(conn, brand_id, new_id(), after or "Batch", secrets.token_hex(_MARK_BYTES))


async def awaited_tag(conn: Connection, brand_id: UUID, tag_id: UUID) -> str | None:
    """Why the tag cannot go yet: a campaign is still to be run for its people. None where none is."""
    if await store.is_awaited(conn, brand_id, tag_id):
        return "A campaign is still to be run for the people of this profile tag. Cancel its schedule first."
    return None


def batch_act(act: Act, batch_id: UUID) -> Act:
    """How the choices of a batch's people came about: by the batch, which knows its caller."""
    return Act(source=act.source, actor=str(batch_id), ip=act.ip, note=f"asserted by {act.actor}")


def _refuse_repeated(recognised: Recognised) -> None:
    seen: set[str] = set()
    repeated: list[Violation] = []
    rows = recognised.rows
    for customer, line in zip(rows.customer_ids, rows.lines, strict=True):
        if customer in seen:
            steps = ("profiles", line, "person" if line in recognised.unnamed else "external_id")
            text = f"The {'.'.join(map(str, steps))} field has a duplicate value. Send each profile once."
            repeated.append(Violation(pointer_to(*steps), "repeated", text))
        seen.add(customer)
    if repeated:
        raise refused(repeated)


def _of_profile(refusal: Refusal) -> Violation:
    violation = refusal.violation
    return Violation(f"/profiles/{refusal.line}{violation.pointer}", violation.code, violation.message)


async def _whole(conn: Connection, brand_id: UUID, rows: Sequence[BatchRow]) -> list[Batch]:
    tag_ids = {row.tag_id for row in rows if row.tag_id is not None}
    tags = await tag_store.by_id(conn, brand_id, tag_ids) if tag_ids else {}
    calls = {row.tag_id for row in rows if row.tag_id is not None and row.kind == "call"}
    people = await tag_store.in_order(conn, brand_id, calls, PROFILES_SHOWN_MAX) if calls else {}
    return [
        Batch(
            row=row,
            tag=tags.get(row.tag_id) if row.tag_id else None,
            profiles=people.get(row.tag_id, []) if row.tag_id else [],
        )
        for row in rows
    ]


async def _locked(conn: Connection, brand_id: UUID, schedule_id: UUID) -> BatchRow:
    row = await store.find_by_schedule(conn, brand_id, schedule_id)
    if row is None:
        raise _no_schedule()
    await store.lock(conn, brand_id, row.id)
    return await store.find(conn, brand_id, row.id) or row


def _schedule(row: BatchRow | None) -> BatchSchedule:
    found = None if row is None else schedule_of(row)
    if found is None:
        raise _no_schedule()
    return found


def _told(schedule: BatchSchedule) -> dict[str, Any]:
    """The schedule as the audit log tells of it: what was said of it, and how it stands."""
    return {
        "batch_id": schedule.batch_id,
        "campaign_id": schedule.campaign_id,
        "campaign_name": schedule.campaign_name,
        "start_at": schedule.start_at,
        "status": schedule.status,
    }


def _kept_tag(row: BatchRow) -> UUID:
    if row.tag_id is None:
        raise Conflict(
            "The batch's profile tag was deleted, so there is nobody to run a campaign for. Make a new batch."
        )
    return row.tag_id


def _begun(row: BatchRow) -> Conflict:
    schedule = schedule_of(row)
    status = schedule.status if schedule else "finished"
    if status == "scheduled" and row.is_paused:
        return Conflict("This schedule is paused. Resume its execution, then change it.", status=status)
    return Conflict(f"Only a schedule that is to come can be changed; this one is {status}.", status=status)


def _no_schedule() -> NotFound:
    return NotFound("This brand has no such schedule. List them with GET …/schedules.")
