"""Files come onto opt-out lists: what of them are entries, each once, and how lines are counted."""

import gzip
import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
import zstandard

from loading_world import Loading, counts, digests, file, pieces
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.entry_service import EntryService
from stentor.optouts.hashing import HASH_NAMES, HashName, digest_of, hash_of
from stentor.optouts.look_up import LookUp
from stentor.optouts.model import Cause, OptOut
from stentor.optouts.runs.holders import Indexes
from stentor.optouts.service import add_to_builtin, remove_from_builtin

pytestmark = pytest.mark.anyio

EMAIL = ChannelKind.EMAIL


async def test_addresses_numbers_domains_and_hashes_are_entries_and_each_is_one_once(loading: Loading):
    list_id = await loading.new_list()
    hashed = hash_of("hashed@example.com", "md5")
    data = file(
        "ann@example.com", "Ann@Example.COM", "ben@exämple.com", "", "+49 30 1234567", "49301234567", "@Example.org",
        hashed.hex().upper(), "hashed@example.com", "nobody", "  ", "14155550123", "x" * 2000,
    )  # fmt: skip

    job = await loading.load(list_id, data)

    assert counts(job) == (11, 6, 3, 2)
    entries = (
        "ann@example.com",
        "ben@xn--exmple-cua.com",
        "49301234567",
        "@example.org",
        "hashed@example.com",
        "14155550123",
    )
    assert await loading.digests(list_id) == digests(*entries)
    assert await loading.rows(list_id, "address, hash") == [
        ("ann@example.com", None),
        ("ben@xn--exmple-cua.com", None),
        ("49301234567", None),
        ("@example.org", None),
        (None, hashed),
        ("14155550123", None),
    ]
    assert [line for line, _ in await loading.rejects(job)] == ["10", "13"]


async def test_a_file_of_many_chunks_is_loaded_as_if_it_were_one(loading: Loading):
    list_id = await loading.new_list()
    texts = [f"person{number % 3500}@example.com" if number % 100 else f"rubbish {number}" for number in range(5000)]
    first = list(dict.fromkeys(text for text in texts if "@" in text))

    job = await loading.load(list_id, file(*texts))

    assert counts(job) == (5000, len(first), 5000 - 50 - len(first), 50)
    assert await loading.digests(list_id) == digests(*first)
    assert await loading.addresses(list_id) == first
    assert [line for line, _ in await loading.rejects(job)] == [str(n + 1) for n in range(0, 5000, 100)]


@pytest.mark.fault("F17")
async def test_the_same_file_twice_adds_nothing_the_second_time(loading: Loading):
    list_id = await loading.new_list()
    data = file(*(f"p{number}@example.com" for number in range(3000)))

    first, again = await loading.load(list_id, data), await loading.load(list_id, data)

    assert counts(first) == (3000, 3000, 0, 0)
    assert counts(again) == (3000, 0, 3000, 0)
    assert len(await loading.addresses(list_id)) == len(await loading.digests(list_id)) == 3000


@pytest.mark.fault("F17")
async def test_two_uploads_to_one_list_make_the_union(loading: Loading):
    list_id = await loading.new_list()
    first = await loading.queued(list_id, file(*(f"p{number}@example.com" for number in range(2000))))
    second = await loading.queued(list_id, file(*(f"p{number}@example.com" for number in range(1000, 4000))))

    await loading.work()

    jobs = [await loading.jobs.get(loading.brand_id, job_id) for job_id in (first, second)]
    assert [counts(job) for job in jobs] == [(2000, 2000, 0, 0), (3000, 2000, 1000, 0)]
    assert await loading.digests(list_id) == digests(*(f"p{number}@example.com" for number in range(4000)))


@pytest.mark.parametrize("name", HASH_NAMES)
async def test_a_list_of_any_hash_knows_the_same_people_by_address_and_by_hash(loading: Loading, name: HashName):
    plain = await loading.new_list("plain", hash=name)
    hashes = await loading.new_list("hashes", kind=name)
    texts = ["ann@example.com", "Ben@Example.com", "@example.org", "14155550123"]
    normal = [text.lower() for text in texts]
    data = file(*texts, hash_of("cat@example.com", name).hex(), "ab" * 30)

    jobs = [await loading.load(list_id, data) for list_id in (plain, hashes)]

    assert [counts(job) for job in jobs] == [(6, 5, 0, 1)] * 2
    for list_id in (plain, hashes):
        assert await loading.digests(list_id) == digests(*normal, "cat@example.com", name=name)
    assert await loading.rows(plain, "address, hash") == [
        *((text, None) for text in normal),
        (None, hash_of("cat@example.com", name)),
    ]
    assert await loading.rows(hashes, "address, hash") == [
        (None, hash_of(text, name)) for text in [*normal, "cat@example.com"]
    ]


@pytest.mark.parametrize(
    ("compress", "said"), [(gzip.compress, ""), (zstandard.ZstdCompressor().compress, "gzip"), (bytes, "gzip")]
)
async def test_a_file_is_opened_by_its_first_bytes_whatever_somebody_said_of_it(
    loading: Loading, compress: Any, said: Any
):
    list_id = await loading.new_list()
    job = await loading.jobs.prepare_import(loading.brand_id, str(list_id))
    data = compress(file("ann@example.com", "ben@example.com"))

    await loading.uploads.receive(loading.brand_id, job.id, pieces(data), encoding=said)
    await loading.work()

    assert counts(await loading.jobs.get(loading.brand_id, job.id)) == (2, 2, 0, 0)


async def test_columns_below_a_header_are_kept(loading: Loading):
    list_id = await loading.new_list()
    data = file(
        "id,E-Mail,Timestamp,Campaign,Affiliate,Sub-Affiliate,IP",
        "1,Ann@Example.com,2024-03-01T10:00:00+02:00,spring,,x,203.0.113.7",
        '"2","ben@example.com","2024-03-01 12:30:00","a, b","c","","2001:db8::1"',
        '3, cat@example.com ,1700000000,"say ""hello""",,,',
        "4,dan@example.com,no time,,,,",
        "5,eve@example.com,2999-01-01,,,,",
        "6,fay@example.com",
        '7,"gus@example.com,2024-01-01,,,,',
        "8,,,,,,",
        "",
        '9,"Håkan@exämple.com",,,,,',
    )

    job = await loading.load(list_id, data)

    assert counts(job) == (9, 6, 0, 3)
    assert [line for line, _ in await loading.rejects(job)] == ["7", "8", "9"]
    rows = await loading.rows(list_id, 'address, "at", campaign, affiliate, sub_affiliate, ip')
    begun = rows[3][1]
    assert rows == [
        ("ann@example.com", datetime(2024, 3, 1, 8), "spring", "", "x", "203.0.113.7"),  # noqa: DTZ001  in UTC
        ("ben@example.com", datetime(2024, 3, 1, 12, 30), "a, b", "c", "", "2001:db8::1"),  # noqa: DTZ001
        ("cat@example.com", datetime(2023, 11, 14, 22, 13, 20), 'say "hello"', "", "", ""),  # noqa: DTZ001
        ("dan@example.com", begun, "", "", "", ""),
        ("eve@example.com", begun, "", "", "", ""),
        ("håkan@xn--exmple-cua.com", begun, "", "", "", ""),
    ]
    assert abs((datetime.now(UTC).replace(tzinfo=None) - begun).total_seconds()) < 60


async def test_one_column_below_a_header_is_a_list_like_one_without(loading: Loading):
    list_id = await loading.new_list()

    job = await loading.load(
        list_id, file("md5", hashlib.md5(b"ann@example.com", usedforsecurity=False).hexdigest(), '"ben@example.com"')
    )

    assert counts(job) == (2, 2, 0, 0)
    assert await loading.digests(list_id) == digests("ann@example.com", "ben@example.com")


async def test_an_empty_file_is_a_success_that_changes_nothing(loading: Loading):
    list_id = await loading.new_list()

    job = await loading.load(list_id, b"\n\n \n")

    assert counts(job) == (0, 0, 0, 0)
    assert await loading.files() == []


async def test_what_is_on_the_list_already_is_a_duplicate_and_what_was_taken_off_comes_on_again(loading: Loading):
    list_id = await loading.new_list()
    await loading.load(list_id, file(*(f"p{number}@example.com" for number in range(1500))))
    async with loading.db.autocommit() as conn:
        for number, generation in ((7, 1), (8, 5), (9, 0)):
            await conn.execute(
                "INSERT INTO optout_removed (list_id, digest, brand_id, generation, at) VALUES (%s, %s, %s, %s, now())",
                [list_id, digest_of(f"p{number}@example.com", "md5"), loading.brand_id, generation],
            )
        for text in ("recent@example.com", "p9@example.com"):
            await conn.execute(
                "INSERT INTO optout_recent (list_id, digest, brand_id, channel, cause, at) VALUES (%s, %s, %s, 1, 'api', now())",
                [list_id, digest_of(text, "md5"), loading.brand_id],
            )

    job = await loading.load(
        list_id, file("recent@example.com", *(f"p{number}@example.com" for number in range(5, 1600)))
    )

    assert counts(job) == (1596, 102, 1494, 0)
    assert (await loading.addresses(list_id))[1500:] == [f"p{n}@example.com" for n in (7, 8, *range(1500, 1600))]


async def test_on_the_built_in_list_a_file_holds_beside_what_people_said_whichever_came_first(loading: Loading):
    held = await loading.lists.get(loading.brand_id, "built-in")

    async def say(text: str, cause: Cause) -> None:
        async with loading.db.transaction() as conn:
            await add_to_builtin(conn, loading.brand_id, [OptOut(EMAIL, digest_of(text, "md5"), cause)])

    await say("ann@example.com", "unsubscribe")
    await say("ben@example.com", "bounce")
    await say("cat@example.com", "api")
    texts = [
        "ann@example.com",
        "ben@example.com",
        "cat@example.com",
        *(f"p{number}@example.com" for number in range(3000)),
    ]
    claimed = await loading.claimed(held.id, file(*texts))
    _, task = await loading.at_work(claimed)
    await say("p2999@example.com", "unsubscribe")
    await task
    async with loading.db.transaction() as conn:
        said = [digest_of(text, "md5") for text in ("ann@example.com", "p2999@example.com")]
        assert await remove_from_builtin(conn, loading.brand_id, said) == 2
        removed = await (await conn.execute("SELECT FROM optout_removed")).fetchall()

    assert counts(await loading.jobs.get(loading.brand_id, claimed.id)) == (3003, 3002, 1, 0)
    assert await loading.digests(held.id) == digests(*texts) - digests("cat@example.com")
    assert removed == []


async def test_of_a_list_whose_entries_lapse_old_ones_are_learned_anew(loading: Loading):
    list_id = await loading.new_list(expiry_days=30)
    await loading.load(list_id, file("ann@example.com"))
    once = counts(await loading.load(list_id, file("ann@example.com")))
    async with loading.db.autocommit() as conn:
        await conn.execute("UPDATE optout_run SET learned_at = learned_at - interval '5 days'")

    again = counts(await loading.load(list_id, file("ann@example.com")))

    assert (once, again) == ((1, 0, 1, 0), (1, 1, 0, 0))


async def test_on_a_list_that_lapses_entries_hold_from_when_their_file_came_whatever_it_says(loading: Loading):
    list_id = await loading.new_list(expiry_days=30)
    data = file("email,timestamp", "ann@example.com,2019-05-01", "ben@example.com,2020-05-01")

    once, again = await loading.load(list_id, data), await loading.load(list_id, data)
    await Compactor(loading.db, loading.storage, min_free_bytes=0).compact(loading.brand_id, list_id, everything=True)

    assert (counts(once), counts(again)) == ((2, 2, 0, 0), (2, 0, 2, 0))
    assert await loading.digests(list_id) == digests("ann@example.com", "ben@example.com")
    indexes = Indexes(loading.storage)
    found = await EntryService(loading.db, LookUp(indexes)).find(loading.brand_id, "list", "ann@example.com")
    await indexes.aclose()
    assert len(found) == 1
    assert await loading.rows(list_id, '"at"::DATE::VARCHAR') == [("2019-05-01",), ("2020-05-01",)]


async def test_an_upload_is_gone_from_the_storage_once_it_is_on_the_list(loading: Loading):
    list_id = await loading.new_list()

    await loading.load(list_id, file("ann@example.com", "rubbish"))

    assert [name.split("/")[0] for name in await loading.files()] == ["results", "runs", "segments"]
    assert [path.name for path in loading.storage.work.iterdir()] == []


@pytest.mark.fault("F17")
async def test_utf_16_is_read_like_any_other_file(loading: Loading):
    list_id = await loading.new_list()

    job = await loading.load(list_id, "ann@example.com\r\nbén@exämple.com\r\n".encode("utf-16"))

    assert counts(job) == (2, 2, 0, 0)
    assert await loading.addresses(list_id) == ["ann@example.com", "bén@xn--exmple-cua.com"]


@pytest.mark.fault("F17")
async def test_what_is_broken_beside_an_address_keeps_nobody_off_the_list(loading: Loading):
    list_id = await loading.new_list()
    rows = ["ann@example.com;für", '"ben@example.com";"f\0r"', "Bün@example.com;x", "Cät@exämple.com;x"]

    job = await loading.load(list_id, "\n".join(["email;campaign", *rows]).encode("cp1252"))

    assert counts(job) == (4, 2, 0, 2)
    assert await loading.rows(list_id, "address, campaign") == [
        ("ann@example.com", "f\ufffdr"),
        ("ben@example.com", "f\ufffdr"),
    ]


@pytest.mark.parametrize("header", ["", "email,campaign\n"])
async def test_characters_that_nobody_sees_around_a_hash_cost_nobody_anything(loading: Loading, header: str):
    list_id = await loading.new_list()
    marks = ["\ufeff{}", "{}\u00a0", "{}\u200b", "\t{}", '"{}\t"' if header else "{} "]
    hashes = [hash_of(f"p{number}@example.com", "md5").hex() for number in range(len(marks))]
    rest = ",spring" if header else ""
    lines = [f"{mark.format(digits)}{rest}" for mark, digits in zip(marks, hashes, strict=True)]

    job = await loading.load(list_id, header.encode() + file("ann@example.com" + rest, *lines))

    assert counts(job) == (6, 6, 0, 0)
    assert await loading.digests(list_id) == digests(
        "ann@example.com", *(f"p{number}@example.com" for number in range(5))
    )
