"""A hub as its services call it: logging in, asking page by page, and telling; each answer is exactly 200, or it is a no."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from stentor.integrations.connector.http import Answer, Http, NoAnswer
from stentor.integrations.connector.model import ITEMS_MAX
from stentor.integrations.connector.wire import (
    Garbled,
    Registered,
    Revoked,
    SendDetail,
    joined,
    listeners_of,
    numbers_of,
    revocations_of,
    send_details_of,
    token_of,
)

BUSY_TRIES_MAX = 6
"""How often a call is made again that a hub answers with 429."""
BUSY_WAIT_S = 2.0
BUSY_WAIT_S_MAX = 30.0

_PATH = "/current/"

T = TypeVar("T")


class HubRefused(Exception):
    """The hub said no, or nothing; the text says what to do next."""


class Metric(msgspec.Struct, frozen=True):
    """A total of one template of a run."""

    channel: int
    campaign: int
    template: int
    metric: int
    value: int


class Interaction(msgspec.Struct, frozen=True):
    """What happened on a day to people who were sent the same template."""

    channel: int
    campaign: int
    template: int
    event: int
    day: date
    people: Sequence[str]


class Entry(msgspec.Struct, eq=False):
    """How a hub is entered: without `username` the secret is an X-API-KEY, and there is no Login.

    The token outlives the conversation that it was given in, so that one after the other needs no Login.
    """

    username: str
    secret: str
    token: str = ""


class Hub:
    """One conversation with a hub."""

    def __init__(self, http: Http, url: str, entry: Entry, *, busy_wait_s: float = BUSY_WAIT_S) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._entry = entry
        self._busy_wait_s = busy_wait_s

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def log_in(self) -> None:
        """Logs in where that is how it is entered; with a key, asks something small. Raises HubRefused."""
        if not self._entry.username:
            await self.listeners()
            return
        said = {"Username": self._entry.username, "Password": self._entry.secret}
        answer = await self._ask_patiently("POST", "general/Login", {}, {}, said)
        if answer.status != 200:
            text = "The hub does not take this user name and password; correct them in the connector."
            raise HubRefused(f"{text} It said {answer.status}: {answer.text}")
        self._entry.token = self._read("general/Login", token_of, answer.body)

    async def listeners(self) -> list[Registered]:
        """The listeners that are registered for these credentials."""
        body = await self._get("general/GetRegisteredEventListeners")
        return self._read("general/GetRegisteredEventListeners", listeners_of, body)

    async def register(self, event: int, url: str, channel: int | None) -> None:
        """Registers the listener for that event, of a channel or of all."""
        said = {"EventTypeID": event, "ListenerURL": url}
        await self._post("general/RegisterEventListener", said if channel is None else {**said, "ChannelID": channel})

    async def unregister(self, event: int, channel: int | None) -> None:
        """Takes the listener for that event away, of a channel or of all."""
        said = {"EventTypeID": event}
        await self._post("general/UnregisterEventListener", said if channel is None else {**said, "ChannelID": channel})

    async def template_numbers(self, channel: int) -> set[int]:
        """The templates that the hub has of a channel."""
        body = await self._get("integrations/GetChannelTemplates", ChannelID=channel)
        return self._read("integrations/GetChannelTemplates", lambda text: numbers_of(text, "TemplateID"), body)

    async def add_templates(self, channel: int, templates: Mapping[int, str], app_id: str) -> None:
        """Adds templates, or renames those that are there."""
        app = {"AppID": app_id} if app_id else {}
        for some in _parts(templates.items()):
            said = [{"TemplateID": number, "TemplateName": name, **app} for number, name in some]
            await self._post("integrations/AddChannelTemplates", said, ChannelID=channel)

    async def delete_templates(self, channel: int, numbers: Sequence[int]) -> None:
        """Deletes templates; what is not there is no mistake."""
        for some in _parts(numbers):
            said = [{"ChannelID": channel, "TemplateID": number} for number in some]
            await self._post("integrations/DeleteChannelTemplates", said)

    async def add_app(self, channel: int, app_id: str, name: str) -> None:
        """Adds an app, or renames it."""
        await self._post("integrations/AddChannelApps", [{"AppID": app_id, "AppName": name}], ChannelID=channel)

    async def delete_app(self, channel: int, app_id: str) -> None:
        """Deletes an app."""
        await self._post("integrations/DeleteChannelApps", [{"ChannelID": channel, "AppID": app_id}])

    async def send_details(
        self, campaign: int, channel: int, attributes: Sequence[str], *, skip: int, top: int
    ) -> list[SendDetail]:
        """The page from behind `skip` people; an empty one is the end."""
        asked = {"CustomerAttributes": joined(attributes)} if attributes else {}
        body = await self._get(
            "customers/GetCustomerSendDetailsByChannel",
            **{"ChannelID": channel, "CampaignID": campaign, **asked, "$top": top, "$skip": skip},
        )
        return self._read(
            "customers/GetCustomerSendDetailsByChannel", lambda text: send_details_of(text, len(attributes)), body
        )

    async def revocations(self, campaign: int, channel: int, *, after: int, top: int) -> list[Revoked] | None:
        """Who was revoked after the pull, from behind the number `after`; None for a hub that has no such feed."""
        function = "customers/GetRevokedCustomers"
        answer = await self._answered(
            "GET", function, {"ChannelID": channel, "CampaignID": campaign, "$top": top, "$skip": after}, None
        )
        if answer.status in {400, 404, 405, 501}:
            return None
        if answer.status != 200:
            raise HubRefused(_words(function, answer))
        return self._read(function, revocations_of, answer.body)

    async def update_metrics(self, metrics: Sequence[Metric]) -> None:
        """Says totals; each takes the place of what was said before."""
        for some in _parts(metrics):
            said = [
                {
                    "ChannelID": one.channel,
                    "CampaignID": one.campaign,
                    "TemplateID": one.template,
                    "MetricID": one.metric,
                    "MetricValue": one.value,
                }
                for one in some
            ]
            await self._post("integrations/UpdateCampaignMetrics", said)

    async def update_interactions(self, told: Interaction) -> None:
        """Says who did something on a day."""
        said = {
            "CampaignID": told.campaign,
            "ChannelID": told.channel,
            "InteractionDate": told.day.isoformat(),
            "TemplateID": told.template,
            "EventID": told.event,
            "RecipientGroupID": 1,
            "CustomerIDs": list(told.people),
        }
        await self._post("integrations/UpdateCampaignInteractions", said)

    async def _get(self, function: str, **query: Any) -> bytes:
        return await self._call("GET", function, query, None)

    async def _post(self, function: str, body: Any, **query: Any) -> None:
        await self._call("POST", function, query, body)

    async def _call(self, method: str, function: str, query: Mapping[str, Any], body: Any) -> bytes:
        answer = await self._answered(method, function, query, body)
        if answer.status != 200:
            raise HubRefused(_words(function, answer))
        return answer.body

    async def _answered(self, method: str, function: str, query: Mapping[str, Any], body: Any) -> Answer:
        if self._entry.username and not self._entry.token:
            await self.log_in()
        answer = await self._ask_patiently(method, function, query, self._entering(), body)
        if self._entry.username and answer.status in {401, 403}:
            # Tokens end after 20 quiet minutes, and whenever the hub forgets them.
            await self.log_in()
            answer = await self._ask_patiently(method, function, query, self._entering(), body)
        return answer

    def _entering(self) -> dict[str, str]:
        entry = self._entry
        return {"Authorization-Token": entry.token} if entry.username else {"X-API-KEY": entry.secret}

    async def _ask_patiently(
        self, method: str, function: str, query: Mapping[str, Any], headers: Mapping[str, str], body: Any
    ) -> Answer:
        asked = f"?{urlencode(query, quote_via=quote)}" if query else ""
        url = f"{self._url}{_PATH}{function}{asked}"
        for attempt in range(BUSY_TRIES_MAX):
            try:
                answer = await self._http.ask(method, url, headers, body)
            except NoAnswer as silence:
                raise HubRefused(f"{silence}. Check the connector's url, and that the hub is up.") from silence
            if answer.status != 429:
                return answer
            wait_s = answer.retry_after_s or self._busy_wait_s * 2**attempt
            await asyncio.sleep(min(wait_s, BUSY_WAIT_S_MAX))
        raise HubRefused(f"{function}: the hub answers 429 all the time. Ask its operator for a higher limit.")

    def _read(self, function: str, read: Callable[[bytes], T], body: bytes) -> T:
        try:
            return read(body)
        except Garbled as trouble:
            raise HubRefused(f"{function}: {trouble} Is the connector's url that of a hub?") from trouble


def _parts(items: Iterable[T]) -> Iterator[list[T]]:
    listed = list(items)
    return (listed[start : start + ITEMS_MAX] for start in range(0, len(listed), ITEMS_MAX))


def _words(function: str, answer: Answer) -> str:
    said = f"{function}: the hub said {answer.status}: {answer.text or 'nothing'}."
    match answer.status:
        case 401 | 403:
            return f"{said} Check the connector's credentials, and that they are not revoked there."
        case 400:
            return f"{said} Check the connector's channels and attributes against what the hub grants."
        case 404 | 405:
            return f"{said} Check the connector's url: it is what stands before /current."
        case _:
            return f"{said} It is tried again."
