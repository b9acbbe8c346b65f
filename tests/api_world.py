"""A brand with its keys behind the app, and how its backend asks it: for tests of the HTTP door."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast
from uuid import UUID

import msgspec
from httpx import ASGITransport, AsyncClient, Response
from litestar import Litestar

from stentor.accounts.model import Brand, Scope
from stentor.api.services import Services

Client: TypeAlias = AsyncClient


@asynccontextmanager
async def client_of(app: Litestar) -> AsyncIterator[Client]:
    """A client in the test's own event loop, so that what is asked at once really is."""
    transport = ASGITransport(cast("Any", app), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://testserver.local") as client:
        yield client


class World(msgspec.Struct):
    """One brand; `token` opens everything in it."""

    client: Client
    services: Services
    brand: Brand
    token: str

    @classmethod
    async def made(cls, client: Client, services: Services, name: str) -> "World":
        brand = await services.accounts.create_brand(name)
        # A test asks as fast as it can; those of limits set their own.
        lifted = {"user_rate_per_min": 0, "batch_rate_per_min": 0, "key_rate_per_s": 0}
        await services.accounts.update_brand_settings(brand.id, lifted)
        key = await services.accounts.create_key("all", brand_id=brand.id, scopes=("admin",))
        return cls(client, services, brand, key.token)

    async def ask(self, method: str, path: str, *, token: str | None = None, **more: Any) -> Response:
        """The answer to a request below the brand's group, with its token unless another is given."""
        headers = {"Authorization": f"Bearer {token or self.token}", **more.pop("headers", {})}
        return await self.client.request(method, f"/v1/groups/{self.brand.id}{path}", headers=headers, **more)

    async def key(self, *scopes: Scope, brand_id: UUID | None = None) -> str:
        """A token with these scopes, for this brand unless another is given."""
        key = await self.services.accounts.create_key("made", brand_id=brand_id or self.brand.id, scopes=scopes)
        return key.token


async def subscribe(world: World, topic: str, *names: str) -> None:
    """The topic, for e-mail, and customers of these names who want it."""
    await world.ask("POST", "/topics", json={"key": topic, "name": topic.upper(), "channels": ["email"]})
    for name in names:
        await world.ask("POST", "/customers", json={"external_id": name, "email": f"{name.strip('=')}@example.org"})
        await world.ask("PUT", f"/customers/{name}/subscriptions/{topic}", json={})


async def mail_generator(world: World, name: str, *, subject: str = "Hi", **more: Any) -> None:
    """A published event generator that mails the subscribers of a topic."""
    content = {"subject": subject, "html": "<p>Hi</p>", "text": "Hi"}
    draft = {"name": name, "channel": "email", "default_language": "en", "variants": {"en": content}}
    template = await world.ask("POST", "/templates", json=draft)
    route = {"channel": "email", "template_id": template.json()["id"]}
    campaign = await world.ask("POST", "/campaigns", json={"name": name, "routes": [route]})
    said = {"id": name, "name": name, "campaign_id": campaign.json()["id"], **more}
    await world.ask("POST", "/event-generators", json=said)
    await world.ask("POST", f"/event-generators/{name}/publish")


async def shop_generator(world: World, name: str, channels: Sequence[str], **campaign: str) -> None:
    """A published event generator that tells of an `order`, by a transactional campaign unless it is said to be another."""
    texts = {
        "email": {"subject": "{{ context.order }}", "html": "<p>Hi</p>", "text": "{{ context.shop | default: 'Us' }}"},
        "sms": {"text": "{{ context.order }}"},
    }
    routes = []
    for channel in channels:
        draft = {"name": f"{name} {channel}", "channel": channel, "default_language": "en"}
        made = await world.ask("POST", "/templates", json={**draft, "variants": {"en": texts[channel]}})
        routes.append({"channel": channel, "template_id": made.json()["id"]})
    kind = {"consent_basis": "none", "lane": "transactional", **campaign}
    made = await world.ask("POST", "/campaigns", json={"name": name, "routes": routes, **kind})
    properties = {"order": {"type": "string"}, "shop": {"type": "string"}}
    schema = {"type": "object", "required": ["order"], "properties": properties}
    said = {"id": name, "name": name, "campaign_id": made.json()["id"], "context_schema": schema}
    await world.ask("POST", "/event-generators", json=said)
    published = await world.ask("POST", f"/event-generators/{name}/publish")
    assert published.status_code == 200, published.text
