import json

from command_line import Command


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
    assert client["channels"] == [{"number": 505, "attributes": ["Phone", "tier"]}]
    assert client["api_key"].startswith("st_hub_")
    assert granted.stderr == "sms-house may pull: 505=Email 506.\n"
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
        ("sms-house", [{"number": 505, "attributes": ["Email"]}])
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
