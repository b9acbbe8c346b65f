"""One life of a small Stentor in one process: import people, call, plan, deliver, apply what providers report, end.

A life that follows another does what that one's clients have no acknowledgement for, as clients do, and takes over what
it left. With a failpoint armed a life ends, or freezes, in the middle of it.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import msgspec
from psycopg.conninfo import conninfo_to_dict

from stentor.answers.model import Answer, Idempotency
from stentor.answers.service import answered_once
from stentor.audience.model import Act, FileKind, Source
from stentor.backups.fence import fence, resume
from stentor.clock import boottime_s
from stentor.domain.ids import new_id
from stentor.domain.timetable import Rule
from stentor.errors import Conflict, Unavailable
from stentor.executions.audiences import OfTag
from stentor.executions.ending import end_forgotten
from stentor.executions.history import HISTORY_DAYS, drop_history
from stentor.executions.pipeline import Deliverer
from stentor.executions.provider_events import apply_due
from stentor.executions.remedies import Action, carry_out_next
from stentor.executions.service import start_due
from stentor.failpoints import arm, hits
from stentor.log import set_up_logging
from stentor.settings import Settings
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.evidence import Workload, read_chronicle
from stentor.testing.torture.stage import Hook, Relay, set_stage
from stentor.triggers.addressees import NamedRecipient
from stentor.triggers.campaign_runs import CampaignRun
from stentor.triggers.messages import MessageCall, Once
from stentor.triggers.model import Replayed, RunCall
from stentor.triggers.schedules.keeping import ScheduleKeeper
from stentor.triggers.schedules.model import GeneratorTarget, ScheduleDraft
from stentor.wiring.chores import schedule_keeper
from stentor.wiring.core import Core, core
from stentor.wiring.roles import caster, deliverer, open_channels, planner, worker_journal, worker_name
from stentor.wiring.services import services

BATCH_MAX = 4
"""Webhooks in one request."""

SECRET = "a secret for tortured installations only"  # noqa: S105 - of databases that live for a second

LEAVER = "leaver"
DROPPER = "dropper"
"""Whose message the sandbox takes and loses the reply of: in doubt, until somebody says that it was not accepted."""

AUDIENCES = {
    # More than one wave, of which the first has 100.
    "news": [LEAVER, *(f"reader-{number}" for number in range(115))],
    "again": [f"reader-{number}" for number in range(12)],
    "box": ["bouncer", DROPPER, *(f"reader-{number}" for number in range(8, 16))],
    "sliced": [f"reader-{number}" for number in range(4, 24)],
    "hooks": [f"reader-{number}" for number in range(10)],
}
ORDERS = "orders"
ORDERED = [f"reader-{number}" for number in range(20, 23)]
TAGGED = "tagged"
CHOSEN = [f"reader-{number}" for number in range(6, 18)]
"""Who have the tag that a campaign of its own is run for."""
GUEST = "guest"
"""A message each goes to these customers and to the bare address of somebody who is none."""

_COUNTED_AS = 50_000
"""Subscribers that the counter of "sliced" claims, which only sizes its slices: three of them."""

_TO_COME = "again"
"""The topic whose call asks for a start in a moment instead of at once, and that a schedule calls once more."""
_MOMENT = timedelta(milliseconds=50)
_SCHEDULED_IN = timedelta(seconds=2)
_DECISIONS: dict[str, Action] = {"box": "settle_as_failed", "sliced": "resend"}

_CONNECTIONS = 6
_REST_S = 0.02


class Life(msgspec.Struct, frozen=True):
    """What one life is given. `shift_s` moves its clock past the leases of those before it."""

    dsn: str
    brand_id: UUID
    chronicle: Path
    failpoints: str = ""
    shift_s: float = 0.0
    patience_s: float = 20.0
    """After so long it gives up whatever it does: others hold what it needs."""
    idle_s_max: float = 20.0
    """After so long without anything due it leaves the rest, which is leased, to its heirs."""
    is_hasty: bool = False
    """It lets go of its first claim at once, as a worker does that is told to stop."""
    hits: Path | None = None
    """Where it writes down, at its end, how often it came to each of its failpoints."""


def live(life: Life) -> None:
    """Lives it to its end, or to the end of its patience."""
    set_up_logging("error", "json")
    arm(life.failpoints, {"deafen": partial(deafen, life.dsn)})
    asyncio.run(_live(life))
    if life.hits is not None:
        life.hits.write_bytes(msgspec.json.encode(hits()))


def say_no(life: Life) -> None:
    """Everybody opts out of everything, whatever another process is in the midst of."""
    set_up_logging("error", "json")
    asyncio.run(_say_no(life))


def prepare(dsn: str, port: int, hooks_port: int) -> UUID:
    """Sets the stage in an empty, migrated database, its relays at that port, its receiver at that; returns the brand."""
    topics = {
        "news": Relay(port),
        "again": Relay(port, "at_least_once"),
        "box": None,
        "sliced": Relay(port, "ask"),
        "hooks": Hook(hooks_port, batch_max=BATCH_MAX),
        ORDERS: Relay(port, lane="transactional"),
        TAGGED: Relay(port, kind="batch"),
    }

    async def main() -> UUID:
        async with _core(dsn, 0.0) as started:
            brand_id = (await set_stage(started, topics)).brand.id
            await services(started).schedules.create(brand_id, _once_in(_SCHEDULED_IN), is_test=False)
            async with started.db.autocommit() as conn:
                await conn.execute(_ARRIVE_PAUSED)
            return brand_id

    return asyncio.run(main())


def _once_in(time: timedelta) -> ScheduleDraft:
    return ScheduleDraft(
        name="Once",
        target=GeneratorTarget(_TO_COME, _TO_COME),
        context={},
        rule=Rule(time_zone="Europe/Berlin", at=f"{datetime.now(UTC) + time:%Y-%m-%dT%H:%M:%SZ}"),
        misfire_grace_s=3600,
        enabled=True,
    )


@asynccontextmanager
async def _core(dsn: str, shift_s: float, data: Path | None = None) -> AsyncIterator[Core]:
    settings = Settings.model_validate({"secret": SECRET, "allow_loopback": True, "data": data})
    async with core(settings, dsn, role="torture", size=_CONNECTIONS, shift=timedelta(seconds=shift_s)) as started:
        yield started


async def _live(life: Life) -> None:
    async with _core(life.dsn, life.shift_s, life.chronicle.parent) as started:
        with Chronicle(life.chronicle) as chronicle:
            try:
                async with asyncio.timeout(life.patience_s):
                    await _Living(life, started, chronicle).run_on()
            except TimeoutError:
                return


async def _say_no(life: Life) -> None:
    async with _core(life.dsn, life.shift_s) as started:
        with Chronicle(life.chronicle) as chronicle:
            for topic, audience in AUDIENCES.items():
                for name in audience:
                    await _leave(life, started, chronicle, name, topic)


async def _leave(life: Life, started: Core, chronicle: Chronicle, name: str, topic: str) -> None:
    chronicle.leaving(name, topic)
    act = Act(source=Source.API)
    await services(started).subscriptions.unsubscribe(life.brand_id, name, topic, None, act)
    chronicle.left(name, topic)


class _Living:
    def __init__(self, life: Life, started: Core, chronicle: Chronicle) -> None:
        self._life = life
        self._core = started
        self._services = services(started)
        self._chronicle = chronicle

    async def run_on(self) -> None:
        """As clients and workers do, says and does again what an outage of the database cut short."""
        while True:
            try:
                return await self._run()
            except Unavailable:
                await asyncio.sleep(_REST_S)

    async def _run(self) -> None:
        await self._let_copy_go()
        await self._import_people()
        await self._call_all()
        planning, schedules = self._planning(), schedule_keeper(self._core)
        await _until_false(planning)
        await _leave(self._life, self._core, self._chronicle, LEAVER, "news")
        await self._hesitate()
        channels = open_channels(self._core)
        try:
            name = worker_name()
            with worker_journal(self._core, name) as journal:
                delivering = deliverer(self._core, channels, name, journal=journal)
                if self._life.is_hasty:
                    await self._let_go(delivering)
                await self._work(planning, schedules, delivering)
                await self._decide()
                await self._work(planning, schedules, delivering)
            await apply_due(self._core.db)
            await drop_history(self._core.db, days=HISTORY_DAYS)
        finally:
            await channels.aclose()

    async def _let_copy_go(self) -> None:
        """What is on the stage was restored from a backup, as far as it knows; the first life lets it go."""
        if (await fence(self._core.db)).installation.paused_at is not None:
            # Whoever hears of an outage finds out whether that was before the commit or after it.
            with suppress(Conflict):
                await resume(self._core.db)

    async def _work(
        self, planning: Callable[[], Awaitable[bool]], schedules: ScheduleKeeper, delivering: Deliverer
    ) -> None:
        """What workers do, until everything has ended or nothing is due for long."""
        busy_at_s = boottime_s()
        while await self._is_open() and boottime_s() < busy_at_s + self._life.idle_s_max:
            begun = await schedules.run_due() + await start_due(self._core.db)
            await _until_false(planning)
            await _until_false(partial(carry_out_next, self._core.db))
            if begun + await self._deliver(delivering) + await end_forgotten(self._core.db):
                busy_at_s = boottime_s()
            await asyncio.sleep(_REST_S)

    def _planning(self) -> Callable[[], Awaitable[bool]]:
        """What casters and planners do next."""
        casting, planning = caster(self._core), planner(self._core)

        async def step() -> bool:
            return await casting.cast_next() or await casting.cast_next_alone() or await planning.plan_next()

        return step

    async def _decide(self) -> None:
        """What an operator does about doubt: the sandbox shows what it has, and the others shall rather get it twice."""
        async with self._core.db.read() as conn:
            cursor = await conn.execute("SELECT id, topic_key FROM execution ORDER BY id")
            executions = await cursor.fetchall()
        for execution_id, topic in executions:
            if action := _DECISIONS.get(topic):
                # Each life decides about the doubt that it finds.
                order, key = partial(self._order, execution_id, action), str(new_id())
                await answered_once(self._core.db, self._life.brand_id, key, bytes(32), order)

    async def _order(self, execution_id: UUID, action: Action) -> Answer:
        await self._services.executions.remedy(self._life.brand_id, execution_id, action, asked_by="torture")
        return Answer(202, {}, b"")

    def _known(self) -> Workload:
        return read_chronicle(self._chronicle.path)

    async def _import_people(self) -> None:
        if self._known().audiences:
            return
        names = sorted({name for audience in AUDIENCES.values() for name in audience})
        await self._import("customers", "external_id,email", [f"{name},{name}@example.com" for name in names])
        rows = [f"{name},{topic}" for topic, audience in AUDIENCES.items() for name in audience]
        await self._import("subscriptions", "external_id,topic", rows)
        async with self._core.db.autocommit() as conn:
            await conn.execute(_CLAIM_MANY, {"subscribers": _COUNTED_AS})
        for topic, audience in AUDIENCES.items():
            self._chronicle.people(topic, audience)
        self._chronicle.people(ORDERS, [*ORDERED, GUEST])
        self._chronicle.people(TAGGED, CHOSEN)

    async def _import(self, kind: FileKind, header: str, rows: list[str]) -> None:
        text = "\n".join([header, *rows, ""]).encode()
        service = self._services.imports
        job = await service.begin(self._life.brand_id, kind, "csv", kind, bytes_total=len(text))

        async def chunks() -> AsyncIterator[bytes]:
            yield text[job.bytes_done :]

        await service.run(self._life.brand_id, job.id, chunks())

    async def _call_all(self) -> None:
        known = self._known()
        accepted = {known.called[key] for key in known.accepted}
        closed = asyncio.Event()
        committing = asyncio.create_task(self._services.triggers.run_committer(closed))
        await asyncio.sleep(0)
        try:
            for topic in AUDIENCES:
                if topic not in accepted:
                    await self._call(topic)
            if ORDERS not in accepted:
                await self._send_messages()
            if TAGGED not in accepted:
                await self._run_campaign()
        finally:
            closed.set()
            await committing

    async def _call(self, topic: str) -> None:
        # One call goes the way of those who give no key: said again, it is another call.
        has_key = topic != "box"
        name = topic if has_key else f"{topic} {new_id()}"
        self._chronicle.called(name, topic)
        call = RunCall(
            brand_id=self._life.brand_id,
            generator_id=topic,
            topic_key=topic,
            context={},
            triggered_by="torture",
            start_at=datetime.now(UTC) + self._core.db.shift + _MOMENT if topic == _TO_COME else None,
            idempotency=Idempotency(topic, bytes(32), _answer_of) if has_key else None,
        )
        outcome = await self._services.triggers.run(call)
        execution = UUID(bytes=outcome.answer.body) if isinstance(outcome, Replayed) else outcome.execution_id
        self._chronicle.accepted(name, topic, str(execution))

    async def _send_messages(self) -> None:
        self._chronicle.called(ORDERS, ORDERS)
        call = MessageCall(
            brand_id=self._life.brand_id,
            generator_id=ORDERS,
            context={},
            recipients=[
                *(NamedRecipient(external_id=name, context={"order": name}) for name in ORDERED),
                NamedRecipient(email=f"{GUEST}@example.com"),
            ],
            triggered_by="torture",
            once=Once(ORDERS, bytes(32), lambda sent: _answer_of(sent.execution_id, False)),
        )
        outcome = await self._services.messages.send(call)
        execution = UUID(bytes=outcome.answer.body) if isinstance(outcome, Replayed) else outcome.execution_id
        self._chronicle.accepted(ORDERS, ORDERS, str(execution))

    async def _run_campaign(self) -> None:
        """A campaign of its own for a tag: all that the request stores is stored with its answer, or nothing."""
        self._chronicle.called(TAGGED, TAGGED)

        async def run() -> Answer:
            async with self._core.db.transaction() as conn:
                cursor = await conn.execute(_TAG, {"brand_id": self._life.brand_id, "name": TAGGED, "people": CHOSEN})
                tag_id, campaign_id = (await cursor.fetchall())[0]
            run = CampaignRun(
                brand_id=self._life.brand_id, campaign_id=campaign_id, audience=OfTag(tag_id), triggered_by="torture"
            )
            return _answer_of(await self._services.campaign_runs.start(run), False)

        answer, _ = await answered_once(self._core.db, self._life.brand_id, TAGGED, bytes(32), run)
        self._chronicle.accepted(TAGGED, TAGGED, str(UUID(bytes=answer.body)))

    async def _hesitate(self) -> None:
        """An operator pauses the news and who sends them, and lets both go on; what has ended meanwhile needs neither."""
        brand_id, executions, senders = self._life.brand_id, self._services.executions, self._services.senders
        async with self._core.db.read() as conn:
            cursor = await conn.execute(_NEWS)
            rows = await cursor.fetchall()
        for execution_id, sender_id in rows:
            for order in (executions.pause, executions.resume):
                with suppress(Conflict):
                    await order(brand_id, execution_id)
            await senders.pause(brand_id, sender_id)
            await senders.resume(brand_id, sender_id)

    async def _let_go(self, delivering: Deliverer) -> None:
        stop = asyncio.Event()
        stop.set()
        if claim := await delivering.claim():
            await delivering.deliver(claim, stop=stop)

    async def _deliver(self, delivering: Deliverer) -> int:
        """Delivers what is due; how many claims that were."""
        claims = 0
        while claim := await delivering.claim():
            await delivering.deliver(claim, stop=asyncio.Event())
            claims += 1
        return claims

    async def _is_open(self) -> bool:
        async with self._core.db.read() as conn:
            cursor = await conn.execute(_IS_OPEN)
            row = await cursor.fetchone()
        return bool(row and row[0])


_ARRIVE_PAUSED = """
    UPDATE installation
    SET backup_at = created_at, restored_at = created_at, paused_at = created_at, erasures_read_at = created_at,
        revocations_read_at = created_at"""
_IS_OPEN = """
    SELECT EXISTS (SELECT FROM execution WHERE ended_at IS NULL) OR EXISTS (SELECT FROM schedule WHERE next_at IS NOT NULL)"""
_NEWS = """
    SELECT e.id, s.id FROM execution e JOIN sender s ON s.brand_id = e.brand_id AND s.name = e.topic_key
    WHERE e.topic_key = 'news'"""
_TAG = """
    WITH made AS (
        INSERT INTO tag (id, brand_id, name, created_at, updated_at)
        SELECT c.id, c.brand_id, c.name, statement_timestamp(), statement_timestamp()
        FROM campaign c
        WHERE c.name = %(name)s AND c.brand_id = %(brand_id)s
        RETURNING id
    )
    INSERT INTO customer_tag (part, customer_id, tag_id, brand_id, place, tagged_at)
    SELECT c.part, c.customer_id, made.id, c.brand_id, 0, statement_timestamp()
    FROM customer c, made
    WHERE c.external_id = ANY(%(people)s) AND c.brand_id = %(brand_id)s
    RETURNING tag_id, tag_id AS campaign_id"""
_CLAIM_MANY = """
    UPDATE topic_counter SET subscribers = %(subscribers)s
    WHERE topic_id = (SELECT id FROM topic WHERE key = 'sliced') AND shard = (SELECT min(shard) FROM topic_counter)"""


def _answer_of(execution_id: UUID, told_before: bool) -> Answer:
    del told_before  # no generator here tells events apart
    return Answer(202, {}, execution_id.bytes)


def deafen(dsn: str) -> None:
    """From now on nothing that the database says is heard on its present connections: of a COMMIT, only that it was sent."""
    port = int(conninfo_to_dict(dsn).get("port") or 5432)
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(descriptor.name))) as candidate:
            peer = candidate.getpeername()
            if peer[1] == port if isinstance(peer, tuple) else b".s.PGSQL." in os.fsencode(peer):
                candidate.shutdown(socket.SHUT_RD)


async def _until_false(step: Callable[[], Awaitable[bool]]) -> None:
    while await step():
        continue
