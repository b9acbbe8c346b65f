"""Starting: `serve` in an empty directory until it is ready, and how soon `--help` answers."""

import asyncio
import http.client
import statistics
import sys
import time
from pathlib import Path

from stentor.cli.bench.result import Measure, megabytes, seconds
from stentor.cli.memory import MemoryWatch
from stentor.cli.output import fail
from stentor.cli.premises import own_settings, temporary_directory
from stentor.cli.processes import child_environment, claimed_port

_HELPS = 7
_READY_WITHIN_S = 120.0
_LOOK_EVERY_S = 0.01
_STENTOR = (sys.executable, "-P", "-m", "stentor")


def measure() -> dict[str, Measure]:
    """Seconds from the start of the process; the median of several for `--help`."""
    with temporary_directory() as data:
        ready_s, peak_mb = asyncio.run(_ready_s(data))
    return {
        "ready_s": seconds(ready_s),
        "help_s": seconds(statistics.median(asyncio.run(_help_s()) for _ in range(_HELPS))),
        "peak_rss_mb": megabytes(peak_mb),
    }


async def _ready_s(data: Path) -> tuple[float, float]:
    """How long the first start takes, database and schema made on the way, until `/ready` says so; and its memory."""
    settings = own_settings(data, claimed_port("127.0.0.1", 0))
    async with MemoryWatch(data) as memory:
        started_s = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *_STENTOR, "serve", "--json", env=child_environment(settings), stdout=asyncio.subprocess.DEVNULL
        )
        try:
            while not await asyncio.to_thread(_is_ready, settings.port):
                if process.returncode is not None or time.perf_counter() - started_s > _READY_WITHIN_S:
                    fail("`stentor serve` did not become ready; it says why above.")
                await asyncio.sleep(_LOOK_EVERY_S)
            ready_s = time.perf_counter() - started_s
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
    return ready_s, memory.peak_mb


async def _help_s() -> float:
    started_s = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*_STENTOR, "--help", stdout=asyncio.subprocess.DEVNULL)
    await process.wait()
    return time.perf_counter() - started_s


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
