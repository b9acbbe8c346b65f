"""What notices say, byte for byte as the classic API has it: one key more, and strict receivers refuse them."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from stentor.integrations.listeners.model import Event


def told(
    event: Event,
    at: datetime,
    *,
    campaign: int | None = None,
    channel: int | None = None,
    until: datetime | None = None,
) -> bytes:
    """The body of any event but 11 and those of our own: keys in PascalCase, times in UTC to the minute.

    `until` is the `ClearanceRequiredBy` of event 5.
    """
    said: dict[str, object] = {"EventTypeID": event.number, "TimeStamp": _time(at)}
    if campaign is not None:
        said["CampaignID"] = campaign
    if channel is not None:
        said["ChannelID"] = channel
    if until is not None:
        said["ClearanceRequiredBy"] = _time(until)
    return msgspec.json.encode(said)


def met(
    *, customer: str, campaign: int, channel: int, template: int, promo_codes: Sequence[str] = (), notes: str = ""
) -> bytes:
    """The body of event 11, a person who met a trigger: keys in camelCase, and the campaign's id is a text."""
    return msgspec.json.encode(
        {
            "customerID": customer,
            "campaignID": str(campaign),
            "channelID": channel,
            "templateID": template,
            "promoCode": promo_codes,
            "notes": notes,
            "eventTypeID": Event.TRIGGER_MET.number,
        }
    )


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
