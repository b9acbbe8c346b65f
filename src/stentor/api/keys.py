"""Keys of a group: made, listed, revoked. A secret is shown once, in the answer that makes it."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from stentor.accounts.model import KEY_DAYS_MAX, NAME_CHARS_MAX, SCOPES, ApiKey, KeyState, Scope
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Invalid, NotFound

# What PostgreSQL counts in.
_NUMBER_DIGITS = 18

keys = group_noun("keys", "What opens the API for a group. Needs a key with the scope `admin`.")


class KeyInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="What tells it from others.")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=len(SCOPES))] = ("run", "read", "write")
    is_test: Annotated[bool, Meta(description="What a test key triggers goes to the sandbox inbox, always.")] = False
    expires_at: (
        Annotated[
            datetime,
            Meta(
                tz=True, description=f"From when on it is refused, at most {KEY_DAYS_MAX} days ahead; left out, never."
            ),
        ]
        | None
    ) = None


class KeysQuery(ListQuery, frozen=True, kw_only=True):
    """Which keys are listed."""

    state: Annotated[
        KeyState, Meta(description="`live`: what opens something; `ended`: what was revoked or has expired; `all`.")
    ] = "live"


class Key(msgspec.Struct, frozen=True):
    """A key as it is listed, without its secret."""

    number: int
    name: str
    hint: Annotated[str, Meta(description="The beginning of the secret.")]
    scopes: tuple[Scope, ...]
    is_test: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: Annotated[datetime | None, Meta(description="To the minute.")]
    made_by: Annotated[str, Meta(description="Who made it, as they were called then; empty for an older one.")]

    @classmethod
    def of(cls, key: ApiKey) -> "Key":
        return cls(
            key.number,
            key.name,
            key.hint,
            key.scopes,
            key.is_test,
            key.created_at,
            key.expires_at,
            key.revoked_at,
            key.last_used_at,
            key.made_by,
        )


class SecretKey(msgspec.Struct, frozen=True):
    """A new key with its secret, which cannot be shown again."""

    number: int
    token: Annotated[str, Meta(description="For `Authorization: Bearer …`.")]
    api_key: Annotated[str, Meta(description="For `x-api-key`.")]
    hint: str


@keys.get("/keys", scope="admin")
async def list_keys(request: ApiRequest, caller: Caller, query: KeysQuery) -> Listing[Key]:
    """List the group's keys, in the order of their numbers: those that are live, unless asked."""

    async def fetch(after: int | None, limit: int) -> list[ApiKey]:
        accounts = request.services.accounts
        return await accounts.keys_of_brand(caller.brand_id, query.state, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda key: key.number, int), Key.of)


@keys.post("/keys", scope="admin", status=201, idempotent=False, example={"name": "Backend", "scopes": ["run", "read"]})
async def create_key(request: ApiRequest, caller: Caller, body: KeyInput) -> SecretKey:
    """Make a key.

    The answer is the only place where its secret is ever shown. It is not kept, so a call with an `Idempotency-Key` is
    refused. What a test key makes is a test key.
    """
    check_no_idempotency(request)
    is_test = body.is_test or caller.principal.is_test
    made = await request.services.accounts.create_key(
        body.name, brand_id=caller.brand_id, scopes=body.scopes, is_test=is_test, expires_at=body.expires_at
    )
    return SecretKey(made.number, made.token, made.api_key, made.hint)


@keys.delete("/keys/{key_number:str}", scope="admin", status=204)
async def revoke_key(request: ApiRequest, caller: Caller, key_number: str) -> None:
    """Revoke a key.

    It is refused everywhere within a second; revoking it again changes nothing. A test key revokes test keys alone.
    """
    await request.services.accounts.revoke_key(
        caller.principal.organisation_id,
        read_number(key_number),
        brand_id=caller.brand_id,
        tests_alone=caller.principal.is_test,
    )


def check_no_idempotency(request: ApiRequest) -> None:
    """Raises Invalid for a call that wants a secret to be kept for it."""
    if "idempotency-key" in request.headers:
        raise Invalid(
            "A secret is not kept to be shown again, so making a key takes no Idempotency-Key. Leave it out; when no answer "
            "comes, look through the keys by name and revoke the one whose secret you missed."
        )


def read_number(key_number: str) -> int:
    """The number in a path. Raises NotFound for what is none."""
    if not key_number.isascii() or not key_number.isdigit() or len(key_number) > _NUMBER_DIGITS:
        raise NotFound("There is no such key.")
    return int(key_number)
