"""A POST with an Idempotency-Key happens once."""

import asyncio

import pytest
from httpx import Response

from api_world import World

pytestmark = pytest.mark.anyio

TOPIC = {"key": "nfl", "name": "NFL", "channels": ["email"]}


async def post(world: World, key: str, body: dict[str, object] | None = None, path: str = "/topics") -> Response:
    return await world.ask("POST", path, json=TOPIC if body is None else body, headers={"Idempotency-Key": key})


async def test_an_equal_call_gets_the_same_bytes_and_says_so(world: World):
    first = await post(world, "k-1")
    again = await post(world, "k-1")

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert first.headers["content-type"] == again.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len((await world.ask("GET", "/topics")).json()["data"]) == 1


@pytest.mark.fault("F14")
async def test_fifty_at_once_happen_once(world: World):
    answers = await asyncio.gather(*(post(world, "k-1") for _ in range(50)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 49


async def test_another_body_or_path_under_the_key_is_refused(world: World):
    await post(world, "k-1")

    other_body = await post(world, "k-1", {**TOPIC, "name": "Other"})
    other_path = await post(world, "k-1", path="/customers")

    assert (other_body.status_code, other_path.status_code) == (422, 422)
    assert other_body.json()["code"] == "unprocessable"


async def test_what_failed_may_be_tried_again_under_its_key(world: World):
    refused = await post(world, "k-1", {**TOPIC, "channels": []})
    made = await post(world, "k-1")

    assert (refused.status_code, made.status_code) == (400, 201)
    assert "idempotency-replayed" not in made.headers


async def test_brands_do_not_share_keys(world: World, other_world: World):
    answers = [await post(world, "k-1"), await post(other_world, "k-1")]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content != answers[1].content


async def test_a_key_is_one_to_255_printable_characters(world: World):
    answers = [await post(world, key) for key in ("", "a" * 256, "a\x7fb")]

    assert [answer.status_code for answer in answers] == [400] * 3
    assert (await post(world, "a" * 255)).status_code == 201


async def test_a_key_to_be_made_once_is_refused_because_its_secret_is_not_kept(world: World):
    refused = await post(world, "k-1", {"name": "K"}, "/keys")

    assert refused.status_code == 400
    assert "takes no Idempotency-Key" in refused.json()["detail"]
