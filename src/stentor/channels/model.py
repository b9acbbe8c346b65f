"""What a sender is: a configured way to deliver on one channel."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from stentor.domain.vocabulary import ChannelKind

SenderKind = Literal["sandbox", "smtp", "webhook", "listener"]
"""`listener`: a partner pulls what goes out by it; it comes with a partner channel, and goes with it."""
InDoubtPolicy = Literal["at_most_once", "at_least_once", "ask"]

NAME_CHARS_MAX = 200
SECRET_CHARS_MAX = 1000
PACE_PER_S_MAX = 100_000.0
# One message an hour. The next one's time is computed from the pace, and ever slower ones end beyond the calendar.
PACE_PER_S_MIN = 1 / 3600


class Sender(msgspec.Struct, frozen=True):
    """One sender of a brand. Its secret is no part of it: `has_secret` is all that anyone is told.

    `in_doubt` unset leaves the policy to the campaign's lane; `pace_per_s` unset is as fast as it goes.
    """

    id: UUID
    brand_id: UUID
    name: str
    channel: ChannelKind
    kind: SenderKind
    settings: dict[str, Any]
    has_secret: bool
    enabled: bool
    in_doubt: InDoubtPolicy | None
    pace_per_s: float | None
    paused_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def reaches_people(self) -> bool:
        """Whether its messages leave this installation."""
        return self.kind != "sandbox"


class NewSender(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said to make a sender.

    `secret`: the password that goes with SMTP settings, where they name a user; a webhook's signing secrets.
    """

    name: str
    channel: ChannelKind
    kind: SenderKind
    settings: dict[str, Any] = {}
    secret: str = ""
    enabled: bool = True
    in_doubt: InDoubtPolicy | None = None
    pace_per_s: float | None = None


class SenderPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said to change a sender: fields that are left out stay as they are; `secret: ""` forgets it."""

    name: str | UnsetType = UNSET
    settings: dict[str, Any] | UnsetType = UNSET
    secret: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    in_doubt: InDoubtPolicy | UnsetType | None = UNSET
    pace_per_s: float | UnsetType | None = UNSET
