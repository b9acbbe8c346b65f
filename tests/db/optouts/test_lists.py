"""Lists: made, found by id, code or name, changed, deleted, granted to other brands."""

from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound, QuotaExceeded
from stentor.optouts import lists as lists_module
from stentor.optouts.lists import ListService, resolve_all
from stentor.optouts.model import ListDraft, ListPatch
from stentor.testing.world import World

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL.bit, ChannelKind.SMS.bit
PARTNERS = ListDraft(name="Partners")


async def asked(db: Database, brand_id: UUID) -> set[tuple[str, UUID]]:
    """Names of the lists that are asked for the brand's messages, each with the list where its entries lie."""
    async with db.read() as conn:
        rows = await conn.execute("SELECT name, store_id FROM optout_asked WHERE brand_id = %s", [brand_id])
        return set(await rows.fetchall())


async def test_a_list_is_found_by_its_id_its_code_and_its_name(lists: ListService, brand_id: UUID):
    made = await lists.create(brand_id, PARTNERS)

    assert (made.kind, made.hash, made.channels, made.state, made.scope) == (
        "plain",
        "md5",
        EMAIL | SMS,
        "enabled",
        "brand",
    )
    assert made.code == made.id.hex[-16:]
    for reference in (str(made.id), str(made.id).upper(), made.code, made.code.upper(), "Partners"):
        assert await lists.get(brand_id, reference) == made


async def test_the_built_in_list_is_one_of_them_and_stays_as_it_is(lists: ListService, brand_id: UUID):
    built_in = await lists.get(brand_id, "built-in")

    assert (built_in.kind, built_in.built_in, await lists.page(brand_id)) == ("plain", True, [built_in])
    with pytest.raises(Conflict):
        await lists.delete(brand_id, "built-in")
    for patch in (ListPatch(enabled=False), ListPatch(scope="topics", scope_ids=[uuid4()]), ListPatch(expiry_days=1)):
        with pytest.raises(Conflict):
            await lists.update(brand_id, "built-in", patch)


async def test_another_brands_list_is_no_list(lists: ListService, brand_id: UUID, other_brand_id: UUID):
    theirs = await lists.create(other_brand_id, PARTNERS)

    for reference in (str(theirs.id), theirs.code, "Partners", "never", "\x00", ""):
        with pytest.raises(NotFound):
            await lists.get(brand_id, reference)
    with pytest.raises(NotFound):
        await lists.update(brand_id, theirs.code, ListPatch(enabled=False))
    with pytest.raises(NotFound):
        await lists.delete(brand_id, theirs.code)
    assert (await lists.get(other_brand_id, theirs.code)).is_enabled


@pytest.mark.parametrize(
    ("draft", "pointer"),
    [
        (replace(PARTNERS, name=" "), "/name"),
        (replace(PARTNERS, name="0123456789abcdef"), "/name"),
        (replace(PARTNERS, name=str(uuid4())), "/name"),
        (replace(PARTNERS, channels=0), "/channels"),
        (replace(PARTNERS, channels=ChannelKind.PUSH.bit), "/channels"),
        (replace(PARTNERS, expiry_days=0), "/expiry_days"),
        (replace(PARTNERS, kind="grouped", expiry_days=9), "/expiry_days"),
        (replace(PARTNERS, kind="md5", hash="sha1"), "/hash"),
        (replace(PARTNERS, scope="topics"), "/scope_ids"),
        (replace(PARTNERS, scope_ids=[uuid4()]), "/scope_ids"),
        (replace(PARTNERS, scope="campaigns", scope_ids=[new_id() for _ in range(101)]), "/scope_ids"),
        (replace(PARTNERS, members=["built-in"]), "/members"),
        (replace(PARTNERS, kind="grouped", members=["built-in", "no such"]), "/members/1"),
        (replace(PARTNERS, kind="grouped", members=["built-in"] * 51), "/members"),
        (replace(PARTNERS, kind="grouped", members=["built-in"], hash="sha1"), "/hash"),
        (replace(PARTNERS, linked="0123456789abcdef"), "/linked"),
        (replace(PARTNERS, kind="linked"), "/linked"),
        (replace(PARTNERS, kind="linked", linked="0123456789abcdef"), "/linked"),
    ],
)
async def test_a_list_that_breaks_a_rule_is_refused(lists: ListService, brand_id: UUID, draft: ListDraft, pointer: str):
    with pytest.raises(Invalid) as refused:
        await lists.create(brand_id, draft)

    assert [violation.pointer for violation in refused.value.violations] == [pointer]
    assert len(await lists.page(brand_id)) == 1


async def test_a_name_is_free_again_once_its_list_was_deleted(lists: ListService, brand_id: UUID, other_brand_id: UUID):
    first = await lists.create(brand_id, PARTNERS)
    await lists.create(other_brand_id, PARTNERS)
    await lists.create(brand_id, replace(PARTNERS, name="Others"))

    with pytest.raises(Conflict):
        await lists.create(brand_id, PARTNERS)
    with pytest.raises(Conflict):
        await lists.update(brand_id, "Others", ListPatch(name="Partners"))
    await lists.delete(brand_id, first.code)
    second = await lists.create(brand_id, PARTNERS)

    assert second.id != first.id
    assert second.number > first.number
    with pytest.raises(NotFound):
        await lists.get(brand_id, first.code)


async def test_changes_leave_the_rest_as_it_was(lists: ListService, brand_id: UUID):
    topic = uuid4()
    made = await lists.create(brand_id, replace(PARTNERS, kind="sha256", channels=EMAIL, expiry_days=30))

    scoped = await lists.update(
        brand_id, made.code, ListPatch(scope="topics", scope_ids=[topic, topic], expiry_days=None)
    )
    disabled = await lists.update(brand_id, made.code, ListPatch(enabled=False, name="Renamed"))
    again = await lists.update(brand_id, made.code, ListPatch(scope="brand"))

    assert (made.hash, made.keeps_hashes_only, made.expiry_days) == ("sha256", True, 30)
    assert (scoped.scope, scoped.scope_ids, scoped.expiry_days, scoped.name) == ("topics", [topic], None, "Partners")
    assert (disabled.name, disabled.state, disabled.scope_ids) == ("Renamed", "disabled", [topic])
    assert (again.scope, again.scope_ids, again.state) == ("brand", [], "disabled")
    with pytest.raises(Invalid, match="no members"):
        await lists.update(brand_id, made.code, ListPatch(members=["built-in"]))


async def test_scopes_name_what_the_brand_has(db: Database, brand_id: UUID):
    mine, foreign = uuid4(), uuid4()

    async def known(conn: Connection, brand: UUID, ids: object) -> set[UUID]:
        return {mine}

    checking = ListService(db, {"campaigns": known})
    await checking.create(brand_id, replace(PARTNERS, scope="campaigns", scope_ids=[mine]))

    with pytest.raises(Invalid) as refused:
        await checking.create(brand_id, replace(PARTNERS, name="X", scope="campaigns", scope_ids=[mine, foreign]))
    assert [violation.pointer for violation in refused.value.violations] == ["/scope_ids/1"]


async def test_a_group_is_asked_as_its_members(db: Database, lists: ListService, brand_id: UUID):
    one = await lists.create(brand_id, replace(PARTNERS, name="One", enabled=False))
    two = await lists.create(brand_id, replace(PARTNERS, name="Two", kind="md5", scope="topics", scope_ids=[uuid4()]))
    group = await lists.create(brand_id, ListDraft(name="All", kind="grouped", members=["One", two.code, str(two.id)]))

    assert (group.members, group.hash) == ([one.id, two.id], "md5")
    assert {store for name, store in await asked(db, brand_id) if name == "All"} == {two.id}
    with pytest.raises(Conflict, match="member of All"):
        await lists.delete(brand_id, "One")
    with pytest.raises(Invalid, match="cannot be in a group"):
        await lists.create(brand_id, ListDraft(name="More", kind="grouped", members=["All"]))
    await lists.create(brand_id, replace(PARTNERS, name="Long", hash="sha512"))
    with pytest.raises(Invalid, match="one hash"):
        await lists.update(brand_id, "All", ListPatch(members=["Two", "Long"]))
    await lists.update(brand_id, "All", ListPatch(members=["Two"]))
    await lists.delete(brand_id, "One")


async def test_a_link_reads_another_brands_list_as_long_as_it_is_granted(
    db: Database, lists: ListService, brand_id: UUID, other_brand_id: UUID
):
    theirs = await lists.create(other_brand_id, ListDraft(name="Theirs", kind="sha1", channels=EMAIL))
    link = ListDraft(name="Link", kind="linked", linked=theirs.code)
    with pytest.raises(Invalid, match="granted"):
        await lists.create(brand_id, link)

    await lists.grant(other_brand_id, "Theirs", brand_id, granted_by="key 1")
    await lists.grant(other_brand_id, "Theirs", brand_id, granted_by="key 2")
    made = await lists.create(brand_id, link)
    open_to = await asked(db, brand_id)
    granted = [one.id for one in await lists.granted(brand_id)]
    grants = [(one.grantee_id, one.granted_by) for one in await lists.grants(other_brand_id, "Theirs")]
    await lists.revoke(other_brand_id, theirs.code, brand_id)
    closed = await lists.get(brand_id, "Link")

    assert (made.hash, made.channels, made.linked_code, made.is_link_open) == ("sha1", EMAIL, theirs.code, True)
    assert ("Link", theirs.id) in open_to
    assert (granted, grants) == ([theirs.id], [(brand_id, "key 1")])
    assert ("Link", theirs.id) not in await asked(db, brand_id)
    assert (closed.is_link_open, await lists.granted(brand_id), await lists.grants(other_brand_id, "Theirs")) == (
        False,
        [],
        [],
    )
    with pytest.raises(NotFound):
        await lists.revoke(other_brand_id, theirs.code, brand_id)


async def test_a_list_that_is_granted_to_a_third_brand_is_no_list_here(
    db: Database, lists: ListService, brand_id: UUID, other_brand_id: UUID
):
    third = (await World.made(db, "Third")).brand_id
    theirs = await lists.create(other_brand_id, PARTNERS)
    await lists.grant(other_brand_id, theirs.code, third)

    for reference in (theirs.code, str(theirs.id)):
        with pytest.raises(Invalid, match="granted"):
            await lists.create(brand_id, ListDraft(name="L", kind="linked", linked=reference))
    assert await lists.granted(brand_id) == []


async def test_a_grant_is_for_another_brand_and_for_a_list_with_entries(lists: ListService, brand_id: UUID):
    await lists.create(brand_id, ListDraft(name="Group", kind="grouped"))

    for reference, grantee, why in (
        ("built-in", brand_id, "own"),
        ("Group", uuid4(), "no entries"),
    ):
        with pytest.raises(Invalid, match=why):
            await lists.grant(brand_id, reference, grantee)


async def test_a_grant_to_an_id_that_no_brand_has_is_a_grant_like_others(lists: ListService, brand_id: UUID):
    nobody = uuid4()

    await lists.grant(brand_id, "built-in", nobody, granted_by="key 1")

    assert [one.grantee_id for one in await lists.grants(brand_id, "built-in")] == [nobody]
    await lists.revoke(brand_id, "built-in", nobody)
    assert await lists.grants(brand_id, "built-in") == []


async def test_a_list_with_all_its_grants_takes_those_again_and_no_other(
    db: Database, lists: ListService, brand_id: UUID
):
    first = uuid4()
    await lists.grant(brand_id, "built-in", first)
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO optout_grant SELECT list_id, gen_random_uuid(), brand_id, granted_at, ''"
            " FROM optout_grant, generate_series(2, %s) WHERE brand_id = %s",
            [lists_module.GRANTS_MAX, brand_id],
        )

    await lists.grant(brand_id, "built-in", first)
    with pytest.raises(Conflict, match="1000 grants"):
        await lists.grant(brand_id, "built-in", uuid4())


async def test_a_link_asks_for_no_channel_that_the_other_list_is_not_of(
    lists: ListService, brand_id: UUID, other_brand_id: UUID
):
    theirs = await lists.create(other_brand_id, replace(PARTNERS, channels=SMS))
    await lists.grant(other_brand_id, theirs.code, brand_id)

    with pytest.raises(Invalid) as refused:
        await lists.create(brand_id, ListDraft(name="L", kind="linked", linked=theirs.code, channels=EMAIL | SMS))
    assert refused.value.violations[0].pointer == "/channels"


async def test_a_brand_has_a_thousand_lists_and_reads_them_page_by_page(
    db: Database, lists: ListService, brand_id: UUID, other_brand_id: UUID
):
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO optout_list (id, brand_id, name, created_at)"
            " SELECT gen_random_uuid(), %s, 'list ' || n, now() FROM generate_series(1, %s) n",
            [brand_id, lists_module.LISTS_MAX],
        )

    with pytest.raises(QuotaExceeded, match="1,000 opt-out lists"):
        await lists.create(brand_id, PARTNERS)
    await lists.create(other_brand_id, PARTNERS)
    first = await lists.page(brand_id, limit=5_000)
    second = await lists.page(brand_id, after=first[-1].id)

    assert (len(first), len(second)) == (lists_module.PAGE_MAX, lists_module.PAGE_MAX)
    assert first[-1].id < second[0].id


async def test_many_references_are_read_at_once_in_their_order(db: Database, lists: ListService, brand_id: UUID):
    made = await lists.create(brand_id, PARTNERS)

    async with db.read() as conn:
        both = await resolve_all(conn, brand_id, ["built-in", made.code])
        with pytest.raises(NotFound, match="never"):
            await resolve_all(conn, brand_id, ["built-in", "never"])

    assert [one.name for one in both] == ["built-in", "Partners"]
