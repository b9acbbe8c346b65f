"""Checks of pushing metrics and interactions. They are those of a campaign that was pulled, and they stay."""

from datetime import UTC, datetime
from typing import Any

from stentor.cli.conformance.checks import Checks, NotTried, expect
from stentor.cli.conformance.partner import Partner

reporting = Checks[Partner]()

PEOPLE_MAX = 10_000

_SENT, _DELIVERED = 0, 1
_METRICS = "integrations/UpdateCampaignMetrics"
_INTERACTIONS = "integrations/UpdateCampaignInteractions"


def _total(partner: Partner, metric: int, value: int) -> dict[str, Any]:
    if not partner.rows:
        raise NotTried("nobody was pulled")
    template = partner.rows[0].template
    return {
        "ChannelID": partner.target.channel,
        "CampaignID": partner.campaign,
        "TemplateID": template,
        "MetricID": metric,
        "MetricValue": value,
    }


def _interaction(partner: Partner, **changes: Any) -> dict[str, Any]:
    """Delivered, to the first person: nobody is opted out or barred by a kit."""
    if not partner.rows:
        raise NotTried("nobody was pulled")
    first = partner.rows[0]
    said = {
        "CampaignID": partner.campaign,
        "ChannelID": partner.target.channel,
        "InteractionDate": datetime.now(UTC).date().isoformat(),
        "TemplateID": first.template,
        "EventID": _DELIVERED,
        "RecipientGroupID": 1,
        "CustomerIDs": [first.customer],
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


@reporting.check("F4.3.9", "UpdateCampaignMetrics takes totals and returns nothing")
async def totals(partner: Partner) -> None:
    said = [_total(partner, _SENT, len(partner.rows)), _total(partner, _DELIVERED, 0)]
    await partner.post(_METRICS, said)
    # Running totals are pushed several times a day, and by some as texts.
    await partner.post(_METRICS, [{name: str(value) for name, value in one.items()} for one in said])


@reporting.check("F4.3b.9", "every MetricID from 0 to 6, and 9, is taken")
async def all_metrics(partner: Partner) -> None:
    await partner.post(_METRICS, [_total(partner, metric, 0) for metric in (1, 2, 3, 4, 5, 6, 9)])


@reporting.check("F4.8.C5", "101 totals are refused whole")
async def too_many_totals(partner: Partner) -> None:
    answer = await partner.call(f"/current/{_METRICS}", body=[_total(partner, _SENT, len(partner.rows))] * 101)
    expect(answer.status == 400, "400", answer)


@reporting.check("F4.3.10", "UpdateCampaignInteractions takes one object and returns nothing")
async def interactions(partner: Partner) -> None:
    await partner.post(_INTERACTIONS, _interaction(partner))
    await partner.post(_INTERACTIONS, _interaction(partner, TemplateID=None, RecipientGroupID=None))


@reporting.check("F4.8.C7", "the same call again is taken, and people whom the hub does not know are no error")
async def again(partner: Partner) -> None:
    known = _interaction(partner)["CustomerIDs"]
    await partner.post(_INTERACTIONS, _interaction(partner))
    await partner.post(_INTERACTIONS, _interaction(partner, CustomerIDs=[*known, "nobody-of-the-conformance-kit"]))


@reporting.check("F4.7.1", "an interaction without its date, and one of 10,001 people, are a 400")
async def refused(partner: Partner) -> None:
    known = _interaction(partner)["CustomerIDs"]
    for wrong in (
        _interaction(partner, InteractionDate=None),
        _interaction(partner, CustomerIDs=known * (PEOPLE_MAX + 1)),
    ):
        answer = await partner.call(f"/current/{_INTERACTIONS}", body=wrong)
        expect(answer.status == 400 and answer.text != "", "400 and a reason", answer)


@reporting.check("F4.6.9", "GetCustomerChannelInteractions tells what the person did")
async def of_person(partner: Partner) -> None:
    said = _interaction(partner)
    today = said["InteractionDate"]
    listed = await partner.get(
        "customers/GetCustomerChannelInteractions",
        CustomerID=said["CustomerIDs"][0],
        StartDate=today,
        EndDate=today,
        ChannelID=partner.target.channel,
    )
    mine = [one for one in listed if (one.get("CampaignID"), one.get("EventID")) == (partner.campaign, _DELIVERED)]
    expect(bool(mine), f"event {_DELIVERED} of campaign {partner.campaign}", listed)


@reporting.check("F4.3.3", "UnregisterEventListener takes the listeners away")
async def unregister(partner: Partner) -> None:
    for named in ({"EventTypeID": 1}, {"EventTypeID": 13, "ChannelID": partner.target.channel}):
        await partner.post("general/UnregisterEventListener", named)
    listed = await partner.get("general/GetRegisteredEventListeners")
    expect(all(one.get("ListenerURL") != partner.listener.url for one in listed), "none of the kit's", listed)
