"""How a connector talks to a hub: it logs in again, waits when it is too fast, and takes nothing but exactly 200."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from stentor.channels.outbound import Outbound
from stentor.channels.secrets import SecretBox
from stentor.domain.ids import new_id
from stentor.integrations.connector.hub import BUSY_TRIES_MAX, Hub, HubRefused, Metric
from stentor.integrations.connector.model import Sealed
from stentor.integrations.connector.opening import HubOpener

pytestmark = pytest.mark.anyio

BOX = SecretBox(b"k" * 32)
HERE = Outbound(allow_loopback=True)


class ScriptedHub:
    """Answers call after call as it is told; what it was asked is in `calls`."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.calls: list[tuple[str, str, str]] = []
        self.bodies: list[Any] = []

    def will(self, status: int, text: str = "", **headers: str) -> None:
        self.answers.append(web.Response(status=status, text=text, headers=headers))

    async def answer(self, request: web.BaseRequest) -> web.Response:
        entry = request.headers.get("Authorization-Token") or request.headers.get("X-API-KEY", "")
        self.calls.append((request.method, request.path_qs.removeprefix("/hub/current/"), entry))
        self.bodies.append(await request.json() if request.can_read_body else None)
        return self.answers.pop(0)


@asynccontextmanager
async def talking(username: str = "texter", outbound: Outbound = HERE) -> AsyncIterator[tuple[ScriptedHub, Hub]]:
    far = ScriptedHub()
    server = web.Server(far.answer)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    sealed_id = new_id()
    sealed = Sealed(
        id=sealed_id,
        brand_id=new_id(),
        url=f"http://127.0.0.1:{port}/hub",
        username=username,
        secret=BOX.seal(sealed_id, "secret"),
    )
    hub = await HubOpener(BOX, outbound, busy_wait_s=0).open(sealed)
    try:
        yield far, hub
    finally:
        await hub.aclose()
        await runner.cleanup()


async def test_a_token_that_the_hub_forgot_is_fetched_anew_once():
    async with talking() as (far, hub):
        far.will(200, '"t1"')
        far.will(403, "Authorization-Token Expired")
        far.will(200, '"t2"')
        far.will(200)
        await hub.delete_app(506, "a1")
        far.will(401, "Unauthorized")
        far.will(200, '"t3"')
        far.will(403, "Authorization-Token Expired")
        with pytest.raises(HubRefused, match="credentials"):
            await hub.delete_app(506, "a1")

    assert [entry for _, _, entry in far.calls] == ["", "t1", "", "t2", "t2", "", "t3"]
    assert far.bodies[0] == {"Username": "texter", "Password": "secret"}


async def test_a_key_needs_no_login_and_a_page_is_asked_for_as_the_api_says():
    async with talking(username="") as (far, hub):
        far.will(200, "[]")

        assert await hub.send_details(324, 505, ["Email", "Phone"], skip=2000, top=1000) == []

    asked = "customers/GetCustomerSendDetailsByChannel?ChannelID=505&CampaignID=324&CustomerAttributes=Email%3BPhone&%24top=1000&%24skip=2000"
    assert far.calls == [("GET", asked, "secret")]


async def test_who_is_too_fast_waits_and_gives_up_in_the_end():
    async with talking(username="") as (far, hub):
        far.will(429, "{}")
        far.will(429, "{}", **{"Retry-After": "0"})
        far.will(200)
        await hub.update_metrics([Metric(505, 324, 7, 0, 10)])
        for _ in range(BUSY_TRIES_MAX):
            far.will(429)
        with pytest.raises(HubRefused, match="429 all the time"):
            await hub.update_metrics([Metric(505, 324, 7, 0, 10)])


@pytest.mark.parametrize(
    ("status", "hint"), [(201, "tried again"), (302, "tried again"), (400, "attributes"), (405, "url")]
)
async def test_nothing_but_200_is_a_yes(status: int, hint: str):
    async with talking(username="") as (far, hub):
        far.will(status, "why", Location="http://127.0.0.1:1/")
        with pytest.raises(HubRefused, match=hint):
            await hub.listeners()
    assert len(far.calls) == 1


async def test_a_hub_on_this_machine_is_not_reached_unless_the_operator_allows_it():
    async with talking(username="", outbound=Outbound()) as (far, hub):
        with pytest.raises(HubRefused, match="leads to this machine"):
            await hub.listeners()
    assert far.calls == []


async def test_more_than_a_hundred_go_in_several_calls():
    async with talking(username="") as (far, hub):
        far.will(200)
        far.will(200)
        await hub.add_templates(505, {number: f"T{number}" for number in range(1, 102)}, "app")
    assert [len(body) for body in far.bodies] == [100, 1]
    assert far.bodies[1] == [{"TemplateID": 101, "TemplateName": "T101", "AppID": "app"}]
