"""Keys and what their makers may do: who makes one may have it, and it ends when they may not any more, or somebody revokes it."""

from collections.abc import Awaitable, Callable, Collection, Iterable
from uuid import UUID

from stentor.accounts import store, user_store
from stentor.accounts.acting import acting
from stentor.accounts.audit import record
from stentor.accounts.model import Scope
from stentor.accounts.roles import ALLOWED
from stentor.accounts.store import LockedKey
from stentor.accounts.user_model import Membership, role_among
from stentor.accounts.withdrawing import withdraw_by
from stentor.db.connection import Connection
from stentor.errors import Forbidden, Unauthenticated

RevocationHook = Callable[[], Awaitable[None]]
"""Called when a key was revoked, and that is committed. It raises nothing: revoked is revoked."""


async def revoke(conn: Connection, key: LockedKey) -> None:
    """Revokes the key, which is locked and was not revoked before; invitations that it made end with it."""
    await store.revoke_key(conn, key.number)
    await withdraw_by(conn, key.organisation_id, "key", str(key.number))
    # In the log of the key's brand too, whoever revokes it.
    await record(
        conn,
        "key.revoked",
        key.number,
        brand_id=key.brand_id,
        organisation_id=key.organisation_id,
        before={"name": key.name, "hint": key.hint},
    )


async def revoke_beyond(
    conn: Connection, user_id: UUID, held: Iterable[Membership], organisation_id: UUID | None = None
) -> bool:
    """Revokes the keys of that user, made by keys of theirs or not, that may do more than the user with these roles.

    In that organisation, or with None in all of them. True when there was one.
    """
    roles, is_any = tuple(held), False
    while beyond := [
        key
        for key in await store.lock_keys_of_user(conn, user_id, organisation_id)
        if not _may_have(roles, key.organisation_id, key.brand_id, key.scopes)
    ]:
        for key in beyond:
            await revoke(conn, key)
        # Again: while one of them was waited for, it may have made another.
        is_any = True
    return is_any


async def hold_maker(conn: Connection, organisation_id: UUID, brand_id: UUID | None, scopes: Collection[Scope]) -> None:
    """Where a user makes a key, sees to it that they may, and that this stays so until it is made.

    The session that they came in by was asked a while ago: whoever disables them since, or takes them a role, waits for the key
    and revokes it with their others, or is waited for. Raises Unauthenticated and Forbidden.
    """
    maker = acting()
    if maker.kind != "user":
        return
    user = await user_store.lock_user(conn, UUID(maker.id))
    if user is None or user.disabled_at is not None:
        raise Unauthenticated("Your account was disabled. Ask an owner of the organisation to let you in again.")
    if not _may_have(await user_store.memberships_of_user(conn, user.id), organisation_id, brand_id, scopes):
        raise Forbidden("A token can do no more than you may there: leave out the scopes that your role has not.")


def _may_have(
    roles: Iterable[Membership], organisation_id: UUID, brand_id: UUID | None, scopes: Collection[Scope]
) -> bool:
    """Whether who has these roles may do there all that a key with these scopes can."""
    role = role_among(roles, organisation_id, brand_id)
    return role is not None and ALLOWED[role].issuperset(scopes)
