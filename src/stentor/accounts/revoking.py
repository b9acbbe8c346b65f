"""Keys that end: revoked by somebody, or because whoever made them may not do any more what they can."""

from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

from stentor.accounts import store
from stentor.accounts.audit import record
from stentor.accounts.roles import ALLOWED
from stentor.accounts.store import LockedKey
from stentor.accounts.user_model import Membership, role_among
from stentor.accounts.withdrawing import withdraw_by
from stentor.db.connection import Connection

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
        key for key in await store.lock_keys_of_user(conn, user_id, organisation_id) if not _may_have(roles, key)
    ]:
        for key in beyond:
            await revoke(conn, key)
        # Again: while one of them was waited for, it may have made another.
        is_any = True
    return is_any


def _may_have(roles: tuple[Membership, ...], key: LockedKey) -> bool:
    """Whether who has these roles may do all that the key can."""
    role = role_among(roles, key.organisation_id, key.brand_id)
    return role is not None and ALLOWED[role].issuperset(key.scopes)
