"""Entries of a group's opt-out lists: added, found, checked by the thousand, taken off."""

import contextlib
from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.groups import group_noun
from stentor.api.optout_lists import ListChannel
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Forbidden, Unavailable
from stentor.optouts.bulk import CHECKED_MAX, Checked
from stentor.optouts.entry_service import ENTRIES_MAX, NOTE_CHARS_MAX, REASON_CHARS_MAX
from stentor.optouts.hashing import EntryForm
from stentor.optouts.model import Cause, Finding, ListedEntry, PastEntry

optout_entries = group_noun(
    "opt-out entries",
    "Who is on an opt-out list: an email address, a phone number with its country code, a domain as `@example.com`, or a hash "
    "as the list makes them. Entries that came in files are found and checked here as well; those that came alone are listed.",
)

CHECK_BYTES_MAX = 4 << 20
"""Of the body of a check: 10,000 of the longest addresses in ASCII."""

FormName: TypeAlias = Literal["address", "other_spelling", "domain"]

# A hash of sha512 is the longest of all.
Address = Annotated[
    str,
    Meta(min_length=1, max_length=ADDRESS_CHARS_MAX, description="An email address, phone number, domain or hash."),
]
_NAMES: dict[EntryForm, FormName] = {
    EntryForm.ADDRESS: "address",
    EntryForm.OTHER_SPELLING: "other_spelling",
    EntryForm.DOMAIN: "domain",
}


class EntriesInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Entries to be added: all of them or none."""

    entries: Annotated[list[Address], Meta(min_length=1, max_length=ENTRIES_MAX)]
    source: Annotated[str, Meta(max_length=NOTE_CHARS_MAX, description="For people: where they come from.")] = ""


class EntriesAdded(msgspec.Struct, frozen=True):
    """What became of them."""

    added: int
    listed: Annotated[int, Meta(description="On the list before, or named twice.")]


class EntriesQuery(ListQuery, frozen=True, kw_only=True):
    """Which entries are listed."""

    prefix: (
        Annotated[str, Meta(min_length=1, max_length=ADDRESS_CHARS_MAX, description="What an address begins with.")]
        | None
    ) = None
    cause: Cause | None = None


class OptOutEntryBody(msgspec.Struct, frozen=True, kw_only=True):
    """A single entry of a list."""

    address: Annotated[str | None, Meta(description="Null where only a hash is kept.")]
    hash: Annotated[str | None, Meta(description="In hex digits, where no address is kept.")]
    channel: ListChannel
    cause: Cause
    at: datetime
    source: str
    campaign: Annotated[str, Meta(description="This and the next three: of who followed an opt-out link.")]
    affiliate: str
    sub_affiliate: str
    ip: str
    expires_at: datetime | None


class OneInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which entry is meant."""

    address: Address


class FindingBody(msgspec.Struct, frozen=True, kw_only=True):
    """By what an address is on a list."""

    form: Annotated[
        FormName, Meta(description="The entry is the address, its host name written otherwise, or its domain.")
    ]
    list_id: Annotated[
        UUID, Meta(description="The list where the entry lies; of a grouped or linked list one behind it.")
    ]
    generation: Annotated[int, Meta(description="That list's, when the file came that has it; or its present one.")]
    entry: Annotated[OptOutEntryBody | None, Meta(description="Null where it came in a file.")]


class PastBody(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry was, and when, why and by whom it was taken off; null and empty while it holds."""

    cause: Cause
    at: datetime
    source: str
    removed_at: datetime | None
    reason: str
    actor: str


class FoundBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a list knows of an address."""

    listed: bool
    found: list[FindingBody]
    history: Annotated[list[PastBody], Meta(description="Oldest first; empty for a grouped or linked list.")]


class FoundOnListsBody(msgspec.Struct, frozen=True, kw_only=True):
    """What all lists know of an address."""

    listed: bool
    found: list[FindingBody]


class CheckInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to look for."""

    addresses: Annotated[
        list[Annotated[str, Meta(max_length=ADDRESS_CHARS_MAX)]], Meta(min_length=1, max_length=CHECKED_MAX)
    ]


class CheckedBody(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one is on the list."""

    listed: bool
    form: FormName | None
    invalid: Annotated[str, Meta(description="Why it is no entry of this list; else empty.")]


class ChecksBody(msgspec.Struct, frozen=True):
    """One for each address, in their order."""

    data: list[CheckedBody]


class RemovalInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entry to be taken off, and why."""

    address: Address
    reason: Annotated[str, Meta(min_length=1, max_length=REASON_CHARS_MAX)]


class Removed(msgspec.Struct, frozen=True):
    """What was taken off."""

    removed: Annotated[int, Meta(description="More than one where the host name was on the list in both spellings.")]


class ErasureInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose address is to be forgotten."""

    address: Address


@optout_entries.get("/optout-lists/{optout_list:str}/entries", scope="read", problems=[Conflict, Unavailable])
async def list_optout_entries(
    request: ApiRequest, caller: Caller, optout_list: str, query: EntriesQuery
) -> Listing[OptOutEntryBody]:
    """List single entries of an opt-out list, in no order that means anything.

    Those that came in files are not among them: look for one by `entries:find`, or export the list.
    """

    async def fetch(after: bytes | None, limit: int) -> list[ListedEntry]:
        return await request.services.optout_entries.entries(
            caller.brand_id, optout_list, after=after, limit=limit, prefix=query.prefix, cause=query.cause
        )

    return await listing(request, query, Walk(fetch, lambda entry: entry.digest, bytes), _entry)


@optout_entries.post(
    "/optout-lists/{optout_list:str}/entries",
    scope="write",
    problems=[Conflict],
    example={"entries": ["aino@example.org", "+358401112222", "@example.net"], "source": "a letter"},
)
async def add_optout_entries(request: ApiRequest, caller: Caller, optout_list: str, body: EntriesInput) -> EntriesAdded:
    """Add up to 1,000 entries to an opt-out list, all of them or none; nobody of them is written to from the answer on."""
    added = await request.services.optout_entries.add(caller.brand_id, optout_list, body.entries, source=body.source)
    return EntriesAdded(added.added, added.listed)


@optout_entries.post(
    "/optout-lists/{optout_list:str}/entries:check",
    scope="read",
    idempotent=False,
    problems=[Unavailable],
    bytes_max=CHECK_BYTES_MAX,
    example={"addresses": ["aino@example.org", "+358401112222"]},
)
async def check_optout_entries(request: ApiRequest, caller: Caller, optout_list: str, body: CheckInput) -> ChecksBody:
    """Check up to 10,000 addresses against an opt-out list; on a disabled one nobody is."""
    checked = await request.services.optout_checks.check(caller.brand_id, optout_list, body.addresses)
    return ChecksBody([_checked(one) for one in checked])


@optout_entries.post(
    "/optout-lists/{optout_list:str}/entries:find",
    scope="read",
    idempotent=False,
    problems=[Unavailable],
    example={"address": "aino@example.org"},
)
async def find_optout_entry(request: ApiRequest, caller: Caller, optout_list: str, body: OneInput) -> FoundBody:
    """Find all that an opt-out list has, and had, of an address: itself, its other spelling, its domain."""
    service = request.services.optout_entries
    found = await service.find(caller.brand_id, optout_list, body.address)
    history: list[PastEntry] = []
    with contextlib.suppress(Conflict):
        history = await service.history(caller.brand_id, optout_list, body.address)
    return FoundBody(
        listed=bool(found), found=[_finding(one) for one in found], history=[_past(one) for one in history]
    )


@optout_entries.post(
    "/optout-lists/{optout_list:str}/entries:remove",
    scope="write",
    problems=[Conflict, Unavailable, Forbidden],
    example={"address": "aino@example.org", "reason": "It was entered by mistake."},
)
async def remove_optout_entry(request: ApiRequest, caller: Caller, optout_list: str, body: RemovalInput) -> Removed:
    """Take an entry off an opt-out list, whether it came alone or in a file. What it was is kept, with the reason.

    From the built-in list nobody but the person takes an unsubscribe, a STOP or a complaint. An import may bring an entry again.
    """
    removed = await request.services.optout_entries.remove(
        caller.brand_id,
        optout_list,
        body.address,
        reason=body.reason,
        actor=f"key {caller.principal.key_number}",
    )
    return Removed(removed)


@optout_entries.post(
    "/optout-lists:find",
    scope="read",
    idempotent=False,
    problems=[Unavailable],
    example={"address": "aino@example.org"},
)
async def find_optout_address(request: ApiRequest, caller: Caller, body: OneInput) -> FoundOnListsBody:
    """Find an address, number, domain or hash on all enabled opt-out lists of the group.

    An address is looked up in whatever hash a list is made of; a hash on the lists that have hashes of its length.
    """
    found = await request.services.optout_entries.search(caller.brand_id, body.address)
    return FoundOnListsBody(listed=bool(found), found=[_finding(one) for one in found])


@optout_entries.post(
    "/optout-lists:erase", scope="write", status=204, idempotent=False, example={"address": "erased@example.org"}
)
async def erase_optout_address(request: ApiRequest, caller: Caller, body: ErasureInput) -> None:
    """Forget an address on all opt-out lists of the group; it stays suppressed by its hash.

    Single entries forget it at once, files within 30 days.
    """
    await request.services.optout_entries.erase(caller.brand_id, body.address)


def _entry(entry: ListedEntry) -> OptOutEntryBody:
    return OptOutEntryBody(
        address=_written(entry),
        hash=None if entry.address is not None else (entry.hash or entry.digest).hex(),
        channel=_channel(entry.channel),
        cause=entry.cause,
        at=entry.at,
        source=entry.source,
        campaign=entry.campaign,
        affiliate=entry.affiliate,
        sub_affiliate=entry.sub_affiliate,
        ip=entry.ip,
        expires_at=entry.expires_at,
    )


def _written(entry: ListedEntry) -> str | None:
    """Numbers as the rest of the API writes them."""
    if entry.address is None or entry.channel is ChannelKind.EMAIL:
        return entry.address
    return f"+{entry.address}"


def _channel(kind: ChannelKind) -> ListChannel:
    return "email" if kind is ChannelKind.EMAIL else "sms"


def _finding(found: Finding) -> FindingBody:
    return FindingBody(
        form=_NAMES[found.form],
        list_id=found.list_id,
        generation=found.generation,
        entry=None if found.entry is None else _entry(found.entry),
    )


def _past(past: PastEntry) -> PastBody:
    return PastBody(
        cause=past.cause,
        at=past.at,
        source=past.source,
        removed_at=past.lifted_at,
        reason=past.reason,
        actor=past.actor,
    )


def _checked(one: Checked) -> CheckedBody:
    if one.refusal:
        return CheckedBody(listed=False, form=None, invalid=one.refusal)
    return _LISTED[one.form] if one.form is not None else _NOT_LISTED


_NOT_LISTED = CheckedBody(listed=False, form=None, invalid="")
_LISTED = {form: CheckedBody(listed=True, form=name, invalid="") for form, name in _NAMES.items()}
