"""A marketer makes a segment and schedules a campaign for it, and it starts: no API is called."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from console_world import ConsoleWorld, a_campaign, press
from stentor.audience.model import CustomerPatch
from stentor.testing.waiting import eventually
from stentor.wiring.chores import schedule_keeper


@pytest.mark.anyio
async def test_a_schedule_that_was_made_in_the_console_starts_its_campaign_for_the_segment(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    patch = CustomerPatch(external_id="fan", email="fan@example.org", attributes={"tier": "gold"})
    await services.customers.upsert(brand, patch)
    campaign = await a_campaign(console, brand)
    at = await console.enters("marketer")
    gold = {"name": "Gold", "r-0-kind": "attribute", "r-0-name": "tier", "r-0-op": "is", "r-0-value": "gold"}

    made = await press(at, await at.get(f"{console.root}/segments/new"), "save", gold)
    segment = made.headers["location"].rpartition("/")[2].partition("?")[0]
    new = await at.get(f"{console.root}/schedules/new?campaign={campaign.id}&segment={segment}")
    instant = await press(at, new, "draw", {"name": "Now", "when": "instant"})
    saved = await press(at, instant, "save", {"at": f"{datetime.now(UTC) + timedelta(seconds=2):%Y-%m-%dT%H:%M:%SZ}"})
    assert saved.status_code == 303, saved.text
    keeper = schedule_keeper(console.core)

    async def has_started() -> bool:
        await keeper.run_due()
        return bool(await services.executions.page(brand, before=None, limit=1))

    assert await eventually(has_started, within_s=10)
    page = await at.get(saved.headers["location"])
    (execution,) = re.findall(rf'href="({console.root}/executions/[^"]+)">Execution', page.text)
    assert f'href="{console.root}/segments/{segment}"' in (await at.get(execution)).text
