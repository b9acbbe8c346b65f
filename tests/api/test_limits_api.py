"""How often a key may ask under `/v1/groups`, and what answers tell of it."""

import time
from typing import Any

import msgspec
import pytest
from httpx import Response

from api_world import World, client_of, mail_generator, subscribe
from stentor.api.app import create_app
from stentor.wiring.core import Core
from stentor.wiring.services import api_settings
from stentor.wiring.services import services as services_of

pytestmark = [pytest.mark.anyio, pytest.mark.fault("S20")]

NAMES = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit-policy", "ratelimit")
SCHEDULES = "/schedules"


async def limit(world: World, **rates: int) -> None:
    """Sets the brand's limits, and asks by a process that knows them."""
    await world.services.accounts.update_brand_settings(world.brand.id, rates)


@pytest.fixture
async def fresh(installation: Core) -> Any:
    """A second process on the same database, which has heard of no brand yet."""
    async with client_of(create_app(services_of(installation), api_settings(installation))) as client:
        yield client


def told(answer: Response) -> tuple[str, ...]:
    return tuple(answer.headers.get(name, "") for name in NAMES)


async def test_every_answer_tells_the_limit_with_the_least_left(world: World, fresh: Any):
    await limit(world, user_rate_per_min=250, key_rate_per_s=100)
    world.client = fresh
    before = time.time()
    first = await world.ask("GET", SCHEDULES)
    missing = await world.ask("GET", "/campaigns/01a2073f-cfb8-7721-8f26-bd4ad6196521")
    invalid = await world.ask("POST", "/campaigns", json={})
    other = await world.ask("GET", "/topics")

    assert [answer.status_code for answer in (first, missing, invalid, other)] == [200, 404, 400, 200]
    assert [answer.headers["x-ratelimit-remaining"] for answer in (first, missing, invalid)] == ["249", "248", "247"]
    most, _, reset, policy, rate = told(first)
    assert (most, policy, rate) == ("250", '"user";q=250;w=60', '"user";r=249;t=60')
    assert before + 59 <= int(reset) <= time.time() + 61
    assert told(missing)[2] == reset
    assert (other.headers["x-ratelimit-limit"], other.headers["ratelimit-policy"]) == ("100", '"key";q=100;w=1')
    assert other.headers["x-ratelimit-remaining"] == "99"


async def test_one_call_too_many_is_answered_with_429(world: World, fresh: Any):
    await limit(world, user_rate_per_min=2)
    others = world.client
    world.client = fresh
    answers = [await world.ask("GET", SCHEDULES) for _ in range(3)]
    fourth = await others.get(f"/v1/groups/{world.brand.id}/topics", headers={"Authorization": f"Bearer {world.token}"})

    refused = answers[2]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.json()["message"], refused.json()["code"]) == ("Too Many Attempts.", "rate-limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert told(refused)[:2] == ("2", "0")
    assert refused.headers["ratelimit"] == f'"user";r=0;t={refused.headers["retry-after"]}'
    assert len([name for name, _ in refused.headers.multi_items() if name == "x-ratelimit-limit"]) == 1
    assert fourth.status_code == 200


async def test_two_processes_count_together(world: World, installation: Core, fresh: Any):
    await limit(world, user_rate_per_min=10)
    second = client_of(create_app(services_of(installation), api_settings(installation)))
    async with second as other:
        headers = {"Authorization": f"Bearer {world.token}"}
        path = f"/v1/groups/{world.brand.id}{SCHEDULES}"
        answers = [await client.get(path, headers=headers) for _ in range(8) for client in (fresh, other)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 6


async def test_an_answer_that_is_given_again_costs_nothing(world: World, fresh: Any):
    await limit(world, key_rate_per_s=0, user_rate_per_min=1)
    world.client = fresh
    said = {"json": {"name": "S", "channel": "sms", "default_language": "en", "variants": {"en": {"text": "Hi"}}}}
    template = await world.ask("POST", "/templates", **said)
    campaign = {"name": "C", "routes": [{"channel": "sms", "template_id": template.json()["id"]}]}
    keyed = {"json": campaign, "headers": {"Idempotency-Key": "once"}}
    first = await world.ask("POST", "/campaigns", **keyed)
    again = await world.ask("POST", "/campaigns", **keyed)
    another = await world.ask("POST", "/campaigns", json=campaign, headers={"Idempotency-Key": "twice"})

    assert told(template) == ("",) * 5
    assert (first.status_code, again.status_code, another.status_code) == (201, 201, 429)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"


async def test_another_request_under_a_key_that_was_answered_is_counted(world: World, fresh: Any):
    await limit(world, key_rate_per_s=0, user_rate_per_min=3)
    world.client = fresh
    first = await world.ask("POST", "/profile-tags", json={"name": "a"}, headers={"Idempotency-Key": "once"})
    again = await world.ask("POST", "/profile-tags", json={"name": "a"}, headers={"Idempotency-Key": "once"})
    others = [
        await world.ask("POST", "/profile-tags", json={"name": name}, headers={"Idempotency-Key": "once"})
        for name in "bcd"
    ]

    assert (first.status_code, again.status_code, again.headers["idempotency-replayed"]) == (201, 201, "true")
    assert [answer.status_code for answer in others] == [422, 422, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in others] == ["1", "0", "0"]


async def test_what_a_key_may_ask_of_its_organisation_is_a_setting(world: World, installation: Core):
    made = await world.services.accounts.create_key("o", organisation_id=world.brand.organisation_id, scopes=("admin",))
    path, headers = "/v1/organisations", {"Authorization": f"Bearer {made.token}"}
    told_of: dict[int, tuple[str, ...]] = {}
    for rate in (0, 7):
        settings = msgspec.structs.replace(api_settings(installation), organisation_rate_per_s=rate)
        async with client_of(create_app(services_of(installation), settings)) as client:
            told_of[rate] = told(await client.get(path, headers=headers))

    assert told_of[0] == ("",) * 5
    assert (told_of[7][0], told_of[7][1], told_of[7][3]) == ("7", "6", '"key";q=7;w=1')


async def test_streams_health_and_runs_are_not_counted(world: World, fresh: Any):
    await subscribe(world, "news", "ann")
    await mail_generator(world, "news")
    call: dict[str, Any] = {"topic_key": "news", "context": {}}
    ran = await world.ask("POST", "/event-generators/news/run", json=call)
    execution = f"/executions/{ran.json()['execution_id']}"
    assert (await world.ask("POST", f"{execution}/cancel")).status_code == 200
    await limit(world, key_rate_per_s=1, user_rate_per_min=1)
    world.client = fresh
    streams = [await world.ask("GET", f"{execution}/events") for _ in range(3)]
    run = await world.ask("POST", "/event-generators/none/run", json=call)
    open_to_all = [await fresh.get(path) for path in ("/health", "/ready", "/metrics", "/openapi.json")]
    counted = await world.ask("GET", execution)

    assert [answer.status_code for answer in streams + open_to_all] == [200] * 7
    assert run.status_code == 404
    assert {told(answer) for answer in (run, *streams, *open_to_all)} == {("",) * 5}
    assert counted.headers["x-ratelimit-limit"] == "1"
