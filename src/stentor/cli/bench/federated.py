"""Two Stentors joined: one that has the people, and one that writes to them, each with processes and a database of its own."""

import time

from stentor.cli.bench.federation import federation
from stentor.cli.bench.result import Measure, megabytes, seconds
from stentor.cli.bench.sink import checked_sink
from stentor.cli.memory import MemoryWatch
from stentor.domain.vocabulary import SendState


async def measure(people: int) -> dict[str, Measure]:
    """From the call at the hub to the last figure that the service pushed back, when both books agree to the person.

    One in 20 is on the service's opt-out list and is told as dropped. The peaks are each installation's own processes.
    """
    with checked_sink() as sink:
        async with federation(sink.port) as two:
            await two.add_people(people)
            await two.join()
            hub_memory = MemoryWatch(two.hub.premises.data, root=two.hub.pid)
            service_memory = MemoryWatch(two.service.premises.data, root=two.service.pid)
            async with hub_memory, service_memory:
                called = await two.trigger()
                await two.until_told(called.execution_id)
                took_s = time.time() - called.sent_at_s
            books = await two.check_agreed(called.execution_id)
        sink.check(len(books.in_state(SendState.HANDED_OVER)))
    return {
        "federated_s": seconds(took_s),
        "federated_hub_rss_mb": megabytes(hub_memory.peak_mb),
        "federated_service_rss_mb": megabytes(service_memory.peak_mb),
    }
