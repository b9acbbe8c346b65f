"""A partner at the hub: its credentials, and how its programs ask."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
from httpx import AsyncClient, Response

from api_world import client_of
from stentor.accounts.model import Brand
from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.channels.partners.attributes import is_field
from stentor.channels.partners.model import Credentials
from stentor.domain.vocabulary import ChannelKind
from stentor.wiring.core import Core
from stentor.wiring.services import api_settings

ATTRIBUTES = ("Email", "Phone", "Country")


class Partner(msgspec.Struct):
    """One hub client of one brand. `ask` calls with its key, `token` logs it in."""

    http: AsyncClient
    services: Services
    brand: Brand
    credentials: Credentials

    @property
    def id(self) -> UUID:
        return self.credentials.client.id

    @property
    def login(self) -> dict[str, str]:
        return {"Username": self.credentials.client.username, "Password": self.credentials.password}

    async def ask(self, path: str, *, headers: Mapping[str, str] | None = None, **query: Any) -> Response:
        """A GET with its key, unless other headers are given."""
        said = {"X-API-KEY": self.credentials.api_key} if headers is None else headers
        return await self.http.get(path, headers=said, params=query)

    async def tell(self, path: str, body: Any, **query: Any) -> Response:
        """A POST of JSON with its key."""
        return await self.http.post(
            path, headers={"X-API-KEY": self.credentials.api_key}, params=query, content=msgspec.json.encode(body)
        )

    async def token(self) -> str:
        answer = await self.http.post("/current/general/Login", json=self.login)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()
        return token


@asynccontextmanager
async def hub_client_of(installation: Core, services: Services) -> AsyncIterator[AsyncClient]:
    """A client of the app, as programs of partners are."""
    async with client_of(create_app(services, api_settings(installation))) as client:
        yield client


async def partner_of(
    http: AsyncClient,
    services: Services,
    name: str,
    channels: Sequence[int] = (505, 506),
    *,
    brand: Brand | None = None,
    attributes: Sequence[str] = ATTRIBUTES,
) -> Partner:
    """A partner that executes these SMS channels of a brand, a new one unless it is given; its limit is lifted."""
    if brand is None:
        brand = await services.accounts.create_brand(name)
        await services.accounts.update_brand_settings(brand.id, {"hub_rate_per_10_s": 0})
    known = {each.number for each in await services.partner_channels.page(brand.id)}
    for number in channels:
        if number not in known:
            await services.partner_channels.create(brand.id, f"Channel {number}", ChannelKind.SMS, number=number)
    granted = {number: tuple(attributes) for number in channels}
    own = {number: tuple(each for each in attributes if not is_field(each)) for number in channels}
    username = name.lower().replace(" ", "-")
    credentials = await services.hub_clients.create(brand.id, name, username, granted, writes=own)
    return Partner(http, services, brand, credentials)
