"""A restored backup lets nobody in whom the installation had shut out: by keys, sessions, links and invitations."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from account_world import HOME, PASSWORD, People
from backup_world import SECRET, Backups
from stentor.accounts.attempts import Attempts
from stentor.accounts.audit import AuditLog
from stentor.accounts.audit_model import Narrowed
from stentor.accounts.installation import check_installation
from stentor.accounts.keyring import KeyRing
from stentor.accounts.limits import RateLimiter
from stentor.accounts.model import NewKey
from stentor.accounts.passwords import Passwords
from stentor.accounts.service import AccountService
from stentor.backups.fence import resume
from stentor.backups.revocations import (
    Again,
    RevocationKeeper,
    RevocationLog,
    is_read,
    read_revocations,
    read_revocations_again,
)
from stentor.channels.partners.callers import HubCallers
from stentor.channels.partners.clients import HubClientService
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Conflict, NotFound, Unauthenticated, Unavailable
from stentor.failpoints import arm
from stentor.integrations.access import HubAccess
from stentor.optouts.outside_log import LogRefused
from stentor.optouts.storage import DirectoryStorage, Storage
from stentor.testing.torture.sweep import failpoints_of_revocations
from trigger_world import rows

pytestmark = pytest.mark.anyio

PEPPER = SECRET.derive("pepper")
IN_CI = {"revoke_again.before_commit"}


class Dead(Exception):
    """This process came to its end."""


def die() -> None:
    raise Dead


class Keys(msgspec.Struct):
    """Three keys of a brand that is backed up: revoked before, revoked after, and never."""

    before: NewKey
    after: NewKey
    never: NewKey

    async def opening(self, db: Database) -> list[str]:
        """Which of them open anything there."""
        ring = KeyRing(db, PEPPER)
        of = msgspec.structs.asdict(self)
        return [name for name, key in of.items() if await ring.principal(key.token) is not None]


def accounts(db: Database, storage: Storage) -> AccountService:
    return AccountService(db, PEPPER, on_key_revoked=RevocationKeeper(db, RevocationLog(storage, SECRET)).try_to_keep)


async def backed_up(backups: Backups) -> Keys:
    service = accounts(backups.db, backups.storage)
    brand = await service.create_brand("Football")
    keys = Keys(*[await service.create_key(name, brand_id=brand.id) for name in ("before", "after", "never")])
    await service.revoke_key(brand.organisation_id, keys.before.number)
    await backups.taken()
    await service.revoke_key(brand.organisation_id, keys.after.number)
    assert await keys.opening(backups.db) == ["never"]
    return keys


@asynccontextmanager
async def copied(backups: Backups) -> AsyncIterator[Database]:
    """A copy that has not read the log of revocations."""
    async with backups.restored(read_revoked=False) as copy:
        yield copy.db


async def test_a_key_that_was_revoked_after_the_backup_opens_nothing_in_the_copy(backups: Backups):
    keys = await backed_up(backups)
    async with copied(backups) as db:
        assert await keys.opening(db) == []
        with pytest.raises(Conflict, match="log of revocations was not found"):
            await resume(db)
        again = await read_revocations(db, SECRET, backups.restored_storage, backups.storage)

        assert again == Again(found=True, revoked=1)
        assert await keys.opening(db) == ["never"]
        ((brand_id, organisation_id),) = await rows(db, "SELECT id, organisation_id FROM brand")
        (told, *_) = await AuditLog(db).page(brand_id, Narrowed(thing_kind="key"))
        assert (told.action, told.thing_id, told.actor_kind) == ("key.revoked", str(keys.after.number), "engine")
        revoked = "SELECT number, revoked_at FROM api_key WHERE revoked_at IS NOT NULL ORDER BY number"
        assert await rows(db, revoked) == await rows(backups.db, revoked)
        await resume(db)
        # Numbers are given again in the copy, and mean other keys there: it is not by them that keys are revoked.
        own = accounts(db, backups.restored_storage)
        later = await own.create_key("later", organisation_id=organisation_id)
        assert await read_revocations(db, SECRET, backups.restored_storage) == Again(found=True)
        assert await KeyRing(db, PEPPER).principal(later.token) is not None


async def test_a_copy_without_the_log_takes_no_key_until_somebody_answers_for_it(backups: Backups):
    keys = await backed_up(backups)
    async with copied(backups) as db:
        keeper = RevocationKeeper(db, RevocationLog(backups.restored_storage, SECRET))
        again = await read_revocations(db, SECRET, backups.restored_storage, DirectoryStorage(Path("/nowhere")))
        # What is revoked in the copy itself makes no whole log of it.
        assert await keeper.keep() == 1
        await read_revocations_again(db, SECRET, backups.restored_storage)

        assert again == Again(found=False)
        assert await keys.opening(db) == []
        with pytest.raises(Conflict, match="--without-revocations"):
            await resume(db)
        await resume(db, without_revocations=True)
        assert await keys.opening(db) == ["after", "never"]
        await keeper.keep()
        kept = RevocationLog(backups.restored_storage, SECRET)
        assert await kept.is_kept()
        assert sum([len(entry.keys) async for entry in kept.entries()]) == 1


async def test_a_log_that_is_put_there_later_is_read_before_the_copy_is_let_go(backups: Backups):
    keys = await backed_up(backups)
    async with copied(backups) as db:
        await read_revocations_again(db, SECRET, backups.storage)
        await resume(db)
        assert await keys.opening(db) == ["never"]


@pytest.mark.parametrize(
    "point",
    [pytest.param(point, marks=() if point in IN_CI else pytest.mark.prove) for point in failpoints_of_revocations()],
)
async def test_a_reading_that_dies_is_finished_by_the_next_one(backups: Backups, point: str):
    keys = await backed_up(backups)
    async with copied(backups) as db:
        arm(f"{point}=die@1", {"die": die})
        try:
            with pytest.raises(Dead):
                await read_revocations(db, SECRET, backups.restored_storage, backups.storage)
        finally:
            arm("")
        is_done = point == "replay_revocations.after_commit"
        assert await is_read(db) == is_done
        assert await keys.opening(db) == (["never"] if is_done else [])
        await read_revocations_again(db, SECRET, backups.restored_storage)
        assert await keys.opening(db) == ["never"]


class Away(DirectoryStorage):
    """A storage that does not answer."""

    async def put_bytes(self, name: str, data: bytes | bytearray | memoryview) -> None:
        raise Unavailable("The storage does not answer.")


async def test_a_key_is_revoked_though_the_storage_is_away_and_kept_when_it_is_back(backups: Backups, tmp_path: Path):
    await check_installation(backups.db, SECRET)
    service = accounts(backups.db, Away(tmp_path / "lists"))
    key = await service.create_key("leaked")
    organisation = await service.ensure_first_organisation()
    await service.revoke_key(organisation.id, key.number)
    with pytest.raises(NotFound):
        await service.revoke_key(new_id(), key.number)

    assert await KeyRing(backups.db, PEPPER).principal(key.token) is None
    assert not await RevocationLog(backups.storage, SECRET).is_kept()
    assert await backups.revocations.keep() == 1
    assert await backups.revocations.keep() == 0
    (entry,) = [one async for one in RevocationLog(backups.storage, SECRET).entries()]
    assert await RevocationLog(backups.storage, SECRET).is_kept()
    # What is kept opens nothing.
    text = (backups.storage.work.parent / "revocations" / f"{entry.id}.json").read_text()
    assert key.api_key not in text
    assert key.hint not in text


async def test_a_log_of_another_installation_is_refused(backups: Backups):
    await backed_up(backups)
    async with copied(backups) as db:
        await backups.storage.delete(["revocations/log.json"])
        await backups.storage.put_bytes("revocations/log.json", b'{"format":1,"installation":"00"}')
        with pytest.raises(LogRefused, match="another installation"):
            await read_revocations(db, SECRET, backups.restored_storage, backups.storage)
        assert not await is_read(db)


async def test_a_hub_client_whose_secrets_ended_after_the_backup_is_revoked_in_the_copy(backups: Backups):
    pepper, passwords = SECRET.derive("hub-keys"), Passwords(SECRET.derive("hub-passwords"))
    brand = await accounts(backups.db, backups.storage).create_brand("Football")
    keeper = RevocationKeeper(backups.db, RevocationLog(backups.storage, SECRET))
    service = HubClientService(backups.db, passwords, pepper, on_key_ended=keeper.try_to_keep)
    revoked, rotated, kept = [await service.create(brand.id, name, name, {}) for name in ("revoked", "rotated", "kept")]
    callers, attempts = HubCallers(backups.db, passwords, pepper), Attempts(backups.db, SECRET.derive("attempts"))
    access = HubAccess(backups.db, callers, key=bytes(32), attempts=attempts, limiter=RateLimiter(backups.db))
    assert await access.log_in("kept", kept.password, line="")
    await backups.taken()
    await service.revoke(brand.id, revoked.client.id)
    await service.rotate(brand.id, rotated.client.id)

    async def let_in(db: Database) -> list[str]:
        callers = HubCallers(db, passwords, pepper)
        by_key = [one for one in (revoked, rotated, kept) if await callers.authenticate_key(one.api_key)]
        assert [bool(await callers.authenticate(one.client.username, one.password)) for one in by_key] == [True] * len(
            by_key
        )
        return [one.client.username for one in by_key]

    async with copied(backups) as db:
        assert await let_in(db) == []
        assert (await read_revocations(db, SECRET, backups.restored_storage, backups.storage)).revoked == 2
        assert await let_in(db) == ["kept"]
        assert not await HubCallers(db, passwords, pepper).authenticate("rotated", rotated.password)
        assert await rows(db, "SELECT FROM hub_token") == []
        told = await AuditLog(db).page(brand.id, Narrowed(thing_kind="hub_client"))
        assert {one.thing_id for one in told if one.action == "hub_client.revoked"} == {
            str(revoked.client.id),
            str(rotated.client.id),
        }


async def test_sessions_links_and_invitations_of_the_backup_are_over_in_the_copy(backups: Backups):
    people = await People.made(backups.db)
    await people.user("olga@club.example")
    session = await people.enters("olga@club.example")
    link = await people.sign_in.link_for(await people.users.named("olga@club.example"))
    invited = await people.invitations.invite(
        "ann@club.example", organisation_id=people.brand.organisation_id, role="admin", owners_too=True
    )
    await backups.taken()
    async with backups.restored() as copy:
        there = People.over(copy.db, people.brand)
        assert await there.sessions.signed_in(session.token) is None
        with pytest.raises(NotFound):
            await there.sign_in.linked(link)
        with pytest.raises(NotFound):
            await there.invitations.found(there.invitations.token(invited))
        assert await rows(copy.db, "SELECT FROM user_session UNION ALL SELECT FROM account_letter") == []
        told = await AuditLog(copy.db).page_of_organisation(
            people.brand.organisation_id, Narrowed(thing_id=str(invited.id))
        )
        assert [entry.action for entry in told] == ["invitation.withdrawn", "invitation.created"]
        # The password is still theirs.
        assert (await there.sign_in.by_password("olga@club.example", PASSWORD, HOME, instead_of=None)).is_whole
        with pytest.raises(Unauthenticated):
            await there.enters("olga@club.example", "another one entirely")
    assert await people.sessions.signed_in(session.token) is not None
