"""The calendar tells what ran and what is to come on the brand's clock, and moves what comes once."""

import re
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from httpx import AsyncClient, Response

from console_world import OWN, ConsoleWorld, a_campaign, a_run, a_schedule
from stentor.accounts.audit_model import Narrowed
from stentor.audience.segments import expressions as ex
from stentor.domain.timetable import Rule
from stentor.errors import Conflict, Invalid, Unprocessable
from stentor.executions.audiences import OfSegment
from stentor.triggers.calendar import CALENDAR_DAYS_MAX, OCCURRENCES_MAX, Calendar
from stentor.triggers.schedules.model import CampaignTarget, Schedule, ScheduleDraft

pytestmark = pytest.mark.anyio

HOSTILE = "<img src=x onerror=alert(1)> שלום " + "x" * 100


async def a_plan(
    console: ConsoleWorld,
    campaign: UUID,
    segment: UUID,
    rule: Rule,
    *,
    name: str = "Once",
    by_their_clocks: bool = False,
) -> Schedule:
    target = CampaignTarget(campaign_id=campaign, audience=OfSegment(segment), in_their_zones=by_their_clocks)
    draft = ScheduleDraft(name=name, target=target, context={}, rule=rule, misfire_grace_s=600, enabled=True)
    return await console.services.schedules.create(console.brand.id, draft, is_test=False)


def times_of(calendar: Calendar) -> dict[date, list[str]]:
    return {day.day: [f"{each.local:%H:%M}" for each in day.entries] for day in calendar.days if day.entries}


async def moved(at: AsyncClient, console: ConsoleWorld, page: Response, **typed: str) -> Response:
    token = re.search(r'name="form_token" value="([0-9a-f]+)"', page.text)
    assert token is not None
    said = {"form_token": token[1], "view": "month", **typed}
    return await at.post(f"{console.root}/calendar/move", data=said, headers=OWN)


async def test_days_are_those_of_the_brands_clock_also_when_it_is_changed(console: ConsoleWorld):
    brand, services = console.brand.id, console.services
    segment = await services.segments.create(brand, "Everybody", ex.Sample(share=1))
    campaign = await a_campaign(console, brand, name=HOSTILE)
    await a_plan(console, campaign.id, segment.id, Rule(time_zone="Europe/Berlin", cron="30 2 * * *"))
    # 23:30 in New York is the next day in Berlin.
    await a_plan(console, campaign.id, segment.id, Rule(time_zone="America/New_York", at="2031-03-29T23:30"), name="NY")
    their = Rule(time_zone="UTC", at="2031-03-31T00:15")
    await a_plan(console, campaign.id, segment.id, their, name="Theirs", by_their_clocks=True)
    found = await console.services.calendar.between(brand, date(2031, 3, 28), 4, "Europe/Berlin")

    # The clock goes from two to three on the 30th: half past two is due when it is three.
    assert times_of(found) == {
        date(2031, 3, 28): ["02:30"],
        date(2031, 3, 29): ["02:30"],
        date(2031, 3, 30): ["03:00", "05:30"],
        date(2031, 3, 31): ["00:15", "02:30"],
    }
    assert [day.day for day in found.days if any(each.again for each in day.entries)] == [
        date(2031, 3, 30),
        date(2031, 3, 31),
    ]
    minutely = Rule(time_zone="UTC", cron="* * * * *")
    await a_plan(console, campaign.id, segment.id, minutely, name="Often")
    many = await console.services.calendar.between(brand, date(2031, 3, 1), CALENDAR_DAYS_MAX, "UTC")
    assert many.is_cut
    assert max(each.times for day in many.days for each in day.entries) <= OCCURRENCES_MAX
    for first, days in ((date(2031, 3, 1), 0), (date(2031, 3, 1), CALENDAR_DAYS_MAX + 1), (date(1, 1, 1), 7)):
        with pytest.raises(Invalid):
            await console.services.calendar.between(brand, first, days, "UTC")


async def test_what_ran_is_counted_and_who_is_meant_twice_is_told(console: ConsoleWorld):
    brand, services = console.brand.id, console.services
    segment = await services.segments.create(brand, "Everybody", ex.Sample(share=1))
    campaign = await a_campaign(console, brand, name=HOSTILE)
    first, _ = await a_run(console, campaign.id, segment.id), await a_run(console, campaign.id, segment.id)
    async with console.core.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO tally (execution_id, channel, shard, state, reason, brand_id, sends)"
            " VALUES (%s, 0, 0, 2, 0, %s, 7), (%s, 0, 1, 2, 0, %s, 1300), (%s, 0, 0, 3, 0, %s, 9)",
            [first, brand, first, brand, first, brand],
        )
    other = await services.accounts.create_brand("Other")
    at = await console.enters("viewer")
    today = datetime.now(UTC).date()

    found = await services.calendar.between(brand, today - timedelta(days=1), 3, "UTC")
    foreign = await services.calendar.between(other.id, today - timedelta(days=1), 3, "UTC")
    month = await at.get(f"{console.root}/calendar")
    week = await at.get(f"{console.root}/calendar?view=week&at={today}")
    strange = await at.get(f"{console.root}/calendar?view=year&at=0001-01-01")

    ((day,),) = [[each for each in found.days if each.entries]]
    (entry,) = day.entries
    assert (entry.kind, entry.times, entry.people, day.handed_over, entry.again) == ("run", 2, 1307, 1307, True)
    assert not any(each.entries for each in foreign.days)
    assert "1.3k" in month.text
    assert "Same people twice" in month.text
    assert "×2" in month.text
    assert "Move to another day" not in month.text
    assert (week.status_code, strange.status_code) == (200, 200)
    assert "<img src=x" not in month.text + week.text


async def test_what_comes_once_is_moved_and_nothing_else(console: ConsoleWorld):
    brand, services = console.brand.id, console.services
    segment = await services.segments.create(brand, "Everybody", ex.Sample(share=1))
    campaign = await a_campaign(console, brand, name="Spring")
    mondays = await a_schedule(console, brand, campaign.id, segment.id)
    once = await a_plan(console, campaign.id, segment.id, Rule(time_zone="UTC", at="2031-06-10T09:30"))
    at = await console.enters("marketer")
    page = await at.get(f"{console.root}/calendar?at=2031-06-01")
    (what,) = re.findall(r'<a class="cal-chip[^>]* data-move="([^"]+)"', page.text)

    done = await moved(at, console, page, what=what, to="2031-06-12")
    after = await services.schedules.get(brand, once.id)
    stale = await moved(at, console, page, what=what, to="2031-06-13")
    again = await moved(at, console, page, what=f"{mondays.id} {mondays.updated_at.isoformat()}", to="2031-06-13")
    past = await moved(at, console, page, what=f"{once.id} {after.updated_at.isoformat()}", to="2020-06-13")
    nothing = [
        await moved(at, console, page, what="x", to="2031-06-13"),
        await moved(at, console, page, what=what, to=""),
    ]
    viewer = await console.enters("viewer")
    kept_out = await moved(viewer, console, await viewer.get(console.root + "/schedules"), what=what, to="2031-06-14")

    assert (done.status_code, after.at) == (303, "2031-06-12T09:30")
    assert [each.status_code for each in (stale, again, past, *nothing, kept_out)] == [409, 422, 400, 400, 400, 403]
    assert "meanwhile" in stale.text
    assert (await services.schedules.get(brand, once.id)).at == "2031-06-12T09:30"
    told = await services.audit.page(brand, Narrowed(thing_id=str(once.id)))
    assert [each.action for each in told][:2] == ["schedule.updated", "schedule.created"]
    with pytest.raises(Unprocessable):
        await services.schedules.move(brand, mondays.id, 1, edited_from=mondays.updated_at)
    with pytest.raises(Conflict):
        await services.schedules.move(brand, once.id, 1, edited_from=once.updated_at)
    with pytest.raises(Invalid):
        await services.schedules.move(brand, once.id, 100_000, edited_from=after.updated_at)
