"""Erasing people: one transaction for a bounded set of them, in the order in which everybody locks people."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from stentor.audience import consent_store, customer_store
from stentor.audience.consent_store import COUNTER_SHARDS, Entry, Moves
from stentor.audience.customer_store import Owners
from stentor.audience.model import Act, Source
from stentor.audience.upsert import Overtaken, until_settled
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id, part_of
from stentor.domain.vocabulary import ChannelKind
from stentor.erasures import store
from stentor.erasures.log import ErasureLog
from stentor.erasures.model import Digests, Erasure
from stentor.erasures.store import Known, Sql, WordSql
from stentor.erasures.suppressing import Objections, suppress_addresses
from stentor.failpoints import failpoint
from stentor.optouts.entry_service import erase_address, erase_digests

ANSWERS_PAGE = 20_000
"""Kept answers that one statement looks through for what they say of somebody."""

_ERASED_ANSWER = msgspec.json.encode(
    {
        "type": "about:blank",
        "title": "This answer is erased",
        "status": 410,
        "detail": "What this call was answered spoke of somebody who was erased since. It was carried out, and is not again.",
    }
)
_ERASED_HEADERS = msgspec.json.encode({"content-type": "application/problem+json"}).decode()
# What names an external id in the answers of the API's families.
_ID_FIELDS = ("external_id", "customerId", "customer_id", "CustomerID")


class Eraser:
    """Erases people and notes it in the log of erasures before it is true."""

    def __init__(self, db: Database, digests: Digests, log: ErasureLog | None) -> None:
        """`log` None: what is erased is in the log already, because that is where it was read."""
        self._db = db
        self._digests = digests
        self._log = log

    async def erase(
        self, brand_id: UUID, customers: Sequence[UUID], *, asked_by: str, made_by: datetime | None = None
    ) -> list[Erasure]:
        """Erases those of these people who are there, at most `PEOPLE_MAX`, and returns their erasures.

        Whoever was merged with one of them is the same person, and is erased with them.

        `made_by`: whoever was made later is left alone.
        """
        async with self._db.read() as conn:
            everybody = await store.family(conn, brand_id, customers)
            known = _made_by(await store.who(conn, brand_id, everybody), made_by)
        if not known:
            return []
        await self._forget_words(brand_id, known)

        async def erase(conn: Connection) -> list[Erasure]:
            return await self._erase(conn, brand_id, [one.customer_id for one in known], asked_by, made_by)

        return await until_settled(self._db, erase)

    async def _erase(
        self, conn: Connection, brand_id: UUID, customers: Sequence[UUID], asked_by: str, made_by: datetime | None
    ) -> list[Erasure]:
        await customer_store.go_by_keys(conn)
        family = await store.family(conn, brand_id, customers)
        seen = _made_by(await store.who(conn, brand_id, family), made_by)
        if not seen:
            return []
        leavers = _owners(seen)
        await customer_store.lock_addresses(conn, brand_id, Owners({}, {}), leavers)
        people = await store.lock_people(conn, brand_id, [one.customer_id for one in seen])
        if [_place(one) for one in people] != [_place(one) for one in seen]:
            raise Overtaken
        if await store.family(conn, brand_id, customers) != family:
            # Merged with somebody a moment ago, who now has what is theirs.
            raise Overtaken
        ids = [one.customer_id for one in people]
        await _suppress(conn, brand_id, people)
        await _leave_lists(conn, brand_id, people)
        counts = await _empty(conn, brand_id, people)
        await Sql.drop_people.run(conn, brand_id=brand_id, **store.keys(ids))
        await Sql.drop_tombstones.run(conn, brand_id=brand_id, **store.keys(ids))
        await customer_store.leave_addresses(conn, brand_id, leavers)
        erasures = await store.add_erasures(
            conn,
            brand_id,
            asked_by=asked_by,
            ids=[new_id() for _ in ids],
            digests=[self._digests.of(one) for one in ids],
            counts=[dict(counts[one]) for one in ids],
            customers=ids,
        )
        failpoint("erasure.before_log")
        if self._log is not None:
            # Before the commit: an erasure that is true and not in the log would be undone by a backup. One that is in the log
            # and never became true was asked for all the same.
            await self._log.note(brand_id, erasures[0].erased_at, asked_by, [erasure.digest for erasure in erasures])
        failpoint("erasure.after_log")
        return erasures

    async def _forget_words(self, brand_id: UUID, people: Sequence[Known]) -> None:
        """Empties texts that speak of them and that only what they say leads to. Killed, it is begun again: they are there."""
        needles = [needle for one in people for needle in _needles(one)]
        after = ""
        while True:
            async with self._db.transaction() as conn:
                until = await WordSql.last_of_answers.value(conn, brand_id=brand_id, after=after, limit=ANSWERS_PAGE)
                if until is not None:
                    await WordSql.blank_answers.run(
                        conn,
                        brand_id=brand_id,
                        after=after,
                        until=until,
                        headers=_ERASED_HEADERS,
                        body=_ERASED_ANSWER,
                        needles=needles,
                    )
                failpoint("erased_words.before_commit")
            failpoint("erased_words.after_commit")
            if until is None:
                break
            after = until
        texts = [text for one in people for text in (one.email, one.phone, repr(one.external_id)) if text]
        async with self._db.transaction() as conn:
            await WordSql.blank_rejects.run(conn, brand_id=brand_id, texts=texts)
            failpoint("erased_rejects.before_commit")
        failpoint("erased_rejects.after_commit")


def _made_by(people: Sequence[Known], made_by: datetime | None) -> list[Known]:
    return [one for one in people if made_by is None or one.created_at <= made_by]


def _place(person: Known) -> tuple[UUID, str | None, str | None]:
    return person.customer_id, person.email_digest, person.phone_digest


def _owners(people: Sequence[Known]) -> Owners:
    emails: defaultdict[str, list[str]] = defaultdict(list)
    phones: defaultdict[str, list[str]] = defaultdict(list)
    for one in people:
        if one.email_digest:
            emails[one.email_digest].append(one.customer_id.hex)
        if one.phone_digest:
            phones[one.phone_digest].append(one.customer_id.hex)
    return Owners(*({digest: ",".join(ids) for digest, ids in each.items()} for each in (emails, phones)))


async def _suppress(conn: Connection, brand_id: UUID, people: Sequence[Known]) -> None:
    """What the person said no to, or the provider of them, holds for the address from now on: it comes back without its past."""
    objections = [
        Objections(one.email_digest, one.phone_digest, one.refused_mask, one.bounced_mask, one.complained_mask)
        for one in people
    ]
    await suppress_addresses(conn, brand_id, objections, source="erasure")


async def _leave_lists(conn: Connection, brand_id: UUID, people: Sequence[Known]) -> None:
    """Their addresses go from all lists of the brand, in files within 30 days; the hashes stay."""
    for one in people:
        if one.email and one.email_digest:
            await erase_address(conn, brand_id, one.email, ChannelKind.EMAIL)
        if one.phone and one.phone_digest:
            await erase_address(conn, brand_id, one.phone, ChannelKind.SMS)
    await erase_digests(
        conn, brand_id, await store.earlier_digests(conn, brand_id, [one.customer_id for one in people])
    )


async def _empty(conn: Connection, brand_id: UUID, people: Sequence[Known]) -> Mapping[UUID, Counter[str]]:
    """What hangs on the locked people; answers how many rows of each had something."""
    key: dict[str, Any] = {"brand_id": brand_id, **store.keys([one.customer_id for one in people])}
    counts: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
    for what, statement in (
        ("past", Sql.drop_past),
        ("tags", Sql.drop_tags),
        ("told", Sql.drop_told),
        ("notices", Sql.drop_notices),
        ("clearances", Sql.drop_clearances),
        ("revocations", Sql.drop_send_revocations),
        ("consents", Sql.blank_consents),
        ("contexts", Sql.blank_contexts),
    ):
        for customer in await statement.column(conn, **key):
            counts[customer][what] += 1
    moves = Moves()
    entries: list[Entry] = []
    for customer, topic, channels in await Sql.drop_subscriptions.tuples(conn, **key):
        counts[customer]["subscriptions"] += 1
        if channels:
            moves.note(topic, channels, 0)
            entries.append(Entry(customer, "unsubscribed", topic, channels))
    # The ledger says what is: who comes back on the same id begins without a choice.
    entries += [
        Entry(one.customer_id, "unset", None, mask) for one in people if (mask := one.agreed_mask | one.refused_mask)
    ]
    if entries:
        await consent_store.append_events(conn, brand_id, entries, Act(source=Source.ERASURE))
    if people:
        await moves.count(conn, brand_id, shard=part_of(people[0].customer_id) % COUNTER_SHARDS)
    return counts


def _needles(person: Known) -> list[bytes]:
    """How answers of the API would speak of the person. They are JSON without spaces."""
    said = msgspec.json.encode(person.external_id)
    named = [b'"%s":%s' % (field.encode(), said) for field in _ID_FIELDS]
    return [*named, *(msgspec.json.encode(text) for text in (person.email, person.phone) if text)]
