"""Who calls: by the token that Login gave, or by a key that needs no Login."""

from litestar.types import HTTPScope

from stentor.accounts.acting import Actor, act_as
from stentor.accounts.limits import limits_of_hub_client
from stentor.api.proxies import client_address
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.api.wire.classic.calls import Call
from stentor.api.wire.classic.errors import TokenExpired
from stentor.api.wire.classic.paths import Version
from stentor.channels.partners.model import HubCaller
from stentor.errors import RateLimited, Unauthenticated

TOKEN = b"authorization-token"
KEY = b"x-api-key"


async def admitted(services: Services, scope: HTTPScope, settings: ApiSettings, version: Version) -> Call:
    """The call of whoever may make it, counted. Raises Unauthenticated, TokenExpired, RateLimited."""
    headers = dict(scope["headers"])
    client = await _client(services, headers.get(KEY, b"").strip(), headers.get(TOKEN, b"").strip())
    brand = await services.brands.by_id(client.brand_id)
    if brand is None:
        raise Unauthenticated("There is no such brand any more.")
    if limits := limits_of_hub_client(client.client_id, brand):
        (standing,) = await services.limiter.take(limits)
        if standing.is_over:
            raise RateLimited("Too many calls.", retry_after_s=standing.retry_after_s, limit=standing.limit.at_most)
    address = client_address(scope, settings.trusted_proxies)
    act_as(Actor("client", str(client.client_id), client.label, "" if address is None else str(address)))
    return Call(services, client, brand, version, [])


async def _client(services: Services, key: bytes, token: bytes) -> HubCaller:
    # A key is for ever, so a token that a client still sends beside it may be as old as it likes.
    if key:
        client = await services.hub_access.by_key(key.decode("latin-1"))
        if client is None:
            raise Unauthenticated("This key is unknown or was revoked.")
        return client
    if not token:
        raise Unauthenticated("No token came with the call. Log in, and send it as `Authorization-Token`.")
    client = await services.hub_access.by_token(token.decode("latin-1").strip('"'))
    if client is None:
        raise TokenExpired
    return client
