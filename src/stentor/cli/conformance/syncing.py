"""Checks of templates, apps and listeners. What they add is taken away again."""

from typing import Any

from stentor.cli.conformance.checks import Checks, expect
from stentor.cli.conformance.partner import Partner

syncing = Checks[Partner]()

FIRST_TEMPLATE = 2_000_000_001
"""Of the kit's own templates, far from anybody's."""
APP = "stentor-conformance-kit"

_ADD = "integrations/AddChannelTemplates"
_DELETE = "integrations/DeleteChannelTemplates"


async def _names(partner: Partner) -> dict[int, str]:
    listed = await partner.get("integrations/GetChannelTemplates", ChannelID=partner.target.channel)
    return {one["TemplateID"]: one["TemplateName"] for one in listed}


def _template(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"TemplateID": FIRST_TEMPLATE + number, "TemplateName": name, **more}


@syncing.check("F4.3.5", "AddChannelTemplates adds templates and returns nothing")
async def add_templates(partner: Partner) -> None:
    said = [_template(0, "Kit one"), _template(1, "Kit two", AppID=APP)]
    await partner.post(_ADD, said, ChannelID=partner.target.channel)


@syncing.check("F4.3.6", "GetChannelTemplates lists them by id and name")
async def list_templates(partner: Partner) -> None:
    names = await _names(partner)
    expect(names.get(FIRST_TEMPLATE) == "Kit one", "the template that was added", names)


@syncing.check("F4.8.C3", "adding a template again renames it")
async def rename_template(partner: Partner) -> None:
    await partner.post(_ADD, [_template(0, "Kit one renamed")], ChannelID=partner.target.channel)
    names = await _names(partner)
    expect(names.get(FIRST_TEMPLATE) == "Kit one renamed", "the new name", names)


@syncing.check("F4.1.6", "ids are taken as their digits in a text, and JSON names in any casing")
async def ids_as_text(partner: Partner) -> None:
    said = [{"templateid": str(FIRST_TEMPLATE + 2), "TEMPLATENAME": "Kit three"}]
    await partner.post(_ADD, said, channelid=str(partner.target.channel))
    names = await _names(partner)
    expect(names.get(FIRST_TEMPLATE + 2) == "Kit three", "the template that was added", names)


@syncing.check("F4.8.C5", "101 templates are refused whole")
async def too_many_templates(partner: Partner) -> None:
    said = [_template(100 + number, "Kit many") for number in range(101)]
    answer = await partner.call(f"/current/{_ADD}", {"ChannelID": partner.target.channel}, body=said)
    expect(answer.status == 400, "400", answer)
    names = await _names(partner)
    expect("Kit many" not in names.values(), "none of them", "some of them")


@syncing.check("F4.3.11", "AddChannelApps adds apps, whose ids may be numbers")
async def add_apps(partner: Partner) -> None:
    said = [{"AppID": APP, "AppName": "Kit"}, {"AppID": 2_000_000_001, "AppName": "Kit by number"}]
    await partner.post("integrations/AddChannelApps", said, ChannelID=partner.target.channel)


@syncing.check("F4.3.12", "DeleteChannelApps deletes them")
async def delete_apps(partner: Partner) -> None:
    said = [{"ChannelID": partner.target.channel, "AppID": app} for app in (APP, 2_000_000_001)]
    await partner.post("integrations/DeleteChannelApps", said)


@syncing.check("F4.3.7", "DeleteChannelTemplates deletes them")
async def delete_templates(partner: Partner) -> None:
    said = [{"ChannelID": partner.target.channel, "TemplateID": FIRST_TEMPLATE + number} for number in range(3)]
    await partner.post(_DELETE, said)
    left = [number for number in await _names(partner) if number >= FIRST_TEMPLATE]
    expect(not left, "none of the kit's templates", left)


@syncing.check("F4.8.C4", "deleting what there is not does nothing")
async def delete_nothing(partner: Partner) -> None:
    await partner.post(_DELETE, [{"ChannelID": partner.target.channel, "TemplateID": FIRST_TEMPLATE + 99}])


@syncing.check("F4.3.2", "RegisterEventListener takes a listener of all channels, and one of this channel")
async def register(partner: Partner) -> None:
    await partner.post("general/RegisterEventListener", {"EventTypeID": 1, "ListenerURL": partner.listener.url})
    said = {"EventTypeID": 13, "ListenerURL": partner.listener.url, "ChannelID": partner.target.channel}
    await partner.post("general/RegisterEventListener", said)


@syncing.check("F4.3.4", "GetRegisteredEventListeners lists them, with their query")
async def registered(partner: Partner) -> None:
    listed = await listeners(partner)
    mine = {
        (one.get("EventTypeID"), one.get("ChannelID"))
        for one in listed
        if one.get("ListenerURL") == partner.listener.url
    }
    expect(mine == {(1, None), (13, partner.target.channel)}, "both listeners", listed)


@syncing.check("F4.8.C2", "registering again replaces the listener")
async def register_again(partner: Partner) -> None:
    said = {"EventTypeID": "13", "ListenerURL": partner.listener.url, "channelid": str(partner.target.channel)}
    await partner.post("general/RegisterEventListener", said)
    same = [
        one
        for one in await listeners(partner)
        if (one["EventTypeID"], one.get("ChannelID")) == (13, partner.target.channel)
    ]
    expect(len(same) == 1, "one listener", same)


async def listeners(partner: Partner) -> list[dict[str, Any]]:
    """The client's listeners. Raises Unmet where the hub does not list them."""
    listed = await partner.get("general/GetRegisteredEventListeners")
    expect(isinstance(listed, list), "an array", listed)
    return listed


async def put_back(partner: Partner, before: list[dict[str, Any]]) -> None:
    """Takes the kit's listeners away, and registers those again that they replaced. Raises Unmet."""
    for event, channel in ((1, None), (13, partner.target.channel)):
        named = {"EventTypeID": event} if channel is None else {"EventTypeID": event, "ChannelID": channel}
        await partner.post("general/UnregisterEventListener", named)
        for one in before:
            if (one.get("EventTypeID"), one.get("ChannelID")) == (event, channel):
                await partner.post("general/RegisterEventListener", {**named, "ListenerURL": one["ListenerURL"]})
