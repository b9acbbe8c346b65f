"""Revoked keys stay revoked: they are kept outside of the database too, and revoked again in a restored copy.

So are the keys of hub clients, where a rotation ends one too: in a copy from before it, the client is revoked.

A revocation is committed first, because a leaked key has to end whatever the storage does, and then put into the log. What could not
be put there is, by the keeper, as soon as the storage answers.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import structlog

from stentor.accounts.audit import record
from stentor.accounts.installation import InstallationSecret
from stentor.db.migrate import AppliedMigration
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id
from stentor.errors import Problem
from stentor.failpoints import failpoint
from stentor.optouts.outside_log import FORMAT, OutsideLog
from stentor.optouts.storage import Storage

log = structlog.get_logger(__name__)

KEYS_OF_ENTRY_MAX = 500

_AREA = "revocations"
_MIGRATION = "revocations"


class Sql(QuerySet, file="revocations.sql", package=__package__):
    lock_unkept: Statement
    note_kept: Statement
    revoke_again: Statement
    lock_unkept_of_hub: Statement
    note_kept_of_hub: Statement
    revoke_again_at_hub: Statement
    is_read: Statement
    note_read: Statement


class RevokedKey(msgspec.Struct, frozen=True):
    """A key by what the database has of it, which opens nothing, and when it was revoked."""

    digest: bytes
    revoked_at: datetime


class Revocations(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the log: keys that were put into it together."""

    format: int = FORMAT
    id: UUID
    keys: list[RevokedKey]


class Again(msgspec.Struct, frozen=True):
    """Whether the log of revocations was found, and how many keys were revoked again."""

    found: bool
    revoked: int = 0


class RevocationLog(OutsideLog[Revocations]):
    """The log in that storage, of the installation with that secret."""

    def __init__(self, storage: Storage, secret: InstallationSecret) -> None:
        super().__init__(storage, secret.derive("fingerprint"), area=_AREA, kind=Revocations)


class RevocationKeeper:
    """Puts into the log which keys were revoked."""

    def __init__(self, db: Database, revocations: RevocationLog) -> None:
        self._db = db
        self._log = revocations
        self._is_begun = False

    async def try_to_keep(self) -> None:
        """Keeps what is not kept yet; where the storage does not answer, the keeper comes back to it."""
        try:
            await self._keep_all()
        except (Problem, OSError) as error:
            log.warning("revocations.not_kept", error=str(error))

    async def keep(self) -> int:
        """The same as the keeper's chore, which also says that the log is whole from then on. Returns how many were kept.

        Of a restored copy that has not read the log nobody can say that.
        """
        kept = await self._keep_all()
        if not self._is_begun and await is_read(self._db):
            await self._log.begin()
            self._is_begun = True
        return kept

    async def _keep_all(self) -> int:
        kept = 0
        for keep_some in (self._keep_some, self._keep_some_of_hub):
            while (some := await keep_some()) > 0:
                kept += some
        return kept

    async def _keep_some(self) -> int:
        async with self._db.transaction() as conn:
            rows = await Sql.lock_unkept.tuples(conn, limit=KEYS_OF_ENTRY_MAX)
            if rows:
                keys = [RevokedKey(digest, revoked_at) for _, digest, revoked_at in rows]
                await self._log.keep(Revocations(id=new_id(), keys=keys))
                await Sql.note_kept.run(conn, numbers=[number for number, _, _ in rows])
        return len(rows)

    async def _keep_some_of_hub(self) -> int:
        async with self._db.transaction() as conn:
            rows = await Sql.lock_unkept_of_hub.tuples(conn, limit=KEYS_OF_ENTRY_MAX)
            if rows:
                await self._log.keep(Revocations(id=new_id(), keys=[RevokedKey(*row) for row in rows]))
                await Sql.note_kept_of_hub.run(conn, digests=[digest for digest, _ in rows])
        return len(rows)


def knows_revocations(migrations: Sequence[AppliedMigration]) -> bool:
    """Whether an installation with these migrations keeps revocations."""
    return any(one.name == _MIGRATION for one in migrations)


async def is_read(db: Database) -> bool:
    """Whether no key can be back here that was revoked: the log was read, or this is no restored copy."""
    async with db.read() as conn:
        return bool(await Sql.is_read.value(conn))


async def read_revocations(
    db: Database, secret: InstallationSecret, storage: Storage, elsewhere: Storage | None = None
) -> Again:
    """Revokes in a restored copy every key that was revoked after the backup; until then no key opens anything there.

    The log is looked for in the copy's own storage and, if that is given, in `elsewhere`, that of the installation that was
    backed up. Where neither has it nothing is revoked. Raises LogRefused for a log that cannot be read.
    """
    own = RevocationLog(storage, secret)
    if elsewhere is not None and await (old := RevocationLog(elsewhere, secret)).is_kept():
        async for entry in old.entries():
            await own.keep(entry)
        # Last: a copy that was killed before has not the whole of it.
        await own.begin()
    if not await own.is_kept():
        return Again(found=False)
    revoked = 0
    async for entry in own.entries():
        revoked += await _revoke(db, entry.keys)
    async with db.transaction() as conn:
        await Sql.note_read.run(conn)
        failpoint("replay_revocations.before_commit")
    failpoint("replay_revocations.after_commit")
    log.info("revocations.replayed", keys=revoked)
    return Again(found=True, revoked=revoked)


async def read_revocations_again(db: Database, secret: InstallationSecret, storage: Storage) -> None:
    """The same for a copy whose restoring was killed before that, or whose log was put into its storage since."""
    if not await is_read(db):
        await read_revocations(db, secret, storage)


async def _revoke(db: Database, keys: Sequence[RevokedKey]) -> int:
    async with db.transaction() as conn:
        ended = {"digests": [key.digest for key in keys], "times": [key.revoked_at for key in keys]}
        rows = await Sql.revoke_again.tuples(conn, **ended)
        at_hub = await Sql.revoke_again_at_hub.tuples(conn, **ended)
        for number, organisation_id, brand_id, name, hint in rows:
            told = {"name": name, "hint": hint}
            await record(conn, "key.revoked", number, brand_id=brand_id, organisation_id=organisation_id, before=told)
        for client_id, brand_id, username in at_hub:
            await record(conn, "hub_client.revoked", client_id, brand_id=brand_id, before={"username": username})
        failpoint("revoke_again.before_commit")
    failpoint("revoke_again.after_commit")
    return len(rows) + len(at_hub)
