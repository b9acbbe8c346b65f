"""Whether an orchestrator may route calls here."""

import httpx
import pytest

from stentor.api.services import Services

pytestmark = pytest.mark.anyio


async def test_a_restored_copy_is_not_ready_until_it_is_let_go(services: Services, app_client: httpx.AsyncClient):
    async with services.database.transaction() as conn:
        await conn.execute("UPDATE installation SET backup_at = now(), restored_at = now(), paused_at = now()")

    paused = await app_client.get("/ready")
    alive = await app_client.get("/health")

    async with services.database.transaction() as conn:
        await conn.execute("UPDATE installation SET paused_at = NULL, resumed_at = now()")
    assert (paused.status_code, alive.status_code) == (503, 200)
    assert "stentor resume" in paused.text
    assert (await app_client.get("/ready")).status_code == 200
