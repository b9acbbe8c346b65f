import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from account_world import HOME, PASSWORD, People
from stentor.accounts.acting import Actor, as_actor
from stentor.accounts.audit import AuditLog
from stentor.accounts.audit_model import Narrowed
from stentor.accounts.joining import Identity
from stentor.accounts.model import Scope
from stentor.accounts.user_model import BrandRole, User
from stentor.accounts.users import UserService
from stentor.db.pool import Database
from stentor.db.quotas import Sql as QuotaSql
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(db: Database) -> People:
    return await People.made(db)


async def test_a_brands_role_takes_the_place_of_the_organisations(people: People):
    ann = await people.user("ann@example.org", "viewer")
    mine, other = people.brand, await people.accounts.create_brand("Hockey")
    await people.users.set_role(mine.organisation_id, ann.id, "marketer", brand_id=mine.id, owners_too=False)

    who = await people.who(await people.enters("ann@example.org"))

    organisation = mine.organisation_id
    assert who.permissions(organisation, mine.id) == {"read", "run", "write"}
    assert (who.may("write", organisation, other.id), who.may("read", organisation, other.id)) == (False, True)
    assert (who.may("write", organisation), who.may("read", uuid4())) == (False, False)
    member = await people.users.member(organisation, ann.id)
    assert (member.role, member.brand_roles) == ("viewer", (BrandRole(mine.id, "marketer"),))


async def test_a_change_of_role_signs_out_and_holds_at_once(people: People):
    await people.user("owner@example.org")
    ann = await people.user("ann@example.org", "admin")
    session = await people.enters("ann@example.org")

    await people.users.set_role(people.brand.organisation_id, ann.id, "viewer", owners_too=False)

    assert await people.sessions.signed_in(session.token) is None
    who = await people.who(await people.enters("ann@example.org"))
    assert who.permissions(people.brand.organisation_id) == {"read"}
    await people.users.remove(people.brand.organisation_id, ann.id, owners_too=False)
    assert (await people.who(await people.enters("ann@example.org"))).memberships == ()


async def test_what_an_owner_may_do_in_a_brand_is_a_matter_of_owners_and_nothing_new_signs_nobody_out(people: People):
    organisation, brand = people.brand.organisation_id, people.brand.id
    owner, ann = await people.user("owner@example.org"), await people.user("ann@example.org", "viewer")
    sessions = [await people.enters(address) for address in ("owner@example.org", "ann@example.org")]

    for attempt in (
        people.users.set_role(organisation, owner.id, "viewer", brand_id=brand, owners_too=False),
        people.users.set_role(organisation, owner.id, None, brand_id=brand, owners_too=False),
        people.invitations.invite(
            "OWNER@example.org", organisation_id=organisation, role="viewer", brand_id=brand, owners_too=False
        ),
    ):
        with pytest.raises(Conflict, match="Owners alone"):
            await attempt
    same = await people.users.set_role(organisation, ann.id, "viewer", owners_too=False)

    assert same.role == "viewer"
    assert all([await people.sessions.signed_in(session.token) for session in sessions])
    weaker = await people.users.set_role(organisation, owner.id, "viewer", brand_id=brand, owners_too=True)
    assert weaker.brand_roles == (BrandRole(brand, "viewer"),)


async def test_an_organisation_keeps_an_owner_whom_owners_alone_make(people: People):
    organisation = people.brand.organisation_id
    owner, admin = await people.user("owner@example.org"), await people.user("admin@example.org", "admin")
    users = people.users

    for attempt in (
        users.set_role(organisation, owner.id, "admin", owners_too=True),
        users.set_role(organisation, owner.id, None, owners_too=True),
        users.remove(organisation, owner.id, owners_too=True),
        users.set_disabled(owner.id, disabled=True),
        users.set_role(organisation, admin.id, "owner", owners_too=False),
        users.set_role(organisation, owner.id, "viewer", owners_too=False),
        users.remove(organisation, owner.id, owners_too=False),
        people.invitations.invite("x@example.org", organisation_id=organisation, role="owner", owners_too=False),
    ):
        with pytest.raises(Conflict):
            await attempt
    await users.set_role(organisation, admin.id, "owner", owners_too=True)
    await users.remove(organisation, owner.id, owners_too=True)

    assert [member.role for member in await users.members(organisation)] == ["owner"]
    with pytest.raises(Invalid):
        await users.set_role(organisation, admin.id, "owner", brand_id=people.brand.id, owners_too=True)
    for who, where in ((owner.id, organisation), (admin.id, uuid4())):
        with pytest.raises(NotFound):
            await users.set_role(where, who, "viewer", owners_too=True)
    with pytest.raises(NotFound):
        await users.set_role(organisation, admin.id, "viewer", brand_id=uuid4(), owners_too=True)


async def test_the_first_owner_comes_by_a_link_that_is_good_once(people: People):
    organisation = people.brand.organisation_id
    invitation = await people.invitations.invite_first_owner(organisation)
    assert invitation is not None
    token = people.invitations.token(invitation)

    session = await people.joining.accept(
        token, email="Owner@Example.org", name="Olga", password=PASSWORD, origin=HOME, instead_of=None
    )

    assert (await people.who(session)).role(organisation) == "owner"
    with pytest.raises(NotFound):
        await people.joining.accept(
            token, email="b@example.org", name="B", password=PASSWORD, origin=HOME, instead_of=None
        )
    assert await people.invitations.invite_first_owner(organisation) is None


async def test_an_invitation_is_taken_by_whom_it_names_alone(people: People):
    organisation = people.brand.organisation_id
    await people.user("owner@example.org")
    ben = await people.user("ben@example.org", "viewer")
    with as_actor(Actor("user", "1", "owner@example.org")):
        to_ann, to_ben = [
            await people.invitations.invite(
                address, organisation_id=organisation, role="marketer", brand_id=people.brand.id, owners_too=False
            )
            for address in ("ann@example.org", "BEN@example.org")
        ]

    assert to_ann.invited_by == "owner@example.org"
    session = await people.enters("ben@example.org")
    with pytest.raises(Forbidden):
        await people.joining.accept_as(people.invitations.token(to_ann), await people.who(session), session.token)
    with pytest.raises(Conflict):
        await people.joining.accept(
            people.invitations.token(to_ben), email=None, name="B", password=PASSWORD, origin=HOME, instead_of=None
        )
    fresh = await people.joining.accept_as(people.invitations.token(to_ben), await people.who(session), session.token)
    ann = await people.joining.accept(
        people.invitations.token(to_ann),
        email="eve@example.org",
        name="Ann",
        password=PASSWORD,
        origin=HOME,
        instead_of=None,
    )

    assert (await people.who(ann)).user.email == "ann@example.org"
    assert (await people.who(fresh)).role(organisation, people.brand.id) == "marketer"
    assert (await people.users.member(organisation, ben.id)).role == "viewer"
    assert await people.sessions.signed_in(session.token) is None


async def test_inviting_again_takes_the_place_of_the_invitation_before(people: People, db: Database):
    organisation = people.brand.organisation_id
    said: Any = {"organisation_id": organisation, "role": "viewer", "owners_too": False}
    first = await people.invitations.invite("ann@example.org", **said)
    second = await people.invitations.invite("ANN@example.org", **said)
    assert [one.id for one in await people.invitations.open_invitations(organisation)] == [second.id]

    await people.invitations.withdraw(organisation, second.id, owners_too=False)

    for dead in (first, second):
        with pytest.raises(NotFound):
            await people.invitations.found(people.invitations.token(dead))
    with pytest.raises(NotFound):
        await people.invitations.withdraw(uuid4(), second.id, owners_too=True)
    third = await people.invitations.invite("ann@example.org", **said)
    async with db.transaction() as conn:
        await conn.execute(b"UPDATE invitation SET expires_at = created_at")
    with pytest.raises(NotFound):
        await people.invitations.found(people.invitations.token(third))


async def test_an_owners_invitation_is_replaced_by_owners_alone(people: People):
    organisation = people.brand.organisation_id
    owner = await people.invitations.invite(
        "ann@example.org", organisation_id=organisation, role="owner", owners_too=True
    )

    with pytest.raises(Conflict, match="Owners alone"):
        await people.invitations.invite(
            "ANN@example.org", organisation_id=organisation, role="viewer", owners_too=False
        )

    assert [one.id for one in await people.invitations.open_invitations(organisation)] == [owner.id]


async def test_whom_a_provider_vouches_for_comes_in_by_account_or_invitation_and_nobody_else(people: People):
    organisation = people.brand.organisation_id
    ann = await people.user("ann@example.org")
    await people.invitations.invite("ben@example.org", organisation_id=organisation, role="viewer", owners_too=False)

    async def comes(subject: str, email: str | None):
        identity = Identity("https://id.example.org", subject, email, "Somebody")
        return await people.who(await people.joining.by_identity(identity, HOME, instead_of=None))

    known, invited = await comes("1", "Ann@example.org"), await comes("2", "ben@example.org")
    renamed = await comes("1", "other@example.org")

    assert (known.user.id, renamed.user.id) == (ann.id, ann.id)
    assert (invited.user.has_password, invited.role(organisation)) == (False, "viewer")
    for subject, email in (
        ("3", None),
        ("3", "eve@example.org"),
        ("", "ann@example.org"),
        ("4\0", "ann@example.org"),
        ("4" * 256, "ann@example.org"),
        ("4", "ann\0@example.org"),
    ):
        with pytest.raises(Forbidden):
            await comes(subject, email)
    await people.users.set_disabled(invited.user.id, disabled=True)
    with pytest.raises(Forbidden):
        await comes("2", "ben@example.org")


async def test_tokens_end_with_what_their_maker_may_do(db: Database):
    people = await People.made(db)
    kept: list[int] = []

    async def keep() -> None:
        kept.append(len(await people.accounts.keys_of_organisation(organisation, "ended")))

    organisation, users = people.brand.organisation_id, UserService(db, on_key_revoked=keep)
    other = await people.accounts.create_brand("Hockey")
    await people.user("owner@example.org")
    ann, ben = await people.user("ann@example.org", "admin"), await people.user("ben@example.org", "admin")

    async def token(by: Actor, scopes: Sequence[Scope], brand_id: UUID | None = None) -> int:
        with as_actor(by):
            made = await people.accounts.create_key("k", organisation_id=organisation, brand_id=brand_id, scopes=scopes)
        return made.number

    by_ann, by_ben = Actor("user", str(ann.id)), Actor("user", str(ben.id))
    mighty = await token(by_ann, ["admin"])
    by_key = await token(Actor("key", str(mighty)), ["admin"], other.id)
    writing = await token(by_ann, ["read", "write"], people.brand.id)
    reading = await token(by_ann, ["read"])
    theirs, engines = await token(by_ben, ["read"]), await token(Actor("cli", "0"), ["admin"])
    with as_actor(Actor("key", str(by_key))):
        await people.invitations.invite("x@example.org", organisation_id=organisation, role="viewer", owners_too=False)

    async def live() -> list[int]:
        return [key.number for key in await people.accounts.keys_of_organisation(organisation)]

    await users.set_role(organisation, ann.id, "marketer", owners_too=False)
    assert await live() == [writing, reading, theirs, engines]
    assert await people.invitations.open_invitations(organisation) == []
    await users.set_role(organisation, ann.id, "viewer", brand_id=people.brand.id, owners_too=False)
    assert await live() == [reading, theirs, engines]
    await users.give_role(organisation, ann.id, "admin")
    await users.remove(organisation, ann.id, owners_too=False)
    assert await live() == [theirs, engines]
    await users.set_disabled(ben.id, disabled=True)
    await users.set_disabled(ben.id, disabled=False)
    assert await live() == [engines]
    # Whose call was let in just before leaves no key behind either.
    with pytest.raises(Unauthenticated):
        await token(Actor("key", str(theirs)), ["read"])

    assert kept == [2, 3, 4, 5]
    told = await AuditLog(db).page_of_organisation(organisation, Narrowed(thing_kind="key"))
    revoked = [int(entry.thing_id) for entry in told if entry.action == "key.revoked"]
    assert revoked == [theirs, reading, writing, by_key, mighty]


async def test_a_token_that_is_made_while_its_maker_is_disabled_or_loses_a_role_lives_no_longer_than_they_may(
    people: People, db: Database
):
    organisation, users = people.brand.organisation_id, people.users
    await people.user("owner@example.org")
    ann, ben, cat = [await people.user(f"{name}@example.org", "admin") for name in ("ann", "ben", "cat")]

    async def token(by: User) -> None:
        with as_actor(Actor("user", str(by.id))):
            await people.accounts.create_key("k", organisation_id=organisation, scopes=["write"])

    # The key first: it is all but made, and waits for others who count keys, as the end of its maker waits for it.
    ends = {
        ann: partial(users.set_disabled, ann.id, disabled=True),
        ben: partial(users.remove, organisation, ben.id, owners_too=False),
        cat: partial(users.set_role, organisation, cat.id, "viewer", owners_too=False),
    }
    for maker, end in ends.items():
        async with db.transaction() as conn:
            await QuotaSql.hold.run(conn, things="keys of its own", owner_id=organisation)
            making = asyncio.create_task(token(maker))
            await eventually(lambda: _waiting(db, 1))
            ending = asyncio.create_task(end())
            await eventually(partial(_is_done_or_waiting, db, ending, 2))
        await asyncio.gather(making, ending)
    assert await people.accounts.keys_of_organisation(organisation) == []

    # And after it, in a session that was asked before.
    for maker, problem in ((ann, Unauthenticated), (ben, Forbidden), (cat, Forbidden)):
        with pytest.raises(problem):
            await token(maker)


async def _waiting(db: Database, how_many: int) -> bool:
    waiting = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with db.read() as conn:
        return await (await conn.execute(waiting)).fetchone() == (how_many,)


async def _is_done_or_waiting(db: Database, task: "asyncio.Task[Any]", how_many: int) -> bool:
    return task.done() or await _waiting(db, how_many)
