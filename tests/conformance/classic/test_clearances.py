"""The functions by which a service clears campaigns, and asks whom cancelled ones were for."""

import pytest

from hub_world import Partner

pytestmark = pytest.mark.anyio


@pytest.mark.fact("F5d.GetCanceledCampaignCustomers")
async def test_unknown_campaigns_are_for_nobody_and_are_not_cleared(partner: Partner) -> None:
    lists = [
        await partner.ask(f"/current/customers/{name}", CampaignID=324)
        for name in ("GetCanceledCampaignCustomers", "getprocessedcampaigncustomers")
    ]
    path = "/current/integrations/UpdateCustomerPromotionStatus"
    body = {
        "TimeStamp": "2026-11-20 09:33:00",
        "campaignid": "1359",
        "PromosUpdated": [{"CustomerID": 7, "Status": True}],
    }
    refused = await partner.tell(path, body)
    too_many = await partner.tell(path, {**body, "PromosUpdated": [{"CustomerID": "C", "Status": True}] * 10_001})

    assert [(answer.status_code, answer.text) for answer in lists] == [(200, "[]")] * 2
    assert (refused.status_code, refused.text) == (400, "This client has no campaign 1359 that has to be cleared.")
    assert too_many.status_code == 400
