"""Looking for people by hand: by whatever somebody knows of them, an id, an address or a part of their name."""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import msgspec

from stentor.audience import customer_store
from stentor.audience.customers import missing_customer
from stentor.audience.holder_store import holders_of
from stentor.audience.model import Customer, Tag
from stentor.audience.profile_service import SEARCH_PEOPLE_MAX, SEARCH_S_MAX, found_in_time
from stentor.clock import boottime_s
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.address import email_digest, normal_email, normal_phone, phone_digest
from stentor.domain.ids import customer_id, part_of
from stentor.domain.vocabulary import ChannelKind

SEARCH_CHARS_MAX = 320
PAGE_MAX = 1000
TAGS_SHOWN_MAX = 100
"""Tags of one person that are told, the newest; each batch gives another one."""

_STATEMENT = timedelta(seconds=5)
_FIRST = UUID(int=0)
_LAST = UUID(int=(1 << 128) - 1)


class Sql(QuerySet, file="finding.sql", package=__package__):
    narrowed: Statement
    end_of_tagged: Statement
    narrowed_tagged: Statement
    having_tag: Statement
    tags_of: Statement


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Who is looked for. `text` is what somebody typed; empty: everybody. `channel`: only whom it reaches."""

    text: str = ""
    tag_id: UUID | None = None
    channel: ChannelKind | None = None

    @property
    def channels(self) -> int:
        """The channel as a mask, 0 for any."""
        return 0 if self.channel is None else self.channel.bit


class Found(msgspec.Struct, frozen=True):
    """Some of the people; `behind`: the id behind which it goes on, None where everybody was looked at."""

    people: list[Customer]
    behind: UUID | None


class PersonFinder:
    """Finds people of a brand as one looks for them: every call names its brand and sees nothing of the others."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def find(
        self,
        brand_id: UUID,
        wanted: Wanted,
        *,
        region: str | None,
        after: UUID | None,
        limit: int,
        within_s: float = SEARCH_S_MAX,
    ) -> Found:
        """The first people behind `after`: whose id or address it is, and then those with it in their name, by id.

        An id is the caller's own or ours, and of somebody merged it leads to the one they are now; an address is an e-mail
        address, or a phone number in any usual writing of the country `region`. By name it reads `SEARCH_PEOPLE_MAX` at a time and
        no longer than `within_s`, so that a page may be short although it goes on. Raises Unavailable where so few take more
        than 5 s.
        """
        limit, text = min(limit, PAGE_MAX), wanted.text.strip()
        if "\x00" in text or len(text) > SEARCH_CHARS_MAX:
            # No id, no address and no name that is stored.
            return Found([], None)
        known: list[Customer] = []
        is_name = True
        if text and after is None:
            known, is_name = await self._known(brand_id, wanted, text, region)
        if not is_name:
            return Found(known[:limit], None)
        return await self._walked(brand_id, wanted, text, known, after=after, limit=limit, within_s=within_s)

    async def get(self, brand_id: UUID, customer: UUID) -> Customer:
        """The person of our id; of somebody merged, the one they are now, who has another id. Raises NotFound."""
        async with self._db.read() as conn:
            now = await customer_store.survivor_of(conn, brand_id, customer)
            found = await customer_store.customer_by_id(conn, brand_id, now)
        if found is None:
            raise missing_customer(customer)
        return found

    async def tags(self, brand_id: UUID, customer: UUID) -> list[Tag]:
        """The tags that a person has, the newest `TAGS_SHOWN_MAX`."""
        async with self._db.read() as conn:
            return await Sql.tags_of.rows(
                conn,
                Tag,
                brand_id=brand_id,
                part=part_of(customer),
                customer_id=customer,
                limit=TAGS_SHOWN_MAX,
            )

    async def _known(
        self, brand_id: UUID, wanted: Wanted, text: str, region: str | None
    ) -> tuple[list[Customer], bool]:
        """Whose id or address the text is, and whether it may be a part of a name as well."""
        email, phone = normal_email(text), normal_phone(text, region)
        emails = [email_digest(email).hex()] if isinstance(email, str) else []
        phones = [phone_digest(phone).hex()] if isinstance(phone, str) else []
        ids: list[UUID] = []
        with suppress(ValueError):
            ids.append(UUID(text))
        is_name = not (emails or phones or ids)
        with suppress(ValueError):
            ids.append(customer_id(brand_id, text))
        async with self._db.read() as conn:
            merged = await customer_store.survivors_of(conn, brand_id, ids)
            holders = await holders_of(conn, brand_id, emails, phones)
            meant = dict.fromkeys(merged.get(each, each) for each in ids) | dict.fromkeys(
                each.customer_id for each in holders.people.values()
            )
            found = await customer_store.customers_by_id(conn, brand_id, list(meant))
            kept = [
                found[each]
                for each in meant
                if each in found and (not wanted.channels or found[each].valid_mask & wanted.channels)
            ]
            if wanted.tag_id is not None:
                tagged = await _having_tag(conn, brand_id, wanted.tag_id, [each.customer_id for each in kept])
                kept = [each for each in kept if each.customer_id in tagged]
        return kept, is_name

    async def _walked(
        self,
        brand_id: UUID,
        wanted: Wanted,
        text: str,
        known: list[Customer],
        *,
        after: UUID | None,
        limit: int,
        within_s: float,
    ) -> Found:
        begun_s, seen = boottime_s(), {each.customer_id for each in known}
        found: list[Customer] = []
        room = max(1, limit - len(known))
        while True:
            with found_in_time():
                async with self._db.read(statement_timeout=_STATEMENT) as conn:
                    end = await _end(conn, brand_id, wanted, after)
                    # One more tells whether there is another page.
                    some = await _slice(conn, brand_id, wanted, text, after=after, last=end, limit=room + 1 + len(seen))
            found += [each for each in some if each.customer_id not in seen]
            if len(found) > room:
                return Found([*known, *found[:room]], found[room - 1].customer_id)
            if end is None or boottime_s() - begun_s >= within_s:
                return Found([*known, *found], end)
            after = end


async def _end(conn: Connection, brand_id: UUID, wanted: Wanted, after: UUID | None) -> UUID | None:
    if wanted.tag_id is None:
        return await customer_store.end_of_slice(conn, brand_id, after=after, people=SEARCH_PEOPLE_MAX)
    behind = after or _FIRST
    return await Sql.end_of_tagged.value(
        conn,
        brand_id=brand_id,
        tag_id=wanted.tag_id,
        after_part=part_of(behind),
        after=behind,
        people=SEARCH_PEOPLE_MAX,
    )


async def _slice(
    conn: Connection,
    brand_id: UUID,
    wanted: Wanted,
    name: str,
    *,
    after: UUID | None,
    last: UUID | None,
    limit: int,
) -> list[Customer]:
    behind, end = after or _FIRST, last or _LAST
    asked = {
        "brand_id": brand_id,
        "name": name,
        "channels": wanted.channels,
        "after_part": part_of(behind),
        "after": behind,
        "last_part": part_of(end),
        "last": end,
        "limit": limit,
    }
    if wanted.tag_id is None:
        return await Sql.narrowed.rows(conn, Customer, **asked)
    return await Sql.narrowed_tagged.rows(conn, Customer, **asked, tag_id=wanted.tag_id)


async def _having_tag(conn: Connection, brand_id: UUID, tag_id: UUID, people: list[UUID]) -> set[UUID]:
    return set(
        await Sql.having_tag.column(
            conn, brand_id=brand_id, tag_id=tag_id, parts=[part_of(each) for each in people], customer_ids=people
        )
    )
