"""Connectors over the native API: what is refused says which field and what to do; no answer shows a secret."""

import pytest

from api_world import World

pytestmark = pytest.mark.anyio


async def a_campaign(world: World, kind: str = "batch", *, published: bool = True) -> str:
    content = {"name": kind, "channel": "sms", "default_language": "en", "variants": {"en": {"text": "Hi"}}}
    template = (await world.ask("POST", "/templates", json=content)).json()["id"]
    route = {"channel": "sms", "template_id": template}
    draft = {"name": kind, "kind": kind, "consent_basis": "channel", "routes": [route]}
    campaign: str = (await world.ask("POST", "/campaigns", json=draft)).json()["id"]
    if published:
        await world.ask("POST", f"/campaigns/{campaign}/publish")
    return campaign


async def test_a_connector_is_made_changed_and_deleted_and_its_secret_never_shown(world: World):
    campaign = await a_campaign(world)
    said = {"name": "Hub", "url": "https://hub.example.org/", "secret": "s3cr3t", "username": "texter"}
    channels = [{"number": 505, "campaign_id": campaign}]

    made = await world.ask("POST", "/connectors", json={**said, "channels": channels})
    assert (made.status_code, made.json()["state"], made.json()["url"]) == (201, "new", "https://hub.example.org")
    path = f"/connectors/{made.json()['id']}"
    taken = await world.ask("POST", "/connectors", json={**said, "channels": channels})
    assert taken.status_code == 409
    changed = await world.ask("PATCH", path, json={"push_every_s": 60, "enabled": False, "secret": "0th3r"})
    assert (changed.json()["state"], changed.json()["push_every_s"]) == ("off", 60)
    listed = await world.ask("GET", "/connectors")
    assert [one["name"] for one in listed.json()["data"]] == ["Hub"]
    assert (await world.ask("GET", f"{path}/runs")).json()["data"] == []
    audit = await world.ask("GET", "/audit")
    for answer in (made, changed, listed, audit):
        assert "s3cr3t" not in answer.text
        assert "0th3r" not in answer.text
    assert (await world.ask("DELETE", path)).status_code == 204
    assert (await world.ask("GET", path)).status_code == 404


async def test_what_is_wrong_is_named_with_what_to_do(world: World):
    good, unpublished = await a_campaign(world), await a_campaign(world, "scheduled", published=False)
    called = await a_campaign(world, "api_triggered", published=False)
    base = {"name": "Hub", "url": "https://hub.example.org", "secret": "k"}
    channel = {"number": 505, "campaign_id": good}

    for changes, pointer, word in (
        ({"url": "http://10.0.0.1"}, "/url", "cannot be used"),
        ({"url": "https://hub.example.org/?a=b"}, "/url", "before /current"),
        ({"channels": [channel, channel]}, "/channels/1/number", "named twice"),
        ({"channels": [{**channel, "campaign_id": unpublished}]}, "/channels/0/campaign_id", "Publish it"),
        ({"channels": [{**channel, "campaign_id": called}]}, "/channels/0/campaign_id", "kind batch"),
        ({"channels": [{**channel, "app_id": "a"}]}, "/channels/0/app_id", "a name"),
        ({"attributes": {"Email": "mail"}}, "/attributes", "nothing of a customer"),
        ({"attributes": {"a;b": "email"}}, "/attributes", "no attribute"),
        ({"attributes": {"A": "email", "B": "email"}}, "/attributes", "Two attributes"),
        ({"secret": "ä"}, "/secret", "ASCII"),
    ):
        refused = await world.ask("POST", "/connectors", json={**base, "channels": [channel], **changes})
        assert refused.status_code == 400, refused.text
        (violation, *_) = refused.json()["violations"]
        assert (violation["pointer"], word in violation["message"]) == (pointer, True), refused.text
