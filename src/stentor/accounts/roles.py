"""What each role may do: the one table, which docs/accounts.md prints."""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, get_args

Role: TypeAlias = Literal["owner", "admin", "developer", "marketer", "viewer"]

ROLES: tuple[Role, ...] = get_args(Role)
"""From the strongest to the weakest."""

Permission: TypeAlias = Literal["read", "run", "write", "tokens", "admin", "members", "owners"]
"""`read`, `run`, `write` and `admin` are what a key's scopes of these names allow. Beyond them, for users alone: `tokens`
sees and revokes API tokens (`admin` makes them), `members` invites, changes roles and removes, `owners` does so with owners.
"""

PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

_VIEWER: frozenset[Permission] = frozenset({"read"})
_MARKETER: frozenset[Permission] = frozenset({*_VIEWER, "run", "write"})
_DEVELOPER: frozenset[Permission] = frozenset({*_MARKETER, "tokens"})
_ADMIN: frozenset[Permission] = frozenset({*_DEVELOPER, "admin", "members"})

ALLOWED: Mapping[Role, frozenset[Permission]] = {
    "owner": frozenset({*_ADMIN, "owners"}),
    "admin": _ADMIN,
    "developer": _DEVELOPER,
    "marketer": _MARKETER,
    "viewer": _VIEWER,
}


def is_stronger(role: Role, other: Role | None) -> bool:
    """Whether the role may do more than the other; any role may more than none."""
    return other is None or ROLES.index(role) < ROLES.index(other)


BRAND_ROLES: tuple[Role, ...] = tuple(role for role in ROLES if role != "owner")
"""Who owns an organisation owns all of it."""


def grantable(permissions: Iterable[Permission], *, in_brand: bool = False) -> tuple[Role, ...]:
    """The roles that somebody with these permissions may give and take."""
    held = frozenset(permissions)
    if "members" not in held:
        return ()
    return ROLES if "owners" in held and not in_brand else BRAND_ROLES
