"""Invitations: a role that waits for somebody, who takes it by a signed link."""

from uuid import UUID

from msgspec import structs

from stentor.accounts import letter_store, user_store
from stentor.accounts.acting import acting
from stentor.accounts.attempts import INVITATIONS_PER_ADDRESS, Attempts, too_many
from stentor.accounts.audit import record
from stentor.accounts.roles import Role, is_stronger
from stentor.accounts.sealing import LinkTokens
from stentor.accounts.user_model import Invitation, Member, NewInvitation
from stentor.accounts.users import MEMBERS_MAX, check_role, checked_email, email_key, owners_alone, too_many_members
from stentor.accounts.withdrawing import note_withdrawn, withdraw_replaced
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Conflict, NotFound

INVITATION_S_MAX = 7 * 24 * 3600
INVITATIONS_OPEN_MAX = 200
INVITATIONS_PER_DAY_MAX = 200

_KIND = "invitation"


class InvitationService:
    """Invitations. `sends_mail`: whether the installation has a sender of its own; without one, links are to be copied."""

    def __init__(self, db: Database, links: LinkTokens, attempts: Attempts, *, sends_mail: bool) -> None:
        self._db = db
        self._links = links
        self._attempts = attempts
        self.sends_mail = sends_mail

    def token(self, invitation: Invitation) -> str:
        """What its link ends in: whoever has it can take the role."""
        return self._links.token(_KIND, invitation.id)

    async def invite(
        self, email: str, *, organisation_id: UUID, role: Role, brand_id: UUID | None = None, owners_too: bool
    ) -> NewInvitation:
        """Invites somebody for seven days, in place of an open invitation to the same address and place.

        No letter goes without a sender, nor to an address that gets too many, whoever wrote them: the link is there to be
        handed over.

        Raises Invalid for an address or a role that is none, NotFound for a brand of another organisation, Conflict for
        who may do as much there already, for too many open invitations, and for an owner, to be or already there, without
        `owners_too`; RateLimited where the organisation invited 200 times within a day.
        """
        check_role(role, brand_id)
        if role == "owner" and not owners_too:
            raise owners_alone()
        normal = checked_email(email)
        made, is_mailed = await self._made(normal, organisation_id, role, brand_id, owners_too=owners_too)
        return NewInvitation(**structs.asdict(made), is_mailed=is_mailed)

    async def invite_first_owner(self, organisation_id: UUID) -> Invitation | None:
        """An invitation for whoever has its link, the same while it is open; None where the organisation has members."""
        async with self._db.read() as conn:
            if await user_store.count_members(conn, organisation_id):
                return None
            for one in await user_store.open_invitations(conn, organisation_id):
                if one.email is None:
                    return one
        made, _ = await self._made(None, organisation_id, "owner", None, owners_too=True)
        return made

    async def found(self, token: str) -> Invitation:
        """The open invitation behind a link. Raises NotFound."""
        invitation_id = self._links.read(_KIND, token)
        if invitation_id is not None:
            async with self._db.read() as conn:
                if (invitation := await user_store.find_invitation(conn, invitation_id)) is not None:
                    return invitation
        raise NotFound("This invitation was accepted, withdrawn, or is over. Ask for a new one.")

    async def open_invitations(self, organisation_id: UUID) -> list[Invitation]:
        """Those that wait, the oldest first."""
        async with self._db.read() as conn:
            return await user_store.open_invitations(conn, organisation_id)

    async def withdraw(self, organisation_id: UUID, invitation_id: UUID, *, owners_too: bool) -> None:
        """Lets the link lead nowhere, at once. Raises NotFound, and Conflict for an owner's without `owners_too`."""
        async with self._db.transaction() as conn:
            invitation = await user_store.find_invitation(conn, invitation_id)
            if invitation is not None and invitation.organisation_id == organisation_id:
                if invitation.role == "owner" and not owners_too:
                    raise owners_alone()
                if await user_store.withdraw_invitation(conn, organisation_id, invitation_id):
                    await note_withdrawn(conn, invitation)
                    return
        raise NotFound("There is no such open invitation.")

    async def _made(
        self, email: str | None, organisation_id: UUID, role: Role, brand_id: UUID | None, *, owners_too: bool
    ) -> tuple[Invitation, bool]:
        """The invitation, and whether a letter with its link is on its way."""
        invitation_id, is_mailed = new_id(), False
        key = None if email is None else email_key(email)
        async with self._db.transaction() as conn:
            if not await user_store.lock_organisation(conn, organisation_id):
                raise NotFound(f"There is no organisation {organisation_id}.")
            if brand_id is not None and not await user_store.brand_is_of(conn, brand_id, organisation_id):
                raise NotFound("There is no such brand in this organisation.")
            waiting = await user_store.open_invitations(conn, organisation_id)
            if not owners_too and any(
                one.role == "owner" and one.email and email_key(one.email) == key for one in waiting
            ):
                raise owners_alone()
            if len(waiting) >= INVITATIONS_OPEN_MAX:
                raise Conflict(f"{INVITATIONS_OPEN_MAX} invitations are open. Withdraw some of them first.")
            members = await user_store.members(conn, organisation_id)
            if len(members) >= MEMBERS_MAX:
                raise too_many_members()
            if email is not None and key is not None:
                _check_is_none_of(members, email, role, brand_id, owners_too=owners_too)
                await _check_pace(conn, organisation_id)
                await withdraw_replaced(conn, organisation_id, brand_id, key)
            await user_store.insert_invitation(
                conn,
                invitation_id,
                organisation_id=organisation_id,
                brand_id=brand_id,
                email=email,
                email_key=key,
                role=role,
                invited_by=acting(),
                lasts_s=INVITATION_S_MAX,
            )
            if key is not None and self.sends_mail:
                is_mailed = await self._attempts.is_taken(conn, (INVITATIONS_PER_ADDRESS, key))
            if is_mailed:
                await letter_store.insert_letter(conn, "invitation", invitation_id, organisation_id)
            made = await user_store.find_invitation(conn, invitation_id)
            told = {"email": email, "role": role}
            await record(
                conn,
                "invitation.created",
                invitation_id,
                brand_id=brand_id,
                organisation_id=organisation_id,
                after=told,
            )
            if made is None:
                raise Conflict(
                    "This copy was restored and does not know yet what became of invitations. `stentor resume` lets it go."
                )
        return made, is_mailed


async def _check_pace(conn: Connection, organisation_id: UUID) -> None:
    """Raises RateLimited where the organisation invited too often within a day."""
    wait = await user_store.invited_lately(conn, organisation_id, INVITATIONS_PER_DAY_MAX)
    if wait is not None:
        raise too_many("invitations of this organisation", wait.total_seconds(), limit=INVITATIONS_PER_DAY_MAX)


def _check_is_none_of(
    members: list[Member], email: str, role: Role, brand_id: UUID | None, *, owners_too: bool
) -> None:
    """Raises Conflict where the address has a role in that place, or as much by one in the whole organisation.

    So it does for an owner's without `owners_too`.
    """
    for member in members:
        if email_key(member.user.email) != email_key(email):
            continue
        if member.role == "owner" and not owners_too:
            raise owners_alone()
        held = {None: member.role, **{one.brand_id: one.role for one in member.brand_roles}}
        if held.get(brand_id) is not None or not is_stronger(role, member.role):
            raise Conflict(f"{email} is a member already. Change the role instead.")
