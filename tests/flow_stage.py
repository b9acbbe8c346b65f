"""The stage of the stateful model: a brand with its people on a real database, their provider, and what is done there.

Beside what the services do, the stage writes down in plain dicts what an onlooker with a pencil would.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast
from uuid import UUID

from pull_world import Client, Pulls
from stentor.answers.model import Answer, Idempotency
from stentor.audience.customers import CustomerService
from stentor.audience.imports import ImportService
from stentor.audience.model import Act, CustomerPatch, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.campaigns.sources import PublicationSource
from stentor.channels.contract import Accepted as Taken
from stentor.channels.contract import Deferred, InDoubt, Message, NotSent, Outcome, Rejected, Wave
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.address import email_digest
from stentor.domain.ids import customer_id, new_id, part_of, send_keys
from stentor.domain.policy import BrandCap, BrandPolicy, CampaignPolicy
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.errors import Conflict, Unavailable, Unprocessable
from stentor.executions.ending import end_forgotten
from stentor.executions.explaining import ChannelExplanation, explain_channels
from stentor.executions.provider_events import apply_due
from stentor.executions.remedies import TREATMENTS, carry_out_next
from stentor.executions.service import sweep_expired
from stentor.failpoints import arm
from stentor.integrations.pulls.model import Puller
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin
from stentor.testing.engine import Engine
from stentor.testing.world import World
from stentor.triggers.model import Accepted, Replayed, RunCall
from trigger_world import taking_calls

if TYPE_CHECKING:
    from stentor.executions.remedies import Action

PEOPLE = ("ann", "ben", "cleo", "dora", "eve", "finn", "gus")
ZONES = {"ann": "Asia/Tokyo", "ben": "Asia/Tokyo"}
# 21:00 in Tokyo, where the night begins, and the afternoon in Berlin.
BEGINNING = datetime(2026, 7, 15, 12, 0, 30, tzinfo=UTC)
NIGHT = {"from": "21:00", "to": "08:00"}
CAP, WINDOW = 2, timedelta(hours=1)
GENERATORS = {"news": CampaignPolicy(), "flash": CampaignPolicy(deadline="2h"), "hub": CampaignPolicy(deadline="5h")}
PULLED = "hub"
"""What a service sends, which fetches whom it is for."""
PARTNER_CHANNEL = 505
_CLEARED = (
    "execution, slice, chunk, wave, tally, send, delivery_event, contact, address_claim, provider_event, customer, subscription, "
    "consent_event, address_owner, optout_recent, idempotency_key, topic_counter, topic_channel, topic_day, import_job, run_bucket, sender_bucket, "
    "reconciliation, remedy, customer_past, optout_lifted, partner_run, partner_run_counter, partner_event, pull_row, revocation, "
    "pull_watch"
)

PULLER = Puller(UUID(int=505), "service")
LEASE_OVER = timedelta(seconds=30)
# The longest night, and what is deferred until it begins.
_HOURS_TO_THE_END = 64

SendKey: TypeAlias = tuple[UUID, str]
"""An execution and a person's name."""


class Send(NamedTuple):
    """A row as the database has it."""

    state: SendState
    reason: Reason
    decided_at: datetime


class Crashed(BaseException):
    """What a killed process looks like to its own code: nothing of it runs on."""


class Life(Database):
    """The database as one process of the engine sees it, at the stage's time, until that process dies."""

    def __init__(self, real: Database) -> None:
        super().__init__(real.dsn)
        self._real = real
        self.is_over = False

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Connection]:
        if self.is_over:
            raise Crashed
        async with self._real._borrowed() as conn:
            conn.shift = self._real.shift
            yield conn


class FarSide:
    """A provider that answers each person's messages as told, and notes what it took before anybody learns of it."""

    def __init__(self, stage: "Stage") -> None:
        self._stage = stage
        self.reached = asyncio.Event()
        self.thawed: asyncio.Event | None = None
        self.answers: dict[str, Outcome] = {}
        self.tried: defaultdict[SendKey, list[datetime]] = defaultdict(list)
        self.taken: defaultdict[SendKey, list[datetime]] = defaultdict(list)
        self.contacted_against_their_will: list[SendKey] = []

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        outcomes = [self._answer(key) for key in self._keys(messages)]
        if self.thawed is not None:
            self.reached.set()
            await self.thawed.wait()
        return outcomes

    async def aclose(self) -> None:
        return None

    def _answer(self, key: SendKey) -> Outcome:
        outcome = self.answers.get(key[1], Taken())
        self.tried[key].append(self._stage.now)
        if isinstance(outcome, Taken | InDoubt) and outcome is not NEVER_TAKEN:
            self.taken[key].append(self._stage.now)
            if not self._stage.may_be_written_to(key[1]):
                self.contacted_against_their_will.append(key)
        if isinstance(outcome, InDoubt):
            self._stage.doubts[key] += 1
        # The next try finds the provider in a better mood, or an execution would never end.
        if isinstance(outcome, NotSent):
            del self.answers[key[1]]
        return outcome

    def _keys(self, messages: Sequence[Message]) -> list[SendKey]:
        return [
            (execution, self._stage.names[customer])
            for execution, customer in send_keys([message.send_id for message in messages])
        ]


NEVER_TAKEN = InDoubt("the connection was lost, and the message with it")
OUTCOMES: dict[str, Outcome] = {
    "accepted": Taken(),
    "deferred": Deferred("450 later"),
    "rejected": Rejected("550 no"),
    "dead": Rejected("550 5.1.1 nobody", bad_address=True),
    "in_doubt": InDoubt("the reply was lost"),
    "never_taken": NEVER_TAKEN,
    "not_sent": NotSent("too old"),
    "away": Deferred("connection refused", sender_wide=True),
}


class Stage:
    """One brand, and what an onlooker knows of it. Each example of a test begins with `cleared`."""

    def __init__(self, db: Database, world: World) -> None:
        self.db = db
        self.world = world
        self.publications = PublicationSource(db)
        self.names = {customer_id(world.brand_id, name): name for name in PEOPLE}
        self._forget()

    def _forget(self) -> None:
        self.far_side = FarSide(self)
        self.executions: list[UUID] = []
        self.under_key: dict[str, UUID] = {}
        self.audiences: dict[UUID, set[str]] = {}
        self.subscribed: set[str] = set()
        self.withdrawn: set[str] = set()
        self.refused: set[str] = set()
        self.listed: set[str] = set()
        self.reported: set[str] = set()
        self.doubts: Counter[SendKey] = Counter()
        self.resends: Counter[SendKey] = Counter()
        self.settled_by_word: set[SendKey] = set()
        self.told: dict[SendKey, Send] = {}
        self.revoked: set[SendKey] = set()
        self._begin_life()

    def _begin_life(self) -> None:
        arm("")
        self.life = Life(self.db)
        self.engine = Engine(self.life, self.far_side)
        self.pulls = Pulls(self.life)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.db.shift

    def may_be_written_to(self, name: str) -> bool:
        return name in self.subscribed and name not in self.refused | self.listed | self.reported

    @classmethod
    async def made(cls, db: Database) -> "Stage":
        """The stage, with nobody on it."""
        # Before the stories begin: each of them is told by the brand's last settings.
        db.shift = BEGINNING - datetime.now(UTC) - timedelta(minutes=1)
        world = await World.made(db)
        await world.settings(quiet_hours=[NIGHT], default_time_zone="Europe/Berlin")
        await world.brand_policy(BrandPolicy((BrandCap(CAP, f"{WINDOW.seconds}s"),)))
        for name, policy in GENERATORS.items():
            partners = [await world.partner(ChannelKind.EMAIL, number=PARTNER_CHANNEL)] if name == PULLED else []
            publication_id = await world.publication(policy=policy, partners=partners)
            async with db.autocommit() as conn:
                await conn.execute(
                    "INSERT INTO event_generator (brand_id, id, name, type, campaign_id, publication_id, created_at, updated_at)"
                    " SELECT brand_id, %s, %s, 'api_triggered', campaign_id, id, created_at, created_at FROM publication"
                    " WHERE id = %s",
                    [name, name, publication_id],
                )
        return cls(db, world)

    async def cleared(self) -> None:
        """Time and tables are as they were when the stage was made, but that there are people, opted in to nothing."""
        self.db.shift = BEGINNING - datetime.now(UTC)
        self._forget()
        async with self.db.autocommit() as conn:
            await conn.execute(f"TRUNCATE {_CLEARED} CASCADE".encode())
        patches = [
            CustomerPatch(external_id=name, email=f"{name}@example.com", time_zone=ZONES.get(name, "Europe/Berlin"))
            for name in PEOPLE
        ]
        await CustomerService(self.life).upsert_many(self.world.brand_id, patches)

    async def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        async with self.db.read() as conn:
            return await (await conn.execute(query.encode(), params)).fetchall()

    async def sends(self) -> dict[SendKey, Send]:
        """Everybody's fate in every execution, as the database has it."""
        rows = await self.rows("SELECT execution_id, customer_id, state, reason, decided_at FROM send")
        return {
            (execution, self.names[customer]): Send(SendState(state), Reason(reason), at)
            for execution, customer, state, reason, at in rows
        }

    async def explained(self, execution_id: UUID, name: str) -> list[ChannelExplanation]:
        """What is told of a person in an execution. Nothing happens meanwhile here: what was stamped was just decided."""
        execution = await self.engine.executions.find(self.world.brand_id, execution_id)
        publication = await self.publications.load(self.world.brand_id, execution.publication_id)
        async with self.db.read() as conn:
            return await explain_channels(
                conn, self.engine.look_up, execution, publication, self._id(name), meanwhile=timedelta()
            )

    # What people choose.

    async def subscribe(self, names: Collection[str]) -> None:
        service, act = SubscriptionService(self.life), Act(source=Source.API)
        for name in sorted(names):
            await service.subscribe(self.world.brand_id, name, "news", ChannelKind.EMAIL.bit, act)
        self.subscribed.update(names)
        self.withdrawn.difference_update(names)

    async def import_subscriptions(self, names: Collection[str]) -> None:
        brand_id, service = self.world.brand_id, ImportService(self.life)
        lines = "".join(f"{name},news,email\n" for name in sorted(names))
        job = await service.begin(brand_id, "subscriptions", "csv", str(new_id()))
        await service.run(brand_id, job.id, _file_of(f"external_id,topic,channels\n{lines}"))
        self.subscribed |= set(names) - self.withdrawn

    async def withdraw(self, names: Collection[str]) -> None:
        service, act = SubscriptionService(self.life), Act(source=Source.ONE_CLICK)
        for name in sorted(names):
            await service.withdraw(self.world.brand_id, self._id(name), self.world.topic_id, act)
        self.withdrawn |= self.subscribed.intersection(names)
        self.subscribed.difference_update(names)

    async def refuse(self, names: Collection[str]) -> None:
        service, act = SubscriptionService(self.life), Act(source=Source.ONE_CLICK)
        for name in sorted(names):
            await service.withdraw_all(self.world.brand_id, self._id(name), act)
        self.refused.update(names)

    async def list_addresses(self, names: Collection[str]) -> None:
        entries = [OptOut(ChannelKind.EMAIL, _digest(name), "api") for name in names]
        async with self.life.transaction() as conn:
            await add_to_builtin(conn, self.world.brand_id, entries)
        self.listed.update(names)

    async def agree(self, names: Collection[str]) -> None:
        service, act = SubscriptionService(self.life), Act(source=Source.PREFERENCE_PAGE)
        for name in sorted(names):
            await service.agree(self.world.brand_id, self._id(name), ChannelKind.EMAIL.bit, act)
        self.refused.difference_update(names)
        self.listed.difference_update(names)

    def _id(self, name: str) -> UUID:
        return customer_id(self.world.brand_id, name)

    # What callers and operators ask for.

    async def trigger(self, generator: str, key: str) -> UUID | None:
        """The call's execution; None where it is refused because its key was used for the other generator."""
        body = generator.encode().ljust(32)
        once = Idempotency(key, body, lambda made, _known: Answer(202, {}, made.bytes)) if key else None
        call = RunCall(
            brand_id=self.world.brand_id,
            generator_id=generator,
            topic_key="news",
            context={},
            triggered_by="key 1",
            idempotency=once,
        )
        async with taking_calls(self.life) as service:
            try:
                outcome = await service.run(call)
            except Unprocessable:
                assert key in self.under_key
                return None
        if isinstance(outcome, Replayed):
            execution = UUID(bytes=outcome.answer.body)
            assert self.under_key.setdefault(key, execution) == execution
        else:
            assert isinstance(outcome, Accepted)
            assert key not in self.under_key
            execution = outcome.execution_id
            if key:
                self.under_key[key] = execution
        if execution not in self.executions:
            self.executions.append(execution)
        return execution

    async def hear_nothing_and_repeat(self, generator: str, key: str, point: str) -> UUID | None:
        """A call whose process dies, so that its caller asks again under the same key."""

        async def dies() -> None:
            # The process's other tasks die of it too, and say so together.
            with suppress(BaseExceptionGroup):
                await self.trigger(generator, key)

        await self.dying(dies, point)
        return await self.trigger(generator, key)

    async def order(self, execution: UUID, order: str) -> None:
        """Pauses, resumes, cancels, or orders a remedy, where the execution's state allows it."""
        service, brand_id = self.engine.executions, self.world.brand_id
        with suppress(Conflict):
            if order not in TREATMENTS:
                await getattr(service, order)(brand_id, execution)
                return
            action = cast("Action", order)
            treated = [
                key
                for key, send in (await self.sends()).items()
                if key[0] == execution and send.state is TREATMENTS[action].state_from
            ]
            await service.remedy(brand_id, execution, action, asked_by="key 1")
            if action == "resend":
                self.resends.update(treated)
            elif action != "retry_failed":
                self.settled_by_word.update(treated)

    # What processes do, to their end or not.

    async def plan(self) -> None:
        await self.engine.plan()

    async def deliver(self) -> None:
        await self.engine.drain()

    async def carry_out(self) -> None:
        while await carry_out_next(self.life):
            continue

    async def keep(self) -> None:
        await sweep_expired(self.life)
        await end_forgotten(self.life)
        await apply_due(self.life)

    async def pull(self) -> None:
        """A service fetches everybody of what goes on and of what ended last, by one page of a list that is frozen for it."""
        runs = await self.rows(
            "SELECT number, execution_id FROM partner_run r JOIN execution e ON e.id = r.execution_id"
            " WHERE e.ended_at IS NULL OR number = (SELECT max(number) FROM partner_run) ORDER BY number"
        )
        for number, execution in runs:
            before = await self.sends()
            waiting = {key for key, send in before.items() if key[0] == execution and send.state is SendState.PENDING}
            for key in waiting:
                # What a list reserves is counted, also where whoever freezes it dies.
                self.far_side.tried[key].append(self.now)
            with suppress(Unavailable):
                listed = await Client(self.pulls, self.world, puller=PULLER).names(number, channels=(PARTNER_CHANNEL,))
                if self.life.is_over:
                    raise Crashed
                await self._note_the_page(execution, listed, waiting)

    async def _note_the_page(self, execution: UUID, listed: Sequence[str], waiting: set[SendKey]) -> None:
        """Whoever waited and is on the page has now been given away, and nobody else has."""
        sends = await self.sends()
        page = {(execution, name) for name in listed}
        assert len(page) == len(listed)
        assert sorted(listed) == list(listed)
        given = {key for key in waiting if sends[key].state is SendState.HANDED_OVER}
        assert given == page & waiting
        assert all(sends[key].state is SendState.HANDED_OVER for key in page)
        for key in given:
            self.far_side.taken[key].append(self.now)
        self.far_side.contacted_against_their_will += [key for key in page if not self.may_be_written_to(key[1])]

    async def watch(self) -> None:
        """Whoever has said no since a list was frozen is looked for."""
        await self.pulls.look()

    async def dying(self, work: Callable[[], Awaitable[None]], point: str, hit: int = 1) -> None:
        """Does the work, and dies of it when it comes to that place that often; then another process begins."""
        arm(f"{point}=crash@{hit}", {"crash": self._die})
        try:
            await work()
        except Crashed:
            await self._note_the_wire()
        finally:
            self._begin_life()

    def _die(self) -> None:
        self.life.is_over = True
        raise Crashed

    async def outlive(self) -> None:
        """A worker freezes with messages on the wire, its heir goes on, and then it thaws."""
        self.far_side.reached.clear()
        self.far_side.thawed = thawed = asyncio.Event()
        frozen = asyncio.ensure_future(self.engine.deliver())
        reached = asyncio.ensure_future(self.far_side.reached.wait())
        await asyncio.wait([frozen, reached], return_when=asyncio.FIRST_COMPLETED)
        self.far_side.thawed = None
        if not frozen.done():
            await self._note_the_wire()
            self.db.shift += LEASE_OVER
            await Engine(Life(self.db), self.far_side, worker="heir").drain()
        thawed.set()
        reached.cancel()
        await frozen

    async def _note_the_wire(self) -> None:
        """What lies in open waves when a process dies was perhaps taken, and nobody will ever hear whether it was."""
        for execution, customer in await self.rows(
            "SELECT s.execution_id, s.customer_id FROM wave v JOIN send s ON s.execution_id = v.execution_id AND s.chunk = v.chunk"
            " AND s.customer_id BETWEEN v.key_from AND v.key_to WHERE v.settled_at IS NULL AND s.state = 0"
        ):
            self.doubts[execution, self.names[customer]] += 1

    # What happens to all of them.

    async def report(self, name: str, kind: str) -> None:
        """The provider reports something about the last message to the person, twice, as providers do."""
        taken = [execution for execution, who in self.far_side.taken if who == name]
        if not taken:
            return
        customer, digest = self._id(name), _digest(name)
        for _ in range(2):
            async with self.db.autocommit() as conn:
                await conn.execute(
                    "INSERT INTO provider_event (shard, provider, event_id, brand_id, execution_id, customer_id, part, channel,"
                    " digest, kind, at, due_at) VALUES (0, 'provider', %s, %s, %s, %s, %s, 1, %s, %s, %s, %s)"
                    " ON CONFLICT DO NOTHING",
                    [
                        *(f"{kind} {name}", self.world.brand_id, taken[-1], customer, part_of(customer), digest, kind),
                        *(self.now, self.now),
                    ],
                )
            await apply_due(self.life)
        if kind != "delivered":
            self.reported.add(name)

    async def let_everything_end(self) -> None:
        """All obstacles go, and hours pass."""
        self.far_side.answers.clear()
        for execution in self.executions:
            await self.order(execution, "resume")
        for _ in range(_HOURS_TO_THE_END // 4):
            await self.keep()
            await self.carry_out()
            await self.deliver()
            if not await self.rows("SELECT id FROM execution WHERE ended_at IS NULL LIMIT 1"):
                break
            self.db.shift += timedelta(hours=4)


def _digest(name: str) -> bytes:
    return email_digest(f"{name}@example.com")


async def _file_of(text: str) -> AsyncIterator[bytes]:
    yield text.encode()
