"""All that the scripted hub knows: what the service asked, said and answered."""

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from stentor.cli.conformance.service.campaigns import Campaign, campaign_of
from stentor.cli.conformance.service.target import Target

KEPT_MAX = 100_000
"""Of each kind of thing that a service does; what comes beyond is answered, and not looked at."""

DETAILS = "customers/getcustomersenddetailsbychannel"
LOGIN = "general/login"

Entry: TypeAlias = Literal["token", "key", "wrong token", "wrong key", "none"]
Trouble: TypeAlias = Literal["", "busy", "expired", "broken"]


class Call(msgspec.Struct, frozen=True):
    """One call, in the order in which they came. `reason` is the text of a refusal, `trouble` what the hub made up."""

    function: str
    asked: str
    entry: Entry
    status: int
    reason: str
    trouble: Trouble
    at_s: float


class Page(msgspec.Struct, frozen=True):
    """One page of send details that was answered. `setbacks`: how often the hub had cut short a list before."""

    campaign: int
    skip: int
    top: int
    rows: int
    attributes: tuple[str, ...]
    setbacks: int

    @property
    def is_end(self) -> bool:
        """Whether it says that there is no more."""
        return self.rows < self.top


class Total(msgspec.Struct, frozen=True):
    """One figure of UpdateCampaignMetrics."""

    channel: int
    campaign: int
    template: int
    metric: int
    value: int


class Told(msgspec.Struct, frozen=True):
    """One UpdateCampaignInteractions."""

    channel: int
    campaign: int
    template: int
    event: int
    day: str
    people: tuple[str, ...]


class Notice(msgspec.Struct, frozen=True):
    """One notification and its answer; no status: there was none, and `trouble` says why."""

    event: int
    campaign: int
    url: str
    status: int | None
    trouble: str = ""


class Book:
    """What checks look at. `main`, `doomed` and `unknown` are the campaigns, once they were notified."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.url = ""
        self.calls: list[Call] = []
        self.pages: list[Page] = []
        self.totals: list[Total] = []
        self.told: list[Told] = []
        self.notices: list[Notice] = []
        self.batches: list[int] = []
        self.tokens: set[str] = set()
        """Those that are good."""
        self.listeners: dict[tuple[int, int | None], str] = {}
        self.registered: set[int] = set()
        self.templates: dict[int, str] = {}
        self.apps: dict[str, str] = {}
        self.added_apps = 0
        self.campaigns: dict[int, Campaign] = {}
        self.main: Campaign | None = None
        self.doomed: Campaign | None = None
        self.unknown = 0
        self.setbacks = 0
        self._more = asyncio.Condition()

    async def until(self, holds: Callable[[], bool], wait_s: float) -> bool:
        """Waits until it holds; False where it does not in that time."""
        try:
            async with asyncio.timeout(wait_s), self._more:
                await self._more.wait_for(holds)
        except TimeoutError:
            return False
        return True

    async def heard(self) -> None:
        """Has those look who wait."""
        async with self._more:
            self._more.notify_all()

    def note(self, kept: list[Any], one: Any) -> None:
        """Keeps one of what the service did."""
        if len(kept) < KEPT_MAX:
            kept.append(one)

    def new_token(self) -> str:
        """A token; a GUID, as older programs take no other."""
        token = str(uuid.uuid4())
        self.tokens.add(token)
        return token

    def announce(self, number: int, people: int, at: datetime) -> Campaign:
        """A new campaign with templates of the service, or with made up ones where it has none."""
        chosen = sorted(self.templates)[:2] or [1, 2]
        made = self.campaigns[number] = campaign_of(number, chosen, people, at)
        return made

    def urls_of(self, event: int) -> list[str]:
        """Where that event is notified: the channel's listener, the general one, or else the one of the command line."""
        found = [self.listeners.get((event, channel)) for channel in (self.target.channel, None)]
        known = [url for url in found if url is not None]
        if not known and self.target.url and event in self.target.events:
            return [self.target.url]
        return known

    def is_joined(self) -> bool:
        """Whether the service can be told of a campaign."""
        return bool(self.urls_of(13) or self.urls_of(1))

    def pulls(self, campaign: Campaign) -> list[list[Page]]:
        """The pages of each time that the list was read, each begun by a page from its start."""
        found: list[list[Page]] = []
        for page in self.pages:
            if page.campaign != campaign.number:
                continue
            if page.skip == 0 or not found:
                found.append([])
            found[-1].append(page)
        return found

    def is_pulled(self, campaign: Campaign) -> bool:
        """Whether the service has the whole list, and knows that it has."""
        return any(is_whole(pull, len(campaign.rows)) for pull in self.pulls(campaign))

    def sent(self, campaign: Campaign, metric: int) -> dict[int, int]:
        """The last figure of each template."""
        return {
            one.template: one.value for one in self.totals if (one.campaign, one.metric) == (campaign.number, metric)
        }

    def is_reported(self, campaign: Campaign) -> bool:
        """Whether there is a figure for everybody, and a word of somebody."""
        counted = sum(sum(self.sent(campaign, metric).values()) for metric in (0, 5))
        return counted >= len(campaign.rows) and any(one.campaign == campaign.number for one in self.told)

    def add_call(self, function: str, asked: str, entry: Entry, status: int, reason: str, trouble: Trouble) -> None:
        """Notes a call that is answered."""
        self.note(self.calls, Call(function, asked, entry, status, reason, trouble, time.monotonic()))


def is_whole(pull: list[Page], people: int) -> bool:
    """Whether these pages have everybody once, each page beginning where the one before ended, and the end was seen."""
    place = 0
    for page in pull:
        if page.skip != place:
            return False
        place += page.rows
    return place == people and bool(pull) and pull[-1].is_end
