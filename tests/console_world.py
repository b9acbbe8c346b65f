"""A console that is asked in process: a brand, and somebody of any role who is signed in."""

import html
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from httpx import ASGITransport, AsyncClient, Response
from litestar import Litestar

from browsing import submit
from stentor.accounts.model import Brand
from stentor.accounts.roles import Role
from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.campaigns.model import Campaign, CampaignDraft, Route, TemplateContent
from stentor.domain.ids import new_id
from stentor.domain.timetable import Rule
from stentor.domain.vocabulary import ChannelKind
from stentor.doors import doors
from stentor.executions.audiences import OfSegment
from stentor.triggers.campaign_runs import CampaignRun
from stentor.triggers.schedules.model import CampaignTarget, Schedule, ScheduleDraft
from stentor.wiring.core import Core
from stentor.wiring.services import api_settings, people_accounts, services

PUBLIC = "https://stentor.example.org"
PASSWORD = "correct horse battery"
OWN = {"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}
"""What a browser says of a form that our own page sends."""

_FIELD = re.compile(
    r"<(?:input|button)[^>]*>|<textarea[^>]*>\n?(?P<text>.*?)</textarea>|<select(?P<select>[^>]*)>(?P<options>.*?)</select>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r'\b([a-z-]+)(?:="([^"]*)")?')


class ConsoleWorld:
    """An installation with one brand, whose name has to be escaped."""

    def __init__(self, core: Core, served: Services, app: Litestar, brand: Brand) -> None:
        self.core = core
        self.services = served
        self.app = app
        self.brand = brand
        self._opened: list[AsyncClient] = []

    @classmethod
    async def made(cls, core: Core) -> "ConsoleWorld":
        served, told = services(core), api_settings(core)
        app = create_app(served, told, doors=doors(core, served, told))
        return cls(core, served, app, await served.accounts.create_brand("Matchday <b>&</b>"))

    async def close(self) -> None:
        for one in self._opened:
            await one.aclose()

    @property
    def root(self) -> str:
        """Where the brand's pages begin."""
        return f"/console/brands/{self.brand.id}"

    def browser(self) -> AsyncClient:
        transport = ASGITransport(app=self.app, client=("192.0.2.7", 50_000), raise_app_exceptions=False)  # pyrefly: ignore[bad-argument-type]
        self._opened.append(AsyncClient(transport=transport, base_url=PUBLIC))
        return self._opened[-1]

    async def enters(self, role: Role = "marketer", brand: Brand | None = None) -> AsyncClient:
        """A browser in which somebody of that role in the brand, or in another one, is signed in."""
        place = brand or self.brand
        people = people_accounts(self.core)
        user = await people.users.create(
            f"{role}.{place.id.hex[-6:]}@example.org",
            role,
            organisation_id=place.organisation_id,
            role=role,
            brand_id=None if role == "owner" else place.id,
        )
        at, link = self.browser(), f"/console/password/{await people.sign_in.link_for(user)}"
        came = await submit(at, link, password=PASSWORD, again=PASSWORD)
        assert came.status_code == 303, came.text
        return at


async def a_campaign(
    console: ConsoleWorld, brand_id: UUID, *, name: str = "Spring sale", publish: bool = True
) -> Campaign:
    """A campaign on a calendar that says hello by e-mail, published."""
    content = TemplateContent("en", {"en": {"subject": "Hello", "html": "<p>Hello</p>", "text": "Hello"}})
    template = await console.services.templates.create(
        brand_id, name=f"{name} letter", channel=ChannelKind.EMAIL, content=content
    )
    draft = CampaignDraft(
        name=name, kind="scheduled", consent_basis="channel", routes=(Route(ChannelKind.EMAIL, template.id),)
    )
    campaign = await console.services.campaigns.create(brand_id, draft)
    if publish:
        await console.services.campaigns.publish(brand_id, campaign.id)
    return await console.services.campaigns.get(brand_id, campaign.id)


async def a_schedule(console: ConsoleWorld, brand_id: UUID, campaign_id: UUID, segment_id: UUID) -> Schedule:
    """A schedule that runs the campaign for the segment on Mondays."""
    draft = ScheduleDraft(
        name="Mondays",
        target=CampaignTarget(campaign_id=campaign_id, audience=OfSegment(segment_id)),
        context={},
        rule=Rule(time_zone="Europe/Berlin", cron="0 9 * * mon"),
        misfire_grace_s=600,
        enabled=True,
    )
    return await console.services.schedules.create(brand_id, draft, is_test=False)


async def a_run(console: ConsoleWorld, campaign_id: UUID, segment_id: UUID, brand_id: UUID | None = None) -> UUID:
    """A run of the campaign for the segment, which waits to be planned."""
    run = CampaignRun(
        brand_id=brand_id or console.brand.id,
        campaign_id=campaign_id,
        audience=OfSegment(segment_id),
        triggered_by="<b>key 1</b>",
    )
    return await console.services.campaign_runs.start(run)


def fields_in(page: Response) -> dict[str, str]:
    """The form of a page as a browser would send it, without its buttons."""
    fields: dict[str, str] = {}
    begins = re.search(r'<form id="editor".*?</form>', page.text, re.DOTALL)
    assert begins is not None, page.text
    for found in _FIELD.finditer(begins[0]):
        told = dict(_ATTRIBUTE.findall(found["select"] or found[0].partition(">")[0]))
        name, value = told.get("name", ""), told.get("value", "")
        if found[0].startswith("<button") or not name:
            continue
        if told.get("type") in {"checkbox", "radio"} and "checked" not in told:
            continue
        if found["text"] is not None:
            value = found["text"]
        elif found["options"] is not None:
            options = re.findall(r'<option value="([^"]*)"( selected)?>', found["options"])
            value = next((each for each, chosen in options if chosen), options[0][0] if options else "")
        fields[name] = html.unescape(value)
    return fields


async def press(
    at: AsyncClient, page: Response, button: str, typed: Mapping[str, Any] | None = None, *, by_htmx: bool = False
) -> Response:
    """The answer to the form of that page, with what was typed into it, sent by the button of that value."""
    path = page.url.path
    data = {**fields_in(page), **(typed or {}), "do": button}
    headers = {**OWN, **({"HX-Request": "true"} if by_htmx else {})}
    return await at.post(path, data=data, headers=headers)


async def a_pull(console: ConsoleWorld, brand_id: UUID, execution_id: UUID, number: int, *, rows: int = 2) -> UUID:
    """A list of the execution on that partner channel, as a service froze it, and fetched the first row of it."""
    pull_id = new_id()
    async with console.core.db.transaction() as conn:
        for statement, values in (
            (
                "INSERT INTO partner_run (brand_id, number, execution_id, published_at, channels) VALUES (%s, 324, %s, statement_timestamp(), %s)",
                [brand_id, execution_id, [number]],
            ),
            (
                (
                    "INSERT INTO pulled_run (execution_id, channel_number, brand_id, channel, revoked, watched_until)"
                    " VALUES (%s, %s, %s, 2, 1, statement_timestamp())"
                ),
                [execution_id, number, brand_id],
            ),
            (
                (
                    "INSERT INTO pull (id, brand_id, execution_id, channel_number, puller_id, puller, rows, started_at, frozen_at)"
                    " VALUES (%s, %s, %s, %s, %s, '<b>house</b>', %s, statement_timestamp(), statement_timestamp())"
                ),
                [pull_id, brand_id, execution_id, number, new_id(), rows],
            ),
            (
                (
                    "INSERT INTO pull_page (id, pull_id, brand_id, position_from, position_to, asked_by, asked_at, handed_over_at, handed_over)"
                    " VALUES (%s, %s, %s, 0, 1, '<b>house</b>', statement_timestamp(), statement_timestamp(), 1)"
                ),
                [new_id(), pull_id, brand_id],
            ),
            (
                (
                    "INSERT INTO revocation (execution_id, customer_id, brand_id, number, at, channel_number, part, reason)"
                    " VALUES (%s, %s, %s, 1, statement_timestamp(), %s, 0, 2)"
                ),
                [execution_id, UUID(int=7), brand_id, number],
            ),
        ):
            await conn.execute(statement, values)
    return pull_id
