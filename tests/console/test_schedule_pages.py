"""A campaign is scheduled for a segment in the console, by plain choices of when and how fast."""

import re

import msgspec
import pytest

from console_world import OWN, ConsoleWorld, a_campaign, a_schedule, fields_in, press
from stentor.audience.model import CustomerPatch
from stentor.audience.segments import expressions as ex
from stentor.console.schedule_form import fields_of, rule_of
from stentor.domain.timetable import Rule
from stentor.errors import Invalid
from stentor.executions.audiences import OfSegment
from stentor.triggers.schedules.model import CampaignTarget

pytestmark = pytest.mark.anyio

PLAIN = [
    ({"when": "daily", "time": "09:05"}, "5 9 * * *"),
    ({"when": "weekly", "time": "18:00", "day_mon": "yes", "day_fri": "yes"}, "0 18 * * mon,fri"),
    ({"when": "monthly", "time": "00:30", "month_day": "31"}, "30 0 31 * *"),
    ({"when": "monthly", "time": "00:30", "month_day": "L"}, "30 0 L * *"),
    ({"when": "cron", "cron": " */15  8-17 * *  1-5 "}, "*/15 8-17 * * 1-5"),
]


def said(text: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


async def test_a_marketer_tries_a_schedule_and_then_saves_it(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    for number in range(3):
        patch = CustomerPatch(external_id=f"fan-{number}", email=f"fan{number}@example.org")
        await services.customers.upsert(brand, patch)
    await services.customers.upsert(brand, CustomerPatch(external_id="no address"))
    segment = await services.segments.create(brand, "Everybody", ex.Sample(share=1))
    campaign, unpublished = await a_campaign(console, brand), await a_campaign(console, brand, name="No", publish=False)
    at = await console.enters("marketer")
    new = await at.get(f"{console.root}/schedules/new?campaign={campaign.id}&segment={segment.id}")
    typed = {"name": "Spring", "when": "weekly", "time_zone": "Europe/Berlin"}

    drawn = await press(at, new, "draw", typed)
    chosen = {"day_mon": "yes", "time": "09:00", "spread": "4h", "per_hour": "1000", "in_their_zones": "yes"}
    tried = await press(at, drawn, "try", chosen)
    saved = await press(at, tried, "save")

    assert str(unpublished.id) not in new.text
    assert fields_in(drawn)["name"] == "Spring"
    assert len(re.findall(r"Monday, \d+ \w+ \d{4}, 09:00", tried.text)) == 5
    assert "4 people are meant" in said(tried.text)
    assert "would not: no address 1 25.0%" in said(tried.text)
    assert saved.status_code == 303, saved.text
    (schedule,) = await services.schedules.page(brand)
    assert schedule.target == CampaignTarget(
        campaign_id=campaign.id,
        audience=OfSegment(segment.id),
        in_their_zones=True,
        spread_s=4 * 3600,
        per_hour=1000,
    )
    assert schedule.cron == "0 9 * * mon"
    shown = await at.get(saved.headers["location"])
    assert "The schedule is saved." in shown.text
    # Where everybody's own clock counts, no other one is asked for.
    assert {**fields_in(shown), "time_zone": ""} == {**fields_in(tried), "time_zone": ""}
    assert 'id="time_zone"' not in shown.text


async def test_pausing_going_on_cancelling_and_deleting(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    segment = await services.segments.create(brand, "Everybody", ex.Sample(share=1))
    schedule = await a_schedule(console, brand, (await a_campaign(console, brand)).id, segment.id)
    at, here = await console.enters("marketer"), f"{console.root}/schedules/{schedule.id}"
    token = fields_in(await at.get(here))["form_token"]
    told: list[tuple[int, bool | None]] = []

    for what in ("pause", "go-on", "cancel", "cancel", "explode", "delete"):
        answer = await at.post(f"{here}/{what}", data={"form_token": token}, headers=OWN)
        left = await services.schedules.page(brand)
        told.append((answer.status_code, left[0].enabled if left else None))

    assert told == [(303, False), (303, True), (303, False), (409, False), (404, False), (303, None)]
    assert "No schedule yet" in (await at.get(f"{console.root}/schedules")).text


async def test_what_is_wrong_is_told_at_its_field(console: ConsoleWorld):
    campaign = await a_campaign(console, console.brand.id)
    segment = await console.services.segments.create(console.brand.id, "Everybody", ex.Sample(share=1))
    at = await console.enters("marketer")
    new = await at.get(f"{console.root}/schedules/new?campaign={campaign.id}&segment={segment.id}")
    right = {"name": "S", "when": "daily", "time": "09:00"}

    for typed, wrong in [
        ({"name": ""}, "name"),
        ({"campaign_id": ""}, "campaign_id"),
        ({"whom": "segment 1"}, "whom"),
        ({"whom": f"tag {segment.id}"}, "whom"),
        ({"time": ""}, "time"),
        ({"when": "weekly"}, "days"),
        ({"when": "once", "at": ""}, "at"),
        ({"when": "once", "at": "2020-01-01T09:00"}, "at"),
        ({"when": "cron", "cron": "whenever"}, "cron"),
        ({"time_zone": "Nowhere"}, "time_zone"),
        ({"spread": "a while"}, "spread"),
        ({"spread": "8d"}, "spread"),
        ({"per_hour": "many"}, "per_hour"),
        ({"grace": "1s"}, "grace"),
        ({"context": "{"}, "context"),
    ]:
        answer = await press(at, new, "save", {**right, **typed})
        assert (answer.status_code, re.findall(r'id="([^"]+)-error"', answer.text)) == (400, [wrong]), typed
    assert await console.services.schedules.page(console.brand.id) == []


async def test_plain_choices_are_cron_rules_and_are_shown_as_they_were_made(console: ConsoleWorld):
    segment = await console.services.segments.create(console.brand.id, "Everybody", ex.Sample(share=1))
    schedule = await a_schedule(console, console.brand.id, (await a_campaign(console, console.brand.id)).id, segment.id)

    def shown(*, cron: str | None = None, at: str | None = None) -> dict[str, str]:
        return fields_of(msgspec.structs.replace(schedule, cron=cron, at=at))

    for said_in_words, cron in PLAIN:
        form = {**said_in_words, "time_zone": "Europe/Berlin"}
        assert rule_of(form) == Rule(time_zone="Europe/Berlin", cron=cron)
        again = shown(cron=cron)
        assert rule_of(again).cron == cron
        assert again["when"] == form["when"]
    for cron in ("5 9 * * 1", "05 9 * * *", "0 9 1 * mon", "0 9 32 * *", "0 9 * * mon,xyz"):
        assert (shown(cron=cron)["when"], rule_of(shown(cron=cron)).cron) == ("cron", cron)
    for at, when in (
        ("2030-12-24T18:00", "once"),
        ("2030-12-24T18:00Z", "instant"),
        ("2030-12-24T18:00:30", "instant"),
    ):
        assert (shown(at=at)["when"], rule_of(shown(at=at)).at) == (when, at)
    with pytest.raises(Invalid):
        rule_of({"when": "monthly", "time": "09:00", "month_day": "99"})
