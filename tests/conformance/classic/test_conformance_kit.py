"""`stentor conformance hub` finds nothing wrong with our own hub, and says so where something is."""

import asyncio
import socket
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from httpx import AsyncClient
from pydantic import SecretStr

from command_line import run_stentor
from hub_world import Partner, partner_of
from listener_world import delivering
from stentor.api.app import create_app
from stentor.api.server import ApiServer
from stentor.api.services import Services
from stentor.cli.conformance.report import Report
from stentor.cli.conformance.run import CHECKS, tried
from stentor.cli.conformance.target import Target
from stentor.domain.vocabulary import ChannelKind
from stentor.integrations.listeners.telling import Teller
from stentor.settings import Settings
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.waiting import eventually
from stentor.testing.world import Partner as Channel
from stentor.testing.world import Someone, World
from stentor.wiring.core import Core, core
from stentor.wiring.services import api_settings

pytestmark = pytest.mark.anyio

PEOPLE = 25
BOTH_LISTENERS = 2


@pytest.fixture
async def installation(database_dsn: str, tmp_path: Path) -> AsyncIterator[Core]:
    secret = SecretStr("a secret for tests, which is long enough")
    settings = Settings(secret=secret, data=tmp_path, allow_loopback=True)
    async with core(settings, database_dsn, role="test", size=8) as opened:
        yield opened


@asynccontextmanager
async def served(installation: Core, services: Services) -> AsyncIterator[str]:
    """The hub at a port of this machine."""
    app = create_app(services, api_settings(installation))
    server, stop = ApiServer(app, host="127.0.0.1", port=0), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run(stop))
        yield f"http://127.0.0.1:{server.port}"
        stop.set()


@asynccontextmanager
async def lying() -> AsyncIterator[str]:
    """A hub that logs anybody in, says 201 in chunks to all, and nothing of what it should."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.lower().endswith("/login"):
            return web.json_response("a token")
        response = web.StreamResponse(status=201)
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b'{"data": []}')
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def a_campaign(partner: Partner, world: World, channel: Channel) -> None:
    """What a hub does beside answering: once the kit listens, a campaign is published, and its listeners are told."""
    db, listeners = world.db, partner.services.listeners

    async def both_are_registered() -> bool:
        return len(await listeners.registered(world.brand_id, partner.id)) == BOTH_LISTENERS

    await eventually(both_are_registered)
    await world.execution(await world.publication((ChannelKind.SMS,), partners=[channel]))
    await Engine(db, ScriptedChannel()).drain()
    await Teller(db).tell()
    async with delivering(db) as mail:
        await mail.all()


def unmet(report: Report) -> list[tuple[str, ...]]:
    return [(one.fact, one.says, one.expected, one.came) for one in report.checks if one.result != "passed"]


async def test_our_own_hub_passes_every_check(installation: Core, services: Services, http: AsyncClient):
    world, mask = await World.made(installation.db), ChannelKind.SMS.bit | ChannelKind.EMAIL.bit
    reachable = {"channels": mask, "address_mask": mask, "valid_mask": mask}
    await world.people(
        [Someone(f"p{number}", phone=f"+3584011122{number:02}", **reachable) for number in range(PEOPLE)]
    )
    channel = await world.partner()
    await services.accounts.update_brand_settings(world.brand_id, {"hub_rate_per_10_s": 0})
    brand = await services.accounts.brand(world.brand_id)
    partner = await partner_of(http, services, "Texting", [505], brand=brand)
    async with served(installation, services) as url, asyncio.TaskGroup() as group:
        group.create_task(a_campaign(partner, world, channel))
        report = await tried(
            Target(
                url=url,
                channel=505,
                username=partner.login["Username"],
                password=partner.login["Password"],
                key=partner.credentials.api_key,
                attributes=("Email", "Phone"),
                page=10,
                wait_s=20,
            )
        )

    assert unmet(report) == []
    assert (report.passed, report.failed, report.not_tried) == (len(CHECKS), 0, 0)
    assert await services.listeners.registered(world.brand_id, partner.id) == []


async def test_a_hub_that_does_otherwise_fails_by_name():
    async with lying() as url:
        report = await tried(Target(url=url, channel=505, username="a", password="b", wait_s=0, campaign=324))

    failed = {one.fact: (one.expected, one.came) for one in report.checks if one.result == "failed"}
    assert failed["F4.2.7"] == ("401", '200 "a token"')
    assert failed["F4.1.2"] == ("200 from /general/GetLastDataUpdate", '201 {"data": []}')
    assert failed["F4.1.8"] == ("Content-Length: 12", "no Content-Length")
    assert failed["F4.8.C5"][0] == "400"
    untried = {one.fact: one.came for one in report.checks if one.result == "not_tried"}
    assert untried["F4.2.9"] == "it needs --key"
    assert untried["F4.3.9"] == "nobody was pulled"
    assert report.failed > 20


def test_every_check_names_a_row():
    rows = tomllib.loads((Path(__file__).parent / "facts.toml").read_text(encoding="utf-8"))["rows"]

    assert {check.fact for check in CHECKS} <= rows.keys()


def test_the_command_says_what_is_missing_and_prints_what_came():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    hub = ("conformance", "hub", nobody, "--channel", "505")

    without = run_stentor(*hub)
    alone = run_stentor(*hub, "--key", "k", "--wait", "0")
    nowhere = run_stentor(*hub, "--key", "k", "--listen", "here")

    assert (without.exit_code, "HUB_KEY" in without.stderr) == (2, True)
    assert (alone.exit_code, "There is no hub at" in alone.stderr) == (3, True)
    assert (nowhere.exit_code, "is no place to listen" in nowhere.stderr) == (1, True)
