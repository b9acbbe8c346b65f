"""Organisations, brands and keys: made, changed, listed, revoked."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from stentor.accounts import store
from stentor.accounts.acting import acting
from stentor.accounts.audit import record
from stentor.accounts.brand_settings import changed_settings
from stentor.accounts.key_format import digest_of, hint_of, new_brand_key, new_secret
from stentor.accounts.model import (
    KEY_DAYS_MAX,
    NAME_CHARS_MAX,
    SCOPES,
    ApiKey,
    Brand,
    BrandSettings,
    Installation,
    KeyState,
    NewKey,
    Organisation,
    PolicyVersion,
    Scope,
)
from stentor.accounts.revoking import RevocationHook, hold_maker, revoke
from stentor.clock import Clock
from stentor.db.connection import Connection
from stentor.db.names import name_free, name_taken
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import new_id
from stentor.domain.text import checked_name
from stentor.errors import Conflict, Invalid, NotFound, Unauthenticated

BrandHook = Callable[[Connection, UUID], Awaitable[None]]
"""Gives a new brand what it cannot be without (its built-in opt-out list, its sandbox senders), in its transaction."""

KEYS_MAX = 1_000
"""Of a brand, and of an organisation beside those of its brands; what was revoked or has expired is not counted."""
KEYS_PAGE_MAX = 1_000
POLICIES_PAGE_MAX = 100

ORGANISATIONS_MAX = 1_000
BRANDS_MAX = 1_000
"""Of an organisation."""

FIRST_ORGANISATION_NAME = "Organisation"


async def find_brand(conn: Connection, brand_id: UUID) -> Brand | None:
    """The brand as it is now, for what is to be consistent with it."""
    return await store.find_brand(conn, brand_id)


async def policies_between(conn: Connection, brand_id: UUID, since: datetime, until: datetime) -> list[PolicyVersion]:
    """The versions of what the brand's guard goes by that held at any moment between the two, oldest first."""
    return await store.policies_between(conn, brand_id, since, until)


class AccountService:
    """Who owns what. `pepper` is what keys are hashed under; `on_brand_created` is called for each new brand, in order.

    `on_key_revoked` keeps outside of the database what a restored backup must not bring back. It is called before the answer.
    """

    def __init__(
        self,
        db: Database,
        pepper: bytes,
        *,
        on_brand_created: Sequence[BrandHook] = (),
        on_key_revoked: RevocationHook | None = None,
    ) -> None:
        self._db = db
        self._pepper = pepper
        self._on_brand_created = tuple(on_brand_created)
        self._on_key_revoked = on_key_revoked

    async def ensure_first_organisation(self) -> Organisation:
        """The first organisation, made now if this is the first start."""
        async with self._db.transaction() as conn:
            await store.lock_organisations(conn)
            first = await store.first_organisation(conn)
            if first is None:
                await store.insert_organisation(conn, new_id(), FIRST_ORGANISATION_NAME)
                first = await store.first_organisation(conn)
                if first is not None:
                    await record(conn, "organisation.created", first.id, organisation_id=first.id, after=first)
        if first is None:
            raise RuntimeError("An organisation that was just made is not there.")
        return first

    async def create_organisation(self, name: str) -> Organisation:
        """A new organisation without brands and members.

        Raises Invalid for a name that is none, Conflict when there is an organisation of that name, or when there are 1,000.
        """
        name = checked_name(name, NAME_CHARS_MAX)
        organisation_id = new_id()
        async with self._db.transaction() as conn:
            present = await _others(conn, name, None)
            if len(present) >= ORGANISATIONS_MAX:
                raise Conflict(
                    f"An installation has at most {ORGANISATIONS_MAX:,} organisations. Rename one that is not used."
                )
            await store.insert_organisation(conn, organisation_id, name)
            made = await _found_organisation(conn, organisation_id)
            await record(conn, "organisation.created", organisation_id, organisation_id=organisation_id, after=made)
            return made

    async def rename_organisation(self, organisation_id: UUID, name: str) -> Organisation:
        """The organisation under another name. Raises as `create_organisation`, and NotFound."""
        name = checked_name(name, NAME_CHARS_MAX)
        async with self._db.transaction() as conn:
            await _others(conn, name, organisation_id)
            before = await _found_organisation(conn, organisation_id)
            await store.rename_organisation(conn, organisation_id, name)
            after = await _found_organisation(conn, organisation_id)
            await record(
                conn,
                "organisation.updated",
                organisation_id,
                organisation_id=organisation_id,
                before=before,
                after=after,
            )
            return after

    async def organisations(self) -> list[Organisation]:
        """All organisations of this installation, in the order of their numbers."""
        async with self._db.read() as conn:
            return await store.organisations(conn)

    async def organisation(self, organisation_id: UUID) -> Organisation:
        """The organisation of that id. Raises NotFound."""
        async with self._db.read() as conn:
            return await _found_organisation(conn, organisation_id)

    async def brands_of(self, organisation_id: UUID) -> list[Brand]:
        """The organisation's brands, in the order in which they were made."""
        async with self._db.read() as conn:
            return await store.brands_of(conn, organisation_id)

    async def create_brand(self, name: str, organisation_id: UUID | None = None) -> Brand:
        """A new brand of that organisation, or of the first one.

        Raises Invalid for a name that is none, Conflict when the organisation has a brand of that name, or 1,000 of them,
        NotFound.
        """
        name = checked_name(name, NAME_CHARS_MAX)
        if organisation_id is None:
            organisation_id = (await self.ensure_first_organisation()).id
        brand_id = new_id()
        async with self._db.transaction() as conn:
            await _found_organisation(conn, organisation_id)
            # Two at once may pass it by one: it keeps a program that runs wild from filling the installation.
            if len(await store.brands_of(conn, organisation_id)) >= BRANDS_MAX:
                raise Conflict(f"An organisation has at most {BRANDS_MAX:,} brands. Rename one that is not used.")
            inserted = await store.insert_brand(
                conn,
                brand_id=brand_id,
                organisation_id=organisation_id,
                name=name,
                brand_key=new_brand_key(),
                settings=BrandSettings(),
            )
            if not inserted:
                raise name_taken("brand", name)
            for hook in self._on_brand_created:
                await hook(conn, brand_id)
            brand = await _found(conn, brand_id)
            await record(conn, "brand.created", brand_id, brand_id=brand_id, after=brand)
            return brand

    async def rename_brand(self, brand_id: UUID, name: str, *, organisation_id: UUID | None = None) -> Brand:
        """The brand under another name, by which it is known everywhere within a second.

        Raises Invalid for a name that is none, Conflict when the organisation has a brand of that name, and NotFound, also
        for a brand of another organisation than the one that is named.
        """
        name = checked_name(name, NAME_CHARS_MAX)
        with name_free("brand", name):
            async with self._db.transaction() as conn:
                before = await _found(conn, brand_id)
                if organisation_id not in {None, before.organisation_id}:
                    raise _missing(brand_id)
                await store.rename_brand(conn, brand_id, name)
                await record(
                    conn,
                    "brand.renamed",
                    brand_id,
                    brand_id=brand_id,
                    before={"name": before.name},
                    after={"name": name},
                )
                return await _found(conn, brand_id)

    async def brand(self, brand_id: UUID) -> Brand:
        """The brand as it is now. Raises NotFound."""
        async with self._db.read() as conn:
            return await _found(conn, brand_id)

    async def brands(self) -> list[Brand]:
        """All brands of this installation, whichever organisation owns them, in the order in which they were made."""
        async with self._db.read() as conn:
            return await store.brands(conn)

    async def installation(self) -> Installation:
        """The installation as it is now."""
        async with self._db.read() as conn:
            return await store.find_installation(conn)

    async def update_brand_settings(self, brand_id: UUID, changes: Mapping[str, Any]) -> Brand:
        """The brand with those settings changed; they hold everywhere within a second.

        Raises Invalid, naming each setting that is wrong, and NotFound.
        """
        async with self._db.transaction() as conn:
            present = await store.lock_brand(conn, brand_id)
            if present is None:
                raise _missing(brand_id)
            settings = changed_settings(present, changes)
            await store.update_settings(conn, brand_id, settings)
            await record(conn, "brand.updated", brand_id, brand_id=brand_id, before=present, after=settings)
            return await _found(conn, brand_id)

    async def policy_versions(self, brand_id: UUID, *, limit: int) -> list[PolicyVersion]:
        """What the brand's guard went by, the newest version first: at most `limit` (and 100)."""
        async with self._db.read() as conn:
            return await store.page_of_policies(conn, brand_id, limit=min(limit, POLICIES_PAGE_MAX))

    async def create_key(
        self,
        name: str,
        *,
        brand_id: UUID | None = None,
        organisation_id: UUID | None = None,
        scopes: Sequence[Scope] = ("run", "read", "write"),
        is_test: bool = False,
        expires_at: datetime | None = None,
    ) -> NewKey:
        """A new key for that brand, or for all brands of the organisation (the first one, unless one is named).

        What a test key triggers always goes to the sandbox. The secret is in the answer and nowhere else: it cannot be
        shown again. From `expires_at` on it is refused. Raises Invalid, QuotaExceeded, NotFound for a brand or organisation
        that does not exist, Unauthenticated where a key makes it that was revoked meanwhile, or a user who was disabled, and
        Forbidden where that user may not do there what the key could.
        """
        name, scopes = checked_name(name, NAME_CHARS_MAX), _checked_scopes(scopes)
        if expires_at is not None:
            self._check_expiry(expires_at)
        if brand_id is None and organisation_id is None:
            organisation_id = (await self.ensure_first_organisation()).id
        secret = new_secret(is_test=is_test)
        async with self._db.transaction() as conn:
            owner = await _owner(conn, brand_id, organisation_id)
            await hold_maker(conn, owner, brand_id, scopes)
            await _check_keys(conn, brand_id, owner)
            number = await store.insert_key(
                conn,
                organisation_id=owner,
                brand_id=brand_id,
                name=name,
                digest=digest_of(self._pepper, secret),
                hint=hint_of(secret),
                scopes=scopes,
                is_test=is_test,
                expires_at=expires_at,
                made_by=acting(),
            )
            if number is None:
                # A process knows that a second later, in which the key would leave another one behind.
                raise Unauthenticated("This key was revoked, or has expired. Make a new one with `stentor key create`.")
            made = {
                "name": name,
                "hint": hint_of(secret),
                "scopes": scopes,
                "is_test": is_test,
                "expires_at": expires_at,
            }
            await record(conn, "key.created", number, brand_id=brand_id, organisation_id=owner, after=made)
        return NewKey(number=number, token=f"{number}|{secret}", api_key=secret, hint=hint_of(secret))

    def _check_expiry(self, expires_at: datetime) -> None:
        now = Clock(self._db.shift).now()
        if not now < expires_at <= now + timedelta(days=KEY_DAYS_MAX):
            raise Invalid.field(
                "/expires_at",
                "expiry",
                f"A key expires in the future, {KEY_DAYS_MAX} days from now at most; or leave it out.",
            )

    async def keys_of_brand(
        self, brand_id: UUID, state: KeyState = "live", *, after: int | None = None, limit: int = KEYS_PAGE_MAX
    ) -> list[ApiKey]:
        """At most `limit` (and 1,000) keys of this brand alone, in the order of their numbers, from behind `after`."""
        async with self._db.read() as conn:
            return await store.keys_of_brand(conn, brand_id, state, after=after, limit=min(limit, KEYS_PAGE_MAX))

    async def keys_of_organisation(
        self, organisation_id: UUID, state: KeyState = "live", *, after: int | None = None, limit: int = KEYS_PAGE_MAX
    ) -> list[ApiKey]:
        """The same of the organisation and all its brands."""
        async with self._db.read() as conn:
            return await store.keys_of_organisation(
                conn, organisation_id, state, after=after, limit=min(limit, KEYS_PAGE_MAX)
            )

    async def revoke_key(
        self, organisation_id: UUID, number: int, *, brand_id: UUID | None = None, tests_alone: bool = False
    ) -> None:
        """Revokes the key, in every process within a second; again is no error. Invitations that it made end with it.

        Raises NotFound when the organisation (or the brand, if one is given) has no key of that number, or with
        `tests_alone` no test key.
        """
        async with self._db.transaction() as conn:
            key = await store.lock_key(conn, organisation_id, number, brand_id)
            if key is None or (tests_alone and not key.is_test):
                raise NotFound(f"There is no {'test ' if tests_alone else ''}key {number}.")
            if key.revoked_at is not None:
                return
            await revoke(conn, key)
        if self._on_key_revoked is not None:
            await self._on_key_revoked()


async def _found(conn: Connection, brand_id: UUID) -> Brand:
    brand = await store.find_brand(conn, brand_id)
    if brand is None:
        raise _missing(brand_id)
    return brand


async def _check_keys(conn: Connection, brand_id: UUID | None, organisation_id: UUID) -> None:
    """Raises QuotaExceeded where the brand, or the organisation beside its brands, has all the keys that it may have."""
    remedy = "Revoke those that nobody uses."
    if brand_id is not None:
        await check_quota(conn, brand_id, "keys", KEYS_MAX, store.count_keys, remedy=remedy)
    else:
        await check_quota(
            conn,
            organisation_id,
            "keys of its own",
            KEYS_MAX,
            store.count_organisation_keys,
            whose="An organisation",
            remedy=remedy,
        )


async def _owner(conn: Connection, brand_id: UUID | None, organisation_id: UUID | None) -> UUID:
    """Whose key it is. A brand's key belongs to the brand's organisation, whichever else was named."""
    if brand_id is not None:
        brand = await _found(conn, brand_id)
        if organisation_id not in {None, brand.organisation_id}:
            raise _missing(brand_id)
        return brand.organisation_id
    if organisation_id is None:
        raise NotFound("There is no organisation yet.")
    return (await _found_organisation(conn, organisation_id)).id


async def _found_organisation(conn: Connection, organisation_id: UUID) -> Organisation:
    organisation = await store.find_organisation(conn, organisation_id)
    if organisation is None:
        raise NotFound(f"There is no organisation {organisation_id}.")
    return organisation


async def _others(conn: Connection, name: str, organisation_id: UUID | None) -> list[Organisation]:
    """All organisations, while nobody else names one. Raises Conflict where another one than that has the name."""
    await store.lock_organisations(conn)
    present = await store.organisations(conn)
    if any(one.name == name and one.id != organisation_id for one in present):
        raise name_taken("organisation", name)
    return present


def _missing(brand_id: UUID) -> NotFound:
    return NotFound(f"There is no brand {brand_id}.")


def _checked_scopes(scopes: Sequence[Scope]) -> list[Scope]:
    if not scopes or not set(scopes) <= set(SCOPES):
        raise Invalid.field("/scopes", "scope", f"A key has at least one of the scopes {', '.join(SCOPES)}.")
    return [scope for scope in SCOPES if scope in scopes]
