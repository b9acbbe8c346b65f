"""kill -9 of the HTTP process while it freezes a list and after it has sent a page: the next calls lose and double nobody."""

import json
import os
import signal
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from served import PATIENCE_S, STENTOR, Served, command_on, eventually, serving
from stentor.cli.premises import temporary_directory
from stentor.db.embedded import ensure_running

pytestmark = [pytest.mark.prove, pytest.mark.timeout(400)]

PEOPLE = 60_000
PAGE = 10_000
NAMES = [f"fan-{number:05}" for number in range(PEOPLE)]

BEING_FROZEN = "SELECT count(*) FROM pull_row r JOIN pull p ON p.id = r.pull_id WHERE p.frozen_at IS NULL"
FATES = "SELECT state::integer, min(tries)::integer, max(tries)::integer, count(*)::integer FROM send GROUP BY 1"


def test_lists_outlive_the_process_that_freezes_and_sends_them(tmp_path: Path):
    with ExitStack() as stack:
        data = stack.enter_context(temporary_directory())
        served = stack.enter_context(serving(data))
        conn = stack.enter_context(psycopg.connect(stack.enter_context(ensure_running(data)).dsn(), autocommit=True))
        key, campaign = published(served, data, tmp_path)
        partner = stack.enter_context(httpx.Client(base_url=served.told["url"], timeout=PATIENCE_S))

        def asked_for(skip: int) -> httpx.Response:
            asked = {"ChannelID": 505, "CampaignID": campaign, "$top": PAGE, "$skip": skip}
            path = "/current/customers/GetCustomerSendDetailsByChannel"
            return partner.get(path, params=asked, headers={"X-API-KEY": key})

        def heard(skip: int) -> httpx.Response | None:
            try:
                return asked_for(skip)
            except httpx.TransportError:
                return None

        def page(skip: int) -> list[str]:
            """The page, when another process listens."""
            answer = eventually(lambda: heard(skip))
            assert answer.status_code == 200, answer.text
            return [row["CustomerID"] for row in answer.json()]

        killing = threading.Thread(target=kill_while_it_freezes, args=(served, conn))
        killing.start()
        with pytest.raises(httpx.TransportError):
            asked_for(0)
        killing.join()
        left = first(conn, BEING_FROZEN)
        pages = [page(0)]
        while len(pages[-1]) == PAGE:
            pages.append(page(PAGE * len(pages)))
            if len(pages) in {2, 4}:
                # The page has arrived; whether its people were handed over is for another process to find out.
                kill(served)
        eventually(lambda: first(conn, "SELECT count(*) FROM execution WHERE ended_at IS NULL") == 0)
        fates = conn.execute(FATES).fetchall()

    assert 0 < left < PEOPLE
    assert [name for each in pages for name in each] == NAMES
    assert fates == [(2, 1, 1, PEOPLE)]


def published(served: Served, data: Path, folder: Path) -> tuple[str, int]:
    """A partner's key, and the CampaignID of what it is to pull."""
    scopes = [word for scope in ("run", "read", "write", "admin") for word in ("--scope", scope)]
    made = [*STENTOR, "key", "create", "--brand", "My brand", *scopes, "--data", str(data), "--json"]
    served.told["token"] = json.loads(subprocess.run(made, check=True, stdout=subprocess.PIPE).stdout)["token"]
    served.native("POST", "/partner-channels", json={"name": "Letters", "channel": "email", "number": 505})
    template = {"number": 7, "name": "Kick-off"}
    served.native("POST", "/partner-channels/505/templates", json={"templates": [template]})
    synced = served.native("GET", "/partner-channels/505/templates")["data"][0]
    client = {"name": "Letters", "username": "letters", "channels": [{"number": 505}]}
    key = served.native("POST", "/hub-clients", json=client)["api_key"]
    people = folder / "people.csv"
    people.write_text("\n".join(["external_id,email", *(f"{name},{name}@example.com" for name in NAMES)]) + "\n")
    command_on(data, "customers", "import", str(people), "--brand", "My brand")
    everybody = {"name": "Mails", "expression": {"type": "known", "field": "email"}}
    segment = served.native("POST", "/segments", json=everybody)
    route = {"channel": "email", "template_id": synced["id"]}
    draft = {"name": "Sale", "kind": "external", "consent_basis": "channel", "routes": [route]}
    drafted = f"/campaigns/{served.native('POST', '/campaigns', json=draft)['id']}"
    served.native("POST", f"{drafted}/publish")
    run = served.native("POST", f"{drafted}/run", json={"segment_id": segment["id"]})
    execution = f"/executions/{run['execution_id']}"
    return key, eventually(lambda: served.native("GET", execution)["run_number"])


def kill_while_it_freezes(served: Served, conn: "psycopg.Connection[Any]") -> None:
    eventually(lambda: first(conn, BEING_FROZEN))
    kill(served)


def kill(served: Served) -> None:
    for pid in served.pids("api"):
        os.kill(pid, signal.SIGKILL)


def first(conn: "psycopg.Connection[Any]", query: Any) -> Any:
    row = conn.execute(query).fetchone()
    assert row is not None
    return row[0]
