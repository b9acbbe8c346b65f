from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import pytest
from psycopg.abc import PQGen

from listed import Lists
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.address import email_digest
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Unavailable
from stentor.optouts.bulk import BulkCheck
from stentor.optouts.hashing import HASH_NAMES, EntryForm, HashName, hash_of
from stentor.optouts.look_up import LookUp
from stentor.optouts.runs.holders import Indexes
from stentor.testing.world import World

pytestmark = pytest.mark.anyio

T = TypeVar("T")

ANN, BEN, CLEO = "ann@example.com", "ben@example.com", "cleo@other.example"


class Stage:
    """A brand, its lists and a look-up."""

    def __init__(self, db: Database, world: World, lists: Lists, indexes: Indexes) -> None:
        self.db = db
        self.brand_id = world.brand_id
        self.lists = lists
        self.look_up = LookUp(indexes)

    async def on(self, list_id: UUID, *texts: str) -> list[EntryForm | None]:
        """For each text the form by which the list has it."""
        checked = await BulkCheck(self.db, self.look_up).check(self.brand_id, str(list_id), texts)
        assert not any(one.refusal for one in checked)
        return [one.form for one in checked]

    async def objecting(
        self, *addresses: str, channel: ChannelKind = ChannelKind.EMAIL, campaign: UUID | None = None
    ) -> list[tuple[str, EntryForm] | None]:
        """For each person of a wave the list that objects, and the form."""
        people = [(address, email_digest(address.removeprefix("+"))) for address in addresses]

        async def ask() -> list[tuple[str, EntryForm] | None]:
            async with self.db.transaction() as conn:
                wave = await self.look_up.wave(conn, self.brand_id, channel, people)
            found = [wave.objecting(address, md5, campaign_id=campaign, topic_id=None) for address, md5 in people]
            return [None if listing is None else (listing.store.name, listing.form) for listing in found]

        return await self.look_up.surely(ask)


@pytest.fixture
async def stage(db: Database, tmp_path: Path) -> AsyncIterator[Stage]:
    lists = Lists(db, tmp_path)
    indexes = Indexes(lists.files)
    yield Stage(db, await World.made(db), lists, indexes)
    await indexes.aclose()


@pytest.mark.parametrize("name", HASH_NAMES)
async def test_an_address_is_found_by_itself_its_hash_and_its_domain_in_files_and_among_single_entries(
    stage: Stage, name: HashName
):
    filed = await stage.lists.made(stage.brand_id, "filed", hash=name)
    single = await stage.lists.made(stage.brand_id, "single", hash=name)
    await stage.lists.run(filed, [ANN, "@other.example", "14155550123"])
    for text in (ANN, "@other.example", "14155550123"):
        await stage.lists.recent(single, text)

    asked = ANN, ANN.upper(), hash_of(ANN, name).hex(), BEN, CLEO, "@other.example", "+1 415 555 0123"
    forms = await stage.on(filed, *asked)

    assert forms == await stage.on(single, *asked)
    assert forms == [EntryForm.ADDRESS] * 3 + [None] + [EntryForm.DOMAIN] * 2 + [EntryForm.ADDRESS]


async def test_an_address_is_found_by_the_other_spelling_of_its_host(stage: Stage):
    hashed = await stage.lists.made(stage.brand_id, "hashed", kind="sha256", hash="sha256")
    await stage.lists.run(hashed, ["zoë@exämple.com", "@bücher.example"])

    assert await stage.on(hashed, "zoë@xn--exmple-cua.com", "zoë@exämple.com", "ann@bücher.example") == [
        EntryForm.OTHER_SPELLING,
        EntryForm.OTHER_SPELLING,
        EntryForm.DOMAIN,
    ]


async def test_what_was_taken_off_holds_no_more_until_a_later_import_brings_it_again(stage: Stage):
    list_id = await stage.lists.made(stage.brand_id, "l")
    await stage.lists.run(list_id, [ANN, BEN])
    assert await stage.on(list_id, ANN, BEN) == [EntryForm.ADDRESS] * 2

    await stage.lists.take_off(list_id, ANN)
    taken_off = await stage.on(list_id, ANN, BEN)
    await stage.lists.run(list_id, [ANN])

    assert taken_off == [None, EntryForm.ADDRESS]
    assert await stage.on(list_id, ANN, BEN) == [EntryForm.ADDRESS] * 2


async def test_entries_expire_with_their_age_and_runs_with_that_of_their_youngest_entry(stage: Stage):
    list_id = await stage.lists.made(stage.brand_id, "l", expiry_days=30)
    await stage.lists.run(list_id, [ANN], age_days=31)
    await stage.lists.run(list_id, [BEN], age_days=29)
    await stage.lists.recent(list_id, "dan@example.com", age_days=31)
    await stage.lists.recent(list_id, "eve@example.com", age_days=29)

    assert await stage.on(list_id, ANN, BEN, "dan@example.com", "eve@example.com") == [
        None,
        EntryForm.ADDRESS,
        None,
        EntryForm.ADDRESS,
    ]


async def test_a_group_holds_what_its_members_hold(stage: Stage):
    plain = await stage.lists.made(stage.brand_id, "plain")
    hashed = await stage.lists.made(stage.brand_id, "hashed", kind="md5")
    group = await stage.lists.made(stage.brand_id, "group", kind="grouped", members=[plain, hashed])
    await stage.lists.run(plain, [ANN])
    await stage.lists.run(hashed, [BEN])
    await stage.lists.recent(hashed, "@other.example")

    asked = ANN, BEN, CLEO, hash_of(BEN, "md5").hex(), "dan@example.com"

    assert await stage.on(group, *asked) == [
        EntryForm.ADDRESS,
        EntryForm.ADDRESS,
        EntryForm.DOMAIN,
        EntryForm.ADDRESS,
        None,
    ]


async def test_a_link_leads_to_another_brands_list_as_long_as_that_grants_it(stage: Stage):
    other = await World.made(stage.db, "Other")
    theirs = await stage.lists.made(other.brand_id, "theirs")
    await stage.lists.run(theirs, [ANN])
    await stage.lists.recent(theirs, BEN)
    link = await stage.lists.made(stage.brand_id, "link", kind="linked", linked_id=theirs)

    before = await stage.on(link, ANN, BEN)
    await stage.lists.grant(theirs, to=stage.brand_id)

    assert before == [None, None]
    assert await stage.on(link, ANN, BEN) == [EntryForm.ADDRESS] * 2


async def test_a_wave_asks_all_lists_at_once_and_names_the_first_that_objects(stage: Stage):
    first = await stage.lists.made(stage.brand_id, "first")
    second = await stage.lists.made(stage.brand_id, "second", kind="sha512", hash="sha512")
    await stage.lists.run(first, ["@other.example"])
    await stage.lists.run(second, [BEN, CLEO, "zoë@exämple.com"])
    await stage.lists.recent(await stage.lists.built_in(stage.brand_id), ANN)
    await stage.lists.recent(second, ANN)

    assert await stage.objecting(ANN, BEN, CLEO, "dan@example.com", "zoë@xn--exmple-cua.com") == [
        ("built-in", EntryForm.ADDRESS),
        ("second", EntryForm.ADDRESS),
        ("first", EntryForm.DOMAIN),
        None,
        ("second", EntryForm.OTHER_SPELLING),
    ]


async def test_a_list_is_asked_only_for_its_channels_and_campaigns(stage: Stage):
    campaign = new_id()
    mail = await stage.lists.made(stage.brand_id, "mail", channels=2, scope="campaigns", scope_ids=[campaign])
    await stage.lists.run(mail, [ANN, "14155550123"])

    assert await stage.objecting(ANN, campaign=campaign) == [("mail", EntryForm.ADDRESS)]
    assert await stage.objecting(ANN, campaign=new_id()) == [None]
    assert await stage.objecting("+14155550123", channel=ChannelKind.WHATSAPP, campaign=campaign) == [None]


async def test_many_are_asked_as_one_is(stage: Stage):
    list_id = await stage.lists.made(stage.brand_id, "many")
    everybody = [f"person{number}@host{number % 7}.example" for number in range(2_000)]
    await stage.lists.run(list_id, everybody[:1_000:2])
    await stage.lists.run(list_id, [*everybody[1_000::2], "@host3.example"])

    found = await stage.on(list_id, *everybody)

    assert [form is not None for form in found] == [n % 2 == 0 or n % 7 == 3 for n in range(2_000)]


async def test_an_index_is_opened_once_and_again_when_it_had_to_make_room(stage: Stage, tmp_path: Path):
    list_id = await stage.lists.made(stage.brand_id, "l")
    runs = [await stage.lists.run(list_id, [f"{number}@example.com"]) for number in range(5)]
    stage.look_up = LookUp(Indexes(stage.lists.files, at_most=3))

    for _ in range(2):
        assert None not in await stage.on(list_id, "0@example.com", "4@example.com")

    asked = stage.lists.files.asked
    assert len(asked) == len(runs) + 2


async def test_files_that_were_exchanged_meanwhile_are_asked_by_the_new_catalogue(stage: Stage):
    list_id = await stage.lists.made(stage.brand_id, "l")
    old = await stage.lists.run(list_id, [ANN])
    stage.lists.lose(old)
    tries = 0

    async def ask() -> list[EntryForm | None]:
        nonlocal tries
        tries += 1
        if tries == 2:
            await stage.lists.run(list_id, [ANN], replaces=[old])
        async with stage.db.read() as conn:
            stores = await stage.look_up.stores(conn, stage.brand_id, list_ids=[list_id])
            hits = await stage.look_up.found(conn, stores, {"md5": [email_digest(ANN)]})
        return [EntryForm.ADDRESS if hits else None]

    assert await stage.look_up.surely(ask) == [EntryForm.ADDRESS]


async def test_what_cannot_be_read_is_never_taken_for_unlisted(stage: Stage):
    lost, spoiled = [await stage.lists.made(stage.brand_id, name) for name in ("lost", "spoiled")]
    stage.lists.lose(await stage.lists.run(lost, [ANN]))
    run = await stage.lists.run(spoiled, [ANN])
    (stage.lists.files.root / f"runs/{run}.index").write_bytes(b"no index")

    for list_id in (lost, spoiled):
        with pytest.raises(Unavailable):
            await stage.on(list_id, ANN)
    with pytest.raises(Unavailable):
        await stage.objecting(ANN)


async def test_what_was_taken_off_and_then_compacted_away_is_not_found_in_the_old_files(stage: Stage):
    list_id = await stage.lists.made(stage.brand_id, "l")
    old = await stage.lists.run(list_id, [ANN, BEN])
    await stage.lists.take_off(list_id, ANN)
    assert await stage.on(list_id, ANN) == [None]
    asked_before = False

    async def ask() -> set[bytes]:
        nonlocal asked_before
        async with stage.db.read() as conn:
            stores = await stage.look_up.stores(conn, stage.brand_id, list_ids=[list_id])
            if not asked_before:
                asked_before = True
                await stage.lists.run(list_id, [BEN], replaces=[old])
                await conn.execute("DELETE FROM optout_removed WHERE list_id = %s", [list_id])
            hits = await stage.look_up.found(conn, stores, {"md5": [email_digest(ANN)]})
        return set(hits.get(list_id, ()))

    assert await stage.look_up.surely(ask) == set()


class Counting(Connection):
    """A connection that counts the statements that are sent on it."""

    statements = 0

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:  # noqa: ASYNC109  as psycopg
        self.statements += 1
        return await super().wait(gen, interval, timeout)


@pytest.mark.parametrize(("name", "statements"), [("md5", 1), ("sha256", 2)])
async def test_a_wave_costs_one_statement_and_one_more_for_single_entries_under_other_hashes(
    stage: Stage, name: HashName, statements: int
):
    list_id = await stage.lists.made(stage.brand_id, "l", hash=name)
    await stage.lists.run(list_id, [BEN])
    await stage.lists.recent(list_id, ANN)
    people = [(address, email_digest(address)) for address in (ANN, BEN, CLEO)]
    # So that the file is open here.
    await stage.objecting(BEN)

    async with await Counting.connect(stage.db.dsn, autocommit=True) as conn:
        before = conn.statements
        wave = await stage.look_up.wave(conn, stage.brand_id, ChannelKind.EMAIL, people)
        taken = conn.statements - before

    found = [wave.objecting(*person, campaign_id=None, topic_id=None) for person in people]
    assert [listing and listing.hit.recent for listing in found] == [True, False, None]
    assert taken == statements


async def test_single_entries_that_are_asked_along_lapse_like_all_others(stage: Stage):
    list_id = await stage.lists.made(stage.brand_id, "l", expiry_days=30)
    await stage.lists.recent(list_id, ANN, age_days=31)
    await stage.lists.recent(list_id, BEN, age_days=29)

    assert [found is not None for found in await stage.objecting(ANN, BEN)] == [False, True]


async def test_whom_files_hold_is_looked_for_no_further_where_one_place_is_enough(stage: Stage):
    list_id = await stage.lists.made(stage.brand_id, "l")
    await stage.lists.run(list_id, [ANN])
    await stage.lists.recent(list_id, BEN)
    await stage.on(list_id, ANN)

    async with await Counting.connect(stage.db.dsn, autocommit=True) as conn:
        stores = await stage.look_up.stores(conn, stage.brand_id, list_ids=[list_id])
        sent: list[int] = []
        for asked in ([ANN], [ANN, BEN], [CLEO]):
            before = conn.statements
            digests = [email_digest(address) for address in asked]
            hits = await stage.look_up.found(conn, stores, {"md5": digests}, once=True)
            assert set(hits.get(list_id, ())) == {digest for digest in digests if digest != email_digest(CLEO)}
            sent.append(conn.statements - before)

    assert sent == [0, 1, 1]


async def test_many_are_found_in_files_and_among_single_entries(stage: Stage):
    list_id = await stage.lists.made(stage.brand_id, "l")
    people = [f"person{number}@example.com" for number in range(3_000)]
    await stage.lists.run(list_id, people[::3])
    for text in people[1:300:3]:
        await stage.lists.recent(list_id, text)

    forms = await stage.on(list_id, *people)

    held = {*people[::3], *people[1:300:3]}
    assert [form is not None for form in forms] == [text in held for text in people]
