"""People who are on lists that services have pulled, and what those are told of them."""

from pathlib import Path
from typing import Any
from uuid import UUID

from erasure_world import Erasing
from pull_world import SMS, Stage
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.integrations.pulls.model import Pull, Revocation
from trigger_world import rows

NAMES = [f"p{number}" for number in range(8)]


async def made(db: Database, names: list[str], **engine: Any) -> Stage:
    """People with numbers of their own, as a caller makes them."""
    stage = await Stage.made(db, **engine)
    erasing = Erasing(stage.world, Path("unused"))
    for place, name in enumerate(names):
        await erasing.add(name, phone=f"+4915112345{place:03}")
        await stage.world.choose(name, SMS.bit)
    return stage


async def latest(stage: Stage) -> Pull:
    (pull, *_) = await stage.pulls.service.pulls(stage.world.brand_id, execution_id=None, before=None, limit=10)
    return pull


async def feed(stage: Stage, after: int = 0) -> list[Revocation]:
    return await stage.pulls.service.revocations(stage.world.brand_id, (await latest(stage)).id, after=after, limit=100)


async def told(stage: Stage) -> dict[str, str]:
    """Who is in the feed, by the reason; by the id alone who has no name any more."""
    ids = {customer_id(stage.world.brand_id, name): f"({name})" for name in NAMES}
    return {one.external_id or ids[one.customer_id]: one.reason.label for one in await feed(stage)}


async def builtin(db: Database, brand_id: UUID) -> str:
    """The code of the brand's built-in list."""
    ((code,),) = await rows(db, "SELECT code FROM optout_list WHERE brand_id = %s AND built_in", brand_id)
    return code


async def code_of(db: Database, name: str) -> str:
    ((code,),) = await rows(db, "SELECT code FROM optout_list WHERE name = %s", name)
    return code
