import asyncio
import json
import re
from uuid import UUID

import pytest

from command_line import Command
from stentor.campaigns.model import CampaignDraft, Route, TemplateContent
from stentor.campaigns.service import CampaignService
from stentor.campaigns.templates import TemplateService
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind


async def a_campaign(dsn: str, brand_id: UUID) -> UUID:
    """A published campaign of the kind batch that sends texts."""
    async with Database(dsn, size=2) as db:
        content = TemplateContent("en", {"en": {"text": "Hi"}})
        template = await TemplateService(db).create(brand_id, name="Hi", channel=ChannelKind.SMS, content=content)
        routes = (Route(ChannelKind.SMS, template.id),)
        draft = CampaignDraft(name="For the hub", consent_basis="channel", kind="batch", routes=routes)
        campaign = await CampaignService(db).create(brand_id, draft)
        await CampaignService(db).publish(brand_id, campaign.id)
        return campaign.id


def test_a_partner_is_set_up_changed_and_turned_away_by_commands(command: Command):
    command("brand", "create", "Fan Club")

    channel = json.loads(
        command("hub", "channels", "create", "SMS house", "--channel", "sms", "--number", 505, "--json").stdout
    )
    next_one = command("hub", "channels", "create", "Calls", "--channel", "voice")
    client = json.loads(
        command("hub", "clients", "create", "sms-house", "--channel", "505=phone,tier", "--json").stdout
    )
    granted = command("hub", "clients", "grant", "sms-house", "--channel", "505=Email", "--channel", "506")
    rotated = command("hub", "clients", "rotate", client["id"])
    channels = command("hub", "channels", "list").stderr
    clients = command("hub", "clients", "list")

    assert (channel["number"], channel["channel"], channel["name"]) == (505, "sms", "SMS house")
    assert next_one.stderr == "Made the partner channel 506.\n"
    assert client["channels"] == [{"number": 505, "attributes": ["Phone", "tier"], "writes": []}]
    assert client["api_key"].startswith("st_hub_")
    assert granted.stderr == "sms-house may pull: 505=Email 506, and change: nothing.\n"
    assert "shown this once" in rotated.stderr
    assert client["password"] not in rotated.stderr + clients.stderr
    assert [line.split()[:2] for line in channels.splitlines()[1:]] == [["505", "sms"], ["506", "voice"]]

    command("hub", "channels", "rename", 505, "SMS house, Espoo")
    command("hub", "channels", "delete", 506)
    revoked = command("hub", "clients", "revoke", "sms-house")
    assert json.loads(command("hub", "channels", "list", "--json").stdout)["channels"][0]["name"] == "SMS house, Espoo"
    assert revoked.exit_code == 0
    assert json.loads(command("hub", "clients", "list", "--json").stdout) == {"clients": []}
    left = json.loads(command("hub", "clients", "list", "--all", "--json").stdout)["clients"]
    assert [(one["username"], one["channels"]) for one in left] == [
        ("sms-house", [{"number": 505, "attributes": ["Email"], "writes": []}])
    ]


def test_what_names_nothing_is_wrong_usage_and_says_what_to_do(command: Command):
    command("brand", "create", "Fan Club")

    refused = [
        command("hub", "channels", "create", "Faxes", "--channel", "fax"),
        command("hub", "clients", "create", "x", "--channel", "SMS=Phone"),
        command("hub", "clients", "rotate", "nobody"),
    ]

    assert [one.exit_code for one in refused] == [2, 2, 1]
    assert "choose from email, sms" in refused[0].stderr
    assert "505=Email,Phone" in refused[1].stderr
    assert "stentor hub clients list --all" in refused[2].stderr


def test_a_connector_is_made_looked_at_switched_and_deleted_by_commands(
    command: Command, database_dsn: str, monkeypatch: pytest.MonkeyPatch
):
    said = command("brand", "create", "Fan Club", "--json").stdout
    campaign = asyncio.run(a_campaign(database_dsn, UUID(json.loads(said)["group_id"])))
    create = ("hub", "connectors", "create", "Hub", "--url", "https://127.0.0.1:65530", "--channel")
    monkeypatch.setenv("STENTOR_ALLOW_LOOPBACK", "true")

    without = command(*create, f"505={campaign}")
    monkeypatch.setenv("HUB_SECRET", "s3cr3t")
    wrong = command(*create, "505")
    made = command(*create, f"505={campaign}", "--attribute", "Phone=phone", "--attribute", "Tier", "--json")
    checked = command("hub", "connectors", "check", "Hub", "--json")
    off = command("hub", "connectors", "disable", "Hub")
    listed = command("hub", "connectors", "list")

    assert (without.exit_code, "HUB_SECRET" in without.stderr) == (2, True)
    assert (wrong.exit_code, "the id of a campaign here" in wrong.stderr) == (2, True)
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout)["attributes"] == {"Phone": "phone", "Tier": "attributes.Tier"}
    assert (checked.exit_code, "Check the connector's url" in json.loads(checked.stdout)["problem"]) == (1, True)
    assert off.stderr == "Hub is off: its hub is told to forget it, and told no figures.\n"
    assert re.search(r"Hub +off +https://127.0.0.1:65530 +never +never", listed.stderr)
    assert "s3cr3t" not in made.stdout + listed.stderr
    assert command("hub", "connectors", "enable", "Hub").stderr == "Hub is on.\n"
    assert command("hub", "connectors", "delete", "Hub").exit_code == 0
    assert "stentor hub connectors list" in command("hub", "connectors", "check", "Hub").stderr
