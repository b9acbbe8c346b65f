"""A disk that fills up: files are turned away before it is full, calls when it is, and nothing is half accepted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from api_world import World, client_of, shop_generator
from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.audience.imports import ImportService
from stentor.db.pool import Database
from stentor.db.reserve import DiskReserve
from stentor.settings import Settings
from stentor.testing.torture.proxy import ChaosProxy
from stentor.wiring.core import Core, core
from stentor.wiring.services import api_settings
from stentor.wiring.services import services as services_of

pytestmark = pytest.mark.anyio

KEPT_FREE = 1_000_000_000
ORDER = {"topic_key": "news", "context": {"order": "7"}}
RUN = "/event-generators/orders/run"
CSV = {"Content-Type": "text/csv"}
FILE = b"external_id\n" + b"".join(b"person-%d\n" % number for number in range(80_000))


class Disk:
    """Free bytes as a test wants them."""

    def __init__(self) -> None:
        self.free = 2 * KEPT_FREE

    def of(self, _place: Path) -> int:
        return self.free


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def small_world(installation: Core, services: Services, disk: Disk) -> AsyncIterator[World]:
    """A brand on an installation whose disk is that one."""
    reserve = DiskReserve([Path("/")], KEPT_FREE, free_bytes=disk.of)
    narrow = replace(services, reserve=reserve, imports=ImportService(installation.db, reserve))
    async with client_of(create_app(narrow, api_settings(installation))) as client:
        yield await World.made(client, narrow, "Matchday")


@pytest.fixture
async def far_world(database_dsn: str) -> AsyncIterator[tuple[World, ChaosProxy]]:
    """A brand on an installation that reaches its database through a proxy."""
    server = {name: str(value) for name, value in conninfo_to_dict(database_dsn).items()}
    host, port = server["host"], int(server["port"])
    settings = Settings(secret=SecretStr("a secret for tests, which is long enough"))
    closed = asyncio.Event()
    async with (
        ChaosProxy.to_socket(f"{host}/.s.PGSQL.{port}") if host.startswith("/") else ChaosProxy.to_port(port) as proxy,
        core(settings, to_proxy(database_dsn, proxy), role="test", size=5) as installation,
        asyncio.TaskGroup() as group,
    ):
        served = services_of(installation)
        group.create_task(served.triggers.run_committer(closed))
        async with client_of(create_app(served, api_settings(installation))) as client:
            yield await World.made(client, served, "Matchday"), proxy
        closed.set()


def to_proxy(dsn: str, proxy: ChaosProxy) -> str:
    return make_conninfo(dsn, host="127.0.0.1", port=proxy.port, sslmode="disable")


async def begin(world: World) -> str:
    said = {"kind": "customers", "format": "csv", "source": "f.csv", "bytes_total": len(FILE)}
    return (await world.ask("POST", "/imports", json=said)).json()["id"]


def filling(disk: Disk, content: bytes, after: int) -> Callable[[], AsyncIterator[bytes]]:
    """The content, during which the disk fills up."""

    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 65_536):
            if start > after:
                disk.free = KEPT_FREE - 1
            yield content[start : start + 65_536]

    return blocks


@pytest.mark.fault("F10")
async def test_a_file_is_turned_away_before_the_disk_is_full_and_goes_on_when_there_is_room(
    small_world: World, disk: Disk
):
    job = await begin(small_world)

    content = filling(disk, FILE, len(FILE) // 2)()
    turned_away = await small_world.ask("PUT", f"/imports/{job}/content", content=content, headers=CSV)
    stands = (await small_world.ask("GET", f"/imports/{job}")).json()
    disk.free = 2 * KEPT_FREE
    done = await small_world.ask("PUT", f"/imports/{job}/content", content=FILE, headers=CSV)

    assert (turned_away.status_code, turned_away.headers["Retry-After"]) == (507, "60")
    assert turned_away.json()["code"] == "no-room"
    assert stands["state"] == "running"
    assert 0 < stands["bytes_done"] < len(FILE)
    assert (done.json()["state"], done.json()["added"]) == ("succeeded", 80_000)


@pytest.mark.fault("F10")
async def test_what_is_ready_says_that_its_disk_is_nearly_full(small_world: World, disk: Disk):
    before = await small_world.client.get("/ready")
    disk.free = KEPT_FREE - 1
    after = await small_world.client.get("/ready")

    assert before.json() == {"status": "ready"}
    assert (after.status_code, after.json()["status"]) == (200, "ready")
    assert "999 MB left" in after.json()["disk"]


@pytest.mark.fault("F10")
async def test_calls_are_refused_while_the_database_has_no_room_and_taken_once_when_it_has(
    far_world: tuple[World, ChaosProxy],
):
    world, proxy = far_world
    await shop_generator(world, "orders", ["email"])
    call = {"event_generator_id": "orders", "context": {"order": "17"}, "recipients": [{"email": "one@example.org"}]}
    headers = {"Idempotency-Key": "order-17"}

    proxy.is_full = True
    refused = [await world.ask("POST", "/messages", json=call, headers=headers) for _ in range(3)]
    proxy.is_full = False
    taken = [await world.ask("POST", "/messages", json=call, headers=headers) for _ in range(2)]

    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in refused} == {(503, "1")}
    assert "no room on its disk" in refused[0].text
    assert [answer.status_code for answer in taken] == [202, 202]
    assert taken[0].content == taken[1].content
    assert len((await world.ask("GET", "/executions")).json()["data"]) == 1


async def full_table(db: Database, *, is_left: bool) -> None:
    """Lets the database answer inserts of executions as one does whose disk is full, or no longer."""
    async with db.autocommit() as conn:
        if is_left:
            await conn.execute("DROP TRIGGER full_disk ON execution")
            return
        await conn.execute(
            "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"
        )
        await conn.execute("CREATE TRIGGER full_disk AFTER INSERT ON execution EXECUTE FUNCTION full_disk()")


@pytest.mark.fault("F10")
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "order-7"}], ids=["without a key", "under a key"])
async def test_a_run_that_the_database_has_no_room_for_is_told_so_and_nothing_is_half_done(
    world: World, db: Database, headers: dict[str, str]
):
    await shop_generator(world, "orders", ["sms"], consent_basis="topic", lane="bulk")
    await full_table(db, is_left=False)

    full = await world.ask("POST", RUN, json=ORDER, headers=headers)
    listed = (await world.ask("GET", "/executions")).json()["data"]
    await full_table(db, is_left=True)
    again = await world.ask("POST", RUN, json=ORDER, headers=headers)

    assert (full.status_code, int(full.headers["retry-after"]) > 0, listed) == (503, True, [])
    assert "idempotency-replayed" not in again.headers
    assert again.status_code == 202
    assert len((await world.ask("GET", "/executions")).json()["data"]) == 1
