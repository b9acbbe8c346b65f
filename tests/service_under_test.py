"""A small service of the channel-integration API, as partners write them, with the mistakes that they make if asked to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp import web

CHANNEL = 505


class GaveUp(Exception):
    """The hub said no, and the service has nothing else to try."""


class Service:
    """Executes campaigns in memory. Each attribute that a test sets to another value is a mistake, or another way."""

    def __init__(self, hub: str, http: aiohttp.ClientSession) -> None:
        self.hub = hub
        self.page = 10
        self.templates = 102
        self.per_call = 100
        self.is_patient = True
        self.logs_in_again = True
        self.forgets_nothing = True
        self.reads_on = True
        self.keeps_times = True
        self.is_encoded = True
        self.event_of_people: dict[str, Any] = {"InteractionDate": "2026-11-21"}
        self.answer = 200
        self.url = ""
        self._http = http
        self._token = ""
        self._seen: set[int] = set()
        self._work: set[asyncio.Task[None]] = set()

    async def join(self) -> None:
        """Logs in, registers the listener, and adds templates."""
        await self._log_in()
        url = f"{self.url}?brand=1&EventTypeID=13"
        for event in (13, 4):
            said = {"eventtypeid": str(event), "ListenerURL": quote(url, safe="") if self.is_encoded else url}
            await self.post("General/RegisterEventListener", said)
        templates = [{"TemplateID": number, "TemplateName": f"T{number}"} for number in range(1, self.templates + 1)]
        for start in range(0, len(templates), self.per_call):
            await self.post(
                f"integrations/AddChannelTemplates?channelid={CHANNEL}", templates[start : start + self.per_call]
            )
        await self.post(f"integrations/AddChannelApps?ChannelID={CHANNEL}", [{"AppID": 7, "AppName": "Bingo"}])

    async def hear(self, request: web.Request) -> web.Response:
        """Its listener."""
        said = msgspec.json.decode(await request.read())
        assert request.query_string == "brand=1&EventTypeID=13"
        assert said.keys() <= {"EventTypeID", "TimeStamp", "CampaignID", "ChannelID"}
        campaign = said["CampaignID"]
        if said["EventTypeID"] != 4 and (campaign not in self._seen or not self.forgets_nothing):
            self._seen.add(campaign)
            task = asyncio.create_task(self._go_through(campaign))
            self._work.add(task)
            task.add_done_callback(self._work.discard)
        return web.Response(status=self.answer)

    async def aclose(self) -> None:
        """Ends what is under way."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _go_through(self, campaign: int) -> None:
        with suppress(GaveUp):
            await self._execute(campaign)

    async def _execute(self, campaign: int) -> None:
        rows: list[dict[str, Any]] = []
        while True:
            page = await self.get(
                f"Customers/GetCustomerSendDetailsByChannel?channelid={CHANNEL}&CampaignID={campaign}"
                f"&CustomerAttributes=Email%3BPhone&%24top={self.page}&%24skip={len(rows)}"
            )
            rows += page
            if not page or not self.reads_on:
                break
        soon = f"{datetime.now(UTC) + timedelta(minutes=1):%Y-%m-%d %H:%M:%S}"
        if self.keeps_times and any(row["ScheduledTime"] > soon for row in rows):
            return
        for template in sorted({row["TemplateID"] for row in rows}):
            mine = [row for row in rows if row["TemplateID"] == template]
            sent = [row["CustomerID"] for row in mine if row["CustomerAttributes"][0]]
            dropped = [row["CustomerID"] for row in mine if not row["CustomerAttributes"][0]]
            key = {"CampaignID": campaign, "ChannelID": str(CHANNEL), "TemplateID": template}
            totals = {0: len(sent), 5: len(dropped)}
            await self.post(
                "integrations/UpdateCampaignMetrics",
                [{**key, "MetricID": metric, "MetricValue": value} for metric, value in totals.items()],
            )
            for event, people in ((1, sent), (5, dropped)):
                if people:
                    said = {**key, "EventID": event, "CustomerIDs": people, **self.event_of_people}
                    await self.post("integrations/UpdateCampaignInteractions", said)

    async def get(self, function: str) -> Any:
        """What a function answers."""
        return msgspec.json.decode(await self._call("GET", function, None))

    async def post(self, function: str, body: Any) -> None:
        """Calls a function that answers nothing."""
        await self._call("POST", function, body)

    async def _call(self, method: str, function: str, body: Any) -> bytes:
        while True:
            async with self._http.request(
                method,
                f"{self.hub}/current/{function}",
                data=None if body is None else msgspec.json.encode(body),
                headers={"Authorization-Token": self._token},
            ) as response:
                text = await response.read()
                match response.status:
                    case 403 if self.logs_in_again:
                        await self._log_in()
                    case 429 if self.is_patient:
                        await asyncio.sleep(int(response.headers["Retry-After"]))
                    case 429 | 500:
                        pass
                    case 200:
                        assert response.headers["Content-Length"] == str(len(text))
                        return text
                    case _:
                        raise GaveUp(text)

    async def _log_in(self) -> None:
        said = {"username": "kit", "password": "secret"}
        async with self._http.post(f"{self.hub}/current/general/login", json=said) as response:
            self._token = await response.json()


@asynccontextmanager
async def serviced(hub: str) -> AsyncIterator[Service]:
    """A service that listens, and knows where its hub is."""
    async with aiohttp.ClientSession() as http:
        service = Service(hub, http)
        app = web.Application()
        app.router.add_post("/hear", service.hear)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        service.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hear"
        try:
            yield service
        finally:
            await service.aclose()
            await runner.cleanup()
