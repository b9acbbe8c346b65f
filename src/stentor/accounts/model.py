"""Organisations, brands, keys, and what a key may do."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias, get_args
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.domain.policy import BrandPolicy, seconds_of
from stentor.domain.quiet_hours import QuietRule

NAME_CHARS_MAX = 200
KEY_DAYS_MAX = 3_650
POSTAL_ADDRESS_CHARS_MAX = 500
KEPT_DAYS_MAX = 3_650
SANDBOX_DAYS_MAX = 365
HISTORY_DAYS_MIN = 60
AUDIT_DAYS_MIN = 30
AUDIT_DAYS_MAX = 36_500
PULL_DAYS_MAX = 90

Scope = Literal["run", "read", "write", "admin"]
"""`run` starts executions and asks for their status, `read` sees everything, `write` changes people and content, `admin`
changes settings and keys and includes the others."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

KeyState: TypeAlias = Literal["live", "ended", "all"]
"""Which keys are listed. `live` ones open something; `ended` ones were revoked or have expired."""

KEY_STATES: tuple[KeyState, ...] = get_args(KeyState)


class Installation(msgspec.Struct, frozen=True):
    """All that lives in one database, and, where it was restored from a backup, of when and how far that is.

    While `paused_at` is set nothing is planned, claimed, started or resent. `fenced_at`: what the backup caught under way
    was seen to. `resumed_at`: an operator let it go.
    """

    created_at: datetime
    backup_at: datetime | None
    restored_at: datetime | None
    paused_at: datetime | None
    fenced_at: datetime | None
    resumed_at: datetime | None


class BrandSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a brand may set. Only what differs from these defaults is stored."""

    run_rate_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 500
    """Run calls per second, over all API processes; a full bucket of one second lets as many through at once."""
    optout_rate_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 50
    """Calls of the opt-out list API per second and key, over all API processes."""
    user_rate_per_min: Annotated[int, Meta(ge=0, le=1_000_000)] = 250
    """Calls per minute of a user, by all their tokens, to batches, profiles, campaigns, schedules and their tags; 0 lifts it."""
    batch_rate_per_min: Annotated[int, Meta(ge=0, le=1_000_000)] = 10
    """Batches per minute that are sent to the group, whoever sends them; 0 lifts it."""
    key_rate_per_s: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    """Calls per second of a key to the other native paths, runs apart; 0 lifts it."""
    hub_rate_per_10_s: Annotated[int, Meta(ge=0, le=1_000_000)] = 50
    """Calls in ten seconds of each partner to the channel-integration API, over all API processes; 0 lifts it."""
    batch_profiles_max: Annotated[int, Meta(ge=1, le=1_000)] = 50
    """Profiles of one batch; streams of any length come by `batches:bulk`."""
    preferences_enabled: bool = False
    """Whether the preference paths that carry no key are answered."""
    unauthenticated_opt_in_counts: bool = True
    """Whether an opt-in without a key counts at once; otherwise it waits for a confirmation."""
    metrics_mode: Literal["replace", "add"] = "replace"
    """Whether a total that a partner reports stands in the place of the one before, or is added to it."""
    default_time_zone: str = "UTC"
    default_country: str | None = None
    """ISO 3166 code of the country whose national phone formats are read; None takes E.164 only."""
    from_name: Annotated[str, Meta(max_length=NAME_CHARS_MAX)] = ""
    from_address: str = ""
    postal_address: Annotated[str, Meta(max_length=POSTAL_ADDRESS_CHARS_MAX)] = ""
    color: Annotated[str, Meta(pattern=r"\A(#[0-9a-f]{6})?\Z")] = ""
    """What pages for the people it writes to are drawn with, as `#1b3a6b`; empty for ours."""
    sandbox_messages_max: Annotated[int, Meta(ge=0, le=10_000_000)] = 200_000
    sandbox_days: Annotated[int, Meta(ge=1, le=SANDBOX_DAYS_MAX)] = 7
    history_days: Annotated[int, Meta(ge=HISTORY_DAYS_MIN, le=KEPT_DAYS_MAX)] | None = None
    """How long executions with their sends are kept, counted from their start; None as long as the installation keeps them."""
    payload_days: Annotated[int, Meta(ge=1, le=KEPT_DAYS_MAX)] | None = None
    """How long what calls said and providers answered is kept, counted from an execution's start; None as long as history."""
    event_days: Annotated[int, Meta(ge=1, le=KEPT_DAYS_MAX)] | None = None
    """How long events of customers are kept; None as long as history."""
    batch_days: Annotated[int, Meta(ge=1, le=KEPT_DAYS_MAX)] | None = None
    """How long it is kept who was in a batch; None for ever."""
    audit_days: Annotated[int, Meta(ge=AUDIT_DAYS_MIN, le=AUDIT_DAYS_MAX)] | None = None
    """How long the brand's entries of the audit log are kept; None as long as the installation keeps them."""
    quiet_hours: tuple[QuietRule, ...] = ()
    """When nobody is written to, by the recipient's clock; transactional campaigns are exempt."""
    policy: BrandPolicy = BrandPolicy()
    """What holds for all its messages: frequency caps."""
    pull_within: str = "7d"
    """How long partners have to pull an execution that has no deadline of its own; who is left then is skipped."""

    @property
    def pull_within_s(self) -> int:
        """The same in seconds."""
        return seconds_of(self.pull_within) or 0


class PolicyVersion(msgspec.Struct, frozen=True):
    """What the guard went by in a brand's settings from a moment on: caps, quiet hours, time zone, country. All else is default."""

    version: int
    settings: BrandSettings
    since: datetime


class Organisation(msgspec.Struct, frozen=True):
    """Owns brands; `number` is the X-Tenant-Id of older clients."""

    id: UUID
    number: int
    name: str
    created_at: datetime


class Brand(msgspec.Struct, frozen=True):
    """The tenant: people, topics, campaigns and keys belong to one brand. `brand_key` names it and opens nothing."""

    id: UUID
    organisation_id: UUID
    organisation_number: int
    name: str
    brand_key: str
    settings: BrandSettings
    created_at: datetime
    updated_at: datetime


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is listed: never its secret. `brand_id` is None for a key of the whole organisation."""

    number: int
    organisation_id: UUID
    brand_id: UUID | None
    name: str
    hint: str
    scopes: tuple[Scope, ...]
    is_test: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute; None for a key that was never used."""
    made_by: str
    """Who made it, as they were called then; empty for one that is older than users."""


class NewKey(msgspec.Struct, frozen=True):
    """A key at the only moment when its secret is known: as a bearer token and as an `x-api-key`."""

    number: int
    token: str
    api_key: str
    hint: str


class Principal(msgspec.Struct, frozen=True):
    """Who calls: the holder of a valid key.

    `holder` is as whom calls are counted: the user who made the key, be it by other keys, or else the first of these keys.
    """

    key_number: int
    organisation_id: UUID
    brand_id: UUID | None
    scopes: frozenset[Scope]
    is_test: bool
    name: str
    holder: str

    @property
    def label(self) -> str:
        """What people call it. A key may be named like anybody, so its number stands before its name."""
        return f"key {self.key_number} ({self.name})"

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def may_act_for(self, brand: Brand) -> bool:
        """Whether the key was made for this brand or for the whole organisation that owns it."""
        if self.brand_id is not None:
            return self.brand_id == brand.id
        return self.organisation_id == brand.organisation_id
