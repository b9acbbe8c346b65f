"""The roles as an operator starts them beside each other, on a database of their own."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from served import STENTOR

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory in which a worker keeps its journal, which would be one of this machine's otherwise."""
    monkeypatch.setenv("STENTOR_DATA", str(tmp_path))


@contextmanager
def role(dsn: str, *arguments: str, **environment: str) -> Iterator[dict[str, Any]]:
    """The role runs within the block; yields what it prints when it is ready."""
    told = {"STENTOR_DATABASE_URL": dsn, "STENTOR_SECRET": "a secret for tests that is long enough", **environment}
    with subprocess.Popen([*STENTOR, *arguments, "--json"], stdout=subprocess.PIPE, env=os.environ | told) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
    assert process.returncode == 0


def test_the_api_says_where_it_listens(database_dsn: str):
    with role(database_dsn, "api", "--port", "0") as ready:
        assert ready["role"] == "api"
        assert httpx.get(f"{ready['url']}/ready").status_code == 200


def test_a_setting_that_is_none_is_warned_of(database_dsn: str, capfd: pytest.CaptureFixture[str]):
    with role(database_dsn, "worker", STENTOR_BATCHES="4"):
        pass

    assert '"names": ["STENTOR_BATCHES"]' in capfd.readouterr().err


def test_a_worker_says_that_it_works(database_dsn: str):
    with role(database_dsn, "worker") as ready:
        assert ready["role"] == "worker"
