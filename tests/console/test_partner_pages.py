"""Partner channels and hub clients in the console."""

import re

import pytest

from browsing import form_token
from console_world import OWN, ConsoleWorld, a_campaign
from stentor.audience.model import CustomerPatch
from stentor.channels.partners.model import NewApp, NewTemplate
from stentor.domain.vocabulary import ChannelKind
from stentor.integrations.connector.model import ChannelDraft, Draft

pytestmark = pytest.mark.anyio

HOSTILE = "<img src=x onerror=alert(1)>"


async def test_an_admin_sets_a_partner_up_and_sees_its_secrets_once(console: ConsoleWorld):
    services, brand = console.services, console.brand
    person = CustomerPatch(external_id="ann", attributes={"tier": "gold"})
    await services.customers.upsert(brand.id, person)
    at = await console.enters("admin")
    root = f"{console.root}/partners"
    token = {"form_token": form_token(await at.get(root))}

    made = await at.post(f"{root}/channels", data={**token, "name": HOSTILE, "channel": "sms"}, headers=OWN)
    taken = await at.post(
        f"{root}/channels", data={**token, "name": "B", "channel": "sms", "number": "501"}, headers=OWN
    )
    wrong = await at.post(f"{root}/clients", data={**token, "name": "C", "username": "a b"}, headers=OWN)
    client = await at.post(f"{root}/clients", data={**token, "name": "C", "username": "sms-house"}, headers=OWN)

    assert (made.status_code, made.headers["location"]) == (303, f"{root}/channels/501?saved=yes")
    assert (taken.status_code, "choose another one, or none" in taken.text) == (409, True)
    assert (wrong.status_code, 'value="a b"' in wrong.text) == (400, True)
    assert client.headers["cache-control"] == "no-store"
    secrets = re.findall(r'id="made-(?:password|key|signing)" readonly value="([^"]+)"', client.text)
    assert len(secrets) == 3
    (one,) = await services.hub_clients.page(brand.id)
    page = f"{root}/clients/{one.id}"
    granted = {"name": "C", "executes-501": "yes", "pulls-501": " email , tier,teir"}
    odd = {f"executes-{number}": "yes" for number in ("9" * 5_000, "-1", "x", "")}
    saved = await at.post(page, data={**token, **granted, **odd}, headers=OWN)
    after = await at.get(saved.headers["location"])

    assert (await services.hub_clients.get(brand.id, one.id)).channels == {501: ("Email", "tier", "teir")}
    assert "has <bdi>teir</bdi>." in after.text
    assert "such as <bdi>tier</bdi>" in after.text
    everything = after.text + (await at.get(root)).text + (await at.get(f"{root}/channels/501")).text
    assert not any(secret in everything for secret in secrets)
    assert HOSTILE not in everything

    rotated = await at.post(f"{page}/rotate", data=token, headers=OWN)
    assert secrets[0] not in rotated.text
    assert "made-password" in rotated.text
    developer = await console.enters("developer")
    theirs = {"form_token": form_token(await developer.get(page))}
    assert (await developer.post(f"{page}/rotate", data=theirs, headers=OWN)).status_code == 403
    assert (await developer.post(f"{page}/revoke", data=theirs, headers=OWN)).status_code == 303
    gone = await at.get(page)
    assert "revoked" in gone.text
    assert "/rotate" not in gone.text
    deleted = await at.post(f"{root}/channels/501/delete", data=token, headers=OWN)
    assert deleted.status_code == 303
    assert await services.partner_channels.page(brand.id) == []


async def test_what_a_service_synced_and_how_its_listeners_fare_is_shown(console: ConsoleWorld):
    services, brand = console.services, console.brand
    await services.partner_channels.create(brand.id, "SMS house", ChannelKind.SMS, number=505)
    for first in (0, 100):
        said = [NewTemplate(n, f"Template {n}", "bingo") for n in range(first, min(first + 100, 101))]
        await services.partner_content.add_templates(brand.id, 505, said)
    await services.partner_content.add_apps(brand.id, 505, [NewApp("bingo", HOSTILE)])
    client = (await services.hub_clients.create(brand.id, "SMS house", "sms-house", {505: ["Phone"]})).client
    listener = await services.listeners.register(brand.id, client.id, 13, "https://partner.example.org/?a=1", 505)
    await services.listeners.update(brand.id, listener.id, enabled=False)
    at = await console.enters("admin")
    page = f"{console.root}/partners/clients/{client.id}"
    token = {"form_token": form_token(await at.get(page))}

    shown = (await at.get(f"{console.root}/partners/channels/505")).text
    rest = (await at.get(f"{console.root}/partners/channels/505?after=99")).text
    off = (await at.get(page)).text
    enabled = await at.post(f"{page}/listeners/{listener.id}/enable", data=token, headers=OWN)
    replayed = await at.post(f"{page}/listeners/{listener.id}/replay", data=token, headers=OWN)

    assert "Template 99<" in shown
    assert "Template 100<" not in shown
    assert "?after=99" in shown
    assert "Template 100<" in rest
    assert HOSTILE not in shown
    assert "https://partner.example.org/?a=1" in off
    assert "switched off by hand" in off
    assert enabled.status_code == 303
    assert "none that was not delivered" in replayed.text


async def test_connectors_show_how_they_stand_and_are_switched_by_admins(console: ConsoleWorld):
    services, brand = console.services, console.brand
    campaign = await a_campaign(console, brand.id)
    draft = Draft(
        name=HOSTILE,
        url="https://hub.example.org",
        secret="k",
        channels=(ChannelDraft(number=505, campaign_id=campaign.id),),
    )
    made = await services.connectors.create(brand.id, draft)
    at, reader = await console.enters("admin"), await console.enters("viewer")
    page = f"{console.root}/partners/connectors"

    shown = await at.get(page)
    assert HOSTILE not in shown.text
    assert "never pulled" in shown.text
    assert "/switch" not in (await reader.get(page)).text
    token = {"form_token": form_token(shown)}
    off = await at.post(f"{page}/{made.id}/switch", data={**token, "enabled": "no"}, headers=OWN)
    assert (off.status_code, (await services.connectors.get(brand.id, made.id)).state) == (303, "off")
