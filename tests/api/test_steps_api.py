"""An sms, then a voice call with a question to those who did not answer within two days: through the API, on the sandbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_world import World
from stentor.domain.ids import customer_id, part_of
from stentor.executions.provider_events import apply_due
from stentor.executions.steps.following import write_waits
from stentor.executions.steps.starting import StepKeeper
from stentor.wiring.core import Core
from stentor.wiring.roles import caster, deliverer, open_channels, planner

pytestmark = pytest.mark.anyio

PEOPLE = {"silent": "+4915112345601", "answers": "+4915112345602", "leaves": "+4915112345603"}


class Workers:
    """All roles of a process, by hand."""

    def __init__(self, core: Core, channels: Any) -> None:
        self._core = core
        self._planner, self._caster = planner(core), caster(core)
        self._deliverer = deliverer(core, channels, "worker-1")
        self._steps = StepKeeper(core.db, core.publications)

    async def later(self, **period: float) -> None:
        """All that is to do that much later."""
        self._core.db.shift += timedelta(**period)
        while True:
            while await self._caster.cast_next() or await self._planner.plan_next():
                pass
            while claim := await self._deliverer.claim():
                await self._deliverer.deliver(claim, stop=asyncio.Event())
            await apply_due(self._core.db)
            await write_waits(self._core.db)
            if not await self._steps.start_due():
                return


@pytest.fixture
async def workers(installation: Core) -> AsyncIterator[Workers]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Workers]:
        channels = open_channels(installation)
        try:
            yield Workers(installation, channels)
        finally:
            await channels.aclose()

    async with opened() as made:
        yield made


async def template(world: World, channel: str, **parts: str) -> str:
    asked = {"name": str(uuid4()), "channel": channel, "default_language": "en", "variants": {"en": parts}}
    return (await world.ask("POST", "/templates", json=asked)).json()["id"]


async def a_campaign(world: World, **changes: Any) -> dict[str, Any]:
    return {
        "name": "Renewal",
        "kind": "batch",
        "consent_basis": "channel",
        "routes": [{"channel": "sms", "template_id": await template(world, "sms", text="Renew? Answer yes or no.")}],
        "steps": [
            {
                "wait": "2d",
                "when": {"type": "step", "what": "answered", "has": False},
                "routes": [
                    {
                        "channel": "voice",
                        "template_id": await template(world, "voice", script="Renew? Press 1 for yes."),
                    }
                ],
            }
        ],
        **changes,
    }


async def test_an_sms_then_a_call_to_those_who_did_not_answer_within_two_days(
    world: World, installation: Core, workers: Workers
):
    for name, phone in PEOPLE.items():
        await world.ask("POST", "/customers", json={"external_id": name, "phone": phone})
    rule = {"effect": "answer", "recipients": PEOPLE["answers"], "text": "yes", "after_s": 3600}
    await world.ask("PUT", "/inbox/chaos", json={"rules": [rule]})
    tag_id = uuid4()
    async with installation.db.transaction() as conn:
        brand_id = world.brand.id
        await conn.execute(
            "INSERT INTO tag (id, brand_id, name, created_at, updated_at) VALUES (%s, %s, 'all', now(), now())",
            [tag_id, brand_id],
        )
        for name in PEOPLE:
            person = customer_id(brand_id, name)
            await conn.execute(
                "INSERT INTO customer_tag (part, customer_id, tag_id, brand_id, place, tagged_at) VALUES (%s, %s, %s, %s, 0, now())",
                [part_of(person), person, tag_id, brand_id],
            )
    made = await world.ask("POST", "/campaigns", json=await a_campaign(world))
    assert made.status_code == 201, made.text
    campaign_id = made.json()["id"]
    assert made.json()["steps"][0]["when"] == {"type": "step", "what": "answered", "has": False}
    assert (await world.ask("POST", f"/campaigns/{campaign_id}/publish")).status_code == 200
    run = (await world.ask("POST", f"/campaigns/{campaign_id}/run", json={"tag_id": str(tag_id)})).json()[
        "execution_id"
    ]

    async def step() -> dict[str, Any]:
        (found,) = (await world.ask("GET", f"/executions/{run}/steps")).json()["steps"]
        return found

    await workers.later()
    assert ((await step())["waiting"], (await step())["executions"]) == (3, [])
    await workers.later(hours=3)
    async with installation.db.transaction() as conn:
        await conn.execute("UPDATE customer SET refused_mask = ~0 WHERE external_id = 'leaves'")
    await workers.later(hours=44)
    assert (await step())["went_on"] == 0
    await workers.later(hours=2)

    taken = await step()
    assert (taken["handed_over"], taken["waiting"], taken["went_on"]) == (3, 0, 1)
    assert taken["exits"] == {"gone": 0, "opted_out": 1, "unmet": 1, "dropped": 0}
    called = (await world.ask("GET", f"/executions/{taken['executions'][0]['id']}")).json()
    assert (called["parent_id"], called["step"], called["campaign_id"], called["state"]) == (
        run,
        1,
        campaign_id,
        "ended",
    )
    inbox = (await world.ask("GET", "/inbox/messages?channel=voice")).json()
    assert [message["recipient"] for message in inbox["data"]] == [PEOPLE["silent"]]
    assert len((await world.ask("GET", "/inbox/messages?channel=sms")).json()["data"]) == 3


async def test_what_no_step_can_be_is_refused_with_its_place(world: World):
    route = {"channel": "sms", "template_id": await template(world, "sms", text="Hi")}

    async def refused(*steps: dict[str, Any]) -> list[str]:
        answer = await world.ask("POST", "/campaigns", json=await a_campaign(world, steps=list(steps)))
        assert answer.status_code == 400, answer.text
        return [violation["pointer"] for violation in answer.json()["violations"]]

    def one(**changes: Any) -> dict[str, Any]:
        return {"wait": "1h", "routes": [route], **changes}

    later = {"type": "step", "what": "opened", "step": 1}
    deep: dict[str, Any] = later | {"step": 0}
    for _ in range(4):
        deep = {"type": "all_of", "conditions": [deep]}
    assert await refused(one(wait="soon"), one(wait="91d"), one(wait="59s")) == [f"/steps/{n}/wait" for n in range(3)]
    assert await refused(one(when=later)) == ["/steps/0/when/step"]
    assert await refused(one(when={"type": "step", "what": "opened", "answer": "x"})) == ["/steps/0/when/answer"]
    assert await refused(one(when=deep)) == ["/steps/0/when/conditions/0/conditions/0/conditions/0/conditions/0"]
    assert await refused(one(routes=[route, route])) == ["/steps/0/routes/1"]
    assert await refused(one(routes=[route | {"template_id": str(uuid4())}])) == ["/steps/0/routes/0/template_id"]
    assert await refused(*[one()] * 11) == ["/steps"]
    nothing = await world.ask("GET", f"/executions/{uuid4()}/steps")
    assert nothing.status_code == 404


async def test_a_template_of_a_step_stays_and_its_edit_makes_the_campaign_stale(world: World):
    campaign = await a_campaign(world)
    campaign_id = (await world.ask("POST", "/campaigns", json=campaign)).json()["id"]
    await world.ask("POST", f"/campaigns/{campaign_id}/publish")
    template_id = campaign["steps"][0]["routes"][0]["template_id"]

    assert (await world.ask("DELETE", f"/templates/{template_id}")).status_code == 409
    assert not (await world.ask("GET", f"/campaigns/{campaign_id}")).json()["is_stale"]
    campaign["steps"][0]["wait"] = "3d"
    changed = await world.ask("PUT", f"/campaigns/{campaign_id}", json=campaign)
    assert changed.json()["is_stale"]
    gap = await template(world, "voice", script="Dear {{ context.team }}")
    campaign["steps"][0]["routes"][0]["template_id"] = gap
    await world.ask("PUT", f"/campaigns/{campaign_id}", json=campaign)
    assert (await world.ask("POST", f"/campaigns/{campaign_id}/publish")).status_code == 400
