"""More than anybody may ask for: it is refused in good order, and the neighbours notice nothing."""

import asyncio
import time
from collections import Counter

import pytest
from httpx import Response

from api_world import World, shop_generator
from stentor.api.services import Services

pytestmark = pytest.mark.anyio

RATE = 20
SECONDS = 2
ORDER = {"topic_key": "news", "context": {"order": "7"}}
RUN = "/event-generators/orders/run"
# Alone it takes some milliseconds; this is what two busy cores may make of it.
NEIGHBOUR_S_MAX = 1.5


async def calls(world: World, per_s: int) -> tuple[list[Response], list[float]]:
    """The answers to calls that come at that rate whatever becomes of them, and how long each took."""
    took_s: list[float] = []

    async def call() -> Response:
        began = time.perf_counter()
        answer = await world.ask("POST", RUN, json=ORDER)
        took_s.append(time.perf_counter() - began)
        return answer

    async with asyncio.TaskGroup() as tasks:
        made: list[asyncio.Task[Response]] = []
        for _ in range(10 * SECONDS):
            made += [tasks.create_task(call()) for _ in range(per_s // 10)]
            await asyncio.sleep(0.1)
    return [task.result() for task in made], took_s


@pytest.mark.fault("F24")
async def test_ten_times_the_rate_of_one_brand_leaves_the_others_alone(
    world: World, other_world: World, services: Services
):
    for each in (world, other_world):
        # Before anybody knows the brand by another rate.
        await services.accounts.update_brand_settings(each.brand.id, {"run_rate_per_s": RATE})
        await shop_generator(each, "orders", ["sms"], consent_basis="topic", lane="bulk")
    began = time.perf_counter()

    (loud, _), (quiet, took_s) = await asyncio.gather(calls(world, 10 * RATE), calls(other_world, RATE // 2))

    statuses = Counter(answer.status_code for answer in loud)
    refused = [answer for answer in loud if answer.status_code == 429]
    assert statuses.keys() == {202, 429}
    # A full bucket, and what flows into it meanwhile.
    assert RATE <= statuses[202] <= RATE * (2 + time.perf_counter() - began)
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert {answer.headers["x-ratelimit-limit"] for answer in refused} == {str(RATE)}
    assert {answer.status_code for answer in quiet} == {202}
    assert max(took_s) < NEIGHBOUR_S_MAX
