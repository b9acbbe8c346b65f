"""What the model of the flow knows in plain dicts, and the stage that it is played on: a brand, its people, their far side."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from stentor.audience.customers import CustomerService
from stentor.audience.imports import ImportService
from stentor.audience.model import CustomerPatch
from stentor.audience.subscriptions import SubscriptionService
from stentor.channels.contract import Accepted, Deferred, InDoubt, Message, NotSent, Outcome, Rejected, Wave
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, send_keys
from stentor.domain.policy import BrandCap, BrandPolicy, CampaignPolicy
from stentor.failpoints import arm
from stentor.testing.engine import Engine
from stentor.testing.world import World

PEOPLE = ("ann", "ben", "cleo", "dora", "eve", "finn", "gus")
ZONES = {"ann": "Asia/Tokyo", "ben": "Asia/Tokyo"}
# 21:00 in Tokyo, where the night begins, and the afternoon in Berlin.
BEGINNING = datetime(2026, 7, 15, 12, 0, 30, tzinfo=UTC)
NIGHT = {"from": "21:00", "to": "08:00"}
CAP, WINDOW = 2, timedelta(hours=1)
GENERATORS = {"news": CampaignPolicy(), "flash": CampaignPolicy(deadline="2h")}
_CLEARED = (
    "execution, slice, chunk, wave, tally, send, delivery_event, contact, address_claim, provider_event, customer, subscription, "
    "consent_event, address_owner, optout_recent, idempotency_key, topic_counter, import_job, run_bucket, sender_bucket, "
    "reconciliation, remedy"
)

SendKey: TypeAlias = tuple[UUID, str]
"""An execution and a person's name."""


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
        self.answers: dict[str, Outcome] = {}
        self.tried: defaultdict[SendKey, list[datetime]] = defaultdict(list)
        self.taken: defaultdict[SendKey, list[datetime]] = defaultdict(list)
        self.contacted_against_their_will: list[SendKey] = []

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        return [self._answer(message, key) for message, key in zip(messages, self._keys(messages), strict=True)]

    async def aclose(self) -> None:
        return None

    def _answer(self, message: Message, key: SendKey) -> Outcome:
        outcome = self.answers.get(key[1], Accepted())
        self.tried[key].append(self._stage.now)
        if isinstance(outcome, Accepted | InDoubt):
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


OUTCOMES: dict[str, Outcome] = {
    "accepted": Accepted(),
    "deferred": Deferred("450 later"),
    "rejected": Rejected("550 no"),
    "dead": Rejected("550 5.1.1 nobody", bad_address=True),
    "in_doubt": InDoubt("the reply was lost"),
    "not_sent": NotSent("too old"),
    "away": Deferred("connection refused", sender_wide=True),
}


class Stage:
    """One brand on a real database, what its callers were promised, and what an onlooker with a pencil knows of it."""

    def __init__(self, db: Database, world: World) -> None:
        self.db = db
        self.world = world
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
        self.dead: set[str] = set()
        self.doubts: Counter[SendKey] = Counter()
        self.resends: Counter[SendKey] = Counter()
        self.settled_by_word: set[SendKey] = set()
        self.started_over()

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.db.shift

    def may_be_written_to(self, name: str) -> bool:
        return name in self.subscribed and name not in self.refused | self.dead

    @classmethod
    async def made(cls, db: Database) -> "Stage":
        """The stage with nobody on it."""
        db.shift = BEGINNING - datetime.now(UTC)
        world = await World.made(db)
        await world.settings(quiet_hours=[NIGHT], default_time_zone="Europe/Berlin")
        await world.brand_policy(BrandPolicy((BrandCap(CAP, f"{WINDOW.seconds}s"),)))
        for name, policy in GENERATORS.items():
            publication_id = await world.publication(policy=policy)
            async with db.autocommit() as conn:
                await conn.execute(
                    "INSERT INTO event_generator (brand_id, id, name, type, campaign_id, publication_id, created_at, updated_at)"
                    " SELECT brand_id, %s, %s, 'api_triggered', campaign_id, id, created_at, created_at FROM publication"
                    " WHERE id = %s",
                    [name, name, publication_id],
                )
        return cls(db, world)

    async def cleared(self) -> None:
        """Everything is as it was when the stage was made, but for the people, who are there and opted in to nothing."""
        self.db.shift = BEGINNING - datetime.now(UTC)
        self._forget()
        async with self.db.autocommit() as conn:
            await conn.execute(f"TRUNCATE {_CLEARED} CASCADE".encode())
        patches = [
            CustomerPatch(external_id=name, email=f"{name}@example.com", time_zone=ZONES.get(name, "Europe/Berlin"))
            for name in PEOPLE
        ]
        await CustomerService(self.life).upsert_many(self.world.brand_id, patches)

    def started_over(self) -> None:
        """A process of the engine begins to live."""
        arm("")
        self.life = Life(self.db)
        self.engine = Engine(self.life, self.far_side)
        self.subscriptions = SubscriptionService(self.life)
        self.imports = ImportService(self.life)

    async def crashing(self, work: Callable[[], Awaitable[Any]], point: str, hit: int) -> None:
        """Does the work, and dies of it when it comes to that place that often; then another process begins."""
        arm(f"{point}=crash@{hit}", {"crash": self._die})
        try:
            await work()
        except Crashed:
            await self._note_the_wire()
        finally:
            self.started_over()

    def _die(self) -> None:
        self.life.is_over = True
        raise Crashed

    async def _note_the_wire(self) -> None:
        """What lies in open waves when a process dies was perhaps taken, and nobody will ever hear whether it was."""
        for execution, customer in await self.rows(
            "SELECT s.execution_id, s.customer_id FROM wave v JOIN send s ON s.execution_id = v.execution_id AND s.chunk = v.chunk"
            " AND s.customer_id BETWEEN v.key_from AND v.key_to WHERE v.settled_at IS NULL AND s.state = 0"
        ):
            self.doubts[execution, self.names[customer]] += 1

    async def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        async with self.db.read() as conn:
            return await (await conn.execute(query.encode(), params)).fetchall()


async def file_of(text: str) -> AsyncIterator[bytes]:
    yield text.encode()
    await asyncio.sleep(0)
