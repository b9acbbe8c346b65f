"""Imports: whatever the file is like, what can be taken is taken, once, and the rest is named."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace
from psycopg import sql

from stentor.audience import lines
from stentor.audience.customers import CustomerService
from stentor.audience.imports import ImportService
from stentor.audience.model import Act, CustomerPatch, FileKind, ImportFormat, ImportJob, Reject, Source, TopicDraft
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.topics import TopicService
from stentor.db.pool import Database
from stentor.db.reserve import DiskReserve
from stentor.domain.address import ADDRESSLESS_CHANNELS
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NoRoom, NotFound

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL.bit, ChannelKind.SMS.bit


class Power(Exception):
    """What a killed process looks like to the rest of the world: the bytes stop coming."""


async def pieces(content: bytes, size: int = 1 << 16, *, cut_after: int | None = None) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        if cut_after is not None and start >= cut_after:
            raise Power
        yield content[start : start + size]


class Desk:
    """Imports contents for one brand."""

    def __init__(self, db: Database, brand_id: UUID) -> None:
        self.service = ImportService(db)
        self.brand_id = brand_id

    async def take(
        self,
        content: bytes,
        *,
        kind: FileKind = "customers",
        file_format: ImportFormat = "csv",
        region: str | None = None,
        source: str = "people",
    ) -> ImportJob:
        job = await self.service.begin(self.brand_id, kind, file_format, source, region=region)
        return await self.service.run(self.brand_id, job.id, pieces(content))

    async def reasons(self, job: ImportJob) -> dict[int, str]:
        return {reject.line: reject.reason for reject in await self.service.rejects(self.brand_id, job.id)}


@pytest.fixture
def desk(db: Database, brand_id: UUID) -> Desk:
    return Desk(db, brand_id)


def counts(job: ImportJob) -> tuple[int, int, int, int]:
    return job.added, job.changed, job.unchanged, job.rejected


def file_of(people: int, *, start: int = 0) -> bytes:
    rows = [f"{n},p{n}@example.com,+1415555{n:04},Ann {n}" for n in range(start, start + people)]
    return "\n".join(["external_id,email,phone,first_name", *rows, ""]).encode()


async def snapshot(db: Database, brand_id: UUID) -> list[tuple[object, ...]]:
    """All that an import may touch but its own records."""
    tables = ("customer", "address_owner", "subscription", "consent_event", "topic_counter")
    found: list[tuple[object, ...]] = []
    async with db.read() as conn:
        for table in tables:
            query = sql.SQL("SELECT t::text FROM {} t WHERE brand_id = %s ORDER BY 1").format(sql.Identifier(table))
            found += [(table, *row) for row in await (await conn.execute(query, [brand_id])).fetchall()]
    return found


async def test_each_column_says_its_part_of_a_customer(desk: Desk, customers: CustomerService, brand_id: UUID):
    content = (
        "External_ID,email,phone,push_token,locale,time_zone,first_name,attributes.tier,attributes,\n"
        'ann,Ann@EXAMPLE.com,0171 1234567,t1 t2,de_de,europe/berlin,Änn,gold,"{""visits"": 3, ""tier"": ""tin""}",\n'
        "bob,,,,,,,,,\n"
    )

    job = await desk.take(content.encode(), region="DE")

    ann = await customers.get(brand_id, "ann")
    assert counts(job) == (2, 0, 0, 0)
    assert (ann.email, ann.phone, ann.push_tokens) == ("Ann@example.com", "+491711234567", ["t1", "t2"])
    assert (ann.locale, ann.time_zone) == ("de-DE", "Europe/Berlin")
    assert ann.attributes == {"first_name": "Änn", "tier": "tin", "visits": 3}
    bob = await customers.get(brand_id, "bob")
    assert (bob.email, bob.attributes, bob.address_mask) == (None, {}, ADDRESSLESS_CHANNELS)


async def test_objects_say_the_same_and_null_takes_away(desk: Desk, customers: CustomerService, brand_id: UUID):
    await customers.upsert(
        brand_id, CustomerPatch(external_id="ann", phone="+14155550123", attributes={"a": 1, "b": 2, "tier": "tin"})
    )
    content = (
        b'{"external_id": "ann", "email": "ann@example.com", "phone": null, "tier": "gold", "attributes": {"a": null}}\n'
        b'{"external_id": "bob", "push_token": "t1", "attributes": {"deep": {"er": [1, 2.5, true]}}}'
    )

    job = await desk.take(content, file_format="ndjson")

    ann, bob = await customers.get(brand_id, "ann"), await customers.get(brand_id, "bob")
    assert counts(job) == (1, 1, 0, 0)
    assert (ann.email, ann.phone, ann.attributes) == ("ann@example.com", None, {"b": 2, "tier": "gold"})
    assert (bob.push_tokens, bob.attributes) == (["t1"], {"deep": {"er": [1, 2.5, True]}})


async def test_an_empty_cell_keeps_what_is_known(desk: Desk, customers: CustomerService, brand_id: UUID):
    await customers.upsert(brand_id, CustomerPatch(external_id="ann", email="ann@example.com", attributes={"a": "1"}))

    job = await desk.take(b"external_id,email,a,b\nann,,,2\n")

    ann = await customers.get(brand_id, "ann")
    assert counts(job) == (0, 1, 0, 0)
    assert (ann.email, ann.attributes) == ("ann@example.com", {"a": "1", "b": "2"})


async def test_the_same_file_again_changes_nothing(desk: Desk, db: Database, topics: TopicService, brand_id: UUID):
    await topics.create(brand_id, TopicDraft(key="news", name="News", channels=EMAIL | SMS))
    people = (
        b"external_id,email,phone,tier\nann,ann@example.com,+14155550123,1\nbob,none,12,2\neve,ANN@example.com,,3\n"
    )
    wishes = b"external_id,topic,channels\nann,news,email sms\nbob,news,\neve,news,sms\n"
    await desk.take(people)
    await desk.take(wishes, kind="subscriptions")
    before = await snapshot(db, brand_id)

    again = await desk.take(people)
    wishes_again = await desk.take(wishes, kind="subscriptions")

    assert await snapshot(db, brand_id) == before
    assert (counts(again), counts(wishes_again)) == ((0, 0, 3, 0), (0, 0, 3, 0))


async def test_an_address_that_is_none_is_counted_and_kept(desk: Desk, customers: CustomerService, brand_id: UUID):
    job = await desk.take(b"external_id,email,phone\nann,nobody,12\nbob,bob@example.com,\n")

    assert (job.added, job.rejected, job.bad_addresses) == (2, 0, 2)
    assert (await customers.get(brand_id, "ann")).valid_mask == ADDRESSLESS_CHANNELS


async def test_lines_that_cannot_be_taken_are_named_and_the_others_go_on(
    desk: Desk, customers: CustomerService, brand_id: UUID
):
    content = b"\r\n".join(
        [
            b"\xef\xbb\xbfexternal_id,locale,note",
            b"one,de,fine",
            b",de,no id",
            b"three,english,",
            b"four,de",
            b"five,de,\xff\xfe",
            b"six,de,\x00",
            b'seven,de,"open',
            b'eight,de,"closed"x',
            b"x" * 256 + b",de,",
            b"",
            b'ten,fr,"a ""quoted"" line\r\nand one more"',
            b"eleven,de," + b"y" * lines.LINE_BYTES_MAX,
            b"twelve,de,fine",
        ]
    )

    job = await desk.take(content)

    reasons = await desk.reasons(job)
    assert counts(job) == (3, 0, 0, 9)
    assert {line: reason.split(";")[0][:45] for line, reason in reasons.items()} == {
        3: "An external_id is needed: a non-empty string ",
        4: "This is no language tag",
        5: "The line has 2 cells, the header has 3.",
        6: "The line is not UTF-8: invalid start byte at ",
        7: "The line has a NUL character",
        8: "The line cannot be read: ',' expected after '",
        9: "The line cannot be read: ',' expected after '",
        10: "The external_id has 256 bytes of UTF-8",
        14: "The line has 1048588 bytes",
    }
    assert (await customers.get(brand_id, "ten")).attributes == {"note": 'a "quoted" line\r\nand one more'}
    assert (await customers.get(brand_id, "twelve")).attributes == {"note": "fine"}


async def test_objects_that_cannot_be_taken_are_named(desk: Desk):
    content = b"\n".join(
        [
            b'{"external_id": "one"}',
            b"[1, 2]",
            b'{"external_id": "three", }',
            b'{"external_id": 4}',
            b'{"email": "five@example.com"}',
            b'{"external_id": "six", "push_tokens": "t"}',
            b'{"external_id": "seven", "attributes": "none"}',
            b'{"external_id": "eight", "a": "\\u0000"}',
            b'{"external_id": "nine\\u0000"}',
            b'{"external_id": "ten", "a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
            b'{"external_id": "eleven", "a": 1e400}',
            b'{"external_id": "twelve", "a": "\\ud800"}',
            b"\xff",
            b" ",
            b'{"external_id": "last", "a": 123456789012345678901234567890}',
        ]
    )

    job = await desk.take(content, file_format="ndjson")

    assert counts(job) == (2, 0, 0, 12)
    assert sorted(await desk.reasons(job)) == list(range(2, 14))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"email,phone\na@example.com,\n", "needs a column external_id"),
        (b"external_id,email,Email\n", "two columns for 'email'"),
        (b"external_id,x,attributes.x\n", "two columns for 'x'"),
        ("external_id,email\n".encode("utf-16"), "UTF-16"),
        (b"external_id,\xff\n", "not UTF-8"),
        (b'external_id,"open\n', "quotes"),
        (b",".join(b"c%d" % n for n in range(1001)), "1001 columns"),
        (b"x" * (lines.LINE_BYTES_MAX + 1), "bytes"),
    ],
)
async def test_a_header_that_does_not_do_fails_the_import(desk: Desk, content: bytes, why: str):
    with pytest.raises(Invalid, match=why):
        await desk.take(content)

    [job] = await desk.service.page(desk.brand_id)
    assert (job.state, counts(job)) == ("failed", (0, 0, 0, 0))
    assert why in job.problem


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("delimiter", [b",", b";", b"\t"])
async def test_files_of_any_spreadsheet_are_read(desk: Desk, end: bytes, delimiter: bytes):
    rows = [[b"external_id", b"email"], [b"ann", b"ann@example.com"], [b"bob", b"bob@example.com"]]

    job = await desk.take(end.join(delimiter.join(row) for row in rows))

    assert (counts(job), job.lines_done) == ((2, 0, 0, 0), 3)


async def test_a_person_on_several_lines_is_one_customer(desk: Desk, customers: CustomerService, brand_id: UUID):
    job = await desk.take(b"external_id,email,a,b\nann,one@example.com,1,\nbob,,,\nann,two@example.com,,2\n")

    ann = await customers.get(brand_id, "ann")
    assert counts(job) == (2, 0, 1, 0)
    assert (ann.email, ann.attributes) == ("two@example.com", {"a": "1", "b": "2"})


async def test_an_import_that_was_cut_off_goes_on_where_it_stands(desk: Desk, db: Database, brand_id: UUID):
    content = file_of(2 * lines.BLOCK_LINES + 700)
    rejects: list[Reject] = []
    job = await desk.service.begin(brand_id, "customers", "csv", "people", bytes_total=len(content))

    with pytest.raises(Power):
        await desk.service.run(brand_id, job.id, pieces(content, 1000, cut_after=len(content) * 7 // 10))
    cut_off = await desk.service.begin(brand_id, "customers", "csv", "people", bytes_total=len(content))
    done = await desk.service.run(
        brand_id, cut_off.id, pieces(content[cut_off.bytes_done :]), on_rejects=rejects.extend
    )

    assert cut_off.id == job.id
    assert 0 < cut_off.bytes_done < len(content)
    assert (done.state, done.bytes_done, done.lines_done) == ("succeeded", len(content), 2 * lines.BLOCK_LINES + 701)
    assert counts(done) == (2 * lines.BLOCK_LINES + 700, 0, 0, 0)
    assert rejects == []


async def test_a_header_is_nobody_when_all_that_an_earlier_run_did_was_to_read_it(db: Database, brand_id: UUID):
    disk = [0]
    service = ImportService(db, DiskReserve([Path("/")], 1, free_bytes=lambda _place: disk[0]))
    job = await service.begin(brand_id, "customers", "csv", "people")
    with pytest.raises(NoRoom):
        await service.run(brand_id, job.id, pieces(b"external_id\none\n"))

    disk[0] = 1
    done = await service.run(brand_id, job.id, pieces(b"external_id\none\n"))

    assert (done.state, done.added, done.rejected) == ("succeeded", 1, 0)


async def test_bytes_that_are_done_already_are_passed_over(desk: Desk, brand_id: UUID):
    content = file_of(lines.BLOCK_LINES + 700)
    job = await desk.service.begin(brand_id, "customers", "csv", "people")
    with pytest.raises(Power):
        await desk.service.run(brand_id, job.id, pieces(content, 1000, cut_after=len(content) * 9 // 10))

    done = await desk.service.run(brand_id, job.id, pieces(content, 777), offset=0)

    assert counts(done) == (lines.BLOCK_LINES + 700, 0, 0, 0)


async def test_a_file_that_is_not_as_long_as_announced_does_not_end_its_import(desk: Desk, brand_id: UUID):
    content = file_of(10)
    job = await desk.service.begin(brand_id, "customers", "csv", "people", bytes_total=len(content))

    with pytest.raises(Conflict, match=f"ends at byte {len(content) - 5} of {len(content)}"):
        await desk.service.run(brand_id, job.id, pieces(content[:-5]))
    with pytest.raises(Conflict, match="goes on"):
        await desk.service.run(brand_id, job.id, pieces(content + b"more"))
    with pytest.raises(Conflict, match="stands at byte 0"):
        await desk.service.run(brand_id, job.id, pieces(content[100:]), offset=100)
    done = await desk.service.run(brand_id, job.id, pieces(content))

    assert (done.state, done.added) == ("succeeded", 10)
    with pytest.raises(Conflict, match="has succeeded"):
        await desk.service.run(brand_id, job.id, pieces(content))


async def test_of_two_runs_of_one_import_the_later_wins(desk: Desk, brand_id: UUID):
    content = file_of(10)
    job = await desk.service.begin(brand_id, "customers", "csv", "people")

    async def overtaken() -> AsyncIterator[bytes]:
        yield content[:100]
        await desk.service.run(brand_id, job.id, pieces(content))
        yield content[100:]

    with pytest.raises(Conflict, match="taken this import over"):
        await desk.service.run(brand_id, job.id, overtaken())

    assert counts(await desk.service.get(brand_id, job.id)) == (10, 0, 0, 0)


async def test_progress_and_rejects_come_in_the_order_of_the_file(desk: Desk, brand_id: UUID):
    people = [f"{n},english\n" if n % 1000 == 7 else f"{n},de\n" for n in range(3 * lines.BLOCK_LINES)]
    content = "".join(["external_id,locale\n", *people]).encode()
    seen: list[ImportJob] = []
    rejects: list[Reject] = []
    job = await desk.service.begin(brand_id, "customers", "csv", "people")

    def note(more: Sequence[Reject]) -> None:
        rejects.extend(more)

    done = await desk.service.run(brand_id, job.id, pieces(content), on_progress=seen.append, on_rejects=note)

    assert done.rejected == len(rejects) == 15
    assert [reject.line for reject in rejects] == [n * 1000 + 9 for n in range(15)]
    assert len(seen) == 4
    assert replace(seen[-1], updated_at=done.updated_at) == replace(done, state="running")
    assert await desk.service.rejects(brand_id, job.id, after=5000, limit=3) == rejects[5:8]


async def test_an_import_of_another_brand_is_as_absent_as_none(desk: Desk, other_brand_id: UUID):
    job = await desk.service.begin(desk.brand_id, "customers", "csv", "people")
    service = desk.service

    for asking in (service.get(other_brand_id, job.id), service.rejects(other_brand_id, job.id)):
        with pytest.raises(NotFound):
            await asking
    with pytest.raises(NotFound):
        await service.run(other_brand_id, job.id, pieces(b""))
    assert await service.page(other_brand_id) == []
    assert (await service.begin(other_brand_id, "customers", "csv", "people")).id != job.id


async def test_a_region_must_be_a_country(desk: Desk):
    with pytest.raises(Invalid, match="is no country"):
        await desk.service.begin(desk.brand_id, "customers", "csv", "people", region="Germany")


async def test_subscriptions_are_taken_by_key_or_id_with_all_channels_unless_said(
    desk: Desk, topics: TopicService, customers: CustomerService, subscriptions: SubscriptionService, brand_id: UUID
):
    news = await topics.create(brand_id, TopicDraft(key="news", name="News", channels=EMAIL | SMS))
    await customers.upsert_many(brand_id, [CustomerPatch(external_id=who) for who in ("ann", "bob", "eve")])
    content = (
        "external_id,topic,channels,subscribed\n"
        f"ann,{news.id},,\n"
        "bob,news,email,yes\n"
        "eve,news,,\n"
        "eve,news,sms,no\n"
        "nobody,news,,\n"
        "ann,none,,\n"
        "ann,news,pigeon,\n"
        "ann,news,voice,\n"
        "ann,news,,perhaps\n"
        ",news,,\n"
    )

    job = await desk.take(content.encode(), kind="subscriptions")

    state = {
        who: [row.channels for row in await subscriptions.of_customer(brand_id, who)] for who in ("ann", "bob", "eve")
    }
    assert state == {"ann": [EMAIL | SMS], "bob": [EMAIL], "eve": [EMAIL]}
    assert counts(job) == (3, 0, 1, 6)
    assert sorted(await desk.reasons(job)) == [6, 7, 8, 9, 10, 11]
    [event] = await subscriptions.ledger(brand_id, "bob")
    assert (event.source, event.actor, event.note) == ("import", str(job.id), "people")


async def test_subscription_objects_are_read_strictly(
    desk: Desk, topics: TopicService, customers: CustomerService, brand_id: UUID
):
    await topics.create(brand_id, TopicDraft(key="news", name="News", channels=EMAIL))
    await customers.upsert(brand_id, CustomerPatch(external_id="ann"))
    content = (
        b'{"external_id": "ann", "topic": "news", "channels": ["email"]}\n'
        b'{"external_id": "ann", "topic": "news", "chanels": ["email"]}\n'
        b'{"external_id": "ann", "topic": "\\u0000"}\n'
        b'{"external_id": "ann", "topic": "news", "subscribed": "yes"}\n'
    )

    job = await desk.take(content, kind="subscriptions", file_format="ndjson")

    assert counts(job) == (1, 0, 0, 3)
    with pytest.raises(Invalid, match="'chanels' is none of"):
        await desk.take(b"external_id,topic,chanels\n", kind="subscriptions")


@pytest.mark.parametrize("file_format", ["csv", "ndjson"])
async def test_a_run_that_was_taken_over_does_not_end_the_import_of_its_successor(
    desk: Desk, file_format: ImportFormat
):
    job = await desk.service.begin(desk.brand_id, "customers", file_format, "people")
    begun, taken_over = asyncio.Event(), asyncio.Event()

    async def nothing() -> AsyncIterator[bytes]:
        # An empty CSV file fails for want of a header, an empty NDJSON file is done.
        begun.set()
        await taken_over.wait()
        yield b""

    async def everything() -> AsyncIterator[bytes]:
        taken_over.set()
        with pytest.raises(Conflict, match="taken this import over"):
            await first
        yield b"external_id,email\nann,ann@example.com\n" if file_format == "csv" else b'{"external_id":"ann"}\n'

    first = asyncio.create_task(desk.service.run(desk.brand_id, job.id, nothing()))
    await begun.wait()
    ended = await desk.service.run(desk.brand_id, job.id, everything())

    assert (ended.state, counts(ended)) == ("succeeded", (1, 0, 0, 0))


async def test_what_the_person_withdrew_no_import_brings_back(
    desk: Desk, topics: TopicService, customers: CustomerService, subscriptions: SubscriptionService, brand_id: UUID
):
    news = await topics.create(brand_id, TopicDraft(key="news", name="News", channels=EMAIL | SMS))
    await customers.upsert_many(brand_id, [CustomerPatch(external_id=who) for who in ("ann", "bob", "eve")])
    content = b"external_id,topic\nann,news\nbob,news\neve,news\n"
    await desk.take(content, kind="subscriptions")
    by_link, by_api = Act(source=Source.ONE_CLICK), Act(source=Source.API)
    await subscriptions.withdraw(brand_id, customer_id(brand_id, "ann"), news.id, by_link)
    await subscriptions.withdraw(brand_id, customer_id(brand_id, "eve"), news.id, by_link)
    await subscriptions.subscribe(brand_id, "eve", "news", SMS, Act(source=Source.PREFERENCE_PAGE))
    await subscriptions.unsubscribe(brand_id, "eve", "news", SMS, by_api)
    await subscriptions.unsubscribe(brand_id, "bob", "news", SMS, by_api)

    job = await desk.take(content, kind="subscriptions")

    state = {
        who: [row.channels for row in await subscriptions.of_customer(brand_id, who)] for who in ("ann", "bob", "eve")
    }
    assert state == {"ann": [0], "bob": [EMAIL | SMS], "eve": [0]}
    assert counts(job) == (0, 1, 0, 2)
    assert all("withdrew" in reason for reason in (await desk.reasons(job)).values())


async def test_a_line_is_taken_whole_or_not_at_all_and_what_another_takes_away_is_gone(
    desk: Desk, topics: TopicService, customers: CustomerService, subscriptions: SubscriptionService, brand_id: UUID
):
    news = await topics.create(brand_id, TopicDraft(key="news", name="News", channels=EMAIL | SMS))
    await customers.upsert(brand_id, CustomerPatch(external_id="ann"))
    await desk.take(b"external_id,topic\nann,news\n", kind="subscriptions")
    await subscriptions.withdraw(brand_id, customer_id(brand_id, "ann"), news.id, Act(source=Source.ONE_CLICK))
    await subscriptions.subscribe(brand_id, "ann", "news", SMS, Act(source=Source.API))
    content = b"external_id,topic,channels,subscribed\nann,news,sms,false\nann,news,email sms,true\n"

    job = await desk.take(content, kind="subscriptions", source="both")

    [standing] = await subscriptions.of_customer(brand_id, "ann")
    assert (standing.channels, counts(job)) == (0, (0, 1, 0, 1))
    assert list(await desk.reasons(job)) == [3]


async def test_an_import_leaves_a_no_as_it_is(
    desk: Desk, topics: TopicService, customers: CustomerService, subscriptions: SubscriptionService, brand_id: UUID
):
    await topics.create(brand_id, TopicDraft(key="news", name="News", channels=EMAIL))
    ann = (await customers.upsert(brand_id, CustomerPatch(external_id="ann"))).customer
    await subscriptions.withdraw_all(brand_id, ann.customer_id, Act(source=Source.ONE_CLICK))
    refused = await customers.get(brand_id, "ann")

    await desk.take(b"external_id,topic\nann,news\n", kind="subscriptions")
    await desk.take(b"external_id,email\nann,new@example.com\n")

    assert (await customers.get(brand_id, "ann")).refused_mask == refused.refused_mask


async def test_events_are_taken_once_and_each_line_that_cannot_be_is_named(desk: Desk, db: Database, brand_id: UUID):
    await CustomerService(db).upsert_many(brand_id, [CustomerPatch(external_id=name) for name in ("ann", "bob")])
    at = datetime.now(UTC)

    def line(**more: Any) -> bytes:
        said = {"external_id": "ann", "name": "order", "at": at.isoformat(), "id": "o1", **more}
        return msgspec.json.encode({name: value for name, value in said.items() if value is not None}) + b"\n"

    content = b"".join(
        [
            line(),
            line(external_id="bob", properties={"total": 9.5}),
            line(),
            line(id=None),
            line(external_id="nobody"),
            line(at=(at - timedelta(days=401)).isoformat()),
            line(at=(at + timedelta(days=2)).isoformat()),
            line(at="2026-11-20T09:30:00"),
            line(properties={"much": "x" * 8192}),
            line(colour="red"),
        ]
    )

    first = await desk.take(content, kind="events", file_format="ndjson")
    again = await desk.take(line() + line(external_id="bob"), kind="events", file_format="ndjson")

    assert (counts(first), counts(again)) == ((3, 0, 1, 6), (0, 0, 2, 0))
    reasons = await desk.reasons(first)
    assert list(reasons) == [5, 6, 7, 8, 9, 10]
    assert "import the customers first" in reasons[5]
    assert "kept for 400 days" in reasons[6]
    with pytest.raises(Invalid, match="Events come as NDJSON"):
        await desk.take(b"external_id\n", kind="events")
