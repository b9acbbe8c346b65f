"""What an opt-out says, and what a list of them is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.hashing import HASH_NAMES, EntryForm, HashName

Cause = Literal["unsubscribe", "stop", "bounce", "complaint", "api", "import", "collect"]

BY_THE_PERSON: frozenset[Cause] = frozenset({"unsubscribe", "stop", "complaint", "collect"})
"""What nobody but the person takes off the built-in list."""

BY_PROVIDERS: frozenset[Cause] = frozenset({"bounce"})
"""What a provider reports of an address."""

WRITTEN_DOWN: frozenset[Cause] = frozenset({"api", "import"})
"""What somebody wrote down of others."""

ListKind: TypeAlias = Literal["plain", "md5", "sha1", "sha256", "sha512", "grouped", "linked"]
ListState: TypeAlias = Literal["enabled", "disabled", "deleted"]
ListScope: TypeAlias = Literal["brand", "campaigns", "topics"]

LIST_CHANNELS = ChannelKind.EMAIL.bit | ChannelKind.SMS.bit
"""What a list may be of: e-mail addresses and phone numbers. SMS stands for every channel that goes to a number."""


def outweighed_by(cause: Cause) -> frozenset[Cause]:
    """The causes that say less than this one: the person says most, and a provider more than what somebody wrote down."""
    if cause in BY_THE_PERSON:
        return BY_PROVIDERS | WRITTEN_DOWN
    return WRITTEN_DOWN if cause in BY_PROVIDERS else frozenset()


def listed_as(channel: ChannelKind) -> ChannelKind:
    """What an address of this channel is on a list: EMAIL for an e-mail address, SMS for any phone number."""
    return ChannelKind.EMAIL if channel is ChannelKind.EMAIL else ChannelKind.SMS


def written_as_listed(address: str, channel: ChannelKind) -> str:
    """A person's address of this channel as lists write it: in lower case, a number as its digits."""
    stripped = address.strip()
    return stripped.lower() if channel is ChannelKind.EMAIL else stripped.removeprefix("+")


class OptOut(msgspec.Struct, frozen=True):
    """An address that must not be written to, by its digest (`stentor.domain.address`), and how that came to be known.

    `channel` says what the digest is of: EMAIL for an e-mail address, SMS for a phone number. `source` is free text for
    the person who asks why: an execution's id, the name of a file. `address` is its normal form, lower case, of a number its
    digits, where it is known and may be kept; `campaign` is the name of the one whose link was followed, from `ip`.
    """

    channel: ChannelKind
    digest: bytes
    cause: Cause
    source: str = ""
    address: str | None = None
    campaign: str = ""
    ip: str = ""


class ListDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A list to be made. `members` and `linked` name lists by id or code; a linked one is another brand's.

    `hash` is what its digests are made with, said for plain and grouped lists only (None: md5, or its members'); `channels` a
    mask of EMAIL and SMS (None: both, or those of what it links to). An entry lapses after `expiry_days`; None: never.
    """

    name: str
    kind: ListKind = "plain"
    hash: HashName | None = None
    channels: int | None = None
    enabled: bool = True
    scope: ListScope = "brand"
    scope_ids: Sequence[UUID] = ()
    members: Sequence[str] = ()
    linked: str = ""
    expiry_days: int | None = None


class ListPatch(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to a list; what is left out stays. Another scope needs its `scope_ids` too."""

    name: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    scope: ListScope | UnsetType = UNSET
    scope_ids: Sequence[UUID] | UnsetType = UNSET
    members: Sequence[str] | UnsetType = UNSET
    expiry_days: int | UnsetType | None = UNSET


class NewList(msgspec.Struct, frozen=True, kw_only=True):
    """A checked list, with what it names found."""

    name: str
    kind: ListKind
    hash: HashName
    channels: int
    enabled: bool
    scope: ListScope
    scope_ids: Sequence[UUID]
    members: Sequence[UUID]
    linked_id: UUID | None
    expiry_days: int | None


class OptOutList(msgspec.Struct, frozen=True, kw_only=True):
    """A list. `number` is what traces name it by, `code` its 16 hex digits on the wire; `channels` a mask of EMAIL and SMS.

    `generation` counts what changed its files. Of a linked list, `linked_code` is the other brand's, and `is_link_open` says
    whether it can be read: granted and enabled. `entries_in_files` counts what came in files, until compaction also those
    that were taken off since.
    """

    id: UUID
    brand_id: UUID
    number: int
    code: str
    name: str
    kind: ListKind
    hash: HashName
    channels: int
    state: ListState
    scope: ListScope
    scope_ids: Sequence[UUID]
    members: Sequence[UUID]
    linked_id: UUID | None
    expiry_days: int | None
    generation: int
    built_in: bool
    created_at: datetime
    updated_at: datetime
    linked_code: str = ""
    is_link_open: bool = False
    entries_in_files: int = 0

    @property
    def keeps_hashes_only(self) -> bool:
        """Whether addresses are forgotten once they are hashed."""
        return self.kind in HASH_NAMES

    @property
    def holds_entries(self) -> bool:
        """Whether entries lie in this list itself: not those of its members or of another brand."""
        return self.kind not in {"grouped", "linked"}

    @property
    def is_enabled(self) -> bool:
        return self.state == "enabled"


class Grant(msgspec.Struct, frozen=True):
    """That another brand may link to a list, and read it."""

    grantee_id: UUID
    granted_at: datetime
    granted_by: str


class GrantedList(msgspec.Struct, frozen=True, kw_only=True):
    """Another brand's list that this one may link to."""

    id: UUID
    brand_id: UUID
    code: str
    name: str
    kind: ListKind
    hash: HashName
    channels: int


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """How single entries came to be known; the last four are of who followed an opt-out link, and of which mailing."""

    cause: Cause
    source: str = ""
    campaign: str = ""
    affiliate: str = ""
    sub_affiliate: str = ""
    ip: str = ""


class ListedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A single entry of a list. `address` is None where the list keeps hashes only, or the person was erased.

    `hash` is the whole hash where it is longer than the digest and no address is kept. `expires_at`: when it lapses.
    """

    list_id: UUID
    digest: bytes
    channel: ChannelKind
    address: str | None
    hash: bytes | None
    cause: Cause
    at: datetime
    source: str
    campaign: str
    affiliate: str
    sub_affiliate: str
    ip: str
    expires_at: datetime | None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """By what an address is on a list: which of its forms, in which list it lies, and the entry; None for one of a file.

    `generation` is that of the list when the file came, or its present one.
    """

    form: EntryForm
    list_id: UUID
    generation: int
    entry: ListedEntry | None


class PastEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a single entry was, and when, why and by whom it was taken off; None and empty while it holds."""

    cause: Cause
    at: datetime
    source: str
    lifted_at: datetime | None
    reason: str
    actor: str
