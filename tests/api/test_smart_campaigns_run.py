import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from httpx import AsyncClient, Response

from stentor.accounts.model import Brand
from stentor.api.services import Services
from stentor.campaigns.model import Deduplication
from stentor.db.pool import Database
from trigger_world import SCHEMA, make_generator, rows
from wire_world import asking

pytestmark = pytest.mark.anyio


class Backend(msgspec.Struct):
    """A brand's backend, which calls as the contract says."""

    client: AsyncClient
    services: Services
    brand: Brand
    api_key: str

    @classmethod
    async def made(cls, client: AsyncClient, services: Services, name: str) -> "Backend":
        brand = await services.accounts.create_brand(name)
        key = await services.accounts.create_key("backend", brand_id=brand.id, scopes=("run",))
        return cls(client, services, brand, key.api_key)

    async def run(
        self,
        generator_id: str = "kick-off",
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        query: str = "",
    ) -> Response:
        given = {"topic_key": "team-42", "context": {"match_id": "m-1"}} if body is None else body
        content = given if isinstance(given, bytes) else msgspec.json.encode(given)
        return await self.client.post(
            f"/smart-campaigns/v1/event-generators/{generator_id}/run{query}",
            content=content,
            headers={**self.keys, "Content-Type": "application/json", **(headers or {})},
        )

    @property
    def keys(self) -> dict[str, str]:
        return {"x-api-key": self.api_key, "x-brand-key": self.brand.brand_key}


@pytest.fixture
async def wire_client(services: Services) -> AsyncIterator[AsyncClient]:
    async with asking(services) as client:
        yield client


@pytest.fixture
async def backend(wire_client: AsyncClient, services: Services, db: Database) -> Backend:
    backend = await Backend.made(wire_client, services, "Football")
    await make_generator(db, backend.brand, "kick-off", schema=SCHEMA)
    return backend


@pytest.fixture
async def other(wire_client: AsyncClient, services: Services, db: Database) -> Backend:
    other = await Backend.made(wire_client, services, "Tennis")
    await make_generator(db, other.brand, "match-point")
    return other


def error_of(response: Response) -> dict[str, Any]:
    """The inside of the error envelope, which has exactly these keys."""
    body = response.json()
    assert list(body) == ["error"]
    assert list(body["error"]) == ["code", "message", "details", "requestId"]
    assert response.headers["content-type"] == "application/json"
    return body["error"]


async def test_an_accepted_call_is_answered_with_its_execution(backend: Backend, db: Database):
    response = await backend.run()

    ((execution_id,),) = await rows(db, "SELECT id FROM execution")
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    assert response.content == b'{"execution_id":"exec-%b","status":"queued"}' % execution_id.hex.encode()
    assert response.headers["x-request-id"]


async def test_an_empty_context_and_keys_of_the_clients_own_are_taken(backend: Backend, db: Database):
    await make_generator(db, backend.brand, "anything")

    response = await backend.run("anything", {"topic_key": "event_reminders+NFL", "context": {}, "extra": [1, 2]})

    assert response.status_code == 202
    assert await rows(db, "SELECT topic_key, context FROM execution") == [("event_reminders+NFL", {})]


async def test_what_a_test_key_runs_is_a_test(backend: Backend, services: Services, db: Database):
    key = await services.accounts.create_key("test", brand_id=backend.brand.id, is_test=True)

    await backend.run(headers={"x-api-key": key.api_key})

    assert await rows(db, "SELECT is_test, triggered_by FROM execution") == [(True, f"key {key.number}")]


@pytest.mark.parametrize(
    "headers", [{"x-api-key": ""}, {"x-brand-key": ""}, {"x-api-key": "st_nobody"}, {"x-api-key": "Bearer x"}]
)
async def test_without_two_known_keys_a_call_is_unauthorised(backend: Backend, headers: dict[str, str]):
    response = await backend.run(headers=headers)

    assert (response.status_code, error_of(response)["code"]) == (401, "UNAUTHORIZED")


async def test_a_revoked_key_is_unauthorised(backend: Backend, services: Services):
    key = await services.accounts.create_key("old", brand_id=backend.brand.id)
    await services.accounts.revoke_key(backend.brand.organisation_id, key.number)

    response = await backend.run(headers={"x-api-key": key.api_key})

    assert response.status_code == 401


async def test_a_key_may_only_act_for_its_own_brand_whatever_is_asked(backend: Backend, other: Backend):
    foreign = {"x-brand-key": other.brand.brand_key}
    nobody = {"x-brand-key": "br_0123456789012345678901"}

    answers = [
        await backend.run("match-point", headers=foreign),
        await backend.run("nobody's", headers=foreign),
        await backend.run("match-point", headers=nobody),
        await backend.run("match-point", headers={"x-brand-key": "no such shape"}),
    ]

    assert [(answer.status_code, error_of(answer)["code"]) for answer in answers] == [(403, "FORBIDDEN")] * 4
    assert len({error_of(answer)["message"] for answer in answers}) == 1


async def test_a_key_of_the_organisation_acts_for_each_of_its_brands(
    backend: Backend, other: Backend, services: Services
):
    key = await services.accounts.create_key("all", scopes=("run",))

    answers = [
        await backend.run(headers={"x-api-key": key.api_key}),
        await other.run("match-point", headers={"x-api-key": key.api_key}),
    ]

    assert [answer.status_code for answer in answers] == [202, 202]


async def test_a_key_without_the_scope_is_forbidden(backend: Backend, services: Services):
    key = await services.accounts.create_key("reader", brand_id=backend.brand.id, scopes=("read", "write"))

    response = await backend.run(headers={"x-api-key": key.api_key})

    assert response.status_code == 403
    assert "`run`" in error_of(response)["message"]


async def test_another_brands_generator_is_the_same_404_as_none_at_all(backend: Backend, other: Backend):
    answers = [await backend.run(name) for name in ("match-point", "nobody's", "11111111-xyz-xyz-xyz-111111111111")]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert len({answer.content for answer in answers}) == 1
    assert error_of(answers[0])["code"] == "NOT_FOUND"
    assert error_of(answers[0])["requestId"] is None


async def test_a_generator_of_another_type_is_unprocessable(backend: Backend, db: Database):
    await make_generator(db, backend.brand, "weekly", type="scheduled")

    response = await backend.run("weekly")

    assert (response.status_code, error_of(response)["code"]) == (422, "UNPROCESSABLE_ENTITY")


@pytest.mark.parametrize(
    ("body", "code", "fields"),
    [
        (b"", "INVALID_REQUEST", None),
        (b"{", "INVALID_REQUEST", None),
        (b'{"topic_key": "0000-abcd", //e.g. event reminders\n "context": {}}', "INVALID_REQUEST", None),
        (b"\xff", "INVALID_REQUEST", None),
        (b"[" * 100_000, "INVALID_REQUEST", None),
        (b'{"topic_key":"t","context":{"match_id":NaN}}', "INVALID_REQUEST", None),
        (b'{"topic_key":"t","context":{"match_id":1e400}}', "VALIDATION_ERROR", ["context"]),
        (b"[]", "INVALID_REQUEST", None),
        (b"null", "INVALID_REQUEST", None),
        (b"{}", "VALIDATION_ERROR", ["topic_key"]),
        (b'{"topic_key":"t"}', "VALIDATION_ERROR", ["context"]),
        (b'{"topic_key":7,"context":{}}', "VALIDATION_ERROR", ["topic_key"]),
        (b'{"topic_key":"","context":{"match_id":"m"}}', "VALIDATION_ERROR", ["topic_key"]),
        (b'{"topic_key":"t","context":[]}', "VALIDATION_ERROR", ["context"]),
        (b'{"topic_key":"t","context":null}', "VALIDATION_ERROR", ["context"]),
        (b'{"topic_key":"t","context":"{}"}', "VALIDATION_ERROR", ["context"]),
        (b'{"topic_key":"t","context":{}}', "VALIDATION_ERROR", ["context.match_id"]),
        (b'{"topic_key":"t","context":{"match_id":7}}', "VALIDATION_ERROR", ["context.match_id"]),
        (b'{"topic_key":"t","context":{"match_id":"a\\u0000b"}}', "VALIDATION_ERROR", ["context.match_id"]),
        (b'{"topic_key":"t\\u0000","context":{"match_id":"m"}}', "VALIDATION_ERROR", ["topic_key"]),
        (b'{"topic_key":"t","context":{"match_id":"m","n":18446744073709551616}}', "VALIDATION_ERROR", ["context.n"]),
        (b'{"topic_key":"t","context":{"match_id":"' + b"x" * 65536 + b'"}}', "VALIDATION_ERROR", ["context"]),
    ],
)
async def test_a_body_that_breaks_a_rule_is_told_which(
    backend: Backend, body: bytes, code: str, fields: list[str] | None
):
    response = await backend.run(body=body)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (400, code)
    assert error["requestId"] == response.headers["x-request-id"]
    named = error["details"] and [field["field"] for field in error["details"]["fields"]]
    assert named == fields


async def test_a_body_of_megabytes_is_refused(backend: Backend):
    response = await backend.run(body=b" " * 5_000_000)

    assert (response.status_code, error_of(response)["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_the_wrong_method_is_answered_in_the_same_envelope(backend: Backend):
    response = await backend.client.get("/smart-campaigns/v1/event-generators/kick-off/run", headers=backend.keys)

    assert (response.status_code, error_of(response)["code"]) == (405, "METHOD_NOT_ALLOWED")


async def test_over_the_rate_a_call_is_told_when_to_come_back(backend: Backend, services: Services, db: Database):
    await services.accounts.update_brand_settings(backend.brand.id, {"run_rate_per_s": 2})
    answers = await asyncio.gather(*(backend.run() for _ in range(10)))

    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 6
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].headers["x-ratelimit-limit"] == "2"
    assert 0 <= int(refused[0].headers["x-ratelimit-reset"]) - time.time() + 5 <= 10
    assert (error_of(refused[0])["code"], error_of(refused[0])["details"]) == (
        "RATE_LIMIT_EXCEEDED",
        {"retryAfter": 1},
    )
    assert await rows(db, "SELECT count(*) FROM execution") == [(10 - len(refused),)]


async def test_a_call_about_an_event_that_was_told_of_gets_the_first_ones_execution(backend: Backend, db: Database):
    said = Deduplication(("match_id",), 600)
    await make_generator(db, backend.brand, "once", deduplication=said)

    first = await backend.run("once")
    second = await backend.run("once", {"topic_key": "team-42", "context": {"match_id": "m-1", "minute": 3}})
    blank = await backend.run("once", {"topic_key": "team-42", "context": {}})

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.content == second.content
    assert "stentor-deduplicated" not in first.headers
    assert second.headers["stentor-deduplicated"] == "true"
    assert error_of(blank)["details"]["fields"][0]["field"] == "context.match_id"
    assert await rows(db, "SELECT count(*) FROM execution") == [(1,)]


async def test_a_repeated_call_is_replayed_byte_for_byte(backend: Backend, db: Database):
    headers = {"Idempotency-Key": "order-77"}

    first = await backend.run(headers=headers)
    second = await backend.run(headers=headers)

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.content == second.content
    assert first.headers["content-type"] == second.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert await rows(db, "SELECT count(*) FROM execution") == [(1,)]


@pytest.mark.fault("F14")
async def test_fifty_equal_calls_at_once_are_one_execution(backend: Backend, db: Database):
    answers = await asyncio.gather(*(backend.run(headers={"Idempotency-Key": "k"}) for _ in range(50)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 49
    assert await rows(db, "SELECT count(*) FROM execution") == [(1,)]


async def test_a_key_used_for_another_body_or_path_is_unprocessable(backend: Backend, db: Database):
    await make_generator(db, backend.brand, "half-time")
    headers = {"Idempotency-Key": "k"}
    await backend.run(headers=headers)

    answers = [
        await backend.run(body={"topic_key": "team-42", "context": {"match_id": "m-2"}}, headers=headers),
        await backend.run("half-time", headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [422, 422]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_an_idempotency_key_that_is_none_is_refused(backend: Backend, key: str):
    response = await backend.run(headers={"Idempotency-Key": key})

    assert (response.status_code, error_of(response)["code"]) == (400, "INVALID_REQUEST")


async def test_a_dry_run_answers_who_would_be_reached_and_runs_nothing(backend: Backend, db: Database):
    response = await backend.run(query="?dry_run=true")

    assert response.status_code == 200
    assert (response.json()["audience_size"], response.json()["error_code"]) == (0, "TOPIC_NOT_FOUND")
    assert await rows(db, "SELECT count(*) FROM execution") == [(0,)]


async def test_a_dry_run_takes_no_idempotency_key(backend: Backend):
    response = await backend.run(query="?dry_run=true", headers={"Idempotency-Key": "k"})

    assert response.status_code == 400


async def test_a_query_that_is_none_is_refused(backend: Backend):
    response = await backend.run(query="?dry_run=perhaps")

    assert response.status_code == 400


async def test_with_and_without_a_query_a_call_is_answered_alike(backend: Backend, other: Backend):
    cases: list[dict[str, Any]] = [
        {"headers": {"x-api-key": ""}},
        {"headers": {"x-brand-key": other.brand.brand_key}},
        {"generator_id": "nobody's"},
        {"generator_id": "half%2Ftime"},
        {"body": b"{"},
        {"body": {"topic_key": "t", "context": {}}},
        {"body": b" " * 2_000_000},
        {"headers": {"Idempotency-Key": ""}},
    ]

    for case in cases:
        plain, queried = await backend.run(**case), await backend.run(**case, query="?source=cron")
        facts = [error_of(answer) | {"requestId": None} for answer in (plain, queried)]
        assert plain.status_code == queried.status_code >= 400
        assert [facts[0][name] for name in ("code", "details")] == [facts[1][name] for name in ("code", "details")]

    accepted = [await backend.run(), await backend.run(query="?source=cron")]
    assert [answer.status_code for answer in accepted] == [202, 202]
    assert set(accepted[0].headers) == set(accepted[1].headers)


async def test_a_generator_with_a_slash_in_its_id_can_be_run(backend: Backend, db: Database):
    await make_generator(db, backend.brand, "half/time 100%")

    answers = [await backend.run("half%2Ftime%20100%25", query=query) for query in ("", "?source=cron")]

    assert [answer.status_code for answer in answers] == [202, 202]


async def test_a_body_in_many_pieces_is_put_together_and_bounded(backend: Backend):
    async def pieces(text: bytes, size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(text), size):
            yield text[start : start + size]

    path = "/smart-campaigns/v1/event-generators/kick-off/run"
    body = b'{"topic_key":"t","context":{"match_id":"m-1"}}'

    whole = await backend.client.post(path, content=pieces(body, 3), headers=backend.keys)
    endless = await backend.client.post(path, content=pieces(b" " * 3_000_000, 10_000), headers=backend.keys)

    assert (whole.status_code, endless.status_code) == (202, 413)


async def test_a_run_to_come_is_queued_in_the_words_of_this_family(backend: Backend):
    start_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"topic_key": "team-42", "context": {"match_id": "m-1"}, "start_at": start_at}

    accepted = await backend.run(body=body)
    status = await backend.client.get(
        f"/smart-campaigns/v1/executions/{accepted.json()['execution_id']}/status", headers=backend.keys
    )

    assert (accepted.status_code, accepted.json()["status"]) == (202, "queued")
    assert status.json()["status"] == "queued"
    ((state,),) = await rows(backend.services.database, "SELECT state FROM execution")
    assert state == "scheduled"
