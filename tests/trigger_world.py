"""A brand with event generators, and services that take calls for it: what the tests of triggers share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import Brand
from stentor.accounts.service import AccountService
from stentor.answers.model import Answer, Idempotency
from stentor.campaigns.model import Deduplication, GeneratorType, LaneName, PublishedContent
from stentor.campaigns.sources import CampaignSource, GeneratorSource, PublicationSource
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.ids import SendIds, new_id
from stentor.domain.links import LinkSigner
from stentor.domain.policy import CampaignPolicy
from stentor.errors import Problem
from stentor.executions.composing import Composer
from stentor.executions.quieting import QuietSource
from stentor.executions.service import ExecutionService
from stentor.optouts.look_up import LookUp
from stentor.optouts.runs.holders import Indexes
from stentor.testing.engine import NO_FILES, PlainRenderers
from stentor.triggers.campaign_runs import CampaignChecker
from stentor.triggers.checking import CallChecker
from stentor.triggers.committer import CommitLimits
from stentor.triggers.model import RunCall, RunOutcome
from stentor.triggers.schedules.service import ScheduleService
from stentor.triggers.schedules.targets import TargetChecker
from stentor.triggers.service import TriggerService

KEY = b"a key for tests that is long enough to be one"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["match_id"],
    "properties": {"match_id": {"type": "string"}, "minute": {"type": "integer"}},
}


async def make_brand(db: Database, name: str = "Football", **settings: Any) -> Brand:
    accounts = AccountService(db, b"p" * 32)
    brand = await accounts.create_brand(name)
    return await accounts.update_brand_settings(brand.id, settings)


async def make_generator(
    db: Database,
    brand: Brand,
    generator_id: str,
    *,
    type: GeneratorType = "api_triggered",  # noqa: A002  the column's name
    lane: LaneName = "bulk",
    schema: dict[str, Any] | None = None,
    deduplication: Deduplication | None = None,
    published: bool = True,
) -> UUID:
    """An event generator that runs an empty campaign; returns the id of its publication."""
    campaign_id, publication_id = new_id(), new_id()
    content = PublishedContent(
        campaign_id,
        generator_id,
        "topic",
        "all",
        lane,
        (),
        {},
        schema,
        {"name": brand.name},
        CampaignPolicy(),
        deduplication=deduplication,
    )
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO campaign (id, brand_id, name, consent_basis, mode, lane, routes, created_at, updated_at)"
            " VALUES (%s, %s, %s, 'topic', 'all', %s, '[]', now(), now())",
            [campaign_id, brand.id, generator_id, lane],
        )
        await conn.execute(
            "INSERT INTO publication (id, brand_id, campaign_id, content, created_at) VALUES (%s, %s, %s, %s, now())",
            [publication_id, brand.id, campaign_id, Jsonb(msgspec.to_builtins(content))],
        )
        await conn.execute(
            "INSERT INTO event_generator (brand_id, id, name, type, campaign_id, publication_id, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, now(), now())",
            [brand.id, generator_id, generator_id, type, campaign_id, publication_id if published else None],
        )
    return publication_id


def executions_of(db: Database) -> ExecutionService:
    composer = Composer(PlainRenderers(), SendIds(KEY), LinkSigner(KEY), "http://localhost")
    quiet = QuietSource(BrandDirectory(db))
    return ExecutionService(db, PublicationSource(db), composer, quiet, LookUp(Indexes(NO_FILES)))


def checker_of(db: Database) -> TargetChecker:
    """What says whether that which schedules start may run."""
    brands, publications = BrandDirectory(db), PublicationSource(db)
    campaigns = CampaignChecker(brands, CampaignSource(db, publications))
    return TargetChecker(CallChecker(brands, GeneratorSource(db, publications)), campaigns)


def schedules_of(db: Database) -> ScheduleService:
    return ScheduleService(db, checker_of(db), executions_of(db))


@asynccontextmanager
async def taking_calls(
    db: Database, limits: CommitLimits | None = None, *, clock: Clock | None = None
) -> AsyncIterator[TriggerService]:
    """A service like that of one API process, which takes calls within the block; its clock is right unless given."""
    brands, generators = BrandDirectory(db), GeneratorSource(db, PublicationSource(db))
    service = TriggerService(db, brands, generators, executions_of(db), clock=clock or Clock(), limits=limits)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(service.run_committer(stop))
        await asyncio.sleep(0)
        try:
            yield service
        finally:
            stop.set()


def call_of(
    brand: Brand, generator_id: str = "kick-off", *, key: str | None = None, body: str = "", **changes: Any
) -> RunCall:
    """A call; with a key it is to be answered once, and `body` tells equal calls from others."""
    idempotency = None if key is None else Idempotency(key, body.encode().ljust(32, b"-"), answer_of)
    call = RunCall(
        brand_id=brand.id,
        generator_id=generator_id,
        topic_key="team-42",
        context={"match_id": "m-1"},
        triggered_by="key 1",
        idempotency=idempotency,
    )
    return msgspec.structs.replace(call, **changes)


def answer_of(execution_id: UUID, deduplicated: bool = False) -> Answer:
    headers = {"Content-Type": "application/json"} | ({"Told-Before": "yes"} if deduplicated else {})
    return Answer(202, headers, f'{{"id":"{execution_id}"}}'.encode())


async def outcomes_of(service: TriggerService, calls: list[RunCall]) -> list[RunOutcome | Problem]:
    """What becomes of calls that are made at the same moment."""
    found = await asyncio.gather(*(service.run(call) for call in calls), return_exceptions=True)
    for outcome in found:
        if isinstance(outcome, BaseException) and not isinstance(outcome, Problem):
            raise outcome
    return [outcome for outcome in found if not isinstance(outcome, BaseException) or isinstance(outcome, Problem)]


async def rows(db: Database, query: str, *params: Any) -> list[tuple[Any, ...]]:
    async with db.read() as conn:
        return await (await conn.execute(query.encode(), params)).fetchall()
