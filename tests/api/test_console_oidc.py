import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response
from joserfc.jwk import RSAKey
from pydantic import SecretStr

from browsing import submit
from identity_provider import CLIENT_ID, CLIENT_SECRET, Provider
from stentor.api.app import create_app
from stentor.doors import doors
from stentor.settings import Settings
from stentor.wiring.core import Core, core
from stentor.wiring.services import api_settings, people_accounts, services

pytestmark = pytest.mark.anyio

HERE = "http://127.0.0.1:8080"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider.served() as served:
        yield served


@pytest.fixture
async def installation(database_dsn: str, tmp_path: Path, provider: Provider) -> AsyncIterator[Core]:
    settings = Settings(
        secret=SecretStr("a secret for tests, which is long enough"),
        data=tmp_path,
        oidc_issuer=provider.url,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=SecretStr(CLIENT_SECRET),
        oidc_name="Acme",
    )
    async with core(settings, database_dsn, role="test", size=5) as opened:
        await services(opened).accounts.create_brand("Matchday")
        yield opened


@asynccontextmanager
async def browser(installation: Core) -> AsyncIterator[AsyncClient]:
    served, told = services(installation), api_settings(installation)
    app = create_app(served, told, doors=doors(installation, served, told))
    transport = ASGITransport(app=app, client=("192.0.2.7", 50_000), raise_app_exceptions=False)  # pyrefly: ignore[bad-argument-type]
    async with AsyncClient(transport=transport, base_url=HERE) as at:
        yield at


async def led_to(at: AsyncClient) -> str:
    """Where the button leads."""
    page = await submit(at, "/console/sign-in", "/console/oidc/start", next="/console/account")
    (address,) = re.findall(r'class="btn primary" href="([^"]+)"', page.text)
    assert page.headers["refresh"] == f"0;url={html.unescape(address)}"
    return html.unescape(address)


async def comes_back(at: AsyncClient, provider: Provider, **changed: str) -> Response:
    return await at.get("/console/oidc/callback", params={**provider.authorize(await led_to(at)), **changed})


async def test_whom_the_provider_vouches_for_signs_in_and_stays_the_same_under_another_address(
    installation: Core, provider: Provider
):
    people = people_accounts(installation)
    organisation = await services(installation).accounts.ensure_first_organisation()
    await people.users.create("Ann@example.org", "Ann", organisation_id=organisation.id, role="owner")

    async with browser(installation) as at:
        came = await comes_back(at, provider)
        account = await at.get(came.headers["location"])
    provider.person["email"] = "married@example.org"
    provider.change_keys()
    people_accounts(installation)
    async with browser(installation) as at:
        again = await comes_back(at, provider)

    assert (came.status_code, came.headers["location"]) == (303, "/console/account")
    assert "Ann@example.org" in account.text
    assert (again.status_code, again.headers["location"]) == (303, "/console/account")


async def test_an_answer_that_is_not_to_this_browsers_question_lets_nobody_in(installation: Core, provider: Provider):
    people = people_accounts(installation)
    organisation = await services(installation).accounts.ensure_first_organisation()
    await people.users.create("ann@example.org", "Ann", organisation_id=organisation.id, role="owner")
    stranger = RSAKey.generate_key(2048, {"kid": "1"})

    async with browser(installation) as at:
        refused = [
            await comes_back(at, provider, state="other"),
            await comes_back(at, provider, code="other"),
            await comes_back(at, provider, code=""),
            await comes_back(at, provider, iss="https://evil.example"),
            await comes_back(at, provider, error="access_denied"),
        ]
        tampers: list[dict[str, Any]] = [
            {"nonce": "other"},
            {"aud": "somebody else"},
            {"iss": "https://evil.example"},
            {"exp": 1},
            {"azp": "somebody else"},
            {"email_verified": False},
            {"email": "nobody@example.org"},
            {"sub": None},
        ]
        for tamper in tampers:
            provider.tamper = tamper
            refused.append(await comes_back(at, provider))
        provider.signs_with = stranger
        refused.append(await comes_back(at, provider))
        provider.signs_with = provider.key
        answer = provider.authorize(await led_to(at))
        async with browser(installation) as other:
            refused.append(await other.get("/console/oidc/callback", params=answer))
        right = await at.get("/console/oidc/callback", params=answer)
        twice = await at.get("/console/oidc/callback", params=answer)

    assert [each.status_code for each in refused] == [403] * len(refused)
    assert all('role="alert"' in each.text for each in refused)
    assert (right.status_code, twice.status_code) == (303, 403)


async def test_a_provider_that_is_away_is_said_to_be(installation: Core, provider: Provider):
    provider.url += "/elsewhere"

    async with browser(installation) as at:
        page = await submit(at, "/console/sign-in", "/console/oidc/start")

    assert page.status_code == 503
    assert "cannot be asked at the moment" in page.text
