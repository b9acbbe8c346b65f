"""From a hub's rows to our people: which attribute goes where, and when each is to be written to."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import UNSET

from stentor.audience.model import CustomerPatch
from stentor.domain.locale import normal_locale, normal_time_zone
from stentor.integrations.connector.model import ATTRIBUTE_PREFIX, EXTERNAL_ID, Connector, Zone
from stentor.integrations.connector.wire import SendDetail

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)


class Place(NamedTuple):
    """Which group somebody belongs to: the template's number there, and when it starts here."""

    template_number: int
    start_at: datetime


def patch_of(row: SendDetail, attributes: Mapping[str, str]) -> CustomerPatch:
    """What the row says of a person. `attributes`: those that were asked for, in their order, and where they go.

    What is empty there keeps what is known here; a language and a time zone that are none are left out, as nobody could mend them.
    """
    said: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for value, target in zip(row.values, attributes.values(), strict=True):
        if not value:
            continue
        if target.startswith(ATTRIBUTE_PREFIX):
            own[target.removeprefix(ATTRIBUTE_PREFIX)] = value
        else:
            said[target] = value
    if "locale" in said and normal_locale(said["locale"]) is None:
        del said["locale"]
    if "time_zone" in said and normal_time_zone(said["time_zone"]) is None:
        del said["time_zone"]
    external_id = said.pop(EXTERNAL_ID, row.external_id)
    return CustomerPatch(external_id=external_id, attributes=own or UNSET, **said)


def start_of(at: datetime, zone: Zone, brand_zone: str, own_zone: str | None) -> datetime:
    """The instant that a hub's time means, by the rule: the API's UTC, or the wall's time of the brand or the recipient.

    A time that a clock skips is the one after the gap, and of one that it shows twice the first is meant.
    """
    match zone:
        case "utc":
            return at.replace(tzinfo=UTC)
        case "brand":
            name = brand_zone
        case "recipient":
            name = own_zone or brand_zone
    return at.replace(tzinfo=ZoneInfo(name)).astimezone(UTC)


def to_the_minute(at: datetime) -> datetime:
    """The full minute at that time or after it."""
    return _up(at, _MINUTE)


def to_the_hour(at: datetime) -> datetime:
    """The full hour at that time or after it."""
    return _up(at, _HOUR)


def asked_of(connector: Connector) -> Sequence[str]:
    """The attributes that the connector pulls, in the order in which their values come."""
    return list(connector.attributes)


def _up(at: datetime, step: timedelta) -> datetime:
    over = (at - datetime(1970, 1, 1, tzinfo=UTC)) % step
    return at + (step - over if over else timedelta())
