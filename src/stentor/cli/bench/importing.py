"""Importing customers from a CSV file, beside a running Stentor."""

import tempfile
import time
from collections.abc import AsyncIterator

from stentor.cli.bench import fixtures
from stentor.cli.bench.club import found_club
from stentor.cli.bench.result import Measure, megabytes, per_s
from stentor.cli.memory import MemoryWatch
from stentor.cli.output import fail
from stentor.cli.premises import Premises

PEOPLE = 500_000
_CHUNK_BYTES = 1 << 20


async def measure(premises: Premises, people: int) -> dict[str, Measure]:
    """Customers stored per second, from the file's first byte to the import's last commit."""
    with tempfile.TemporaryFile(prefix="stentor-people-") as file:
        file.writelines(fixtures.customers(people))
        size = file.tell()
        file.seek(0)

        async def chunks() -> AsyncIterator[bytes]:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

        async with MemoryWatch(premises.data) as memory, premises.running():
            club = await found_club(premises)
            service = premises.services.imports
            started_s = time.perf_counter()
            job = await service.begin(
                club.brand.id, "customers", "csv", "the bench's file", bytes_total=size, region=fixtures.REGION
            )
            done = await service.run(club.brand.id, job.id, chunks())
            took_s = time.perf_counter() - started_s
    if done.added != people or done.bad_addresses:
        fail(f"Of {people} customers {done.added} were added, {done.bad_addresses} of them with a bad address.")
    return {"customers_per_s": per_s(people / took_s), "peak_rss_mb": megabytes(memory.peak_mb)}
