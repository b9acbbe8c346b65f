"""From one POST to the last message in a mail server: cold, as the first call after a start is."""

import asyncio

from stentor.cli.bench.club import GENERATOR, Club, add_people, add_topics, found_club
from stentor.cli.bench.executions import until_ended
from stentor.cli.bench.fixtures import CONTEXT
from stentor.cli.bench.result import Measure, megabytes, seconds
from stentor.cli.bench.sink import checked_sink
from stentor.cli.client import Called, Client
from stentor.cli.memory import MemoryWatch
from stentor.cli.output import fail
from stentor.cli.premises import Premises

PEOPLE = 127_450
_POLL_EVERY_S = 0.01
_TOPIC = "kick-off"


async def measure(premises: Premises, people: int) -> dict[str, Measure]:
    """POST sent → `published` seen by a client that polls, and → execution ended, its last message in the sink."""
    with checked_sink() as sink:
        async with MemoryWatch(premises.data) as memory, premises.running():
            club = await found_club(premises, smtp_port=sink.port)
            await add_people(premises, club, people)
            await add_topics(premises, club, [_TOPIC], people)
            called, published_s = await _called(premises, club)
            ended = await until_ended(premises, club, called.execution_id)
        sink.check(ended.handed_over)
    return {
        "published_s": seconds(published_s),
        "handed_over_s": seconds(ended.at.timestamp() - called.sent_at_s),
        "peak_rss_mb": megabytes(memory.peak_mb),
    }


async def _called(premises: Premises, club: Club) -> tuple[Called, float]:
    await premises.until_listening()
    client = Client(premises.url, club.brand, club.key)
    try:
        called = await client.run(GENERATOR, _TOPIC, CONTEXT)
        return called, await _until_published(client, called)
    finally:
        client.close()


async def _until_published(client: Client, called: Called) -> float:
    while True:
        status = await client.status(called.execution_id)
        if status == "published":
            return called.elapsed_s
        if status == "failed":
            fail("The execution failed; the log above says why.")
        await asyncio.sleep(_POLL_EVERY_S)
