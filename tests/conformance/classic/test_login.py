"""Tokens and keys: who gets one, how long it lasts, and whom it opens what."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from httpx import AsyncClient
from pydantic import SecretStr

from hub_world import Partner, hub_client_of
from stentor.accounts.attempts import HUB_LINE_TRIES_MAX, HUB_LOGIN_PER_LINE, Attempts
from stentor.accounts.limits import LOGINS_A_SECOND_MAX, limit_of_hub_logins
from stentor.api.services import Services
from stentor.integrations.access import HubAccess, forget_tokens
from stentor.settings import Settings
from stentor.wiring.core import Core, core
from stentor.wiring.services import services as services_of

pytestmark = pytest.mark.anyio

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PING = "/current/general/GetLastDataUpdate"


async def _status(partner: Partner, token: str, http: AsyncClient | None = None) -> int:
    answer = await (http or partner.http).get(PING, headers={"Authorization-Token": token})
    return answer.status_code


async def _until_over(partner: Partner, token: str, http: AsyncClient) -> None:
    """Until the token is refused, which takes at most a second; half a second of grace is for a slow machine."""
    async with asyncio.timeout(1.5):
        while (await _status(partner, token, http)) == 200:
            pass
    assert await _status(partner, token, http) == 403


@pytest.mark.fact("F4.2.1", "F4.2.2", "F4.2.4", "F4.3.1", "F4.6.1", "F4.8.C10", "F4.2.9")
async def test_login_gives_a_json_string_that_opens_the_api_as_a_key_does(partner: Partner) -> None:
    names = [("Username", "Password"), ("username", "password"), ("UserName", "PassWord")]
    answers = [
        await partner.http.post(
            "/current/General/login",
            json={user: partner.login["Username"], password: partner.login["Password"]},
        )
        for user, password in names
    ]

    for answer in answers:
        assert answer.status_code == 200
        assert re.fullmatch(f'"{GUID.pattern}"', answer.text)
        day = await partner.http.get(PING, headers={"Authorization-Token": answer.json()})
        assert re.fullmatch(r'\{"Date":"\d{4}-\d\d-\d\d"\}', day.text)
    # Some send it back with the quotes around it.
    assert await _status(partner, answers[0].text) == 200
    assert (await partner.ask(PING)).status_code == 200


@pytest.mark.fact("F4.2.3")
async def test_older_clients_log_in_by_get_and_get_a_guid(partner: Partner) -> None:
    for version in ("/v1.6", "/v3.0", ""):
        answer = await partner.ask(
            f"{version}/general/login", headers={}, **{k.lower(): v for k, v in partner.login.items()}
        )

        assert (answer.status_code, GUID.fullmatch(answer.text.strip('"')) is not None) == (200, True)
        assert await _status(partner, answer.json()) == 200


@pytest.mark.fact("F4.2.7")
async def test_wrong_credentials_are_a_401_whatever_is_wrong_with_them(partner: Partner) -> None:
    bodies = [
        {**partner.login, "Password": "wrong"},
        {**partner.login, "Username": "nobody"},
        {"Username": "", "Password": ""},
        {**partner.login, "Password": "x" * 5_000},
        {"Username": "\U0001f600", "Password": "é"},
    ]

    answers = [await partner.http.post("/current/general/Login", json=body) for body in bodies]

    assert {(answer.status_code, answer.text) for answer in answers} == {(401, "Unauthorized")}
    assert (await partner.http.post("/current/general/Login", json={"Username": "a"})).status_code == 400
    assert (await partner.ask(PING, headers={"X-API-KEY": "sthub_nothing"})).status_code == 401


@pytest.mark.fact("F4.2.5", "F4.2.6", "F4.2.10")
async def test_a_token_lasts_twenty_minutes_from_the_last_call_and_then_its_client_logs_in_again(
    partner: Partner, database_dsn: str, tmp_path: Path
) -> None:
    async def at(minutes: float, token: str) -> tuple[int, str]:
        settings = Settings(secret=SecretStr("a secret for tests, which is long enough"), data=tmp_path)
        shift = timedelta(minutes=minutes)
        async with (
            core(settings, database_dsn, role="test", size=2, shift=shift) as later,
            hub_client_of(later, services_of(later)) as http,
        ):
            answer = await http.get(PING, headers={"Authorization-Token": token})
            return answer.status_code, answer.text

    used, unused = await partner.token(), await partner.token()

    assert (await at(19, used))[0] == 200
    assert (await at(38, used))[0] == 200
    assert (await at(57.9, used))[0] == 200
    assert await at(20.1, unused) == (403, "Authorization-Token Expired")
    assert await at(80, used) == (403, "Authorization-Token Expired")
    assert await _status(partner, await partner.token()) == 200


@pytest.mark.fact("F4.2.8")
async def test_logging_in_while_a_token_is_good_is_nothing_wrong_until_it_is_too_often(partner: Partner) -> None:
    first, second = await partner.token(), await partner.token()
    assert {await _status(partner, first), await _status(partner, second)} == {200}

    answers = await asyncio.gather(
        *(partner.http.post("/current/general/Login", json=partner.login) for _ in range(LOGINS_A_SECOND_MAX))
    )

    # Comparing passwords takes its time, so that this is more than a second on a slow machine.
    assert {answer.status_code for answer in answers} <= {200, 429}


async def test_too_many_logins_are_refused_before_their_password_is_compared(
    partner: Partner, services: Services, installation: Core
) -> None:
    limit = limit_of_hub_logins(partner.credentials.client.username, "127.0.0.1")
    lasting = msgspec.structs.replace(limit, window_s=3600)
    taken = [await services.limiter.take([lasting]) for _ in range(LOGINS_A_SECOND_MAX + 1)]
    assert [standing.is_over for (standing,) in taken] == [False] * LOGINS_A_SECOND_MAX + [True]

    refused = await partner.http.post("/current/general/Login", json={**partner.login, "Password": "wrong"})

    assert refused.status_code == 429


async def test_guessing_is_slowed_down_where_it_comes_from(partner: Partner, installation: Core) -> None:
    attempts = Attempts(installation.db, installation.secret.derive("attempts"))
    for _ in range(HUB_LINE_TRIES_MAX):
        await attempts.take((HUB_LOGIN_PER_LINE, "127.0.0.1"))

    answer = await partner.http.post("/current/general/Login", json=partner.login)

    assert (answer.status_code, answer.json()["status"]) == (429, 429)


async def test_what_was_revoked_or_rotated_is_dead_in_another_process_within_a_second(
    partner: Partner, services: Services, database_dsn: str, tmp_path: Path
) -> None:
    settings = Settings(secret=SecretStr("a secret for tests, which is long enough"), data=tmp_path)
    token = await partner.token()
    async with (
        core(settings, database_dsn, role="test", size=2) as other,
        hub_client_of(other, services_of(other)) as http,
    ):
        assert await _status(partner, token, http) == 200
        rotated = await services.hub_clients.rotate(partner.brand.id, partner.id)
        await _until_over(partner, token, http)
        fresh = Partner(http, services, partner.brand, rotated)
        token = await fresh.token()
        await services.hub_clients.revoke(partner.brand.id, partner.id)
        await _until_over(partner, token, http)
        assert (await fresh.ask(PING)).status_code == 401


async def test_tokens_are_bounded_and_what_is_over_is_forgotten(
    partner: Partner, installation: Core, services: Services, database_dsn: str, tmp_path: Path
) -> None:
    attempts = Attempts(installation.db, installation.secret.derive("attempts"))
    access = HubAccess(
        installation.db,
        services.hub_callers,
        key=installation.secret.derive("hub-tokens"),
        attempts=attempts,
        limiter=services.limiter,
        tokens_max=2,
    )
    tokens = [await access.log_in(*partner.login.values(), line="here") for _ in range(3)]

    assert [await _status(partner, token) for token in tokens] == [403, 200, 200]
    settings = Settings(secret=SecretStr("a secret for tests, which is long enough"), data=tmp_path)
    async with core(settings, database_dsn, role="test", size=2, shift=timedelta(minutes=30)) as later:
        assert (await forget_tokens(later.db), await forget_tokens(later.db)) == (2, 0)
