"""Users, their roles, invitations and sessions, as the doors see them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.accounts.roles import ALLOWED, Permission, Role

Method: TypeAlias = Literal["password", "oidc", "link"]
"""How somebody signed in; `link` is a signed one: of an invitation, of a password that was forgotten."""


class User(msgspec.Struct, frozen=True):
    """Somebody who signs in."""

    id: UUID
    email: str
    name: str
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None


class Membership(msgspec.Struct, frozen=True):
    """A role: in the organisation and all its brands, or in one brand, where it takes the place of the other."""

    organisation_id: UUID
    brand_id: UUID | None
    role: Role


class BrandRole(msgspec.Struct, frozen=True):
    """A role in one brand."""

    brand_id: UUID
    role: Role


class Member(msgspec.Struct, frozen=True):
    """Somebody with a role in an organisation: in all of it (`role`), or in some of its brands, or both."""

    user: User
    role: Role | None
    brand_roles: tuple[BrandRole, ...]
    has_second_factor: bool


class Invitation(msgspec.Struct, frozen=True):
    """A role that waits for somebody. `email` is None where it is for whoever has the link."""

    id: UUID
    organisation_id: UUID
    brand_id: UUID | None
    email: str | None
    role: Role
    invited_by: str
    created_at: datetime
    expires_at: datetime


class NewInvitation(Invitation, frozen=True):
    """An invitation that was just made; `is_mailed`: a letter with its link is on its way."""

    is_mailed: bool


class Session(msgspec.Struct, frozen=True):
    """A browser in which somebody signed in. `seen_at` is to the minute."""

    id: UUID
    method: Method
    ip: str
    browser: str
    created_at: datetime
    seen_at: datetime
    ends_at: datetime


class SignedIn(msgspec.Struct, frozen=True):
    """Whoever asks with a valid session, and what they may do, as it was at this request."""

    user: User
    session: Session
    memberships: tuple[Membership, ...]

    def role(self, organisation_id: UUID, brand_id: UUID | None = None) -> Role | None:
        """The role in the organisation as a whole, or in that brand of it; None without one."""
        return role_among(self.memberships, organisation_id, brand_id)

    def may(self, permission: Permission, organisation_id: UUID, brand_id: UUID | None = None) -> bool:
        return permission in self.permissions(organisation_id, brand_id)

    def permissions(self, organisation_id: UUID, brand_id: UUID | None = None) -> frozenset[Permission]:
        """All that may be done there; nothing without a role."""
        role = self.role(organisation_id, brand_id)
        return frozenset() if role is None else ALLOWED[role]


class NewSession(msgspec.Struct, frozen=True):
    """A session at the only moment when its cookie is known; `is_whole` is False while the second factor is still asked for."""

    token: str
    user_id: UUID
    is_whole: bool
    ends_at: datetime


class Origin(msgspec.Struct, frozen=True):
    """Where a browser is: its address, the line to the internet that it shares with its neighbours, and what it calls itself.

    `device`: the cookie by which it is known to be one in which somebody signed in before; empty without one.
    """

    ip: str = ""
    line: str = ""
    browser: str = ""
    device: str = ""


def role_among(memberships: Iterable[Membership], organisation_id: UUID, brand_id: UUID | None) -> Role | None:
    """The role that these give there: the brand's own, or else the organisation's."""
    roles = {one.brand_id: one.role for one in memberships if one.organisation_id == organisation_id}
    return roles.get(brand_id, roles.get(None))
