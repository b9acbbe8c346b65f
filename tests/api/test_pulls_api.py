"""Pulls over HTTP: frozen, read by cursors, leased, and who has said no since."""

from typing import Any
from uuid import uuid5

import pytest
from httpx import Response

from api_world import Client
from pull_world import SMS, Stage, reader
from stentor.api.services import Services
from stentor.audience.model import Act, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.db.pool import Database

pytestmark = pytest.mark.anyio


class Backend:
    """A service with a key of the brand."""

    def __init__(self, client: Client, stage: Stage, token: str) -> None:
        self.client = client
        self.stage = stage
        self.token = token

    @classmethod
    async def made(cls, client: Client, services: Services, stage: Stage, **key: Any) -> "Backend":
        given: dict[str, Any] = {"scopes": ("write", "read"), **key}
        made = await services.accounts.create_key("K", brand_id=stage.world.brand_id, **given)
        return cls(client, stage, made.token)

    async def ask(self, method: str, path: str, **more: Any) -> Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self.client.request(
            method, f"/v1/groups/{self.stage.world.brand_id}{path}", headers=headers, **more
        )


async def test_a_list_is_frozen_read_leased_and_revoked_from(db: Database, services: Services, app_client: Client):
    stage = await Stage.made(db, *[reader(name) for name in "abcd"])
    campaign, execution_id = await stage.campaign()
    backend = await Backend.made(app_client, services, stage)

    made = await backend.ask("POST", "/pulls", json={"campaign": campaign, "channel": 505})
    assert made.status_code == 201, made.text
    pull = made.json()
    assert (pull["rows"], pull["campaign"], pull["channel"], pull["handed_over_rows"]) == (4, campaign, 505, 0)
    base = f"/pulls/{pull['id']}"

    first = (await backend.ask("GET", f"{base}/rows?limit=2&attributes=Email;city")).json()
    assert [row["external_id"] for row in first["data"]] == ["a", "b"]
    row = first["data"][0]
    assert row["attributes"] == {"Email": "a@example.com", "city": ""}
    assert row["customer_id"] == str(uuid5(stage.world.brand_id, "a"))
    assert (row["position"], row["template"]) == (0, 7)
    leased = await backend.ask("POST", f"{base}/leases", json={"rows": 1, "attributes": ["Phone"]})
    assert leased.status_code == 201
    assert [one["external_id"] for one in leased.json()["data"]] == ["a"]
    lease = f"{base}/leases/{leased.json()['id']}"
    assert (await backend.ask("POST", f"{lease}/acknowledge")).json()["handed_over"] == 1
    assert (await backend.ask("POST", f"{lease}/release")).status_code == 409
    assert (await stage.world.fates(execution_id))["b"] == "pending"
    second = (await backend.ask("GET", f"{base}/rows?limit=9&cursor={first['next_cursor']}")).json()
    assert [row["external_id"] for row in second["data"]] == ["c", "d"]
    last = (await backend.ask("GET", f"{base}/rows?cursor={second['next_cursor']}")).json()
    assert last == {"data": [], "next_cursor": None}
    assert set((await stage.world.fates(execution_id)).values()) == {"handed_over"}

    feed = (await backend.ask("GET", f"{base}/revocations")).json()
    await SubscriptionService(db).refuse(
        stage.world.brand_id, uuid5(stage.world.brand_id, "b"), SMS.bit, Act(source=Source.API), cause="stop"
    )
    await stage.pulls.look()
    since = (await backend.ask("GET", f"{base}/revocations?cursor={feed['next_cursor']}")).json()
    assert feed["data"] == []
    assert [(one["external_id"], one["reason"]) for one in since["data"]] == [("b", "unsubscribed")]
    assert (await backend.ask("GET", f"{base}/revocations?cursor={since['next_cursor']}")).json()["data"] == []

    story = (await backend.ask("GET", f"/executions/{execution_id}/recipients/b")).json()
    assert [(one["pull_id"], one["position"]) for one in story["fetched"]] == [(pull["id"], 1)]
    assert [(one["channel"], one["reason"]) for one in story["revocations"]] == [(505, "unsubscribed")]
    pages = (await backend.ask("GET", f"{base}/pages")).json()["data"]
    assert sorted((page["position_from"], page["position_to"]) for page in pages) == [(0, 1), (0, 2), (2, 4)]
    assert [one["id"] for one in (await backend.ask("GET", "/pulls")).json()["data"]] == [pull["id"]]
    assert (await backend.ask("GET", base)).json()["handed_over_rows"] == 5
    # The next list leaves out who was revoked, and is what the same key reads from then on.
    again = (await backend.ask("POST", "/pulls", json={"execution_id": str(execution_id), "channel": 505})).json()
    assert again["rows"] == 3
    assert (await backend.ask("GET", base)).json()["replaced_at"] is not None


async def test_a_list_is_for_keys_that_may_write_and_are_no_test_keys(
    db: Database, services: Services, app_client: Client
):
    stage = await Stage.made(db, reader("a"))
    campaign, _ = await stage.campaign()
    body = {"json": {"campaign": campaign, "channel": 505}}
    reading = await Backend.made(app_client, services, stage, scopes=("read",))
    trying = await Backend.made(app_client, services, stage, is_test=True)
    backend = await Backend.made(app_client, services, stage)

    assert (await reading.ask("POST", "/pulls", **body)).status_code == 403
    assert (await trying.ask("POST", "/pulls", **body)).status_code == 403
    assert (await backend.ask("POST", "/pulls", json={"campaign": campaign, "channel": 506})).status_code == 404
    assert (await backend.ask("POST", "/pulls", json={"channel": 505})).status_code == 400
    pull = (await backend.ask("POST", "/pulls", **body)).json()
    assert (await reading.ask("GET", f"/pulls/{pull['id']}/rows")).status_code == 403
    assert (await reading.ask("GET", f"/pulls/{pull['id']}/revocations")).status_code == 200
    for query in ("limit=0", "limit=10001", "cursor=x", "attribute=Email"):
        assert (await backend.ask("GET", f"/pulls/{pull['id']}/rows?{query}")).status_code in {400, 422}
    for lease in ({"rows": 0}, {"lease_s": 5}, {"attributes": [""]}, {"row": 1}):
        assert (await backend.ask("POST", f"/pulls/{pull['id']}/leases", json=lease)).status_code in {400, 422}
