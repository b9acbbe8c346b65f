"""Who calls, and what for: keys become callers, and what a key cannot see does not exist."""

from uuid import UUID

from stentor.accounts.acting import Actor, act_as
from stentor.accounts.model import Brand, Principal, Scope
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Forbidden, NotFound, Unauthenticated

_BEARER = "bearer "


async def group_access(request: ApiRequest, scope: Scope) -> Caller:
    """The caller of a path under `/v1/groups/{group_id}`.

    Raises Unauthenticated without a valid key, NotFound when the group is not there or not the key's, Forbidden when the
    key may not do this in its own group.
    """
    principal = await authenticated(request)
    brand = await visible_brand(request, principal, request.path_params["group_id"])
    return allowed(Caller(principal, brand), scope)


async def authenticated(request: ApiRequest) -> Principal:
    """The holder of the key in `Authorization: Bearer …` or `x-api-key`. Raises Unauthenticated."""
    said = request.headers.get("authorization")
    presented = request.headers.get("x-api-key", "") if said is None else said[len(_BEARER) :].strip()
    if said is not None and not said.lower().startswith(_BEARER):
        raise Unauthenticated("The Authorization header is not a bearer token. Send `Authorization: Bearer <token>`.")
    if not presented:
        raise Unauthenticated(
            "No key came with the request. Send `Authorization: Bearer <token>` or `x-api-key: <key>`."
        )
    principal = await request.services.keys.principal(presented)
    if principal is None:
        raise Unauthenticated("This key is unknown, revoked or expired. Make a new one with `stentor key create`.")
    address = request.client_address
    ip = "" if address is None else str(address)
    act_as(Actor("key", str(principal.key_number), principal.label, ip, request.request_id))
    return principal


async def visible_brand(request: ApiRequest, principal: Principal, group_id: str) -> Brand:
    """The brand of that id, if the key may act for it. Raises NotFound for all others alike."""
    try:
        brand = await request.services.brands.by_id(UUID(group_id))
    except ValueError:
        brand = None
    if brand is None or not principal.may_act_for(brand):
        raise NotFound("This key has no such group.")
    return brand


def live(caller: Caller, why: str) -> None:
    """Raises Forbidden for a test key, which changes nothing that is real: `why` this is."""
    if caller.principal.is_test:
        raise Forbidden(f"{why}, so a test key may not change it. Use a key that is no test key.")


def allowed(caller: Caller, scope: Scope) -> Caller:
    """The caller, if its key has the scope. Raises Forbidden."""
    if not caller.principal.may(scope):
        has = ", ".join(sorted(caller.principal.scopes)) or "none"
        raise Forbidden(
            f"This needs a key with the scope `{scope}`; yours has {has}. Make one with `stentor key create`."
        )
    return caller
