"""Webhook senders through the native API."""

import pytest

from api_world import World

pytestmark = pytest.mark.anyio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_c3RlbnRvciBzaWducyBmb3IgdGVzdHMgb25seSE="
SENDER = {
    "name": "Our backend",
    "channel": "webhook",
    "kind": "webhook",
    "settings": {"url": "https://backend.example.org/hooks"},
    "secret": SECRET,
    "enabled": False,
}


async def test_a_webhook_sender_is_made_and_its_secret_never_told(world: World):
    made = await world.ask("POST", "/senders", json=SENDER)
    rotated = await world.ask("PATCH", f"/senders/{made.json()['id']}", json={"secret": f"{OTHER} {SECRET}"})

    assert (made.status_code, rotated.status_code) == (201, 200), rotated.text
    assert made.json()["has_secret"]
    assert made.json()["settings"] == {
        "url": "https://backend.example.org/hooks",
        "batch_max": 1,
        "connections_max": 10,
        "connect_timeout_s": 10.0,
        "timeout_s": 30.0,
    }
    assert SECRET not in made.text + rotated.text


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"secret": ""}, "/secret"),
        ({"secret": "password"}, "/secret"),
        ({"channel": "email"}, "/channel"),
        ({"settings": {"url": "https://127.1/"}}, "/settings/url"),
        ({"settings": {"url": "https://backend.example.org/", "batch_max": 1_001}}, "/settings/batch_max"),
        ({"settings": {"url": "https://backend.example.org/", "secrets": SECRET}}, "/settings/secrets"),
        ({"settings": {"url": "http://127.0.0.1:5432/"}, "enabled": True}, "/settings/url"),
        ({"settings": {"url": "https://169.254.169.254/"}, "enabled": True}, "/settings/url"),
        ({"settings": {"url": "http://backend.example.org/"}, "enabled": True}, "/settings/url"),
    ],
)
async def test_what_cannot_be_used_is_named(world: World, changes: dict[str, object], pointer: str):
    refused = await world.ask("POST", "/senders", json=SENDER | changes)

    assert refused.status_code == 400
    assert [violation["pointer"] for violation in refused.json()["violations"]] == [pointer]


async def test_it_is_switched_on_only_where_people_can_find_us(world: World):
    refused = await world.ask("POST", "/senders", json=SENDER | {"enabled": True})

    assert refused.status_code == 422
    assert "public-url" in refused.text
