"""Invitations give what was meant when they are taken, and a provider lets nobody in to somebody else's account."""

import asyncio
from typing import Any

import pytest

from account_world import HOME, PASSWORD, People
from stentor.accounts import user_store
from stentor.accounts.acting import Actor, as_actor
from stentor.accounts.attempts import INVITATIONS_PER_ADDRESS_MAX
from stentor.accounts.invitations import INVITATIONS_PER_DAY_MAX
from stentor.accounts.joining import Identity
from stentor.accounts.roles import Role
from stentor.accounts.user_model import NewInvitation, User
from stentor.accounts.users import email_key
from stentor.db.pool import Database
from stentor.errors import Conflict, Forbidden, NotFound, RateLimited

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(db: Database) -> People:
    return await People.made(db)


async def invited(people: People, email: str, role: Role, by: User | None = None, **more: Any) -> NewInvitation:
    """An invitation, by that user if one is named."""
    who = Actor("cli") if by is None else Actor("user", str(by.id), by.email)
    with as_actor(who):
        return await people.invitations.invite(
            email, organisation_id=people.brand.organisation_id, role=role, owners_too=True, **more
        )


async def withdrawn(db: Database) -> list[str]:
    """Ids of invitations that the audit log says were withdrawn, in that order."""
    async with db.read() as conn:
        told = b"SELECT thing_id FROM audit_entry WHERE action = 'invitation.withdrawn' ORDER BY number"
        return [row[0] for row in await (await conn.execute(told)).fetchall()]


async def mailed_link(people: People) -> str:
    """A link to choose a password, as Ann asks for it and gets it by mail."""
    await people.sign_in.forgotten("ann@example.org", HOME)
    async with people.db.read() as conn:
        found = b"SELECT id FROM sign_in_link WHERE is_mailed AND used_at IS NULL"
        rows = await (await conn.execute(found)).fetchall()
    return people.links.token("password", rows[0][0])


async def test_an_invitation_lowers_nobody_and_is_used_up_all_the_same(people: People):
    organisation, brand = people.brand.organisation_id, people.brand.id
    to_brand = await invited(people, "ann@example.org", "viewer", brand_id=brand)
    to_all = await invited(people, "ann@example.org", "marketer")
    ann = await people.user("ann@example.org", "admin")
    session = await people.enters("ann@example.org")

    for invitation in (to_all, to_brand):
        token = people.invitations.token(invitation)
        session = await people.joining.accept_as(token, await people.who(session), session.token)

    member = await people.users.member(organisation, ann.id)
    assert (member.role, member.brand_roles) == ("admin", ())
    assert await people.invitations.open_invitations(organisation) == []
    with pytest.raises(Conflict, match="member already"):
        await invited(people, "ann@example.org", "viewer", brand_id=brand)


async def test_a_role_that_is_given_while_an_invitation_is_taken_is_not_lowered(people: People, db: Database):
    organisation = people.brand.organisation_id
    await people.user("owner@example.org")
    ann = await people.user("ann@example.org", "viewer", in_brand=True)
    token = people.invitations.token(await invited(people, "ann@example.org", "marketer"))
    session = await people.enters("ann@example.org")
    who = await people.who(session)

    async with db.transaction() as conn:
        await conn.execute(b"SELECT FROM organisation WHERE id = %s FOR UPDATE", [organisation])
        taking = asyncio.create_task(people.joining.accept_as(token, who, session.token))
        done, _ = await asyncio.wait({taking}, timeout=0.1)
        assert not done
        await conn.execute(
            b"INSERT INTO membership (id, user_id, organisation_id, role, created_at) "
            b"VALUES (gen_random_uuid(), %s, %s, 'admin', now())",
            [ann.id, organisation],
        )
    await taking

    assert (await people.users.member(organisation, ann.id)).role == "admin"


async def test_what_waits_for_a_member_ends_when_the_role_is_set_or_taken_or_the_account_closed(
    people: People, db: Database
):
    organisation = people.brand.organisation_id
    other = await people.accounts.create_brand("Hockey")
    await people.user("owner@example.org")
    ended = []
    a, b, c = [await people.user(f"{name}@example.org", "viewer") for name in "abc"]
    for user, change in (
        (a, people.users.set_role(organisation, a.id, "marketer", owners_too=False)),
        (b, people.users.remove(organisation, b.id, owners_too=False)),
        (c, people.users.set_disabled(c.id, disabled=True)),
    ):
        ended.append(await invited(people, user.email, "admin", brand_id=other.id))
        await change
        with pytest.raises(NotFound):
            await people.invitations.found(people.invitations.token(ended[-1]))

    assert await withdrawn(db) == [str(one.id) for one in ended]


async def test_whoever_may_invite_no_more_leaves_no_invitations_behind(people: People, db: Database):
    organisation = people.brand.organisation_id
    await people.user("owner@example.org")
    ann, ben = await people.user("ann@example.org", "admin"), await people.user("ben@example.org")
    by_ann = await invited(people, "eve@example.org", "admin", by=ann)
    owner_by_ben = await invited(people, "x@example.org", "owner", by=ben)
    viewer_by_ben = await invited(people, "y@example.org", "viewer", by=ben)
    key = await people.accounts.create_key("k", organisation_id=organisation, scopes=["admin"])
    with as_actor(Actor("key", str(key.number))):
        by_key = await people.invitations.invite(
            "z@example.org", organisation_id=organisation, role="admin", owners_too=False
        )

    await people.users.set_role(organisation, ann.id, "developer", owners_too=False)
    await people.users.set_role(organisation, ben.id, "admin", owners_too=True)
    await people.accounts.revoke_key(organisation, key.number)

    assert await withdrawn(db) == [str(one.id) for one in (by_ann, owner_by_ben, by_key)]
    assert [one.id for one in await people.invitations.open_invitations(organisation)] == [viewer_by_ben.id]


async def test_an_owners_invitation_ends_by_owners_alone_and_a_replaced_one_is_in_the_log(people: People, db: Database):
    organisation = people.brand.organisation_id
    await people.user("owner@example.org")
    ann = await people.user("ann@example.org", "viewer", in_brand=True)
    first = await invited(people, "ann@example.org", "viewer")
    second = await invited(people, "ANN@example.org", "owner")

    for attempt in (
        people.users.remove(organisation, ann.id, owners_too=False),
        people.users.set_role(organisation, ann.id, "marketer", owners_too=False),
    ):
        with pytest.raises(Conflict, match="Owners alone"):
            await attempt
    assert await withdrawn(db) == [str(first.id)]
    await people.users.remove(organisation, ann.id, owners_too=True)

    assert await withdrawn(db) == [str(first.id), str(second.id)]


async def test_links_of_a_disabled_user_stay_dead(people: People):
    await people.user("owner@example.org")
    ann = await people.user("ann@example.org", "viewer")
    link = await people.sign_in.link_for(ann)

    await people.users.set_disabled(ann.id, disabled=True)
    await people.users.set_disabled(ann.id, disabled=False)

    with pytest.raises(NotFound):
        await people.sign_in.by_link(link, "another good phrase", HOME, instead_of=None)
    assert await people.enters("ann@example.org")


async def test_invitations_are_no_mailer(people: People, db: Database):
    organisation = people.brand.organisation_id
    for _ in range(INVITATIONS_PER_ADDRESS_MAX):
        assert (await invited(people, "ann@example.org", "viewer")).is_mailed
    # Whoever used that up keeps nobody else from inviting.
    other = await people.accounts.create_organisation("Other")
    unmailed = await people.invitations.invite(
        "ANN@example.org", organisation_id=other.id, role="viewer", owners_too=False
    )
    assert not unmailed.is_mailed
    assert await people.invitations.found(people.invitations.token(unmailed))
    async with db.read() as conn:
        letters = b"SELECT count(*), count(*) FILTER (WHERE about = %s) FROM account_letter"
        assert await (await conn.execute(letters, [unmailed.id])).fetchall() == [(INVITATIONS_PER_ADDRESS_MAX, 0)]
    assert (await invited(people, "ben@example.org", "viewer")).is_mailed
    async with db.transaction() as conn:
        await conn.execute(
            b"INSERT INTO invitation (id, organisation_id, role, invited_by, created_at, expires_at, withdrawn_at) "
            b"SELECT gen_random_uuid(), %s, 'viewer', '', now() - interval '1 hour', now(), now() FROM generate_series(1, %s)",
            [organisation, INVITATIONS_PER_DAY_MAX - INVITATIONS_PER_ADDRESS_MAX - 1],
        )

    with pytest.raises(RateLimited, match=r"this organisation\. Wait 23 hours"):
        await invited(people, "cat@example.org", "viewer")
    async with db.transaction() as conn:
        await conn.execute(b"UPDATE invitation SET created_at = created_at - interval '1 day'")
    assert await invited(people, "cat@example.org", "viewer")


async def test_a_copy_that_is_not_fenced_yet_takes_no_invitations(people: People, db: Database):
    invitation = await invited(people, "ann@example.org", "admin")
    token = people.invitations.token(invitation)
    joins: dict[str, Any] = {"email": None, "name": "A", "password": PASSWORD, "origin": HOME, "instead_of": None}
    async with db.transaction() as conn:
        await conn.execute(
            b"INSERT INTO installation (secret_fingerprint, created_at, backup_at, restored_at, paused_at) "
            b"VALUES ('', now(), now(), now(), now())"
        )

    with pytest.raises(NotFound):
        await people.joining.accept(token, **joins)
    async with db.transaction() as conn:
        assert await user_store.invitations_to(conn, "ann@example.org") == []
        assert not await user_store.accept_invitation(conn, invitation.id)
    with pytest.raises(Conflict, match="resume"):
        await invited(people, "ben@example.org", "viewer")
    async with db.transaction() as conn:
        await conn.execute(b"UPDATE installation SET fenced_at = now()")
    assert (await people.joining.accept(token, **joins)).is_whole


async def test_who_proves_an_address_first_is_asked_for_nobody_elses_second_factor(people: People, db: Database):
    await people.user("owner@example.org")
    token = people.invitations.token(await invited(people, "ann@example.org", "viewer"))
    planted = await people.joining.accept(token, email=None, name="A", password=PASSWORD, origin=HOME, instead_of=None)
    await people.factor(planted)

    ann = await people.sign_in.by_link(await mailed_link(people), PASSWORD, HOME, instead_of=None)

    assert ann.is_whole
    async with db.read() as conn:
        told = b"SELECT actor_label FROM audit_entry WHERE action = 'user.second_factor_reset'"
        assert await (await conn.execute(told)).fetchall() == [("ann@example.org",)]
    # From then on the address is theirs, and so is the factor.
    await people.factor(ann)
    again = await people.sign_in.by_link(await mailed_link(people), PASSWORD, HOME, instead_of=None)
    assert not again.is_whole


async def test_a_provider_takes_over_no_account_whose_address_nobody_proved(people: People):
    organisation = people.brand.organisation_id
    await people.user("owner@example.org")
    # Whoever invites can open the link, and have the password of an account under somebody else's address.
    token = people.invitations.token(await invited(people, "ann@example.org", "viewer"))
    planted = await people.joining.accept(token, email=None, name="A", password=PASSWORD, origin=HOME, instead_of=None)
    ann = Identity("https://id.example.org", "1", "Ann@example.org", "Ann")

    with pytest.raises(Forbidden, match="nobody proved"):
        await people.joining.by_identity(ann, HOME, instead_of=None)
    other = await people.enters("owner@example.org")
    with pytest.raises(Forbidden, match="nobody proved"):
        await people.joining.by_identity(ann, HOME, instead_of=other.token)
    await people.sign_in.by_link(await mailed_link(people), "another good phrase", HOME, instead_of=None)

    came = await people.who(await people.joining.by_identity(ann, HOME, instead_of=None))
    assert (came.user.id, came.role(organisation)) == (planted.user_id, "viewer")
    assert await people.sessions.signed_in(planted.token) is None


async def test_who_signs_in_at_the_provider_from_their_own_account_is_known_by_it(people: People):
    await people.user("owner@example.org")
    token = people.invitations.token(await invited(people, "ann@example.org", "viewer"))
    here = await people.joining.accept(token, email=None, name="A", password=PASSWORD, origin=HOME, instead_of=None)
    ann = Identity("https://id.example.org", "1", "ann@example.org", "Ann")

    tied = await people.joining.by_identity(ann, HOME, instead_of=here.token)

    assert tied.user_id == here.user_id
    assert (await people.joining.by_identity(ann, HOME, instead_of=None)).user_id == here.user_id


async def test_a_provider_knows_a_user_by_one_id_until_it_is_forgotten(people: People):
    ann = await people.user("ann@example.org")
    first, second = [Identity("https://id.example.org", n, "ann@example.org", "Ann") for n in ("1", "2")]
    elsewhere = Identity("https://other.example.org", "2", "ann@example.org", "Ann")
    unproven = Identity("https://id.example.org", "3", None, "Ann")
    session = await people.joining.by_identity(first, HOME, instead_of=None)

    for refused, why in ((second, "stentor user unlink"), (unproven, "not verified")):
        with pytest.raises(Forbidden, match=why):
            await people.joining.by_identity(refused, HOME, instead_of=session.token)
    assert (await people.joining.by_identity(elsewhere, HOME, instead_of=None)).user_id == ann.id
    await people.joining.unlink(ann)

    assert await people.sessions.signed_in(session.token) is None
    assert (await people.joining.by_identity(second, HOME, instead_of=None)).user_id == ann.id
    await people.joining.unlink(ann)
    with pytest.raises(NotFound):
        await people.joining.unlink(ann)


async def test_the_first_owners_link_is_the_same_until_somebody_joins_and_a_signed_in_user_may_take_it(people: People):
    organisation = people.brand.organisation_id
    first, again = [await people.invitations.invite_first_owner(organisation) for _ in range(2)]
    assert first is not None
    assert again == first
    second = await people.accounts.create_organisation("Second")
    olga = await people.joining.accept(
        people.invitations.token(first),
        email="olga@example.org",
        name="O",
        password=PASSWORD,
        origin=HOME,
        instead_of=None,
    )
    theirs = await people.invitations.invite_first_owner(second.id)
    assert theirs is not None

    both = await people.joining.accept_as(people.invitations.token(theirs), await people.who(olga), olga.token)

    who = await people.who(both)
    assert (who.role(organisation), who.role(second.id)) == ("owner", "owner")
    assert await people.invitations.invite_first_owner(organisation) is None
    assert email_key(who.user.email) == "olga@example.org"
