"""What two workers hand over by SMTP: claimed, guarded, rendered, sent, settled; planned before the clock starts."""

from stentor.cli.bench.club import add_people, add_topics, found_club
from stentor.cli.bench.executions import call, until_ended, until_published
from stentor.cli.bench.result import Measure, megabytes, per_s
from stentor.cli.bench.sink import checked_sink
from stentor.cli.memory import MemoryWatch
from stentor.cli.premises import Premises
from stentor.clock import Clock

PEOPLE = 127_450
_TOPIC = "kick-off"


async def measure(premises: Premises, people: int) -> dict[str, Measure]:
    """Messages per second from the moment when the paused sender is let go on to the end of the execution."""
    with checked_sink() as sink:
        async with MemoryWatch(premises.data) as memory, premises.running():
            club = await found_club(premises, smtp_port=sink.port)
            await add_people(premises, club, people)
            await add_topics(premises, club, [_TOPIC], people)
            await premises.services.senders.pause(club.brand.id, club.sender.id)
            called = await call(premises, club, _TOPIC)
            await until_published(premises, club, called.execution_id)
            started_at = Clock().now()
            await premises.services.senders.resume(club.brand.id, club.sender.id)
            ended = await until_ended(premises, club, called.execution_id)
        sink.check(ended.handed_over)
    took_s = (ended.at - started_at).total_seconds()
    return {"smtp_per_s": per_s(ended.handed_over / took_s), "peak_rss_mb": megabytes(memory.peak_mb)}
