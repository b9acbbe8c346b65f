"""A minute of ten times what a brand may ask for, and ten thousand connections that say nothing: the others notice nothing."""

import asyncio
import json
import resource
import subprocess
from pathlib import Path

import httpx
import msgspec
import pytest

from served import CONTEXT, PATIENCE_S, RUN, STENTOR, Served, make_campaign, serving
from stentor.testing.http_load import LoadResult, open_loop, post_maker

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]

RATE = 500
IDLE = 10_000
MINUTE_S = 60
QUIET_PER_S = 50
# What two cores that also make the load may add to a call of a few milliseconds.
P99_MS_MAX = 250.0
TOPIC = "reds"


def another_brand(data: Path, first: Served, client: httpx.Client) -> Served:
    """A second brand with a campaign of its own on the same server."""

    def told(*arguments: str) -> dict[str, str]:
        command = [*STENTOR, *arguments, "--data", str(data), "--json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S).stdout)

    brand = told("brand", "create", "Quiet")
    key = told("key", "create", "--brand", "Quiet")
    return Served(first.process, {**first.told, **brand, **key}, client)


async def load(served: Served, per_s: int, seconds: int) -> LoadResult:
    """Calls of this brand at that rate."""
    host, _, port = served.told["url"].removeprefix("http://").partition(":")
    headers = {
        "x-api-key": served.told["api_key"],
        "x-brand-key": served.told["brand_key"],
        "Content-Type": "application/json",
    }
    body = msgspec.json.encode({"topic_key": TOPIC, "context": CONTEXT})
    make = post_maker(f"{host}:{port}", RUN, headers, lambda _: body)
    return await open_loop(host, int(port), make, connections=64, requests=per_s * seconds, rate_per_s=per_s)


async def idle(served: Served) -> list[asyncio.StreamWriter]:
    """Ten thousand clients that connect and say nothing."""
    host, _, port = served.told["url"].removeprefix("http://").partition(":")
    writers: list[asyncio.StreamWriter] = []
    for _ in range(IDLE // 100):
        opened = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in range(100)))
        writers += [writer for _, writer in opened]
    return writers


@pytest.mark.fault("F24")
def test_a_minute_of_ten_times_the_rate_beside_ten_thousand_idle_clients_leaves_others_alone(place: Path):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def overload(loud: Served, quiet: Served) -> tuple[LoadResult, LoadResult, LoadResult]:
        alone = await load(quiet, QUIET_PER_S, MINUTE_S // 3)
        writers = await idle(loud)
        flood, beside = await asyncio.gather(load(loud, 10 * RATE, MINUTE_S), load(quiet, QUIET_PER_S, MINUTE_S))
        for writer in writers:
            writer.close()
        return alone, flood, beside

    data = place / "data"
    with serving(data) as loud, httpx.Client(base_url=loud.told["url"], timeout=PATIENCE_S) as client:
        quiet = another_brand(data, loud, client)
        for served in (loud, quiet):
            make_campaign(served, TOPIC)
        alone, flood, beside = asyncio.run(overload(loud, quiet))

    assert alone.statuses.keys() == {202}
    assert flood.statuses.keys() == {202, 429}
    # A full bucket, and what flows into it meanwhile.
    assert RATE * MINUTE_S * 0.9 <= flood.statuses[202] <= RATE * (flood.seconds + 1) * 1.05
    assert beside.statuses == {202: QUIET_PER_S * MINUTE_S}
    assert beside.latency_ms(0.99) <= max(2 * alone.latency_ms(0.99), P99_MS_MAX)
