"""The hub: how fast a partner pulls its list, by pages and as one, how soon it is told of it, and how fast it reports back.

It is a partner's program on the same machine, over HTTP with a key of its own; limits of rate are lifted, as a brand may lift them.
After it another Stentor is the partner.
"""

import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import msgspec

from stentor.campaigns.model import CampaignDraft, GeneratorDraft, Route
from stentor.channels.partners.model import NewTemplate
from stentor.cli.bench import federated, fixtures
from stentor.cli.bench.club import Club, add_people, add_topics, found_club
from stentor.cli.bench.executions import call, until_ended, until_published
from stentor.cli.bench.result import Measure, megabytes, per_s, seconds
from stentor.cli.conformance.listener import Listener, listening
from stentor.cli.memory import MemoryWatch
from stentor.cli.output import fail
from stentor.cli.premises import Premises
from stentor.domain.vocabulary import ChannelKind

PEOPLE = 1_000_000
FEDERATED_SHARE = 10
"""So many times fewer people are those of the two Stentors that are joined."""
PAGE_ROWS = 10_000
AS_ONE_ROWS = 2_000_000
ATTRIBUTES = ("first_name", "last_name", "city", "team", "tier")

_DETAILS = "/current/customers/GetCustomerSendDetailsByChannel"
_CHANNEL, _TEMPLATE = 505, 7
_GENERATOR, _TOPIC = "pulled", "everybody"
_EXECUTED = 13
_NOTICED_WITHIN_S = 900.0
_EVENTS = 10_000
_EVENTS_SHARE = 4
_READ_BYTES = 1 << 20
_ROW = re.compile(rb'"CustomerID":"([^"]*)"')


class _Seen(msgspec.Struct):
    """What a pull brought, and how long it took."""

    rows: int
    took_s: float
    people: list[str] = []


async def measure(premises: Premises, people: int) -> dict[str, Measure]:
    """Rows a second of a list of `people` with five attributes each, with the freeze that a first page means; then events.

    `pull_rows_per_s` is by pages of 10,000, which hand everybody over, and `pull_single_rows_per_s` the same list in one answer.
    `notify_s` is from the publication to the notification at the listener. Of a quarter of the people one event each is told by NDJSON.
    `federated_s` is of a tenth of the people, as `federated.measure`.
    """
    async with MemoryWatch(premises.data) as memory, premises.running(workers=1):
        club = await found_club(premises)
        key = await _founded_hub(premises, club)
        await add_people(premises, club, people)
        await add_topics(premises, club, [_TOPIC], people)
        await premises.until_listening()
        async with _partner(premises, key) as http, listening("127.0.0.1:0", "") as listener:
            await _listen(http, listener)
            called = await call(premises, club, _TOPIC, generator_id=_GENERATOR)
            notify_s, campaign = await _noticed(premises, club, listener, called.execution_id)
            pages = await _by_pages(http, campaign)
            ended = await until_ended(premises, club, called.execution_id)
            if pages.rows != ended.handed_over:
                fail(
                    f"{pages.rows} were pulled and {ended.handed_over} are handed over. This is a defect; please report it."
                )
            single = await _as_one(http, campaign)
            if single.rows != pages.rows:
                fail(f"{pages.rows} were pulled by pages and {single.rows} as one. This is a defect; please report it.")
            told = pages.people[: max(1, people // _EVENTS_SHARE)]
            told_s = await _told(premises, club, campaign, told)
            await _check_told(premises, club, called.execution_id, len(told))
    return {
        "pull_rows_per_s": per_s(pages.rows / pages.took_s),
        "pull_single_rows_per_s": per_s(single.rows / single.took_s),
        "metrics_per_s": per_s(len(told) / told_s),
        "notify_s": seconds(notify_s),
        "peak_rss_mb": megabytes(memory.peak_mb),
        **await federated.measure(max(1, people // FEDERATED_SHARE)),
    }


async def _founded_hub(premises: Premises, club: Club) -> str:
    """Makes a partner channel with a template, a campaign that goes out by it, and a client; returns the client's key."""
    served, brand_id = premises.services, club.brand.id
    await served.accounts.update_brand_settings(brand_id, {"hub_rate_per_10_s": 0})
    channel = await served.partner_channels.create(brand_id, "Bench letters", ChannelKind.EMAIL, number=_CHANNEL)
    await served.partner_content.add_templates(brand_id, _CHANNEL, [NewTemplate(_TEMPLATE, "Kick-off")])
    template = await served.partner_content.template(brand_id, _CHANNEL, _TEMPLATE)
    client = await served.hub_clients.create(brand_id, "Bench letters", "bench", {_CHANNEL: ATTRIBUTES})
    route = Route(channel=ChannelKind.EMAIL, template_id=template.id, sender_id=channel.sender_id)
    campaign = CampaignDraft(name=_GENERATOR, consent_basis="topic", lane="bulk", routes=(route,))
    made = await served.campaigns.create(brand_id, campaign)
    draft = GeneratorDraft(name=_GENERATOR, campaign_id=made.id, context_schema=fixtures.CONTEXT_SCHEMA)
    await served.generators.create(brand_id, draft, generator_id=_GENERATOR)
    await served.generators.publish(brand_id, _GENERATOR)
    return client.api_key


@asynccontextmanager
async def _partner(premises: Premises, key: str) -> AsyncIterator[aiohttp.ClientSession]:
    unhurried = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(premises.url, headers={"X-API-KEY": key}, timeout=unhurried) as http:
        yield http


async def _listen(http: aiohttp.ClientSession, listener: Listener) -> None:
    said = {"EventTypeID": _EXECUTED, "ChannelID": _CHANNEL, "ListenerURL": listener.url}
    async with http.post("/current/general/RegisterEventListener", json=said) as response:
        await _check(response)


async def _noticed(premises: Premises, club: Club, listener: Listener, execution_id: UUID) -> tuple[float, int]:
    """How long after its publication the partner knew of it, and its CampaignID."""
    heard = await listener.until(lambda one: one.fields().get("EventTypeID") == _EXECUTED, _NOTICED_WITHIN_S)
    heard_at = datetime.now(UTC)
    if heard is None:
        fail("The listener was told of nothing. This is a defect; please report it.")
    await until_published(premises, club, execution_id)
    found = await premises.services.executions.find(club.brand.id, execution_id)
    if found.published_at is None:
        fail("The listener was told of what is not published. This is a defect; please report it.")
    return (heard_at - found.published_at).total_seconds(), int(str(heard.fields()["CampaignID"]))


async def _by_pages(http: aiohttp.ClientSession, campaign: int) -> _Seen:
    seen, started_s = _Seen(0, 0.0), time.perf_counter()
    while True:
        async with http.get(_DETAILS, params=_asked(campaign, PAGE_ROWS, seen.rows)) as response:
            await _check(response)
            names = _ROW.findall(await response.read())
        seen.rows += len(names)
        seen.people += [name.decode() for name in names]
        if len(names) < PAGE_ROWS:
            seen.took_s = time.perf_counter() - started_s
            return seen


async def _as_one(http: aiohttp.ClientSession, campaign: int) -> _Seen:
    seen, started_s, rest = _Seen(0, 0.0), time.perf_counter(), b""
    async with http.get(_DETAILS, params=_asked(campaign, AS_ONE_ROWS, 0)) as response:
        await _check(response)
        async for piece in response.content.iter_chunked(_READ_BYTES):
            # A row ends where the next one begins, so that none is cut in two.
            whole, brace, rest = (rest + piece).rpartition(b"{")
            seen.rows += whole.count(b'"CustomerID"')
            rest = brace + rest
    seen.rows += rest.count(b'"CustomerID"')
    seen.took_s = time.perf_counter() - started_s
    return seen


async def _told(premises: Premises, club: Club, campaign: int, people: list[str]) -> float:
    """How long it takes to tell that all of these got theirs, batch after batch. What is told is written down before."""
    batches = list(_batches(campaign, people))
    headers = {"Authorization": f"Bearer {club.key.token}", "Content-Type": "application/x-ndjson"}
    path = f"/v1/groups/{club.brand.id}/partner-events"
    async with aiohttp.ClientSession(premises.url, headers=headers) as http:
        started_s = time.perf_counter()
        for batch in batches:
            async with http.post(path, data=batch) as response:
                await _check(response)
        return time.perf_counter() - started_s


def _batches(campaign: int, people: list[str]) -> Iterator[bytes]:
    now = datetime.now(UTC).isoformat()
    for first in range(0, len(people), _EVENTS):
        yield b"\n".join(
            msgspec.json.encode(
                {
                    "id": f"delivered-{name}",
                    "campaign": campaign,
                    "channel": _CHANNEL,
                    "template": _TEMPLATE,
                    "external_id": name,
                    "event": "delivered",
                    "at": now,
                }
            )
            for name in people[first : first + _EVENTS]
        )


async def _check_told(premises: Premises, club: Club, execution_id: UUID, people: int) -> None:
    """Ends the command unless everybody of whom something was told is counted, once."""
    reported = await premises.services.reported.of_execution(club.brand.id, execution_id)
    counted = sum(figure.counted for one in reported for figure in one.figures)
    if counted != people:
        fail(f"Of {people} people something was told, and {counted} are counted. This is a defect; please report it.")


def _asked(campaign: int, top: int, skip: int) -> dict[str, Any]:
    return {
        "ChannelID": _CHANNEL,
        "CampaignID": campaign,
        "CustomerAttributes": ";".join(ATTRIBUTES),
        "$top": top,
        "$skip": skip,
    }


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        fail(f"{response.url.path} was answered with {response.status}: {(await response.text())[:300]}")
