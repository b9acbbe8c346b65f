"""docs/hub.md: its calls do what it says, in its order, from the first template to the last report."""

import json
import re
import shlex
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import AsyncClient, Response

from documents import ROOT
from hub_world import Partner, partner_of
from pull_world import Stage, reader
from stentor.api.services import Services
from stentor.channels.partners.attributes import FIELDS
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.waiting import eventually
from stentor.wiring.core import Core

pytestmark = pytest.mark.anyio

PAGE = (ROOT / "docs" / "hub.md").read_text(encoding="utf-8")


def calls_of(section: str) -> list[str]:
    """The calls of a section, each on one line."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ").splitlines()
    return [line.partition("curl ")[2].partition(" | tr ")[0] for line in lines if "curl " in line]


class Shell:
    """Runs the page's calls as the partner, with what it was given in the place of what the page calls it."""

    def __init__(self, partner: Partner) -> None:
        self._partner = partner
        self.values = {"$HUB": "", "$KEY": partner.credentials.api_key, '"..."': f'"{partner.credentials.password}"'}

    async def run(self, call: str) -> Response:
        for name, value in self.values.items():
            call = call.replace(name, value)
        url, *options = shlex.split(call.replace("\\$", "$"))
        said: dict[str, list[str]] = {}
        for option, value in zip(options[::2], options[1::2], strict=True):
            said.setdefault(option, []).append(value)
        headers = dict(header.split(": ", 1) for header in said.get("-H", ()))
        (body,) = said.get("-d", [None])
        return await self._partner.http.request("GET" if body is None else "POST", url, headers=headers, content=body)

    async def all_of(self, section: str) -> list[Any]:
        answers = [await self.run(call) for call in calls_of(section)]
        assert [(answer.status_code, answer.text) for answer in answers if answer.status_code != 200] == []
        return [json.loads(answer.content) if answer.content else None for answer in answers]


async def test_its_calls_lead_from_the_first_template_to_the_last_report(
    installation: Core, http: AsyncClient, services: Services
):
    partner = await partner_of(http, services, "SMS house", (505,), attributes=("Phone", "Email", "tier"))
    shell = Shell(partner)
    stage = await Stage.of_brand(installation.db, partner.brand.id, reader("crm-77", phone="+4915112345678"))
    async with installation.db.autocommit() as conn:
        await conn.execute("""UPDATE customer SET attributes = '{"tier": "gold"}'""")

    by_key, login, by_token = calls_of("The first call")
    assert (await shell.run(by_key)).json() == []
    shell.values["$TOKEN"] = (await shell.run(login)).json()
    assert (await shell.run(by_token)).json() == []

    assert await shell.all_of("Say what you can send") == [None, None, None]
    held = await services.partner_content.all_templates(partner.brand.id, 505)
    assert [(one.number, one.name, one.app_id) for one in held] == [(7, "Kick-off", "bingo")]

    assert await shell.all_of("Be told") == [None]
    (listener,) = await services.listeners.page(partner.brand.id)
    assert (listener.event_type_id, listener.channel) == (13, 505)

    campaign, execution_id = await stage.campaign()
    shell.values |= {"324": str(campaign), "2026-11-21": datetime.now(UTC).date().isoformat()}
    ((row,),) = await shell.all_of("Fetch who gets what")
    assert row.keys() == {"CustomerID", "TemplateID", "ScheduledTime", "CustomerAttributes"}
    assert (row["CustomerID"], row["TemplateID"], row["CustomerAttributes"]) == (
        "crm-77",
        7,
        ["+4915112345678", "gold"],
    )

    async def is_handed_over() -> bool:
        return set((await stage.world.fates(execution_id)).values()) == {"handed_over"}

    # A page is noted as sent before its call is over, and its people follow.
    await eventually(is_handed_over)

    assert await shell.all_of("Say what became of it") == [None, None]
    person = await services.customers.get(partner.brand.id, "crm-77")
    assert ChannelKind.SMS in person.refused


def test_it_names_the_fields_that_everybody_has():
    assert ", ".join(f"`{field}`" for field in FIELDS) in PAGE.replace("\n", " ")
