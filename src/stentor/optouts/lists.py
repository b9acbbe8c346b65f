"""Opt-out lists: made, changed, found, deleted, and granted to other brands."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from stentor.accounts.audit import record
from stentor.db.connection import Connection
from stentor.db.names import name_free, name_taken
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import new_id
from stentor.domain.text import checked_name
from stentor.domain.vocabulary import channels_in
from stentor.errors import Conflict, Invalid, NotFound, QuotaExceeded
from stentor.optouts import list_store
from stentor.optouts.hashing import HASH_NAMES, HashName
from stentor.optouts.model import (
    LIST_CHANNELS,
    Grant,
    GrantedList,
    ListDraft,
    ListKind,
    ListPatch,
    ListScope,
    NewList,
    OptOutList,
)

LISTS_MAX = 1_000
NAME_CHARS_MAX = 200
MEMBERS_MAX = 50
SCOPE_IDS_MAX = 100
EXPIRY_DAYS_MAX = 36_500
GRANTS_MAX = 1_000
GROUPS_NAMED_MAX = 5
PAGE_MAX = 100

_SAID = ("name", "kind", "hash", "state", "scope", "scope_ids", "members", "linked_id", "expiry_days")

Finder: TypeAlias = Callable[[Connection, UUID, Sequence[UUID]], Awaitable[set[UUID]]]
"""Which of these ids the brand has: of campaigns, or of topics."""


class ListService:
    """The lists of all brands; every call names its brand and sees nothing of the others.

    A reference to a list is its id, its code or its name. `finders` say which campaigns and topics there are; without one for
    a scope its ids are taken as they come.
    """

    def __init__(self, db: Database, finders: Mapping[ListScope, Finder] | None = None) -> None:
        self._db = db
        self._finders = finders or {}

    async def create(self, brand_id: UUID, draft: ListDraft) -> OptOutList:
        """The new list. Raises Invalid, Conflict when the name is taken, and QuotaExceeded when the brand has 1,000 lists."""
        list_id = new_id()
        async with self._db.transaction() as conn:
            await check_quota(conn, brand_id, "opt-out lists", LISTS_MAX, list_store.count_lists)
            new = await self._checked(conn, brand_id, draft)
            if not await list_store.insert_list(conn, brand_id, list_id, new):
                raise name_taken("opt-out list", new.name)
            made = await resolve(conn, brand_id, str(list_id))
            await record(conn, "optout_list.created", list_id, brand_id=brand_id, after=_told(made))
            return made

    async def get(self, brand_id: UUID, reference: str) -> OptOutList:
        """The list. Raises NotFound."""
        async with self._db.read() as conn:
            return await resolve(conn, brand_id, reference)

    async def known(self, brand_id: UUID, references: Collection[str]) -> list[OptOutList]:
        """Those of these lists that the brand has, in the order of their making."""
        async with self._db.read() as conn:
            found = await list_store.find_lists(conn, brand_id, references)
        return sorted({held.id: held for held in found.values()}.values(), key=lambda held: held.id)

    async def all_of(self, brand_id: UUID, references: Sequence[str]) -> list[OptOutList]:
        """The lists of these ids, codes or names, in that order. Raises Invalid that names the first that is none."""
        async with self._db.read() as conn:
            found = await list_store.find_lists(conn, brand_id, references)
        for index, reference in enumerate(references):
            if reference not in found:
                message = "This brand has no such list; name it by its id, its code or its name."
                raise Invalid.field(f"/against/{index}", "unknown-list", message)
        return [found[reference] for reference in references]

    async def open_to_all(self, code: str) -> OptOutList | None:
        """The list behind the code in an opt-out link, whosever it is; None where nobody can opt out there."""
        async with self._db.read() as conn:
            found = await list_store.find_open(conn, code)
            if found is None:
                return None
            brand_id, list_id = found
            return (await list_store.find_lists(conn, brand_id, [str(list_id)])).get(str(list_id))

    async def page(self, brand_id: UUID, *, after: UUID | None = None, limit: int = PAGE_MAX) -> list[OptOutList]:
        """Up to 100 lists in the order of their making, the built-in one among them, from behind the id `after`."""
        async with self._db.read() as conn:
            return await list_store.page_of_lists(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))

    async def update(self, brand_id: UUID, reference: str, patch: ListPatch) -> OptOutList:
        """The list with those changes. Raises NotFound, Invalid, and Conflict for a name in use and for the built-in list."""
        async with self._db.transaction() as conn:
            held = await self._locked(conn, brand_id, reference)
            if held.built_in:
                raise Conflict("The built-in list cannot be changed. Make another list for what it shall not hold.")
            changed = await self._changed(conn, held, patch)
            with name_free("opt-out list", changed.name):
                await list_store.update_list(conn, brand_id, changed)
            now = await resolve(conn, brand_id, str(held.id))
            await record(conn, "optout_list.updated", held.id, brand_id=brand_id, before=_told(held), after=_told(now))
            return now

    async def delete(self, brand_id: UUID, reference: str) -> None:
        """Deletes the list: nothing on it objects any more, and its name is free. Raises NotFound and Conflict."""
        async with self._db.transaction() as conn:
            held = await self._locked(conn, brand_id, reference)
            if held.built_in:
                raise Conflict("The built-in list cannot be deleted: unsubscribes, bounces and complaints end in it.")
            if groups := await list_store.groups_with(conn, brand_id, held.id, limit=GROUPS_NAMED_MAX):
                names = ", ".join(groups)
                raise Conflict(f"This list is a member of {names}. Take it out there, then delete it.")
            await list_store.delete_list(conn, brand_id, held.id)
            await record(conn, "optout_list.deleted", held.id, brand_id=brand_id, before=_told(held))

    async def grant(self, brand_id: UUID, reference: str, grantee_id: UUID, *, granted_by: str = "") -> None:
        """Lets another brand link to the list and read it; again changes nothing.

        A grant to an id that no brand has is kept like any other, so that nobody learns here which brands there are. Raises
        NotFound for the list; Invalid for this brand itself and for a list that holds no entries; Conflict for too many.
        """
        async with self._db.transaction() as conn:
            held = await self._locked(conn, brand_id, reference)
            if not held.holds_entries:
                raise Invalid.field(
                    "/grantee_id", "no-entries", f"A {held.kind} list holds no entries; grant those behind it."
                )
            if grantee_id == brand_id:
                raise Invalid.field(
                    "/grantee_id", "own-brand", "The list is this brand's own; a grant is for another one."
                )
            made = await list_store.insert_grant(conn, brand_id, held.id, grantee_id, granted_by)
            if made and await list_store.count_grants(conn, brand_id, held.id) > GRANTS_MAX:
                raise QuotaExceeded(f"A list has at most {GRANTS_MAX} grants. Take some back first.")
            if made:
                await record(conn, "optout_list.granted", held.id, brand_id=brand_id, after={"grantee_id": grantee_id})

    async def revoke(self, brand_id: UUID, reference: str, grantee_id: UUID) -> None:
        """Takes a grant back: links that it opened hold nothing from now on. Raises NotFound for the list or the grant."""
        async with self._db.transaction() as conn:
            held = await self._locked(conn, brand_id, reference)
            if not await list_store.delete_grant(conn, brand_id, held.id, grantee_id):
                raise NotFound("This list is not granted to that brand.")
            await record(conn, "optout_list.revoked", held.id, brand_id=brand_id, before={"grantee_id": grantee_id})

    async def grants(
        self, brand_id: UUID, reference: str, *, after: UUID | None = None, limit: int = PAGE_MAX
    ) -> list[Grant]:
        """Up to 100 brands that the list is granted to, from behind the brand `after`. Raises NotFound."""
        async with self._db.read() as conn:
            held = await resolve(conn, brand_id, reference)
            return await list_store.page_of_grants(conn, brand_id, held.id, after=after, limit=min(limit, PAGE_MAX))

    async def granted(self, brand_id: UUID, *, after: UUID | None = None, limit: int = PAGE_MAX) -> list[GrantedList]:
        """Up to 100 lists of other brands that this one may link to, from behind the id `after`."""
        async with self._db.read() as conn:
            return await list_store.page_of_granted(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))

    async def _locked(self, conn: Connection, brand_id: UUID, reference: str) -> OptOutList:
        held = await resolve(conn, brand_id, reference)
        if not await list_store.lock_list(conn, brand_id, held.id):
            raise _missing(reference)
        # What was waited for may have changed it.
        return await resolve(conn, brand_id, str(held.id))

    async def _checked(self, conn: Connection, brand_id: UUID, draft: ListDraft) -> NewList:
        _check_kind(draft)
        members = await self._members(conn, brand_id, draft.members) if draft.kind == "grouped" else []
        linked = await _linked(conn, brand_id, draft.linked) if draft.kind == "linked" else None
        behind = members[0].hash if members else linked.hash if linked else None
        hash_name = _hash_of(draft, behind)
        _check_members(members, hash_name)
        return NewList(
            name=_checked_name(draft.name),
            kind=draft.kind,
            hash=hash_name,
            channels=_channels_of(draft, linked),
            enabled=draft.enabled,
            scope=draft.scope,
            scope_ids=await self._scope_ids(conn, brand_id, draft.scope, draft.scope_ids),
            members=[member.id for member in members],
            linked_id=linked.id if linked else None,
            expiry_days=_checked_expiry(draft.expiry_days, draft.kind),
        )

    async def _changed(self, conn: Connection, held: OptOutList, patch: ListPatch) -> OptOutList:
        changed = held
        if patch.name is not UNSET:
            changed = replace(changed, name=_checked_name(patch.name))
        if patch.enabled is not UNSET:
            changed = replace(changed, state="enabled" if patch.enabled else "disabled")
        if patch.expiry_days is not UNSET:
            changed = replace(changed, expiry_days=_checked_expiry(patch.expiry_days, held.kind))
        if patch.scope is not UNSET or patch.scope_ids is not UNSET:
            scope = held.scope if patch.scope is UNSET else patch.scope
            kept = held.scope_ids if scope == held.scope else ()
            said = kept if patch.scope_ids is UNSET else patch.scope_ids
            scope_ids = await self._scope_ids(conn, held.brand_id, scope, said)
            changed = replace(changed, scope=scope, scope_ids=scope_ids)
        if patch.members is not UNSET:
            if held.kind != "grouped":
                raise Invalid.field(
                    "/members", "not-grouped", f"A {held.kind} list has no members; only a grouped one has."
                )
            members = await self._members(conn, held.brand_id, patch.members)
            _check_members(members, held.hash)
            changed = replace(changed, members=[member.id for member in members])
        return changed

    async def _members(self, conn: Connection, brand_id: UUID, references: Sequence[str]) -> list[OptOutList]:
        if len(references) > MEMBERS_MAX:
            raise Invalid.field("/members", "too-many", f"A grouped list has at most {MEMBERS_MAX} members.")
        found = await list_store.find_lists(conn, brand_id, references)
        held = await list_store.hold_lists(conn, brand_id, [one.id for one in found.values()])
        members: dict[UUID, OptOutList] = {}
        for index, reference in enumerate(references):
            member = found.get(reference)
            if member is None or member.id not in held:
                raise Invalid.field(
                    f"/members/{index}", "unknown-list", "This brand has no such list; name it by its id."
                )
            if member.kind == "grouped":
                raise Invalid.field(
                    f"/members/{index}", "nested-group", "A group cannot be in a group; name the lists that are in it."
                )
            members[member.id] = member
        return list(members.values())

    async def _scope_ids(
        self, conn: Connection, brand_id: UUID, scope: ListScope, said: Sequence[UUID]
    ) -> Sequence[UUID]:
        ids = list(dict.fromkeys(said))
        if scope == "brand":
            if ids:
                raise Invalid.field(
                    "/scope_ids", "unwanted", "A list for the whole brand names no campaigns and no topics."
                )
            return ids
        if not 1 <= len(ids) <= SCOPE_IDS_MAX:
            raise Invalid.field("/scope_ids", "length", f"Name the {scope} that the list is for: 1 to {SCOPE_IDS_MAX}.")
        if finder := self._finders.get(scope):
            known = await finder(conn, brand_id, ids)
            for index, one in enumerate(said):
                if one not in known:
                    raise Invalid.field(
                        f"/scope_ids/{index}", "unknown-id", f"None of this brand's {scope} has this id."
                    )
        return ids


def _told(held: OptOutList) -> dict[str, Any]:
    """The list as the audit log tells of it: what was said of it, and not what is in it."""
    told = msgspec.structs.asdict(held)
    return {**{name: told[name] for name in _SAID}, "channels": channels_in(held.channels)}


async def resolve(conn: Connection, brand_id: UUID, reference: str) -> OptOutList:
    """The brand's list of that id, code or name. Raises NotFound, for a deleted list too."""
    found = await list_store.find_lists(conn, brand_id, [reference])
    if reference not in found:
        raise _missing(reference)
    return found[reference]


async def resolve_all(conn: Connection, brand_id: UUID, references: Sequence[str]) -> list[OptOutList]:
    """The brand's lists of those ids, codes or names, in that order. Raises NotFound for the first that is none."""
    found = await list_store.find_lists(conn, brand_id, references)
    for reference in references:
        if reference not in found:
            raise _missing(reference)
    return [found[reference] for reference in references]


def _missing(reference: str) -> NotFound:
    return NotFound(f"This brand has no opt-out list {reference!r}.")


async def _linked(conn: Connection, brand_id: UUID, reference: str) -> GrantedList:
    granted = await list_store.find_granted(conn, brand_id, reference)
    if granted is None:
        raise Invalid.field(
            "/linked", "not-granted", "No list of that id or code is granted to this brand. Ask its owner for a grant."
        )
    return granted


def _check_kind(draft: ListDraft) -> None:
    if draft.members and draft.kind != "grouped":
        raise Invalid.field("/members", "not-grouped", f"A {draft.kind} list has no members; only a grouped one has.")
    if draft.linked and draft.kind != "linked":
        raise Invalid.field("/linked", "not-linked", f"A {draft.kind} list links to none; only a linked one does.")
    if draft.kind == "linked" and not draft.linked:
        raise Invalid.field("/linked", "required", "Name the other brand's list by its id or code.")


def _hash_of(draft: ListDraft, behind: HashName | None) -> HashName:
    """The hash of a list: its kind's, or that of what is behind it, or what was said. Raises Invalid when these differ."""
    fixed = draft.kind if draft.kind in HASH_NAMES else behind
    if draft.hash is not None and fixed is not None and draft.hash != fixed:
        raise Invalid.field("/hash", "other-hash", f"The hash of this list is {fixed}; leave `hash` out.")
    return fixed or draft.hash or "md5"


def _check_members(members: Sequence[OptOutList], hash_name: HashName) -> None:
    for index, member in enumerate(members):
        if member.hash != hash_name:
            raise Invalid.field(
                f"/members/{index}",
                "other-hash",
                f"This list is hashed by {member.hash} and the group by {hash_name}; a group is asked by one hash.",
            )


def _channels_of(draft: ListDraft, linked: GrantedList | None) -> int:
    possible = LIST_CHANNELS if linked is None else linked.channels
    channels = possible if draft.channels is None else draft.channels
    if channels <= 0 or channels & ~possible:
        raise Invalid.field(
            "/channels", "invalid-channels", "A list is of email, of sms or both, as far as what it links to."
        )
    return channels


def _checked_name(name: str) -> str:
    checked = checked_name(name, NAME_CHARS_MAX)
    if list_store.is_reference(checked):
        raise Invalid.field("/name", "like-an-id", "This name reads like a list's id or code; choose another one.")
    return checked


def _checked_expiry(days: int | None, kind: ListKind) -> int | None:
    if days is not None and kind in {"grouped", "linked"}:
        raise Invalid.field("/expiry_days", "no-entries", f"A {kind} list has no entries of its own that could lapse.")
    if days is not None and not 1 <= days <= EXPIRY_DAYS_MAX:
        raise Invalid.field(
            "/expiry_days", "range", f"Entries lapse after 1 to {EXPIRY_DAYS_MAX} days, or null: never."
        )
    return days
