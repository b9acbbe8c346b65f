"""Pages that keep themselves up to date: everybody who watches is told what changed, and nobody who may not see it."""

import pytest

from browsing import submit
from console_world import ConsoleWorld, a_campaign, a_run
from page_streams import watching
from stentor.audience.model import CustomerPatch
from stentor.audience.segments import expressions as ex

pytestmark = pytest.mark.anyio


async def test_home_tells_everybody_who_watches_what_begins_and_stops(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    await services.customers.upsert(brand, CustomerPatch(external_id="fan", email="fan@example.org"))
    segment = await services.segments.create(brand, "Everybody", ex.Sample(share=1))
    campaign = await a_campaign(console, brand, name="Spring <b>sale</b>")
    viewer, marketer = await console.enters("viewer"), await console.enters("marketer")

    async with (
        watching(console.app, viewer, f"{console.root}/live") as one,
        watching(console.app, marketer, f"{console.root}/live") as other,
    ):
        assert "Nothing is running" in await one.fragments("home-running")
        assert "Nothing is running" in await other.fragments("home-running")
        execution = await a_run(console, campaign.id, segment.id)
        drawn = await one.fragments("home-running")
        assert await other.fragments("home-running") == drawn
        await services.executions.pause(brand, execution)
        paused = await one.fragments("home-running")

    page = await viewer.get(console.root)
    assert f"{console.root}/executions/{execution}" in drawn
    assert "Spring &lt;b&gt;sale&lt;/b&gt;" in drawn
    assert "paused" in paused
    assert "paused" in page.text
    assert (one.status, other.status) == (200, 200)


async def test_a_stream_ends_with_the_session_of_its_reader(console: ConsoleWorld):
    at = await console.enters("viewer")

    async with watching(console.app, at, f"{console.root}/live") as stream:
        await stream.fragments("home-day")
        await submit(at, "/console/account", "/console/sign-out")
        told = [await stream.next()]
        while told[-1][0]:
            told.append(await stream.next())

    assert told[-1] == ("", None)
    async with watching(console.app, console.browser(), f"{console.root}/live") as stranger:
        while (await stranger.next())[0]:
            pass
    assert stranger.status == 303
