"""A service that executes what the hub has for it, and writes down what it was given before it relies on it.

`python -m stentor.testing.torture.service --told FILE --ledger FILE` prints `{"port": …}`, where its listener is, and executes
every campaign that it is told of until SIGTERM: it pulls by pages, by cursors or by leases, as the lot falls, follows the feed of
revocations, and reports what it delivered. Its own workers die now and then, with a page half read, a page in their hands, or a
lease. At the end it reads all feeds to their end, reports once more what was unknown, and prints how many people it has.
`pull_ledger` has the form of its ledger.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from stentor.cli.conformance.serving import serving
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.partner import Told

_EXECUTED = 13
_TIMEOUT_S = 20.0
_REPEAT_S = 0.2
_FOLLOW_EVERY_S = 1.0
_LEASE_S = 10
_WORKERS = 2
_PAGE_ROWS = (40, 100, 250)
_BATCH_EVENTS = 200
_TELLS = 5
_TELL_EVERY_S = 1.0
_FINISHED_WITHIN_S = 60.0
_HALF_READ_BYTES = 200

# How often a worker dies where it may.
_HALF_READ, _IN_ITS_HANDS, _LEASED = 0.1, 0.05, 0.1
_RELEASED = 0.05


class Refused(Exception):
    """The hub said what no outage explains."""


class Service:
    """Executes campaigns, each in a task of its own."""

    def __init__(self, told: Told, ledger: Chronicle, http: aiohttp.ClientSession) -> None:
        self._told = told
        self._ledger = ledger
        self._http = http
        self._lists = itertools.count(1)
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._feeds: set[asyncio.Task[None]] = set()
        self._untold: list[tuple[int, list[str]]] = []
        self._is_over = asyncio.Event()
        self.people = 0

    async def register(self, url: str) -> None:
        """Has the hub tell of campaigns at that URL."""
        said = {"EventTypeID": _EXECUTED, "ChannelID": self._told.channel, "ListenerURL": url}
        await self._insist("POST", "/current/general/RegisterEventListener", json=said)

    def hear(self, said: dict[str, Any]) -> None:
        """Takes a notification in; whoever is told twice executes once."""
        campaign = int(said["CampaignID"])
        if said["EventTypeID"] == _EXECUTED and campaign not in self._runs and not self._is_over.is_set():
            self._ledger.note("noticed", campaign=campaign)
            self._runs[campaign] = asyncio.create_task(self._execute(campaign))

    async def finish(self) -> None:
        """Comes back when it has done what is to be done; what hangs for a minute is left as it is."""
        if self._runs:
            _, late = await asyncio.wait(self._runs.values(), timeout=_FINISHED_WITHIN_S)
            for task in late:
                task.cancel()
        self._is_over.set()
        await asyncio.gather(*self._feeds, *(self._tell_on(*untold) for untold in self._untold))

    async def _execute(self, campaign: int) -> None:
        draw = random.Random(f"{self._told.seed} {campaign}")
        run = _Run(campaign, draw, draw.choice(_PAGE_ROWS))
        by = draw.choice([self._by_pages, self._by_cursors, self._by_leases])
        try:
            await by(run)
            people = sorted(run.people)
            for start in range(0, len(people), _BATCH_EVENTS):
                await self._tell(campaign, people[start : start + _BATCH_EVENTS])
        except Refused as refused:
            self._ledger.note("refused", campaign=campaign, why=str(refused))

    async def _by_pages(self, run: "_Run") -> None:
        path = "/current/customers/GetCustomerSendDetailsByChannel"
        number, skip, may_die = next(self._lists), 0, True
        while True:
            asked = {"ChannelID": self._told.channel, "CampaignID": run.campaign, "$top": run.rows, "$skip": skip}
            asking = self._asking(run, number) if skip == 0 else None
            if run.draw.random() < _HALF_READ:
                await self._half_read(path, asked, asking)
            page: list[dict[str, Any]] = msgspec.json.decode((await self._insist("GET", path, asking, params=asked))[1])
            if skip == 0:
                await self._follow_latest(run)
            names = [row["CustomerID"] for row in page]
            if not names:
                return
            if skip and may_die and run.draw.random() < _IN_ITS_HANDS:
                # Whoever comes after it knows nothing of this page, and begins anew.
                self._ledger.note("doubted", list=number, people=names)
                number, skip, may_die = next(self._lists), 0, False
                continue
            self._take(run, number, names)
            skip += len(names)

    async def _by_cursors(self, run: "_Run") -> None:
        number, cursor = next(self._lists), ""
        pull = await self._frozen(run, number)
        while True:
            asked = {"limit": run.rows} | ({"cursor": cursor} if cursor else {})
            page = msgspec.json.decode((await self._insist("GET", f"{pull}/rows", params=asked))[1])
            names = [row["external_id"] for row in page["data"]]
            if not names:
                return
            if run.draw.random() < _HALF_READ:
                # Its worker dies, and the next one asks by the last cursor that was written down.
                continue
            self._take(run, number, names)
            cursor = page["next_cursor"]

    async def _by_leases(self, run: "_Run") -> None:
        number = next(self._lists)
        pull = await self._frozen(run, number)
        rows = msgspec.json.decode((await self._insist("GET", pull))[1])["rows"]
        done = 0

        async def work() -> None:
            nonlocal done
            while done < rows:
                asked = {"rows": run.rows, "lease_s": _LEASE_S}
                lease = msgspec.json.decode((await self._insist("POST", f"{pull}/leases", json=asked))[1])
                names = [row["external_id"] for row in lease["data"]]
                fate = run.draw.random()
                if not names:
                    await asyncio.sleep(_REPEAT_S)
                elif fate < _RELEASED:
                    # A release that was not answered and is said again may come when others have the rows.
                    await self._insist("POST", f"{pull}/leases/{lease['id']}/release", expected={204, 404})
                elif fate > _RELEASED + _LEASED:
                    path = f"{pull}/leases/{lease['id']}/acknowledge"
                    status, _ = await self._insist("POST", path, expected={200, 404})
                    # Else it ran out, and its rows are another worker's.
                    if status == 200:
                        done += len(names)
                        self._take(run, number, names)

        await asyncio.gather(*(work() for _ in range(_WORKERS)))

    async def _frozen(self, run: "_Run", number: int) -> str:
        """Freezes a list; its path."""
        said = {"campaign": run.campaign, "channel": self._told.channel}
        _, body = await self._insist("POST", self._native("/pulls"), self._asking(run, number), json=said)
        pull = self._native(f"/pulls/{msgspec.json.decode(body)['id']}")
        self._follow(run, pull)
        return pull

    def _asking(self, run: "_Run", number: int) -> Callable[[], None]:
        """Notes each try: a list is of the last one at the earliest."""
        return lambda: self._ledger.note("asked", list=number, campaign=run.campaign)

    def _take(self, run: "_Run", number: int, names: list[str]) -> None:
        self._ledger.note("taken", list=number, people=names)
        self.people += len(set(names) - run.people)
        run.people.update(names)

    async def _half_read(self, path: str, asked: dict[str, Any], asking: Callable[[], None] | None) -> None:
        """A worker dies in the midst of a page."""
        if asking:
            asking()
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self._http.get(path, **self._with_key(path, {"params": asked})) as answer:
                await answer.content.read(_HALF_READ_BYTES)
                answer.close()

    async def _follow_latest(self, run: "_Run") -> None:
        """Follows the feed of a run that was pulled by pages: it is that of any of its lists."""
        if not run.is_followed:
            _, body = await self._insist("GET", self._native("/pulls"), params={"limit": 100})
            pulls = [one["id"] for one in msgspec.json.decode(body)["data"] if one["campaign"] == run.campaign]
            if pulls:
                self._follow(run, self._native(f"/pulls/{pulls[0]}"))

    def _follow(self, run: "_Run", pull: str) -> None:
        run.is_followed = True
        self._feeds.add(asyncio.create_task(self._read_feed(run.campaign, f"{pull}/revocations")))

    async def _read_feed(self, campaign: int, feed: str) -> None:
        asked: dict[str, str] = {}
        try:
            while True:
                is_last = self._is_over.is_set()
                page = msgspec.json.decode((await self._insist("GET", feed, params=asked))[1])
                for one in page["data"]:
                    self._ledger.note("revoked", campaign=campaign, number=one["number"], person=one["external_id"])
                asked = {"cursor": page["next_cursor"]}
                if not page["data"]:
                    if is_last:
                        return
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._is_over.wait(), _FOLLOW_EVERY_S)
        except Refused as refused:
            self._ledger.note("refused", campaign=campaign, why=str(refused))

    async def _tell(self, campaign: int, people: list[str]) -> None:
        """Reports that these got theirs. Who was not handed over yet, as far as the hub knows, is told of again."""
        for _ in range(_TELLS):
            if await self._tell_once(campaign, people) == 0:
                return
            await asyncio.sleep(_TELL_EVERY_S)
        self._untold.append((campaign, people))

    async def _tell_on(self, campaign: int, people: list[str]) -> None:
        try:
            await self._tell_once(campaign, people)
        except Refused as refused:
            self._ledger.note("refused", campaign=campaign, why=str(refused))

    async def _tell_once(self, campaign: int, people: Sequence[str]) -> int:
        """How many of them were unknown."""
        now = datetime.now(UTC).isoformat()
        body = b"\n".join(
            msgspec.json.encode(
                {
                    "id": f"{campaign} {name}",
                    "campaign": campaign,
                    "channel": self._told.channel,
                    "external_id": name,
                    "event": "delivered",
                    "at": now,
                }
            )
            for name in people
        )
        self._ledger.note("telling", campaign=campaign, people=people)
        said = {"data": body, "headers": {"Content-Type": "application/x-ndjson"}}
        _, answer = await self._insist("POST", self._native("/partner-events"), **said)
        self._ledger.note("told", campaign=campaign, people=people)
        return msgspec.json.decode(answer)["unknown"]

    def _native(self, path: str) -> str:
        return f"/v1/groups/{self._told.brand_id}{path}"

    def _with_key(self, path: str, more: dict[str, Any]) -> dict[str, Any]:
        is_native = path.startswith("/v1/")
        key = {"Authorization": f"Bearer {self._told.token}"} if is_native else {"X-API-KEY": self._told.key}
        return {**more, "headers": {**key, **more.get("headers", {})}}

    async def _insist(
        self,
        method: str,
        path: str,
        before: Callable[[], None] | None = None,
        *,
        expected: Collection[int] = (200, 201),
        **more: Any,
    ) -> tuple[int, bytes]:
        """The answer and its status, however often it takes; `before` each try. Raises Refused."""
        while True:
            if before:
                before()
            status, body, may_repeat = 0, b"", True
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with self._http.request(method, path, **self._with_key(path, more)) as answer:
                    # The older API has 500 for what is away for a moment, and says there when to come again.
                    may_repeat = answer.status in {429, 503} or "Retry-After" in answer.headers
                    status, body = answer.status, await answer.read()
            if status in expected:
                return status, body
            if status and not may_repeat:
                raise Refused(f"{method} {path} was answered with {status}: {body[:300]!r}")
            await asyncio.sleep(_REPEAT_S)


class _Run:
    """One campaign that the service executes."""

    def __init__(self, campaign: int, draw: random.Random, rows: int) -> None:
        self.campaign = campaign
        self.draw = draw
        self.rows = rows
        self.people: set[str] = set()
        self.is_followed = False


def main() -> None:
    """Executes until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m stentor.testing.torture.service", description=__doc__)
    parser.add_argument("--told", type=Path, required=True, help="where the hub is, and the keys to it")
    parser.add_argument("--ledger", type=Path, required=True)
    asked = parser.parse_args()
    asyncio.run(_serve(msgspec.json.decode(asked.told.read_bytes(), type=Told), asked.ledger))


async def _serve(told: Told, ledger: Path) -> None:
    stopped = asyncio.Event()
    for number in (SIGTERM, SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with Chronicle(ledger) as notes:
        async with aiohttp.ClientSession(told.url, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as http:
            service = Service(told, notes, http)

            async def hear(request: web.Request) -> web.Response:
                service.hear(await request.json())
                return web.Response()

            app = web.Application()
            app.router.add_post("/heard", hear)
            async with serving(app, "127.0.0.1:0") as place:
                # Whoever waits for the first line may publish after it: nothing that goes on then is missed.
                await service.register(f"{place}/heard")
                _say({"port": int(place.rpartition(":")[2])})
                await stopped.wait()
                await service.finish()
                _say({"people": service.people})


def _say(facts: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
