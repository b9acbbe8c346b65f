"""Listeners as partners register them, list them and take them away."""

from typing import Any

import pytest

from hub_world import Partner, partner_of
from stentor.api.services import Services

pytestmark = pytest.mark.anyio

GENERAL = "/current/general"
HOOK = "https://hooks.example.org/x?brand=1&EventTypeID=13"


async def _registered(partner: Partner, spelling: str = "GetRegisteredEventListeners") -> list[dict[str, Any]]:
    answer = await partner.ask(f"{GENERAL}/{spelling}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.fact("F4.3.2", "F4.3.3", "F4.3.4")
async def test_listeners_are_registered_replaced_listed_and_taken_away(partner: Partner) -> None:
    async def told(function: str, **body: Any) -> tuple[int, str]:
        answer = await partner.tell(f"{GENERAL}/{function}", body)
        return answer.status_code, answer.text

    assert await told("RegisterEventListener", EventTypeID=13, ListenerURL=HOOK, ChannelID=505) == (200, "")
    assert await told("registereventlistener", eventTypeId="1", listenerUrl="https%3A%2F%2Fhooks.example.org%2Fa") == (
        200,
        "",
    )
    assert await told("RegisterEventListener", EventTypeID=1, ListenerURL=f"{HOOK}&again=1") == (200, "")

    for spelling in ("GetRegisteredEventListeners", "GetRegisteredEventListener"):
        assert sorted(await _registered(partner, spelling), key=lambda each: each["EventTypeID"]) == [
            {"EventTypeID": 1, "ListenerURL": f"{HOOK}&again=1"},
            {"EventTypeID": 13, "ChannelID": 505, "ListenerURL": HOOK},
        ]
    assert await told("UnRegisterEventListener", EventTypeID=1) == (200, "")
    assert await told("UnregisterEventListener", EventTypeID=1) == (200, "")
    assert [each["EventTypeID"] for each in await _registered(partner)] == [13]
    refused: list[dict[str, Any]] = [
        {"EventTypeID": 99, "ListenerURL": HOOK},
        {"EventTypeID": 14, "ListenerURL": HOOK},
        {"EventTypeID": 2, "ListenerURL": HOOK, "ChannelID": 505},
        {"EventTypeID": 3, "ListenerURL": HOOK, "ChannelID": 505},
        {"EventTypeID": 5, "ListenerURL": HOOK, "ChannelID": 505},
        {"EventTypeID": 13, "ListenerURL": HOOK, "ChannelID": 999},
        {"EventTypeID": 13, "ListenerURL": "http://127.0.0.1/x"},
        {"EventTypeID": 13, "ListenerURL": ""},
        {"EventTypeID": 13},
    ]
    for body in refused:
        assert (await told("RegisterEventListener", **body))[0] == 400, body
    assert len(await _registered(partner)) == 1


async def test_listeners_are_each_clients_own(partner: Partner, stranger: Partner, services: Services) -> None:
    sibling = await partner_of(partner.http, services, "Pushing", [510], brand=partner.brand)
    await partner.tell(f"{GENERAL}/RegisterEventListener", {"EventTypeID": 1, "ListenerURL": HOOK})

    for outsider in (sibling, stranger):
        assert await _registered(outsider) == []
        await outsider.tell(f"{GENERAL}/UnregisterEventListener", {"EventTypeID": 1})
        foreign = {"EventTypeID": 13, "ListenerURL": HOOK, "ChannelID": 505}
        if outsider is sibling:
            assert (await outsider.tell(f"{GENERAL}/RegisterEventListener", foreign)).status_code == 400
    assert await _registered(partner) == [{"EventTypeID": 1, "ListenerURL": HOOK}]
