"""Organisations, brands and keys in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.accounts.acting import Actor
from stentor.accounts.model import (
    ApiKey,
    Brand,
    BrandSettings,
    Installation,
    KeyState,
    Organisation,
    PolicyVersion,
    Principal,
    Scope,
)
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="queries.sql", package=__package__):
    note_installation: Statement
    installation_fingerprint: Statement
    find_installation: Statement
    lock_organisations: Statement
    insert_organisation: Statement
    rename_organisation: Statement
    organisations: Statement
    first_organisation: Statement
    find_organisation: Statement
    insert_brand: Statement
    find_brand: Statement
    find_brand_by_key: Statement
    brands: Statement
    brands_of: Statement
    rename_brand: Statement
    lock_brand: Statement
    update_settings: Statement
    note_policy: Statement
    policies_between: Statement
    page_of_policies: Statement
    insert_key: Statement
    holder_of_key: Statement
    count_keys: Statement
    count_organisation_keys: Statement
    find_principal: Statement
    keys_of_organisation: Statement
    keys_of_brand: Statement
    lock_key: Statement
    lock_keys_of_user: Statement
    revoke_key: Statement
    note_key_use: Statement


async def note_installation(conn: Connection, fingerprint: bytes) -> None:
    """Stores the fingerprint of the installation's secret where none is stored."""
    await Sql.note_installation.run(conn, fingerprint=fingerprint)


async def installation_fingerprint(conn: Connection) -> bytes:
    return await Sql.installation_fingerprint.value(conn)


async def find_installation(conn: Connection) -> Installation:
    return (await Sql.find_installation.rows(conn, Installation))[0]


async def lock_organisations(conn: Connection) -> None:
    """Waits until no other transaction makes or names an organisation."""
    await Sql.lock_organisations.run(conn)


async def insert_organisation(conn: Connection, organisation_id: UUID, name: str) -> None:
    await Sql.insert_organisation.run(conn, id=organisation_id, name=name)


async def rename_organisation(conn: Connection, organisation_id: UUID, name: str) -> None:
    await Sql.rename_organisation.run(conn, id=organisation_id, name=name)


async def organisations(conn: Connection) -> list[Organisation]:
    """All organisations in the order of their numbers."""
    return await Sql.organisations.rows(conn, Organisation)


async def first_organisation(conn: Connection) -> Organisation | None:
    """The organisation with the lowest number."""
    return await Sql.first_organisation.first(conn, Organisation)


async def find_organisation(conn: Connection, organisation_id: UUID) -> Organisation | None:
    return await Sql.find_organisation.first(conn, Organisation, id=organisation_id)


async def insert_brand(
    conn: Connection, *, brand_id: UUID, organisation_id: UUID, name: str, brand_key: str, settings: BrandSettings
) -> bool:
    """Makes the brand; False when the organisation has one of that name."""
    inserted = await Sql.insert_brand.run(
        conn,
        brand_id=brand_id,
        organisation_id=organisation_id,
        name=name,
        brand_key=brand_key,
        settings=Jsonb(settings),
    )
    if inserted:
        await note_policy(conn, brand_id)
    return inserted > 0


async def find_brand(conn: Connection, brand_id: UUID) -> Brand | None:
    return _first_brand(await Sql.find_brand.tuples(conn, brand_id=brand_id))


async def find_brand_by_key(conn: Connection, brand_key: str) -> Brand | None:
    return _first_brand(await Sql.find_brand_by_key.tuples(conn, brand_key=brand_key))


async def brands(conn: Connection) -> list[Brand]:
    """All brands in the order in which they were made."""
    return [_brand(row) for row in await Sql.brands.tuples(conn)]


async def brands_of(conn: Connection, organisation_id: UUID) -> list[Brand]:
    """The organisation's brands in the order in which they were made."""
    return [_brand(row) for row in await Sql.brands_of.tuples(conn, organisation_id=organisation_id)]


async def rename_brand(conn: Connection, brand_id: UUID, name: str) -> None:
    """Gives the brand another name. UniqueViolation where the organisation has a brand of that name."""
    await Sql.rename_brand.run(conn, brand_id=brand_id, name=name)


async def lock_brand(conn: Connection, brand_id: UUID) -> BrandSettings | None:
    """The brand's settings, locked until the transaction ends; None when there is no such brand."""
    text = await Sql.lock_brand.value(conn, brand_id=brand_id)
    return None if text is None else _settings(text)


async def update_settings(conn: Connection, brand_id: UUID, settings: BrandSettings) -> None:
    await Sql.update_settings.run(conn, brand_id=brand_id, settings=Jsonb(settings))
    await note_policy(conn, brand_id)


async def note_policy(conn: Connection, brand_id: UUID) -> None:
    """Keeps what the guard goes by in the settings that were just written as a version, where it is another than before."""
    await Sql.note_policy.run(conn, brand_id=brand_id)


async def policies_between(conn: Connection, brand_id: UUID, since: datetime, until: datetime) -> list[PolicyVersion]:
    """The versions that held at any moment between the two, oldest first; before the first one, that one."""
    rows = await Sql.policies_between.tuples(conn, brand_id=brand_id, since=since, until=until)
    return [PolicyVersion(version, _settings(policy), from_) for version, policy, from_ in rows]


async def page_of_policies(conn: Connection, brand_id: UUID, *, limit: int) -> list[PolicyVersion]:
    """The newest versions first."""
    rows = await Sql.page_of_policies.tuples(conn, brand_id=brand_id, limit=limit)
    return [PolicyVersion(version, _settings(policy), from_) for version, policy, from_ in rows]


async def count_keys(conn: Connection, brand_id: UUID) -> int:
    """How many live keys the brand has."""
    return await Sql.count_keys.value(conn, brand_id=brand_id)


async def count_organisation_keys(conn: Connection, organisation_id: UUID) -> int:
    """How many live keys there are of the whole organisation."""
    return await Sql.count_organisation_keys.value(conn, organisation_id=organisation_id)


async def insert_key(
    conn: Connection,
    *,
    organisation_id: UUID,
    brand_id: UUID | None,
    name: str,
    digest: bytes,
    hint: str,
    scopes: Sequence[Scope],
    is_test: bool,
    expires_at: datetime | None,
    made_by: Actor,
) -> int | None:
    """Stores a key by its digest and returns its number; None where a key makes it that was revoked or has expired."""
    holder = await _holder_of_keys_by(conn, made_by)
    if holder is None and made_by.kind == "key":
        return None
    return await Sql.insert_key.value(
        conn,
        organisation_id=organisation_id,
        brand_id=brand_id,
        name=name,
        digest=digest,
        hint=hint,
        scopes=list(scopes),
        is_test=is_test,
        expires_at=expires_at,
        made_by_kind=made_by.kind,
        made_by_id=made_by.id,
        made_by=made_by.label,
        holder=holder,
    )


async def _holder_of_keys_by(conn: Connection, maker: Actor) -> str | None:
    """The user who makes them, or whoever holds the key that makes them; of others' keys each is its own holder."""
    if maker.kind == "key":
        return await Sql.holder_of_key.value(conn, number=int(maker.id))
    return _holder_of_user(maker.id) if maker.kind == "user" else None


def _holder_of_user(user_id: str) -> str:
    return f"user {user_id}"


async def find_principal(conn: Connection, digest: bytes) -> Principal | None:
    """The holder of the key with that digest, unless it was revoked or has expired."""
    rows = await Sql.find_principal.tuples(conn, digest=digest)
    if not rows:
        return None
    number, organisation_id, brand_id, scopes, is_test, name, holder = rows[0]
    return Principal(number, organisation_id, brand_id, frozenset(scopes), is_test, name, holder)


async def keys_of_organisation(
    conn: Connection, organisation_id: UUID, state: KeyState, *, after: int | None, limit: int
) -> list[ApiKey]:
    """Keys of the organisation and its brands in the order of their numbers, from behind `after`."""
    return await Sql.keys_of_organisation.rows(
        conn, ApiKey, organisation_id=organisation_id, state=state, after=after, limit=limit
    )


async def keys_of_brand(
    conn: Connection, brand_id: UUID, state: KeyState, *, after: int | None, limit: int
) -> list[ApiKey]:
    """The same of keys that were made for this brand alone."""
    return await Sql.keys_of_brand.rows(conn, ApiKey, brand_id=brand_id, state=state, after=after, limit=limit)


class LockedKey(msgspec.Struct, frozen=True):
    """A key that is locked until the transaction ends."""

    number: int
    organisation_id: UUID
    brand_id: UUID | None
    name: str
    hint: str
    scopes: tuple[Scope, ...]
    is_test: bool
    revoked_at: datetime | None


async def lock_key(conn: Connection, organisation_id: UUID, number: int, brand_id: UUID | None) -> LockedKey | None:
    """The key; None when the organisation, or the brand if one is given, has none of that number."""
    return await Sql.lock_key.first(conn, LockedKey, organisation_id=organisation_id, number=number, brand_id=brand_id)


async def lock_keys_of_user(conn: Connection, user_id: UUID, organisation_id: UUID | None) -> list[LockedKey]:
    """The live keys of that user, be they made by other keys, in the organisation or with None in all of them."""
    return await Sql.lock_keys_of_user.rows(
        conn, LockedKey, holder=_holder_of_user(str(user_id)), organisation_id=organisation_id
    )


async def revoke_key(conn: Connection, number: int) -> None:
    """Revokes the key, which is locked."""
    await Sql.revoke_key.run(conn, number=number)


async def note_key_use(conn: Connection, numbers: Sequence[int]) -> None:
    """Records that the keys were used in this minute."""
    await Sql.note_key_use.run(conn, numbers=list(numbers))


def _first_brand(rows: Sequence[tuple[Any, ...]]) -> Brand | None:
    return _brand(rows[0]) if rows else None


def _brand(row: tuple[Any, ...]) -> Brand:
    brand_id, organisation_id, number, name, brand_key, settings, created_at, updated_at = row
    return Brand(brand_id, organisation_id, number, name, brand_key, _settings(settings), created_at, updated_at)


def _settings(text: str) -> BrandSettings:
    return msgspec.json.decode(text, type=BrandSettings)
