from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from listed import Lists
from stentor.db.pool import Database
from stentor.domain.address import InvalidAddress, email_digest
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Unavailable
from stentor.optouts.hashing import HASH_NAMES, EntryForm, HashName, hash_of
from stentor.optouts.look_up import Listing, LookUp
from stentor.optouts.runs.holders import Indexes
from stentor.testing.world import World

pytestmark = pytest.mark.anyio

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
        listings = await self.look_up.check(self.db, self.brand_id, list_id, texts)
        assert listings is not None
        assert not any(isinstance(listing, InvalidAddress) for listing in listings)
        return [listing.form if isinstance(listing, Listing) else None for listing in listings]

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


async def test_a_hash_of_another_length_is_no_entry_of_the_list(stage: Stage):
    list_id = await stage.lists.made(stage.brand_id, "hashed", kind="sha1", hash="sha1")

    listings = await stage.look_up.check(
        stage.db, stage.brand_id, list_id, [hash_of(ANN, "md5").hex(), hash_of(ANN, "sha1").hex(), ""]
    )

    assert listings is not None
    assert [isinstance(listing, InvalidAddress) for listing in listings] == [True, False, True]


async def test_no_such_list_and_one_that_is_disabled_are_told_from_one_without_the_address(stage: Stage):
    disabled = await stage.lists.made(stage.brand_id, "disabled", state="disabled")
    empty = await stage.lists.made(stage.brand_id, "empty")
    others = await stage.lists.built_in((await World.made(stage.db, "Other")).brand_id)

    checks = [
        await stage.look_up.check(stage.db, stage.brand_id, each, [ANN]) for each in (disabled, empty, others, new_id())
    ]

    assert checks == [None, [None], None, None]


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


async def test_a_group_holds_what_its_members_hold_each_by_its_own_hash(stage: Stage):
    md5 = await stage.lists.made(stage.brand_id, "of md5")
    sha1 = await stage.lists.made(stage.brand_id, "of sha1", kind="sha1", hash="sha1")
    group = await stage.lists.made(stage.brand_id, "group", kind="grouped", members=[md5, sha1])
    await stage.lists.run(md5, [ANN])
    await stage.lists.run(sha1, [BEN])

    asked = ANN, BEN, CLEO, hash_of(ANN, "md5").hex(), hash_of(BEN, "sha1").hex(), hash_of(BEN, "md5").hex()

    assert await stage.on(group, *asked) == [
        EntryForm.ADDRESS,
        EntryForm.ADDRESS,
        None,
        EntryForm.ADDRESS,
        EntryForm.ADDRESS,
        None,
    ]


async def test_a_link_leads_to_another_brands_list_as_long_as_that_grants_it(stage: Stage):
    other = await World.made(stage.db, "Other")
    theirs = await stage.lists.made(other.brand_id, "theirs")
    await stage.lists.run(theirs, [ANN])
    await stage.lists.recent(theirs, BEN)
    link = await stage.lists.made(stage.brand_id, "link", kind="linked", linked_id=theirs)

    before = await stage.look_up.check(stage.db, stage.brand_id, link, [ANN, BEN])
    await stage.lists.grant(theirs, to=stage.brand_id)

    assert before is None
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
    look_up = LookUp(Indexes(stage.lists.files, at_most=3))

    for _ in range(2):
        listings = await look_up.check(stage.db, stage.brand_id, list_id, ["0@example.com", "4@example.com"])
        assert listings is not None
        assert None not in listings

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
            await stage.look_up.check(stage.db, stage.brand_id, list_id, [ANN])
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
