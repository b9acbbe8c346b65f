"""Twenty executions meet the same people in the same second, some of them on senders with a pace, under two rolling caps."""

import asyncio
import random
from pathlib import Path
from uuid import UUID

import psycopg

from stentor.cli.premises import Premises, import_blocks, on_premises
from stentor.domain.policy import BrandCap
from stentor.testing.smtp_local import SinkProcess
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.stage import Relay, set_stage
from stentor.testing.torture.verdict import Verdict, judge
from stentor.testing.torture.workload import Clients
from stentor.testing.waiting import eventually

EXECUTIONS = 20
CAPS = (BrandCap(at_most=2, per="10s", tags=("news",)), BrandCap(at_most=5, per="1h", tags=("news",)))
PACED_S = 5.0
"""How long a sender with a pace would take to reach everybody once: its waves come while the first window rolls on."""

_FAST, _PACED = ("one", "two", "three"), ("slow", "slower")
_WITHIN_S = 240.0


def meet(people: int, folder: Path) -> Verdict:
    """The verdict over chronicle and ledger (`mail.index`), which stay in the folder."""
    return on_premises(lambda premises: _meet(premises, people, folder))


async def _meet(premises: Premises, people: int, folder: Path) -> Verdict:
    names = [f"fan-{number}" for number in range(people)]
    dsn, index = premises.core.db.dsn, folder / "mail.index"
    with SinkProcess(folder / "mail") as sink, Chronicle(folder / "chronicle") as chronicle:
        fast = {topic: Relay(sink.port, tag="news") for topic in _FAST}
        paced = {topic: Relay(sink.port, tag="news", pace_per_s=people / PACED_S) for topic in _PACED}
        stage = await set_stage(premises.core, fast | paced, caps=CAPS)
        topics = [*_FAST, *_PACED]
        await _add_people(premises, stage.brand.id, names, topics)
        for topic in topics:
            chronicle.people(topic, names)
        async with premises.running():
            await premises.until_listening()
            caps = [{"at_most": cap.at_most, "per_s": cap.per_s, "topics": topics} for cap in CAPS]
            chronicle.note("began", rules={"caps": caps}, fault_kinds=[])
            clients = Clients(
                premises.settings.port, stage, chronicle, dict.fromkeys(topics, names), random.Random(people)
            )
            await asyncio.gather(*(clients.call(topics[number % len(topics)]) for number in range(EXECUTIONS)))
            chronicle.note("ended")
            await eventually(lambda: _all_ended(dsn), _WITHIN_S)
    return await asyncio.to_thread(judge, dsn, chronicle.path, [index], seed=people)


async def _add_people(premises: Premises, brand_id: UUID, names: list[str], topics: list[str]) -> None:
    customers = ["external_id,email\n", *(f"{name},{name}@example.com\n" for name in names)]
    choices = ["external_id,topic\n", *(f"{name},{topic}\n" for name in names for topic in topics)]
    await import_blocks(premises, brand_id, "customers", ["".join(customers).encode()], source="people")
    await import_blocks(premises, brand_id, "subscriptions", ["".join(choices).encode()], source="choices")


async def _all_ended(dsn: str) -> bool:
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        cursor = await conn.execute("SELECT count(*) FROM execution WHERE state = 'ended'")
        return await cursor.fetchone() == (EXECUTIONS,)
