"""An entry of the audit log, and which ones somebody wants to see."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from stentor.accounts.acting import ActorKind


class AuditEntry(msgspec.Struct, frozen=True):
    """One change: by whom, from where, when, of what.

    `action` is the kind of the thing and what was done to it, `campaign.updated`. Of a change `before` and `after` have the
    members that differ, of what was made or deleted all; secrets are left out, and what is long is told by its size and digest.
    """

    number: int
    at: datetime
    brand_id: UUID | None
    actor_kind: ActorKind
    actor_id: str
    actor_label: str
    ip: str
    action: str
    thing_kind: str
    thing_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Narrowed(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries: from `since` on and before `until`, of one actor, of one kind of thing or one thing; None is any."""

    since: datetime | None = None
    until: datetime | None = None
    actor_kind: ActorKind | None = None
    actor_id: str | None = None
    thing_kind: str | None = None
    thing_id: str | None = None
