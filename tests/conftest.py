"""The database that tests run on: started when the first test asks for it, shared by all processes of one run."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stentor.db.pool import Database
from stentor.testing.databases import TestDatabases, TestRun

if TYPE_CHECKING:
    from stentor.testing.torture.sweep import Sweep

# `STENTOR_TEST_DATABASE_URL`: a superuser's DSN of a server to use instead of our own. `STENTOR_TEST_DIRECT_URL`: the
# server itself, where the other is a PgBouncer in front of it, in transaction mode.
SERVER_URL = os.environ.get("STENTOR_TEST_DATABASE_URL")
DIRECT_URL = os.environ.get("STENTOR_TEST_DIRECT_URL") or None

# A migrated database there that is not to be made anew: of the run that runs this one.
TEMPLATE = os.environ.get("STENTOR_TEST_TEMPLATE") or None

# How xdist's workers learn of their run.
_RUN = "STENTOR_TEST_RUN"
_POOL_SIZE = 5

_run_stack = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    stack = config.stash[_run_stack] = ExitStack()
    run = stack.enter_context(TestRun.begun())
    os.environ[_RUN] = str(run.path)
    if SERVER_URL:
        stack.callback(_leave_nothing_behind, run, SERVER_URL)


def pytest_unconfigure(config: pytest.Config) -> None:
    if stack := config.stash.get(_run_stack, None):
        stack.close()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take minutes begins first: drawn as the last test of a run, the minute of torture kept one core alone with it."""
    items.sort(key=_patience_s, reverse=True)


def _patience_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


def _leave_nothing_behind(run: TestRun, url: str) -> None:
    with TestDatabases.served(run, url) as databases:
        databases.drop_template()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def databases() -> Iterator[TestDatabases]:
    """The run's server, for tests that need more than one database."""
    with TestDatabases.served(TestRun(Path(os.environ[_RUN])), SERVER_URL, DIRECT_URL, TEMPLATE) as served:
        yield served


@pytest.fixture
def database_dsn(databases: TestDatabases) -> Iterator[str]:
    """A database of this test's own with the present schema, for programs that connect themselves."""
    with databases.migrated() as dsn:
        yield dsn


@pytest.fixture
def fresh_database(databases: TestDatabases) -> Iterator[str]:
    """A database of this test's own without any table."""
    with databases.empty() as dsn:
        yield dsn


@pytest.fixture
def flow_machine(database_dsn: str) -> Iterator[type[Any]]:
    """The stateful model of the flow, on a database of this test's own."""
    # Hypothesis takes half a second to import, which most runs have no use for.
    from flow_machine import machine_on

    with machine_on(database_dsn) as machine:
        yield machine


@pytest.fixture(scope="module")
def sweep(databases: TestDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Sweep"]:
    """The sweep over every boundary, begun, on a database of this module's own."""
    from boundaries import sweeping

    with sweeping(databases, tmp_path_factory.mktemp("sweep")) as begun:
        yield begun


@pytest.fixture(scope="module")
def hits(sweep: "Sweep") -> dict[str, int]:
    """How often a life of that sweep comes to each boundary."""
    from boundaries import hits_of

    return hits_of(sweep)


@pytest.fixture
async def db(database_dsn: str) -> AsyncIterator[Database]:
    """A pool on a database of this test's own with the present schema."""
    async with Database(database_dsn, size=_POOL_SIZE, prepared=DIRECT_URL is None) as opened:
        yield opened
