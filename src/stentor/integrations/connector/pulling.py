"""Pulling a run: page after page, each kept with its place while the next one comes, so that a crash repeats two pages at most."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import msgspec

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import Brand
from stentor.audience import tag_store
from stentor.audience.admitting import Recognised, admit
from stentor.audience.holder_store import Holders
from stentor.audience.intake import Given, Rows, take_in
from stentor.audience.model import Act, Source
from stentor.audience.upsert import Overtaken, until_settled
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.failpoints import failpoint
from stentor.integrations.connector import runs, store
from stentor.integrations.connector.hub import Hub
from stentor.integrations.connector.model import (
    GROUPS_MAX,
    GROUPS_TO_THE_MINUTE,
    GROUPS_TO_THE_SECOND,
    PAGE_ROWS,
    PEOPLE_MAX,
    Connector,
)
from stentor.integrations.connector.people import Place, asked_of, patch_of, start_of, to_the_hour, to_the_minute
from stentor.integrations.connector.runs import Claimed, Lost, Sql
from stentor.integrations.connector.wire import SendDetail
from stentor.triggers.batches.service import made_tag

_NOBODY_UNNAMED: frozenset[int] = frozenset()


class RunSpoiled(Exception):
    """The run cannot be executed, whatever is tried again; the text says what to do."""


class Puller:
    """Takes the people of runs in."""

    def __init__(self, db: Database, brands: BrandDirectory, lease: timedelta, *, page_rows: int = PAGE_ROWS) -> None:
        self._db = db
        self._brands = brands
        self._lease = lease
        self._page_rows = page_rows

    async def pull(self, hub: Hub, connector: Connector, run: Claimed) -> None:
        """Reads what is left of the run's list, to its end. Raises HubRefused, and RunSpoiled."""
        brand = await self._brands.by_id(run.brand_id)
        if brand is None:
            return
        skip = await self._keep_all(hub, connector, run, brand)
        if skip is None:
            return
        async with self._db.transaction() as conn:
            locked = await runs.lock(conn, run)
            if locked is None or locked[:2] != ("noticed", skip):
                return
            await Sql.note_pulled.run(conn, id=run.id, brand_id=run.brand_id)
            await store.note_well(conn, run.brand_id, run.connector_id, "pulled")
            failpoint("connector.before_pulled")
        failpoint("connector.after_pulled")

    async def _keep_all(self, hub: Hub, connector: Connector, run: Claimed, brand: Brand) -> int | None:
        """Keeps page after page to the end of the list; how many rows it has, or None where somebody else goes on with the run."""
        skip, asked = run.rows_read, asked_of(connector)

        async def read(start: int) -> list[SendDetail]:
            return await hub.send_details(
                run.campaign_number, run.channel_number, asked, skip=start, top=self._page_rows
            )

        async with aclosing(_Ahead(read)) as pages:
            pages.ask(skip)
            while rows := await pages.page():
                failpoint("connector.page_read")
                if skip + len(rows) > PEOPLE_MAX:
                    raise RunSpoiled(f"The hub names more than {PEOPLE_MAX:,} people. Split the campaign there.")
                pages.ask(skip + len(rows))
                page = await asyncio.to_thread(
                    _Page, brand, connector, msgspec.structs.replace(run, rows_read=skip), rows
                )
                is_ours = await until_settled(self._db, partial(page.keep, lease=self._lease))
                failpoint("connector.page_kept")
                if not is_ours:
                    return None
                skip += len(rows)
        return skip


class _Kept(NamedTuple):
    """How many of a group's people were taken in, and why the others were not, by their lines."""

    people: int
    refused: dict[int, str]


class _Ahead:
    """Asks a hub for a page while the one before it is kept; what was asked for in vain is given up with the block."""

    def __init__(self, read: Callable[[int], Coroutine[Any, Any, list[SendDetail]]]) -> None:
        self._read = read
        self._coming: asyncio.Task[list[SendDetail]] | None = None

    def ask(self, skip: int) -> None:
        """Asks for the page from there on."""
        self._coming = asyncio.create_task(self._read(skip))

    async def page(self) -> list[SendDetail]:
        """The page that was asked for. Raises HubRefused."""
        if self._coming is None:
            raise RuntimeError("Ask for a page first.")
        return await self._coming

    async def aclose(self) -> None:
        """Lets go of what is still coming."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)


class _Page:
    """One page, to be kept in one transaction, perhaps several times until nobody is overtaken."""

    def __init__(self, brand: Brand, connector: Connector, run: Claimed, rows: Sequence[SendDetail]) -> None:
        self._brand = brand
        self._connector = connector
        self._run = run
        self._rows = rows
        patches = [patch_of(row, connector.attributes) for row in rows]
        self._names = [patch.external_id for patch in patches]
        self._intake = take_in(brand.id, Given.of(patches), region=brand.settings.default_country)

    async def keep(self, conn: Connection, *, lease: timedelta) -> bool:
        """Stores the page's people in their groups; False when somebody else went on with the run meanwhile."""
        run = self._run
        locked = await runs.lock(conn, run)
        if locked is None or locked[:2] != ("noticed", run.rows_read):
            return False
        people = self._first_of_each(self._intake.rows)
        customers = [UUID(hex=customer) for customer in people.customer_ids]
        known = await runs.known_people(conn, run.brand_id, run.id, customers)
        people = people.without([place for place, customer in enumerate(customers) if customer in known])
        places = await self._places(conn, people)
        groups = {
            Place(one.template_number, one.start_at): one for one in await runs.groups(conn, run.brand_id, run.id)
        }
        members: defaultdict[Place, list[int]] = defaultdict(list)
        for index, line in enumerate(people.lines):
            members[self._kept_place(places[line], groups, members)].append(index)
        refused = {refusal.line: refusal.violation.message for refusal in self._intake.refused}
        lost: defaultdict[Place, int] = defaultdict(int)
        for line in sorted(refused):
            place = self._kept_place(self._utc_place(self._rows[line]), groups, members)
            lost[place] += 1
            members.setdefault(place, [])
        taken = 0
        for place in sorted(members):
            kept = await self._keep_group(conn, place, people.take(members[place]), lost[place], groups)
            taken += kept.people
            refused |= kept.refused
        out = len(people) + sum(lost.values()) - taken
        await runs.insert_refused(
            conn, run.brand_id, run.id, [self._lost(line, refused[line]) for line in sorted(refused)]
        )
        await Sql.note_page.run(
            conn,
            id=run.id,
            brand_id=run.brand_id,
            rows=len(self._rows),
            people=taken,
            refused=out,
            lease=lease,
        )
        failpoint("connector.before_page")
        return True

    async def _keep_group(
        self, conn: Connection, place: Place, rows: Rows, lost: int, groups: dict[Place, runs.Group]
    ) -> "_Kept":
        run = self._run
        group = groups.get(place)
        if group is None:
            tag = await made_tag(conn, run.brand_id, f"{self._connector.name} {run.campaign_number}"[:100])
            if tag is None:
                raise Overtaken
            group = runs.Group(
                number=len(groups) + 1,
                template_number=place.template_number,
                start_at=place.start_at,
                tag_id=tag.id,
                people=0,
                execution_id=None,
                problem="",
            )
            await Sql.insert_group.run(
                conn,
                run_id=run.id,
                number=group.number,
                brand_id=run.brand_id,
                template_number=group.template_number,
                start_at=group.start_at,
                tag_id=group.tag_id,
            )
            groups[place] = group
        elif not await tag_store.hold(conn, run.brand_id, group.tag_id):
            raise RunSpoiled(
                "A profile tag of this run was deleted before it started. Ask the hub to run the campaign anew."
            )
        act = Act(source=Source.BATCH, actor=str(run.id), note=f"asserted by connector {self._connector.name}")
        recognised = Recognised(rows, _NOBODY_UNNAMED, Holders({}, {}, {}))
        admitted = await admit(conn, run.brand_id, recognised, group.tag_id, act)
        out = {refusal.line: refusal.violation.message for refusal in admitted.refused}
        named = {
            UUID(hex=customer): self._rows[line].external_id
            for customer, line in zip(rows.customer_ids, rows.lines, strict=True)
            if line not in out
        }
        await runs.insert_people(conn, run.brand_id, run.id, group.number, named)
        counted = len(rows) + lost
        await Sql.count_in_group.run(conn, run_id=run.id, brand_id=run.brand_id, number=group.number, people=counted)
        return _Kept(len(named), out)

    def _lost(self, line: int, why: str) -> Lost:
        """What is kept of a row that no customer was made of."""
        row, name = self._rows[line], runs.storable(self._names[line])
        try:
            customer = customer_id(self._run.brand_id, name)
        except ValueError:
            customer = uuid5(self._run.brand_id, name)
        return Lost(self._run.rows_read + line, row.template_number, customer, row.external_id, why)

    async def _places(self, conn: Connection, people: Rows) -> dict[int, Place]:
        """Where each line belongs."""
        zones: Mapping[UUID, str] = {}
        if self._connector.zone == "recipient":
            customers = [UUID(hex=customer) for customer in people.customer_ids]
            zones = await runs.time_zones(conn, self._run.brand_id, customers)
        found: dict[int, Place] = {}
        for line, customer, said in zip(people.lines, people.customer_ids, people.time_zones, strict=True):
            row = self._rows[line]
            own = said or zones.get(UUID(hex=customer))
            at = start_of(row.at, self._connector.zone, self._brand.settings.default_time_zone, own)
            found[line] = Place(row.template_number, at)
        return found

    def _utc_place(self, row: SendDetail) -> Place:
        zone = self._brand.settings.default_time_zone
        return Place(row.template_number, start_of(row.at, self._connector.zone, zone, None))

    def _kept_place(self, place: Place, *known: Mapping[Place, object]) -> Place:
        """The place itself, or, once there are many, the full minute or hour after it. Raises RunSpoiled."""
        if any(place in one for one in known):
            return place
        count = len({key for one in known for key in one})
        if count >= GROUPS_TO_THE_SECOND:
            later = to_the_minute if count < GROUPS_TO_THE_MINUTE else to_the_hour
            place = Place(place.template_number, later(place.start_at))
            if count >= GROUPS_MAX and not any(place in one for one in known):
                text = (
                    f"The hub names more than {GROUPS_MAX:,} different templates and times. Split the campaign there."
                )
                raise RunSpoiled(text)
        return place

    def _first_of_each(self, rows: Rows) -> Rows:
        """Whom the page names twice is meant once, as at first."""
        seen: set[str] = set()
        repeated = []
        for place, customer in enumerate(rows.customer_ids):
            if customer in seen:
                repeated.append(place)
            seen.add(customer)
        return rows.without(repeated)
