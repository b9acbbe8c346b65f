"""Open invitations that something else makes an end of, each noted in the audit log, in the transaction of that."""

from uuid import UUID

from stentor.accounts import user_store
from stentor.accounts.acting import ActorKind
from stentor.accounts.audit import record
from stentor.accounts.roles import ALLOWED, Role, grantable
from stentor.accounts.user_model import Invitation
from stentor.accounts.user_store import Withdrawn
from stentor.db.connection import Connection


async def withdraw_replaced(conn: Connection, organisation_id: UUID, brand_id: UUID | None, email_key: str) -> None:
    """Ends the open invitation to that address for that place: another one is made in its stead."""
    await _note(conn, await user_store.withdraw_earlier(conn, organisation_id, brand_id, email_key))


async def withdraw_to(conn: Connection, email_key: str, organisation_id: UUID | None = None) -> None:
    """Ends what waits for that address in the organisation, or everywhere: what they may do was decided anew."""
    await _note(conn, await user_store.withdraw_to(conn, email_key, organisation_id))


async def withdraw_by(
    conn: Connection, organisation_id: UUID, kind: ActorKind, actor_id: str, role: Role | None = None
) -> None:
    """Ends what they invited others to and, in the role that they have there now, could not invite them to."""
    may_give = () if role is None else grantable(ALLOWED[role])
    await _note(conn, await user_store.withdraw_by(conn, organisation_id, kind, actor_id, may_give))


async def note_withdrawn(conn: Connection, one: Invitation | Withdrawn) -> None:
    """Notes that an invitation was ended, and to what it was."""
    await record(
        conn,
        "invitation.withdrawn",
        one.id,
        brand_id=one.brand_id,
        organisation_id=one.organisation_id,
        before={"email": one.email, "role": one.role},
    )


async def _note(conn: Connection, withdrawn: list[Withdrawn]) -> None:
    for one in withdrawn:
        await note_withdrawn(conn, one)
