import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from account_world import HOME, PASSWORD, People
from stentor.accounts.attempts import ACCOUNT_LINE_TRIES_MAX, SECOND_FACTOR
from stentor.accounts.devices import DEVICE_DAYS_MAX, Devices
from stentor.accounts.joining import Identity
from stentor.accounts.passwords import Passwords
from stentor.accounts.sessions import HALF_SESSIONS_MAX, SESSIONS_MAX
from stentor.accounts.sign_in import SignInService
from stentor.accounts.user_model import Origin
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, Problem, RateLimited, Unauthenticated

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(db: Database) -> People:
    return await People.made(db)


async def test_the_right_password_opens_a_session_and_nothing_in_the_database_would(people: People, db: Database):
    user = await people.user("Ann@Example.org")

    session = await people.enters("ann@EXAMPLE.org")

    assert (await people.who(session)).user.id == user.id
    async with db.read() as conn:
        rows = await (await conn.execute("SELECT u::text || s::text FROM account_user u, user_session s")).fetchall()
    assert all(session.token not in row[0] and PASSWORD not in row[0] for row in rows)
    assert all("$argon2id$" in row[0] for row in rows)


async def test_an_unknown_a_disabled_and_a_mistaken_one_are_answered_alike(people: People):
    await people.user("ann@example.org")
    gone = await people.user("gone@example.org", "viewer")
    invited = await people.users.create(
        "new@example.org", "New", organisation_id=people.brand.organisation_id, role="viewer"
    )
    await people.users.set_disabled(gone.id, disabled=True)

    answers = {
        await refusal(lambda address=address, word=word: people.enters(address, word))
        for address, word in [
            ("ann@example.org", "something else"),
            ("gone@example.org", PASSWORD),
            ("nobody@example.org", PASSWORD),
            (invited.email, PASSWORD),
            ("no address", PASSWORD),
            ("x" * 5_000, "y" * 5_000),
        ]
    }

    assert answers == {(Unauthenticated, "The address or the password is not right, or the account is not open.")}


async def test_guessing_is_slow_from_one_line_for_one_account_whether_it_is_there_or_not_and_for_all(people: People):
    await people.user("ann@example.org")
    for address in ("ann@example.org", "nobody@example.org"):
        tries = [
            await refusal(lambda to=address: people.enters(to, "wrong")) for _ in range(ACCOUNT_LINE_TRIES_MAX + 1)
        ]
        assert [kind for kind, _ in tries] == [Unauthenticated] * ACCOUNT_LINE_TRIES_MAX + [RateLimited]

    # Twenty of this line's thirty are gone; the account that was guessed at waits, another one does not yet.
    with pytest.raises(RateLimited):
        await people.enters("ann@example.org")
    await people.user("ben@example.org", "viewer")
    for _ in range(3):
        await people.enters("ben@example.org")
    elsewhere = Origin("198.51.100.1", "198.51.100.1", "")
    assert await people.sign_in.by_password("ann@example.org", PASSWORD, elsewhere, instead_of=None)


async def test_strangers_who_use_up_all_tries_lock_the_owner_out_of_no_browser_that_is_known(
    people: People, db: Database
):
    ann, ben = await people.user("ann@example.org"), await people.user("ben@example.org", "viewer")
    session = await people.enters("ann@example.org")
    mine, his = people.devices.token(ann.id), people.devices.token(ben.id)
    too_old = Devices(b"d" * 32, Clock(timedelta(days=-DEVICE_DAYS_MAX - 1))).token(ann.id)

    async def tries(password: str, device: str = "", line: str = "198.51.100.1") -> type[Problem] | None:
        origin = Origin(line, line, "", device)
        try:
            await people.sign_in.by_password("ann@example.org", password, origin, instead_of=None)
        except (RateLimited, Unauthenticated) as problem:
            return type(problem)
        return None

    assert await tries("wrong") is Unauthenticated
    await _use_up(db)

    unknown = ("", his, too_old, mine[:-2] + "AA", "x", "é")
    assert [await tries(PASSWORD, device, f"203.0.113.{n}") for n, device in enumerate(unknown)] == [RateLimited] * 6
    assert await tries(PASSWORD, mine) is None
    assert await people.sign_in.change_password(
        await people.who(session), session.token, PASSWORD, "another good phrase"
    )
    # Whoever stole the cookie guesses no faster than anybody else.
    await _use_up(db)
    assert await tries("another good phrase", mine) is RateLimited


async def test_signing_in_ends_the_session_that_the_browser_had(people: People):
    await people.user("ann@example.org")
    planted = await people.enters("ann@example.org")

    session = await people.enters("ann@example.org", instead_of=planted.token)

    assert session.token != planted.token
    assert await people.sessions.signed_in(planted.token) is None


async def test_a_change_of_the_password_rotates_this_session_and_ends_all_others(people: People):
    await people.user("ann@example.org")
    here, there = await people.enters("ann@example.org"), await people.enters("ann@example.org")

    who = await people.who(here)
    with pytest.raises(Forbidden):
        await people.sign_in.change_password(who, here.token, "wrong", "another good phrase")
    with pytest.raises(Invalid):
        await people.sign_in.change_password(who, here.token, PASSWORD, "aaaaaaaaaaaaaa")
    fresh = await people.sign_in.change_password(who, here.token, PASSWORD, "another good phrase")

    assert [await people.sessions.signed_in(each.token) is not None for each in (here, there, fresh)] == [
        False,
        False,
        True,
    ]
    with pytest.raises(Unauthenticated):
        await people.enters("ann@example.org")
    assert await people.enters("ann@example.org", "another good phrase")


async def test_sessions_end_by_idleness_by_age_when_told_to_and_when_there_are_too_many(people: People, db: Database):
    user = await people.user("ann@example.org")
    idle, old, told, kept = [await people.enters("ann@example.org") for _ in range(4)]
    async with db.transaction() as conn:
        for moved, session in (
            (b"UPDATE user_session SET seen_at = seen_at - interval '13 hours' WHERE digest = %s", idle),
            (b"UPDATE user_session SET ends_at = ends_at - interval '14 days' WHERE digest = %s", old),
        ):
            await conn.execute(moved, [people.sessions.digest(session.token)])
    await people.sessions.end(user.id, (await people.who(told)).session.id)

    open_now = [await people.sessions.signed_in(each.token) is not None for each in (idle, old, told, kept)]
    listed = await people.sessions.sessions(user.id)

    assert open_now == [False, False, False, True]
    assert [one.browser for one in listed] == ["Firefox"]
    with pytest.raises(NotFound):
        await people.sessions.end(user.id, user.id)
    async with db.transaction() as conn:
        for _ in range(SESSIONS_MAX + 3):
            await people.sessions.opened(conn, user.id, "password", HOME, instead_of=None)
    assert len(await people.sessions.sessions(user.id)) == SESSIONS_MAX


async def test_who_knows_the_password_alone_pushes_nobody_out(people: People, db: Database):
    user = await people.user("ann@example.org")
    _, whole, _ = await people.factor(await people.enters("ann@example.org"))

    async with db.transaction() as conn:
        halves = [
            await people.sessions.opened(conn, user.id, "password", HOME, instead_of=None)
            for _ in range(SESSIONS_MAX + 1)
        ]

    assert await people.sessions.signed_in(whole.token)
    waiting = [half for half in halves if await people.sessions.half_signed_in(half.token) is not None]
    assert len(waiting) == HALF_SESSIONS_MAX


async def test_a_second_factor_is_asked_for_and_each_code_is_good_once(people: People):
    await people.user("ann@example.org")
    secret, fresh, codes = await people.factor(await people.enters("ann@example.org"))
    assert await people.sessions.signed_in(fresh.token)

    half = await people.enters("ann@example.org")
    assert not half.is_whole
    assert await people.sessions.signed_in(half.token) is None
    # The code that confirmed it was used, and so are those before it.
    for used in (people.code(secret), people.code(secret, -1), "000000", "", "x" * 100):
        with pytest.raises(Invalid):
            await people.sign_in.by_second_factor(half.token, used, HOME)
    with pytest.raises(RateLimited):
        await people.sign_in.by_second_factor(half.token, people.code(secret, 1), HOME)
    await people.attempts.give_back((SECOND_FACTOR, half.user_id.hex))
    whole = await people.sign_in.by_second_factor(half.token, people.code(secret, 1), HOME)

    assert whole.token != half.token
    assert await people.sessions.signed_in(whole.token)
    with pytest.raises(Unauthenticated):
        await people.sign_in.by_second_factor(half.token, codes[0], HOME)


async def test_of_two_who_use_one_recovery_code_at_once_one_comes_in(people: People):
    await people.user("ann@example.org")
    _, _, codes = await people.factor(await people.enters("ann@example.org"))
    halves = [await people.enters("ann@example.org") for _ in range(2)]
    typed = codes[3].upper()[:8] + "-" + codes[3][8:] + " "

    came = await asyncio.gather(
        *(people.sign_in.by_second_factor(half.token, typed, HOME) for half in halves), return_exceptions=True
    )

    assert sorted(type(each).__name__ for each in came) == ["Invalid", "NewSession"]
    assert await people.factors.codes_left(halves[0].user_id) == len(codes) - 1


async def test_two_codes_for_one_half_session_open_one_session(people: People):
    await people.user("ann@example.org")
    secret, _, codes = await people.factor(await people.enters("ann@example.org"))
    half = await people.enters("ann@example.org")

    came = await asyncio.gather(
        *(people.sign_in.by_second_factor(half.token, code, HOME) for code in (people.code(secret, 1), *codes[:2])),
        return_exceptions=True,
    )

    assert sorted(type(each).__name__ for each in came) == ["NewSession", "Unauthenticated", "Unauthenticated"]
    assert await people.factors.codes_left(half.user_id) in {len(codes) - 1, len(codes)}


async def test_a_second_factor_is_begun_with_the_password_and_is_shown_and_confirmed_where_it_was_begun(people: People):
    ann = await people.user("ann@example.org")
    here, stolen = [await people.enters("ann@example.org") for _ in range(2)]
    who, thief = await people.who(here), await people.who(stolen)

    with pytest.raises(Forbidden):
        await people.sign_in.begin_second_factor(thief, "wrong")
    secret = await people.sign_in.begin_second_factor(who, PASSWORD)

    assert await people.factors.begun(ann.id, thief.session.id) is None
    assert await people.factors.begun(ann.id, who.session.id) == secret
    with pytest.raises(Invalid):
        await people.sign_in.confirm_second_factor(thief, stolen.token, people.code(secret))
    assert await people.sign_in.confirm_second_factor(who, here.token, people.code(secret))


async def test_who_has_no_password_begins_a_second_factor_soon_after_signing_in(people: People, db: Database):
    organisation = people.brand.organisation_id
    await people.users.create("ann@example.org", "Ann", organisation_id=organisation, role="viewer")
    session = await people.joining.by_identity(
        Identity("https://id", "1", "ann@example.org", "A"), HOME, instead_of=None
    )

    assert await people.sign_in.begin_second_factor(await people.who(session), "")
    async with db.transaction() as conn:
        await conn.execute(b"UPDATE user_session SET created_at = created_at - interval '11 minutes'")
        await conn.execute(b"UPDATE second_factor SET made_at = made_at - interval '11 minutes'")
    who = await people.who(session)
    with pytest.raises(Forbidden, match="sign in again"):
        await people.sign_in.begin_second_factor(who, "")
    assert await people.factors.begun(who.user.id, who.session.id) is None


async def test_a_lost_second_factor_is_taken_off_by_the_command_line_and_signs_out(people: People, db: Database):
    ann = await people.user("ann@example.org")
    _, session, _ = await people.factor(await people.enters("ann@example.org"))

    await people.sign_in.reset_second_factor(ann)

    assert await people.sessions.signed_in(session.token) is None
    assert (await people.enters("ann@example.org")).is_whole
    with pytest.raises(NotFound):
        await people.sign_in.reset_second_factor(ann)
    async with db.read() as conn:
        rows = await (await conn.execute(b"SELECT action FROM audit_entry ORDER BY number DESC LIMIT 1")).fetchall()
    assert rows == [("user.second_factor_reset",)]


async def test_a_link_sets_a_password_once_and_asks_for_the_second_factor_all_the_same(people: People):
    user = await people.user("ann@example.org")
    before = await people.enters("ann@example.org")
    await people.factor(before)
    first, second = await people.sign_in.link_for(user), await people.sign_in.link_for(user)

    session = await people.sign_in.by_link(first, "another good phrase", HOME, instead_of=None)

    assert not session.is_whole
    assert await people.sessions.signed_in(before.token) is None
    forged = first[:-2] + ("AA" if not first.endswith("AA") else "BB")
    for dead in (first, second, forged, "x", "é", people.links.token("invitation", user.id)):
        with pytest.raises(NotFound):
            await people.sign_in.by_link(dead, "a third good phrase", HOME, instead_of=None)


async def test_who_forgot_a_password_is_written_to_and_a_stranger_is_told_the_same(people: People, db: Database):
    await people.user("ann@example.org")

    assert await people.sign_in.forgotten("ann@example.org", HOME) is None
    assert await people.sign_in.forgotten("nobody@example.org", HOME) is None

    async with db.read() as conn:
        due = "SELECT count(*), count(l.id) FROM account_letter a LEFT JOIN sign_in_link l ON l.id = a.about AND l.used_at IS NULL"
        assert await (await conn.execute(due.encode())).fetchone() == (2, 1)
    for address in ("ann@example.org", "nobody@example.org"):
        for _ in range(2):
            await people.sign_in.forgotten(address, HOME)
        with pytest.raises(RateLimited):
            await people.sign_in.forgotten(address, HOME)
    people.sign_in.sends_mail = False
    with pytest.raises(Conflict):
        await people.sign_in.forgotten("ann@example.org", HOME)


class Interrupted(Passwords):
    """Somebody does something while a password is compared."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(b"w" * 32)
        self._meanwhile = meanwhile

    async def is_right(self, stored: str | None, password: str) -> bool:
        is_right = await super().is_right(stored, password)
        await self._meanwhile()
        return is_right


async def test_a_password_that_is_changed_or_whose_user_is_disabled_while_it_is_compared_opens_nothing(people: People):
    await people.user("owner@example.org")
    ann = await people.user("ann@example.org", "viewer")
    link = await people.sign_in.link_for(ann)

    for password, meanwhile in (
        (PASSWORD, lambda: people.sign_in.by_link(link, "another good phrase", HOME, instead_of=None)),
        ("another good phrase", lambda: people.users.set_disabled(ann.id, disabled=True)),
    ):
        sign_in = SignInService(
            people.db,
            passwords=Interrupted(meanwhile),
            sessions=people.sessions,
            factors=people.factors,
            attempts=people.attempts,
            devices=people.devices,
            links=people.links,
            sends_mail=True,
        )
        with pytest.raises(Unauthenticated):
            await sign_in.by_password("ann@example.org", password, HOME, instead_of=None)
        await people.users.set_disabled(ann.id, disabled=False)
        assert await people.enters("ann@example.org", "another good phrase")


async def test_a_second_factor_changes_with_its_session_or_not_at_all(people: People):
    ann = await people.user("ann@example.org")
    session = await people.enters("ann@example.org")
    who = await people.who(session)
    secret = await people.sign_in.begin_second_factor(who, PASSWORD)

    with pytest.raises(NotFound):
        await people.sign_in.confirm_second_factor(who, "ended", people.code(secret))
    assert await people.factors.codes_left(ann.id) is None
    fresh, codes = await people.sign_in.confirm_second_factor(who, session.token, people.code(secret))
    with pytest.raises(NotFound):
        await people.sign_in.remove_second_factor(who, "ended", codes[0])

    assert await people.factors.codes_left(ann.id) == len(codes)
    await people.sign_in.remove_second_factor(who, fresh.token, codes[0])
    assert await people.factors.codes_left(ann.id) is None


async def test_who_comes_by_a_link_an_invitation_or_a_provider_is_whom_the_log_names(people: People, db: Database):
    organisation = people.brand.organisation_id
    await people.user("ann@example.org")
    ben, cat = [
        await people.invitations.invite(address, organisation_id=organisation, role="viewer", owners_too=False)
        for address in ("ben@example.org", "cat@example.org")
    ]
    token = people.invitations.token(ben)
    await people.joining.accept(token, email=None, name="Ben", password=PASSWORD, origin=HOME, instead_of=None)
    identity = Identity("https://id.example.org", "1", cat.email, "Cat")
    await people.joining.by_identity(identity, HOME, instead_of=None)

    async with db.read() as conn:
        told = b"SELECT action, actor_kind, actor_label, ip FROM audit_entry WHERE brand_id IS NULL ORDER BY number"
        rows = await (await conn.execute(told)).fetchall()
    assert [row[0] for row in rows if row[1:] == ("engine", "", "")] == [
        "organisation.created",
        "user.created",
        "user.link_made",
        "invitation.created",
        "invitation.created",
    ]
    assert [(row[0], row[2]) for row in rows if row[1] == "user" and row[3] == HOME.ip] == [
        ("user.password_changed", "ann@example.org"),
        ("invitation.accepted", "ben@example.org"),
        ("user.created", "ben@example.org"),
        ("invitation.accepted", "cat@example.org"),
        ("user.created", "cat@example.org"),
        ("user.identity_linked", "cat@example.org"),
    ]


async def _use_up(db: Database) -> None:
    """Leaves no tries to anybody who tried before."""
    async with db.transaction() as conn:
        await conn.execute(b"UPDATE attempt_bucket SET tokens = 0")


async def refusal(attempt: Callable[[], Awaitable[object]]) -> tuple[type[Problem], str]:
    with pytest.raises(Problem) as refused:
        await attempt()
    return type(refused.value), refused.value.detail
