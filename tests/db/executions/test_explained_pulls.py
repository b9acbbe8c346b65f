"""Of whom a service pulled it is told by what was true when its list was frozen, and not when it was read."""

from datetime import UTC, datetime, timedelta

import pytest

from pull_world import Stage, reader
from stentor.db.pool import Database
from stentor.domain.policy import CampaignCap, CampaignPolicy
from stentor.executions.explaining import ChannelExplanation
from stentor.integrations.pulls.model import Wording
from stentor.integrations.pulls.paging import Asked

pytestmark = pytest.mark.anyio

CAPPED = CampaignPolicy(caps=(CampaignCap(at_most=1, per="1d"),))


async def test_what_was_asked_at_the_freeze_is_asked_again_as_of_then(db: Database):
    stage = await Stage.made(db, reader("late"), reader("never"), reader("no"))
    now = datetime.now(UTC)
    quiet = {"from": f"{now - timedelta(hours=2):%H:%M}", "to": f"{now + timedelta(hours=6):%H:%M}"}
    await stage.world.settings(quiet_hours=[quiet])
    campaign, execution_id = await stage.campaign(CAPPED)
    db.shift += timedelta(minutes=1)
    await stage.world.choose("no", 0)
    db.shift += timedelta(minutes=1)

    page = await stage.pulls.service.page(
        stage.world.brand_id, stage.client.puller, Asked((505,), campaign, 10, 0, Wording())
    )
    assert page.on_sent is not None
    db.shift += timedelta(minutes=1)
    await stage.world.choose("late", 0)
    db.shift += timedelta(minutes=1)
    async for _ in page.pieces:
        pass
    await page.on_sent()
    await stage.pulls.service.drained()

    async def told(name: str) -> ChannelExplanation:
        executions = stage.pulls.engine.executions
        return (await executions.explain(stage.world.brand_id, execution_id, name)).channels[0]

    late, never, no = [await told(name) for name in ("late", "never", "no")]
    assert [(one.state, one.reason) for one in (late, never, no)] == [
        ("handed_over", ""),
        ("handed_over", ""),
        ("skipped", "unsubscribed"),
    ]
    for one in (late, never, no):
        assert [check.name for check in one.checks if check.differs] == []
    consent, hours = [next(check for check in late.checks if check.name == name) for name in ("consent", "quiet_hours")]
    assert (consent.outcome, consent.replayed) == ("passed", True)
    assert (hours.outcome, "on the service's list" in hours.detail) == ("passed", True)
    assert next(check for check in no.checks if check.outcome == "objected").replayed
