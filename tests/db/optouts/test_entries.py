"""Single entries: added, collected, found, taken off with a reason, erased."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from listed import Lists
from stentor.db.pool import Database
from stentor.domain.address import email_digest
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from stentor.optouts.entry_service import ENTRIES_MAX, EntryService
from stentor.optouts.hashing import EntryForm, digest_of
from stentor.optouts.lists import ListService
from stentor.optouts.look_up import LookUp
from stentor.optouts.model import Cause, ListDraft, ListPatch, OptOut
from stentor.optouts.runs.holders import Indexes
from stentor.optouts.service import add_to_builtin, remove_from_builtin

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL.bit, ChannelKind.SMS.bit
ANN, BEN, PHONE = "ann@example.com", "ben@example.com", "+14155550123"


class Stage:
    """A brand with a list `L`, and how its files are made."""

    def __init__(self, db: Database, brand_id: UUID, files: Lists, indexes: Indexes) -> None:
        self.db = db
        self.brand_id = brand_id
        self.files = files
        self.lists = ListService(db)
        self.entries = EntryService(db, LookUp(indexes))

    async def on(self, text: str, reference: str = "L") -> set[tuple[str, bool]]:
        """By which forms the text is on the list, each with whether that is a single entry."""
        found = await self.entries.find(self.brand_id, reference, text)
        return {(one.form.name, one.entry is not None) for one in found}

    async def file(self, *texts: str, age_days: float = 0) -> UUID:
        """A file of these is on the list from now on."""
        held = await self.lists.get(self.brand_id, "L")
        return await self.files.run(held.id, texts, age_days=age_days)

    async def aged(self, days: float) -> None:
        """All single entries came that many days earlier."""
        async with self.db.transaction() as conn:
            await conn.execute("UPDATE optout_recent SET at = at - make_interval(secs => %s)", [days * 86_400])

    async def remade(self, draft: ListDraft) -> None:
        """The list `L` is another one."""
        await self.lists.delete(self.brand_id, "L")
        await self.lists.create(self.brand_id, draft)


@pytest.fixture
async def stage(db: Database, brand_id: UUID, tmp_path: Path) -> AsyncIterator[Stage]:
    files = Lists(db, tmp_path)
    indexes = Indexes(files.files)
    made = Stage(db, brand_id, files, indexes)
    await made.lists.create(brand_id, ListDraft(name="L"))
    yield made
    await indexes.aclose()


async def test_an_entry_holds_from_when_it_was_added(stage: Stage):
    added = await stage.entries.add(stage.brand_id, "L", ["  ANN@Example.com", "004930123456", "@other.example", ANN])
    again = await stage.entries.add(stage.brand_id, "L", [ANN, BEN])

    assert (added.added, added.listed, again.added, again.listed) == (3, 1, 1, 1)
    assert await stage.on(ANN) == {("ADDRESS", True)}
    assert await stage.on("+4930123456") == {("ADDRESS", True)}
    assert await stage.on("somebody@other.example") == {("DOMAIN", True)}
    assert await stage.on("cleo@example.com") == set()


async def test_a_plain_list_keeps_addresses_and_one_of_hashes_does_not(stage: Stage):
    await stage.entries.add(stage.brand_id, "L", [ANN])
    (plain,) = await stage.entries.entries(stage.brand_id, "L")
    await stage.remade(ListDraft(name="L", kind="sha256"))
    await stage.entries.add(stage.brand_id, "L", [ANN, hashlib.sha256(BEN.encode()).hexdigest()])
    hashed = {entry.hash: entry.address for entry in await stage.entries.entries(stage.brand_id, "L")}

    assert (plain.address, plain.hash, plain.channel, plain.cause) == (ANN, None, ChannelKind.EMAIL, "api")
    assert hashed == {hashlib.sha256(text.encode()).digest(): None for text in (ANN, BEN)}
    assert await stage.on(ANN) == await stage.on(BEN) == {("ADDRESS", True)}
    assert await stage.on(hashlib.sha256(ANN.encode()).hexdigest()) == {("ADDRESS", True)}
    with pytest.raises(Invalid):
        await stage.on(hashlib.md5(ANN.encode(), usedforsecurity=False).hexdigest())


@pytest.mark.parametrize("text", ["", "ann", "ann@", "@", "12", "a" * 400, "\ud800@example.com", "ann@example.com\x00"])
async def test_what_is_no_entry_is_refused_with_all_that_came_with_it(stage: Stage, text: str):
    with pytest.raises(Invalid) as refused:
        await stage.entries.add(stage.brand_id, "L", [ANN, text])

    assert [violation.pointer for violation in refused.value.violations] == ["/entries/1"]
    assert await stage.on(ANN) == set()
    with pytest.raises(Invalid):
        await stage.on(text)
    with pytest.raises(Invalid):
        await stage.entries.add(stage.brand_id, "L", [])
    with pytest.raises(Invalid):
        await stage.entries.add(stage.brand_id, "L", [ANN] * (ENTRIES_MAX + 1))


async def test_who_opts_out_is_collected_with_where_they_clicked(stage: Stage):
    first = await stage.entries.collect(
        stage.brand_id,
        "L",
        ANN,
        channel=ChannelKind.EMAIL,
        campaign="May",
        affiliate="a1",
        sub_affiliate="s",
        ip="192.0.2.1",
    )
    again = await stage.entries.collect(stage.brand_id, "L", ANN, campaign="June")
    (entry,) = await stage.entries.entries(stage.brand_id, "L")

    assert (first, again) == (True, False)
    assert (entry.cause, entry.campaign, entry.affiliate, entry.sub_affiliate, entry.ip) == (
        "collect",
        "May",
        "a1",
        "s",
        "192.0.2.1",
    )


async def test_only_an_enabled_list_with_entries_of_its_own_collects(
    stage: Stage, lists: ListService, other_brand_id: UUID
):
    await lists.create(stage.brand_id, ListDraft(name="Group", kind="grouped", members=["L"]))
    await lists.create(other_brand_id, ListDraft(name="Theirs"))
    await lists.grant(other_brand_id, "Theirs", stage.brand_id)
    theirs = await lists.get(other_brand_id, "Theirs")
    await lists.create(stage.brand_id, ListDraft(name="Link", kind="linked", linked=theirs.code))
    await lists.create(stage.brand_id, ListDraft(name="Off", enabled=False))

    for reference in ("Group", "Link", "Off"):
        with pytest.raises(Conflict):
            await stage.entries.collect(stage.brand_id, reference, ANN)
    for reference in ("Group", "Link"):
        with pytest.raises(Conflict):
            await stage.entries.add(stage.brand_id, reference, [ANN])
        with pytest.raises(Conflict):
            await stage.entries.remove(stage.brand_id, reference, ANN, reason="x")
    for foreign in ("Theirs", theirs.code, "never"):
        with pytest.raises(NotFound):
            await stage.entries.collect(stage.brand_id, foreign, ANN)
    await stage.entries.add(stage.brand_id, "Off", [ANN])
    await stage.entries.add(other_brand_id, "Theirs", [BEN])
    await stage.entries.collect(stage.brand_id, "L", ANN)

    assert await stage.on(ANN, "Off") == await stage.on(ANN, "Group") == {("ADDRESS", True)}
    assert await stage.on(BEN, "Link") == {("ADDRESS", True)}


async def test_a_list_takes_only_what_it_is_of(stage: Stage):
    await stage.remade(ListDraft(name="L", channels=SMS))

    with pytest.raises(Invalid):
        await stage.entries.add(stage.brand_id, "L", [ANN])
    with pytest.raises(Invalid, match="takes no email"):
        await stage.entries.collect(stage.brand_id, "L", ANN, channel=ChannelKind.EMAIL)
    with pytest.raises(Invalid):
        await stage.entries.collect(stage.brand_id, "L", ANN, channel=ChannelKind.SMS)
    assert await stage.entries.collect(stage.brand_id, "L", "14155550123", channel=ChannelKind.SMS)
    assert await stage.on(PHONE) == {("ADDRESS", True)}


async def test_what_a_file_held_is_not_added_again_but_collected_with_more(stage: Stage):
    await stage.file(ANN, BEN)

    added = await stage.entries.add(stage.brand_id, "L", [ANN])
    before = await stage.on(BEN)
    collected = await stage.entries.collect(stage.brand_id, "L", BEN, campaign="May")

    assert (added.added, await stage.on(ANN), before) == (0, {("ADDRESS", False)}, {("ADDRESS", False)})
    assert (collected, await stage.on(BEN)) == (True, {("ADDRESS", True)})
    assert [(past.cause, past.reason) for past in await stage.entries.history(stage.brand_id, "L", BEN)] == [
        ("import", "said again"),
        ("collect", ""),
    ]


async def test_an_opt_out_does_not_wait_for_a_lost_file(stage: Stage):
    stage.files.lose(await stage.file(ANN))

    assert await stage.entries.collect(stage.brand_id, "L", ANN)
    with pytest.raises(Unavailable):
        await stage.on(ANN)
    with pytest.raises(Unavailable):
        await stage.entries.remove(stage.brand_id, "L", ANN, reason="x")


async def test_on_a_list_that_lapses_it_counts_anew_each_time(stage: Stage):
    await stage.remade(ListDraft(name="L", expiry_days=10))
    await stage.entries.add(stage.brand_id, "L", [ANN, BEN])
    await stage.file(PHONE, age_days=6)
    await stage.aged(6)
    await stage.entries.add(stage.brand_id, "L", [ANN, PHONE])
    await stage.aged(6)

    assert await stage.on(ANN) == await stage.on(PHONE) == {("ADDRESS", True)}
    assert await stage.on(BEN) == set()
    assert [entry.address for entry in await stage.entries.entries(stage.brand_id, "L", prefix="ben")] == []
    assert (await stage.entries.add(stage.brand_id, "L", [BEN])).added == 1
    past = await stage.entries.history(stage.brand_id, "L", BEN)
    assert past[0].lifted_at is not None
    assert (past[0].lifted_at - past[0].at).days == 10
    assert past[1].lifted_at is None


async def test_single_entries_are_read_page_by_page_and_searched(stage: Stage):
    await stage.entries.add(stage.brand_id, "L", [f"p{number}@example.com" for number in range(5)])
    await stage.entries.collect(stage.brand_id, "L", PHONE)

    pages: list[int] = []
    after: bytes | None = None
    while page := await stage.entries.entries(stage.brand_id, "L", after=after, limit=4):
        pages.append(len(page))
        after = page[-1].digest
    by_prefix = await stage.entries.entries(stage.brand_id, "L", prefix="P3@")
    phones = await stage.entries.entries(stage.brand_id, "L", prefix="+1415")
    collected = await stage.entries.entries(stage.brand_id, "L", cause="collect")

    assert pages == [4, 2]
    assert [entry.address for entry in by_prefix] == ["p3@example.com"]
    assert [entry.address for entry in phones] == [entry.address for entry in collected] == [PHONE[1:]]
    with pytest.raises(Invalid):
        await stage.entries.entries(stage.brand_id, "L", prefix="\x00")


async def test_what_is_taken_off_is_kept_with_the_reason(stage: Stage):
    await stage.entries.add(stage.brand_id, "L", [ANN], source="letter")
    await stage.file(BEN)

    assert await stage.entries.remove(stage.brand_id, "L", ANN.upper(), reason=" asked by letter ", actor="key 1") == 1
    assert await stage.entries.remove(stage.brand_id, "L", BEN, reason="a mistake", actor="key 1") == 1
    assert (await stage.on(ANN), await stage.on(BEN)) == (set(), set())
    (ann,) = await stage.entries.history(stage.brand_id, "L", ANN)
    (ben,) = await stage.entries.history(stage.brand_id, "L", BEN)
    assert (ann.cause, ann.source, ann.reason, ann.actor) == ("api", "letter", "asked by letter", "key 1")
    assert (ben.cause, ben.reason) == ("import", "a mistake")
    assert ben.lifted_at is not None
    assert ben.at < ben.lifted_at
    with pytest.raises(NotFound):
        await stage.entries.remove(stage.brand_id, "L", ANN, reason="again")
    with pytest.raises(Invalid):
        await stage.entries.remove(stage.brand_id, "L", ANN, reason=" ")


async def test_what_a_later_file_brings_again_is_on_the_list_again(stage: Stage):
    await stage.file(ANN)
    await stage.entries.remove(stage.brand_id, "L", ANN, reason="a mistake")
    await stage.file(ANN)

    assert await stage.on(ANN) == {("ADDRESS", False)}
    assert (await stage.lists.get(stage.brand_id, "L")).generation == 3


async def test_an_address_is_taken_off_however_its_host_is_written_and_its_domain_is_not(stage: Stage):
    await stage.entries.add(stage.brand_id, "L", ["ann@xn--exmple-cua.com", "@xn--exmple-cua.com"])

    assert await stage.entries.remove(stage.brand_id, "L", "ann@ex\u00e4mple.com", reason="x") == 1
    assert await stage.on("ann@ex\u00e4mple.com") == {("DOMAIN", True)}
    with pytest.raises(NotFound, match="domain"):
        await stage.entries.remove(stage.brand_id, "L", "ann@ex\u00e4mple.com", reason="x")
    assert await stage.entries.remove(stage.brand_id, "L", "@ex\u00e4mple.com", reason="x") == 1
    assert await stage.on("ann@ex\u00e4mple.com") == set()


@pytest.mark.parametrize("cause", ["unsubscribe", "stop", "complaint", "collect"])
async def test_only_the_person_takes_off_the_built_in_list_what_the_person_said(stage: Stage, cause: Cause):
    async with stage.db.transaction() as conn:
        await add_to_builtin(conn, stage.brand_id, [OptOut(ChannelKind.EMAIL, email_digest(ANN), cause)])

    with pytest.raises(Forbidden):
        await stage.entries.remove(stage.brand_id, "built-in", ANN, reason="please")
    assert await stage.on(ANN, "built-in") == {("ADDRESS", True)}


@pytest.mark.parametrize("before", ["bounce", "api", "import"])
@pytest.mark.parametrize("cause", ["unsubscribe", "complaint", "collect"])
async def test_what_the_person_says_takes_the_place_of_what_was_said_of_them(stage: Stage, before: Cause, cause: Cause):
    def said(cause: Cause, **facts: str) -> OptOut:
        return OptOut(ChannelKind.EMAIL, email_digest(ANN), cause, **facts)

    async with stage.db.transaction() as conn:
        await add_to_builtin(conn, stage.brand_id, [said(before, source="before", address=ANN)])
    if cause == "collect":
        assert await stage.entries.collect(stage.brand_id, "built-in", ANN, campaign="May", ip="192.0.2.1")
    else:
        async with stage.db.transaction() as conn:
            await add_to_builtin(conn, stage.brand_id, [said(cause, campaign="May", ip="192.0.2.1")])
    async with stage.db.transaction() as conn:
        await add_to_builtin(conn, stage.brand_id, [said("bounce"), said("api"), said("unsubscribe", campaign="June")])

    (entry,) = await stage.entries.entries(stage.brand_id, "built-in")
    assert (entry.cause, entry.address, entry.campaign, entry.ip) == (cause, ANN, "May", "192.0.2.1")
    first, now = await stage.entries.history(stage.brand_id, "built-in", ANN)
    assert (first.cause, first.source, first.reason, first.lifted_at) == (before, "before", "said again", now.at)
    with pytest.raises(Forbidden):
        await stage.entries.remove(stage.brand_id, "built-in", ANN, reason="please")


async def test_what_was_added_gives_way_to_where_somebody_clicked(stage: Stage):
    await stage.remade(ListDraft(name="L", kind="sha256"))
    await stage.entries.add(stage.brand_id, "L", [ANN], source="letter")

    assert await stage.entries.collect(stage.brand_id, "L", ANN, campaign="May", affiliate="a1", ip="192.0.2.1")
    again = await stage.entries.add(stage.brand_id, "L", [ANN])

    (entry,) = await stage.entries.entries(stage.brand_id, "L")
    assert (entry.cause, entry.campaign, entry.affiliate, entry.ip) == ("collect", "May", "a1", "192.0.2.1")
    assert entry.hash == hashlib.sha256(ANN.encode()).digest()
    assert (again.added, again.listed) == (0, 1)


async def test_on_the_built_in_list_what_a_file_brought_stays_when_the_person_takes_back_what_they_said(stage: Stage):
    held = await stage.lists.get(stage.brand_id, "built-in")
    await stage.files.run(held.id, [ANN])
    await stage.entries.collect(stage.brand_id, "built-in", ANN)

    async with stage.db.transaction() as conn:
        assert await remove_from_builtin(conn, stage.brand_id, [email_digest(ANN)]) == 1

    assert await stage.on(ANN, "built-in") == {("ADDRESS", False)}


@pytest.mark.parametrize("cause", ["bounce", "api", "import"])
async def test_what_else_is_on_the_built_in_list_comes_off_with_a_reason(stage: Stage, cause: Cause):
    async with stage.db.transaction() as conn:
        await add_to_builtin(conn, stage.brand_id, [OptOut(ChannelKind.EMAIL, email_digest(ANN), cause)])

    assert await stage.entries.remove(stage.brand_id, "built-in", ANN, reason="mailbox is back") == 1
    assert await stage.on(ANN, "built-in") == set()


@pytest.mark.parametrize("text", ["@example.com", "d41d8cd98f00b204e9800998ecf8427e", "nobody"])
async def test_who_is_no_person_is_not_erased(stage: Stage, text: str):
    await stage.entries.add(stage.brand_id, "L", ["@example.com"])

    with pytest.raises(Invalid, match="Only an email address or a phone number"):
        await stage.entries.erase(stage.brand_id, text)

    assert [one.address for one in await stage.entries.entries(stage.brand_id, "L")] == ["@example.com"]


async def test_an_erased_address_is_forgotten_and_stays_suppressed(stage: Stage, other_brand_id: UUID):
    await stage.lists.create(stage.brand_id, ListDraft(name="Long", hash="sha512"))
    for reference in ("L", "Long"):
        await stage.entries.collect(stage.brand_id, reference, ANN, campaign="May", affiliate="a", ip="192.0.2.1")
    await stage.entries.add(other_brand_id, "built-in", [ANN])
    held = await stage.lists.get(stage.brand_id, "L")
    async with stage.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO optout_segment (id, list_id, brand_id, generation, entries, bytes, learned_at, created_at)"
            " VALUES (gen_random_uuid(), %s, %s, 1, 1, 1, now(), now())",
            [held.id, stage.brand_id],
        )

    await stage.entries.erase(stage.brand_id, ANN)
    kept = {name: await stage.entries.entries(stage.brand_id, name) for name in ("L", "Long")}
    async with stage.db.read() as conn:
        rows = await conn.execute("SELECT list_id, digest FROM optout_erasure")
        asked = await rows.fetchall()

    assert [(entry.address, entry.ip, entry.campaign, entry.affiliate) for entry in kept["L"]] == [(None, "", "", "")]
    assert [entry.hash for entry in kept["L"]] == [None]
    assert [(entry.address, entry.hash) for entry in kept["Long"]] == [(None, hashlib.sha512(ANN.encode()).digest())]
    assert await stage.on(ANN) == await stage.on(ANN, "Long") == {("ADDRESS", True)}
    assert asked == [(held.id, digest_of(ANN, "md5"))]
    assert (await stage.entries.entries(other_brand_id, "built-in"))[0].address == ANN
    with pytest.raises(Invalid):
        await stage.entries.erase(stage.brand_id, "f" * 32)


async def test_another_brand_reads_by_a_link_what_is_listed_and_not_from_where(stage: Stage, other_brand_id: UUID):
    theirs = await stage.lists.create(other_brand_id, ListDraft(name="Theirs"))
    await stage.entries.collect(other_brand_id, "Theirs", ANN, campaign="May", ip="192.0.2.1")
    await stage.lists.grant(other_brand_id, "Theirs", stage.brand_id)
    await stage.lists.create(stage.brand_id, ListDraft(name="Link", kind="linked", linked=theirs.code))

    (seen,) = await stage.entries.find(stage.brand_id, "Link", ANN)
    await stage.lists.update(other_brand_id, "Theirs", ListPatch(enabled=False))

    assert seen.entry is not None
    assert (seen.form, seen.list_id, seen.entry.campaign, seen.entry.ip) == (EntryForm.ADDRESS, theirs.id, "May", "")
    assert await stage.on(ANN, "Link") == set()
