"""Every operation of the API as the reference tells of it, asked with the ids of things that a brand owns."""

import re
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

import msgspec
from httpx import Response
from litestar.routes import HTTPRoute

from api_world import Client, World, shop_generator
from stentor.accounts.model import Scope
from stentor.api.operation import Operation as Described

if TYPE_CHECKING:
    from httpx import ASGITransport
    from litestar import Litestar


class Operation(msgspec.Struct, frozen=True):
    """One operation: `said` is what the document says of it, `scope` what its key must be allowed."""

    id: str
    method: str
    path: str
    said: dict[str, Any]
    scope: Scope | None

    @property
    def names(self) -> list[str]:
        """What its path names, the group left out."""
        return [name for name in re.findall(r"{(\w+)}", self.path) if name != "group_id"]

    @property
    def schemes(self) -> list[str]:
        """The keys that open it, any one of them; none for what needs no key."""
        return [scheme for way in self.said["security"] for scheme in way]

    @property
    def body(self) -> dict[str, Any]:
        """The document's example, as arguments of a request."""
        content = self.said.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            return {"json": content["application/json"].get("example", {})}
        for media, said in content.items():
            return {"content": said["example"], "headers": {"Content-Type": media}}
        return {}


class Brand(msgspec.Struct, frozen=True):
    """How a brand is named in paths, queries and headers."""

    id: str
    key: str
    tenant: str
    list_code: str

    @classmethod
    async def of(cls, world: World, owned: dict[str, str]) -> "Brand":
        brand = world.brand
        return cls(str(brand.id), brand.brand_key, str(brand.organisation_number), owned["optout_list"])

    @classmethod
    def missing(cls) -> "Brand":
        return cls(str(uuid4()), "br_" + uuid4().hex[:22], "1", uuid4().hex[:16])


async def operations(client: Client) -> list[Operation]:
    """Every operation of the document."""
    transport = cast("ASGITransport", client._transport)
    scopes = {
        operation.id: operation.scope
        for route in cast("Litestar", transport.app).routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if isinstance(operation := handler.opt.get("operation"), Described)
    }
    document = (await client.get("/openapi.json")).json()
    return [
        Operation(said["operationId"], method.upper(), path, said, scopes[said["operationId"]])
        for path, methods in document["paths"].items()
        for method, said in methods.items()
    ]


async def ask(
    client: Client,
    operation: Operation,
    token: str | None,
    brand: Brand,
    ids: dict[str, str],
    body: dict[str, Any] | None = None,
) -> Response:
    """The answer to the operation, asked of that brand with that token; ids that are not among `ids` are those of nothing."""
    arguments = dict(body if body is not None else operation.body)
    headers = {"X-Request-Id": "the-same", **arguments.pop("headers", {})}
    if token is not None:
        in_words = {"Authorization": f"Bearer {token}"}
        headers |= in_words if "bearer" in operation.schemes else {"x-api-key": token.rpartition("|")[2]}
    said = {
        "brandGroupId": brand.id,
        "optoutListId": brand.list_code,
        "optout": "somebody@example.org",
        "source": "stream",
    }
    params: dict[str, str] = {}
    for parameter in operation.said["parameters"]:
        if not parameter.get("required") or "name" not in parameter:
            continue
        if parameter["in"] == "header":
            headers[parameter["name"]] = brand.key if parameter["name"] == "x-brand-key" else brand.tenant
        elif parameter["in"] == "query":
            params[parameter["name"]] = said[parameter["name"]]
    if "optoutListId" in arguments.get("json", {}):
        arguments["json"] = {**arguments["json"], "optoutListId": brand.list_code}
    filled = re.sub(r"{(\w+)}", lambda name: brand.id if name[1] == "group_id" else _id(ids, name[1]), operation.path)
    return await client.request(operation.method, filled, headers=headers, params=params, **arguments)


def _id(ids: dict[str, str], name: str) -> str:
    return ids.get(name) or ids.get("other") or str(UUID(int=7))


async def harvested(world: World) -> dict[str, str]:
    """Ids of things that this brand owns, by the names that paths give them."""
    topic = await world.ask("POST", "/topics", json={"key": "theirs", "name": "Theirs", "channels": ["email"]})
    await world.ask("POST", "/customers", json={"external_id": "their-customer"})
    template = await world.ask(
        "POST",
        "/templates",
        json={"name": "T", "channel": "sms", "default_language": "en", "variants": {"en": {"text": "Hi"}}},
    )
    campaign = await world.ask(
        "POST", "/campaigns", json={"name": "C", "routes": [{"channel": "sms", "template_id": template.json()["id"]}]}
    )
    generator = await world.ask(
        "POST", "/event-generators", json={"id": "theirs", "name": "G", "campaign_id": campaign.json()["id"]}
    )
    await world.ask("POST", "/event-generators/theirs/publish")
    run = await world.ask("POST", "/event-generators/theirs/run", json={"topic_key": "theirs", "context": {}})
    await shop_generator(world, "orders", ["sms"])
    call = {"event_generator_id": "orders", "context": {"order": "1"}, "recipients": [{"phone": "+358401112222"}]}
    sent = await world.ask("POST", "/messages", json=call)
    profile = {"external_id": "their-profile", "person": {"email_address": "their@example.org"}}
    batch = (await world.ask("POST", "/batches", json={"profiles": [profile]})).json()
    schedule = await world.ask(
        "POST",
        "/schedules",
        json={
            "name": "S",
            "event_generator_id": "theirs",
            "topic_key": "theirs",
            "context": {},
            "time_zone": "UTC",
            "cron": "0 9 * * *",
        },
    )
    sender = await world.ask("POST", "/senders", json={"name": "S", "channel": "sms", "kind": "sandbox"})
    job = await world.ask("POST", "/imports", json={"kind": "customers", "format": "csv", "source": "theirs"})
    optout_list = await world.ask("POST", "/optout-lists", json={"name": "theirs"})
    optout_job = await world.ask("POST", "/optout-lists/theirs/imports", json={})
    everybody = {"type": "none_of", "conditions": [{"type": "sample", "share": 1.0}]}
    segment = await world.ask("POST", "/segments", json={"name": "S", "expression": everybody})
    key = await world.ask("POST", "/keys", json={"name": "K"})
    tester = await world.ask("POST", "/test-recipients", json={"address": "their-editor@example.org"})
    await world.ask("POST", "/customers", json={"external_id": "erased"})
    erased = await world.ask("DELETE", "/customers/erased")
    await world.ask("POST", "/partner-channels", json={"name": "P", "channel": "sms", "number": 777})
    await world.ask("POST", "/partner-channels/777/templates", json={"templates": [{"number": 8, "name": "T"}]})
    await world.ask("POST", "/partner-channels/777/apps", json={"apps": [{"app_id": "their-app", "name": "A"}]})
    said = {"name": "H", "username": f"hub-{world.brand.id}", "channels": [{"number": 777}]}
    client = (await world.ask("POST", "/hub-clients", json=said)).json()
    listens = {"client_id": client["client"]["id"], "event": "revocation", "url": "https://hooks.example.org/"}
    listener = await world.ask("POST", "/listeners", json=listens)
    return {
        **await _connector_of(world),
        "channel_number": "777",
        "template_number": "8",
        "app_id": "their-app",
        "client_id": client["client"]["id"],
        "batch_id": batch["uuid"],
        "tag_id": batch["profile_tag"]["uuid"],
        "profile": "their-profile",
        "topic": topic.json()["key"],
        "external_id": "their-customer",
        "template_id": template.json()["id"],
        "version_number": "1",
        "campaign_id": campaign.json()["id"],
        "event_generator_id": generator.json()["id"],
        "execution_id": run.json()["execution_id"],
        "message_id": sent.json()["messages"][0]["id"],
        "schedule_id": schedule.json()["id"],
        "sender_id": sender.json()["id"],
        "test_recipient_id": tester.json()["id"],
        "segment_id": segment.json()["id"],
        "import_id": job.json()["id"],
        "optout_list": optout_list.json()["code"],
        "job_id": optout_job.json()["id"],
        "topic_id": topic.json()["key"],
        "reference": str(uuid4()),
        "grantee_id": str(world.brand.id),
        **await _people_of(world),
        **await _pull_of(world, run.json()["execution_id"]),
        "key_number": str(key.json()["number"]),
        "erasure_id": erased.json()["erasure"]["id"],
        "listener_id": listener.json()["id"],
    }


async def _connector_of(world: World) -> dict[str, str]:
    """A hub for which the brand is the service, and a campaign of it."""
    content = {"name": "For the hub", "channel": "sms", "default_language": "en", "variants": {"en": {"text": "Hi"}}}
    template = await world.ask("POST", "/templates", json=content)
    routes = [{"channel": "sms", "template_id": template.json()["id"]}]
    draft = {"name": "For the hub", "kind": "batch", "consent_basis": "channel", "routes": routes}
    campaign = (await world.ask("POST", "/campaigns", json=draft)).json()["id"]
    await world.ask("POST", f"/campaigns/{campaign}/publish")
    channels = [{"number": 505, "campaign_id": campaign}]
    said = {"name": "H", "url": "https://hub.example.org", "secret": "key", "channels": channels}
    made, run_id = (await world.ask("POST", "/connectors", json=said)).json(), uuid4()
    async with world.services.database.transaction() as conn:
        await conn.execute(
            "INSERT INTO connector_run (id, connector_id, brand_id, campaign_number, channel_number, state, noticed_at, due_at)"
            " VALUES (%s, %s, %s, 1, 505, 'failed', now(), now())",
            [run_id, made["id"], world.brand.id],
        )
    return {"connector_id": made["id"], "run_id": str(run_id)}


async def _pull_of(world: World, execution_id: str) -> dict[str, str]:
    """A list that somebody has frozen, and a lease of its rows."""
    pull_id, lease_id, puller_id = uuid4(), uuid4(), uuid4()
    async with world.services.database.transaction() as conn:
        brand = {"brand": world.brand.id, "execution": UUID(execution_id), "pull": pull_id, "lease": lease_id}
        await conn.execute(
            "INSERT INTO partner_run (brand_id, number, execution_id, published_at, channels)"
            " VALUES (%(brand)s, 1, %(execution)s, now(), '{505}')",
            brand,
        )
        await conn.execute(
            "INSERT INTO pulled_run (execution_id, channel_number, brand_id, channel, watched_until)"
            " VALUES (%(execution)s, 505, %(brand)s, 2, now())",
            brand,
        )
        await conn.execute(
            "INSERT INTO pull (id, brand_id, execution_id, channel_number, puller_id, puller, started_at, frozen_at)"
            " VALUES (%(pull)s, %(brand)s, %(execution)s, 505, %(puller)s, 'key 1', now(), now())",
            {**brand, "puller": puller_id},
        )
        await conn.execute(
            "INSERT INTO pull_page (id, pull_id, brand_id, position_from, position_to, asked_by, asked_at, lease_until)"
            " VALUES (%(lease)s, %(pull)s, %(brand)s, 0, 1, 'key 1', now(), now())",
            brand,
        )
    return {"pull_id": str(pull_id), "lease_id": str(lease_id)}


async def _people_of(world: World) -> dict[str, str]:
    """A member of the brand's organisation, and an invitation to it."""
    organisation_id = world.brand.organisation_id
    user = await world.services.users.create(
        f"{world.brand.id}@example.org", "Somebody", organisation_id=organisation_id, role="viewer"
    )
    invitation = await world.services.invitations.invite(
        f"to-{world.brand.id}@example.org", organisation_id=organisation_id, role="viewer", owners_too=False
    )
    return {
        "organisation_id": str(organisation_id),
        "user_id": str(user.id),
        "invitation_id": str(invitation.id),
    }
