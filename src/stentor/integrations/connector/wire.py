"""What goes over the wire to a hub and comes from it: names in any casing, numbers as texts, times in UTC."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

_TIME = "%Y-%m-%d %H:%M:%S"

PROCESSED, CANCELLED, EXECUTED = 1, 4, 13
"""EventTypeIDs that a connector listens to."""


class Garbled(Exception):
    """What came is not what the API says; the text says what."""


class SendDetail(msgspec.Struct, frozen=True):
    """One row of a pull. `at` is as it was said, without a zone; `values` in the order of the attributes asked for."""

    external_id: str
    template_number: int
    at: datetime
    values: tuple[str, ...]


class Notice(msgspec.Struct, frozen=True):
    """What a hub tells a listener; no channel: every channel that it has for us."""

    event: int
    campaign_number: int | None
    channel_number: int | None


class Revoked(msgspec.Struct, frozen=True):
    """Somebody whom a hub revoked after the pull. Without an `external_id`, who was erased there: `profile_id` is made of it."""

    number: int
    external_id: str
    profile_id: UUID | None
    group_id: UUID | None


class Registered(msgspec.Struct, frozen=True):
    """A listener of ours that a hub has; no channel: all that it has for us."""

    event: int
    channel: int | None
    url: str


def notice_of(body: bytes) -> Notice:
    """The notice in that body. Raises Garbled."""
    said = _lowered(_json(body))
    event = _number(said, "eventtypeid")
    if event is None:
        raise Garbled("A notice says its EventTypeID.")
    return Notice(event, _number(said, "campaignid"), _number(said, "channelid"))


def token_of(body: bytes) -> str:
    """The token that Login answers with. Raises Garbled."""
    found = _json(body)
    if not isinstance(found, str) or not found or not found.isascii() or not found.isprintable():
        raise Garbled("Login answers with a token, as a JSON string.")
    return found


def send_details_of(body: bytes, attributes: int) -> list[SendDetail]:
    """The rows of a page, each with so many values. Raises Garbled."""
    rows = _array(body, "A page of send details is an array.")
    return [_send_detail(_lowered(row), attributes) for row in rows]


def revocations_of(body: bytes) -> list[Revoked]:
    """Who was revoked, by rising numbers. Raises Garbled."""
    rows = [_lowered(row) for row in _array(body, "A list of revocations is an array.")]
    found = []
    for row in rows:
        number = _number(row, "number")
        if number is None:
            raise Garbled("Each revocation has a Number.")
        found.append(Revoked(number, _text(row.get("customerid")), _uuid(row, "profileid"), _uuid(row, "groupid")))
    return found


def listeners_of(body: bytes) -> list[Registered]:
    """Which listeners are registered; what is written otherwise is passed over. Raises Garbled."""
    rows = [_lowered(row) for row in _array(body, "A list of listeners is an array.")]
    return [
        Registered(event, _number(row, "channelid") or None, _text(row.get("listenerurl")))
        for row in rows
        if (event := _number(row, "eventtypeid")) is not None
    ]


def numbers_of(body: bytes, key: str) -> set[int]:
    """What is under that key in each object of an array. Raises Garbled."""
    rows = _array(body, "A list is an array.")
    return {number for row in rows if (number := _number(_lowered(row), key.lower())) is not None}


def _send_detail(row: Mapping[str, Any], attributes: int) -> SendDetail:
    external_id, template = row.get("customerid"), _number(row, "templateid")
    values = row.get("customerattributes") if attributes else []
    if isinstance(external_id, int):
        external_id = str(external_id)
    if not isinstance(external_id, str) or template is None:
        raise Garbled("Each row of send details has a CustomerID and a TemplateID.")
    if not isinstance(values, list) or len(values) != attributes:
        raise Garbled(f"Each row has as many CustomerAttributes as were asked for, {attributes}.")
    return SendDetail(external_id, template, _time(row), tuple(_text(value) for value in values))


def _time(row: Mapping[str, Any]) -> datetime:
    text = row.get("scheduledtime")
    try:
        return datetime.strptime(str(text)[:19].replace("T", " "), _TIME)  # noqa: DTZ007  what zone it is in, the connector says
    except ValueError:
        raise Garbled("Each row has a ScheduledTime like `2026-11-21 10:00:00`.") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _number(said: Mapping[str, Any], key: str) -> int | None:
    value = said.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 11:
        value = int(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise Garbled(f"{key} is a whole number.")
    return value


def _uuid(said: Mapping[str, Any], key: str) -> UUID | None:
    try:
        return UUID(_text(said.get(key)))
    except ValueError:
        return None


def _array(body: bytes, complaint: str) -> list[Any]:
    rows = _json(body)
    if not isinstance(rows, list):
        raise Garbled(complaint)
    return rows


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise Garbled("It is no JSON.") from None


def _lowered(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise Garbled("An object is expected.")
    return {key.lower(): value for key, value in said.items()}


def joined(names: Sequence[str]) -> str:
    """Attributes as a pull asks for them."""
    return ";".join(names)
