"""What is known of one person, and how a partner changes it and is told what became of that."""

from typing import Any

import msgspec
import pytest

from hub_world import Partner
from reporting_world import carried
from stentor.api.services import Services
from stentor.audience.model import CustomerPatch
from stentor.integrations.listeners.model import Event

pytestmark = pytest.mark.anyio

UPDATE = "/Customers/UpdateCustomerAttributes"
CALLBACK = "https://hooks.example.org/told?brand=1"


def _of(name: str | int, **values: Any) -> dict[str, Any]:
    return {
        "CustomerId": name,
        "Attributes": [{"RealFieldName": field, "Value": value} for field, value in values.items()],
    }


async def _told(partner: Partner, services: Services) -> list[dict[str, Any]]:
    """The bodies that wait for the partner's callback, in the order of their making."""
    listeners = await services.listeners.of_client(partner.brand.id, partner.id)
    (listener,) = [each for each in listeners if each.event is Event.ATTRIBUTES_UPDATED]
    assert listener.url == CALLBACK
    notices = await services.listeners.notices(partner.brand.id, listener.id)
    return [msgspec.json.decode(notice.body) for notice in sorted(notices, key=lambda each: each.id)]


@pytest.mark.fact("F4.6.13")
async def test_attributes_are_read_and_changed_and_the_callback_is_told(partner: Partner, services: Services) -> None:
    brand_id = partner.brand.id
    for name in ("A 1", "17"):
        patch = CustomerPatch(external_id=name, email="a@example.org", attributes={"Country": "FI", "Secret": 1})
        await services.customers.upsert(brand_id, patch)
    unreached = await partner.ask("/current/Customers/A%201/attributes")
    await carried(services.database, brand_id, ["A 1"])
    before = await partner.ask("/current/Customers/A%201/attributes")

    changes = [
        _of("A 1", Country="SE", Shoe=42),
        _of(17, Country=None),
        _of("nobody", Country="SE"),
        _of("17", Email="x@example.org"),
        _of("A 1", Country=["SE"]),
    ]
    answer = await partner.tell(UPDATE, {"CallbackURL": CALLBACK, "CustomerNewAttributesValuesList": changes})
    well = await partner.tell(UPDATE, {"callbackurl": CALLBACK, "customernewattributesvalueslist": changes[1:2]})
    unheard = await partner.tell(UPDATE, {"CustomerNewAttributesValuesList": [_of("A 1", Country="NO")]})

    assert (unreached.status_code, unreached.text) == (404, "Not Found")
    assert before.json() == {
        "CustomerID": "A 1",
        "Attributes": [
            {"RealFieldName": "Email", "Value": "a@example.org"},
            {"RealFieldName": "Phone", "Value": ""},
            {"RealFieldName": "Country", "Value": "FI"},
        ],
    }
    assert (answer.status_code, well.status_code, unheard.status_code) == (200, 200, 200)
    assert await _told(partner, services) == [
        {
            "isSuccess": False,
            "requestId": answer.json()["requestId"],
            "errors": [
                {"error": "INVALID_FIELD", "customerId": "A 1", "realFieldName": "Shoe"},
                {"error": "INVALID_CUSTOMER", "customerId": "nobody", "realFieldName": "Country"},
                {"error": "UPDATE_FIELD_TEMPORARY_UNAVAILABLE", "customerId": "17", "realFieldName": "Email"},
                {"error": "INVALID_VALUE", "customerId": "A 1", "realFieldName": "Country"},
            ],
        },
        {"isSuccess": True, "requestId": well.json()["requestId"]},
    ]
    later = {"CallbackURL": f"{CALLBACK}&job=2", "CustomerNewAttributesValuesList": changes[1:2]}
    assert (await partner.tell(UPDATE, later)).status_code == 200
    async with services.database.read() as conn:
        told_at = await conn.execute("SELECT url FROM notice ORDER BY id")
        assert [url for (url,) in await told_at.fetchall()] == [CALLBACK, CALLBACK, f"{CALLBACK}&job=2"]
    assert (await services.customers.get(brand_id, "A 1")).attributes == {"Country": "NO", "Secret": 1}
    assert (await services.customers.get(brand_id, "17")).attributes == {"Secret": 1}
    assert (await services.customers.get(brand_id, "17")).email == "a@example.org"
    assert (await partner.ask("/current/Customers/nobody/Attributes")).status_code == 404

    # Whoever is erased is in no notice any more.
    await services.erasures.erase(brand_id, "A 1", asked_by="test")
    assert [each["isSuccess"] for each in await _told(partner, services)] == [True, True]


async def test_a_value_that_breaks_a_rule_keeps_nobody_elses_from_being_written(
    partner: Partner, services: Services
) -> None:
    for name in ("A1", "A2"):
        await services.customers.upsert(partner.brand.id, CustomerPatch(external_id=name))

    changes = [_of("A1", Country="x" * 70_000), _of("A2", Country="SE")]
    answer = await partner.tell(UPDATE, {"CallbackURL": CALLBACK, "CustomerNewAttributesValuesList": changes})

    assert answer.status_code == 200
    assert (await services.customers.get(partner.brand.id, "A2")).attributes == {"Country": "SE"}
    (told,) = await _told(partner, services)
    assert told["errors"] == [{"error": "INVALID_VALUE", "customerId": "A1", "realFieldName": "Country"}]


async def test_what_is_too_much_or_leads_into_our_own_network_changes_nothing(
    partner: Partner, services: Services
) -> None:
    await services.customers.upsert(partner.brand.id, CustomerPatch(external_id="A1"))
    one = [_of("A1", Country="SE")]

    for body in [
        {"CustomerNewAttributesValuesList": one * 1_001},
        {"CustomerNewAttributesValuesList": one, "CallbackURL": "http://169.254.169.254/latest"},
        {"CustomerNewAttributesValuesList": one, "CallbackURL": "file:///etc/passwd"},
        {"CustomerNewAttributesValuesList": "A1"},
    ]:
        assert (await partner.tell(UPDATE, body)).status_code == 400

    assert (await services.customers.get(partner.brand.id, "A1")).attributes == {}
