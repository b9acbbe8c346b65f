"""Random and wrong-by-design requests to every operation, derived from our own OpenAPI document."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import schemathesis
from schemathesis.engine import events, from_schema

from api_world import World, client_of
from stentor.api.app import create_app
from stentor.api.server import ApiServer
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.testing.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

SECONDS = 45
# A stream of events ends with its execution, not with a request; a file is no text that a schema could describe.
LEFT_OUT = ["watchExecution", "watchOptoutJob", "uploadImport", "streamBatch", "tellPartnerEvents"]


class Fuzzed(World):
    """A brand behind a real server."""

    url: str = ""


@pytest.fixture
async def fuzzed(services: Services) -> AsyncIterator[Fuzzed]:
    app = create_app(services, ApiSettings(secret=b"s"))
    server, stop = ApiServer(app, host="127.0.0.1", port=0), asyncio.Event()
    async with asyncio.TaskGroup() as group, client_of(app) as client:
        group.create_task(server.run(stop))
        await eventually(lambda: _is_up(server))
        world = await World.made(client, services, "Matchday")
        yield Fuzzed(client, services, world.brand, world.token, server.url)
        stop.set()


@pytest.mark.fault("S4", "S12")
async def test_no_request_breaks_the_api_or_its_document(fuzzed: Fuzzed):
    failures = await asyncio.to_thread(run, fuzzed.url, fuzzed.token, str(fuzzed.brand.id))

    assert not failures, "\n".join(sorted(failures))


def run(url: str, token: str, group_id: str) -> set[str]:
    """What the checks found, each kind once per operation."""
    config = schemathesis.Config.from_dict(
        {
            "headers": {"Authorization": f"Bearer {token}"},
            "parameters": {"group_id": group_id},
            "continue-on-failure": True,
            "max-time": SECONDS,
            "generation": {"max-examples": 12, "database": "none", "deterministic": True},
            "phases": {"stateful": {"enabled": False}, "examples": {"enabled": True}},
            "checks": {"positive_data_acceptance": {"enabled": False}},
        }
    )
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    schema = schema.exclude(operation_id=LEFT_OUT)
    found: set[str] = set()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            for case_id, checks in event.recorder.checks.items():
                for check in checks:
                    if check.failure_info is not None:
                        case = event.recorder.cases[case_id].value
                        found.add(f"{case.method} {case.path} {check.name}: {check.failure_info.failure.message}")
        if isinstance(event, events.NonFatalError):
            found.add(f"{event.label}: {event.info}")
    return found


async def _is_up(server: ApiServer) -> bool:
    with contextlib.suppress(ConnectionError):
        (await asyncio.open_connection(server.host, server.port))[1].close()
        return True
    return False
