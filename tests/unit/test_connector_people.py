"""What a hub says, read: notices and rows in any casing, times by the connector's rule, attributes to where they go."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import UNSET

from stentor.integrations.connector.model import Zone
from stentor.integrations.connector.people import patch_of, start_of, to_the_hour, to_the_minute
from stentor.integrations.connector.wire import Garbled, Notice, SendDetail, notice_of, send_details_of, token_of

AT = datetime(2026, 7, 21, 10, 0)  # noqa: DTZ001  as hubs say it


@pytest.mark.parametrize(
    ("zone", "own", "hour"),
    [("utc", "Asia/Tokyo", 10), ("brand", "Asia/Tokyo", 7), ("recipient", "Asia/Tokyo", 1), ("recipient", None, 7)],
)
def test_a_time_is_utc_or_the_walls_where_the_rule_says(zone: Zone, own: str | None, hour: int):
    assert start_of(AT, zone, "Europe/Helsinki", own) == datetime(2026, 7, 21, hour, tzinfo=UTC)


def test_a_time_that_the_clock_skips_is_the_one_after_the_gap():
    skipped = datetime(2026, 3, 29, 2, 30)  # noqa: DTZ001

    assert start_of(skipped, "brand", "Europe/Berlin", None) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_late_places_start_with_the_next_full_minute_or_hour():
    at = datetime(2026, 7, 21, 10, 0, 1, tzinfo=UTC)

    assert to_the_minute(at) == at.replace(minute=1, second=0)
    assert to_the_hour(at) == at.replace(hour=11, second=0)
    assert to_the_hour(to_the_hour(at)) - at < timedelta(hours=1)


def test_attributes_go_where_the_connector_says_and_empty_ones_keep_what_is_known():
    where = {"Phone": "phone", "Zone": "time_zone", "Tier": "attributes.tier", "Email": "email", "Id": "external_id"}

    said = patch_of(SendDetail("C1", 7, AT, ("+358401112222", "No/Where", "gold", "", "ours-1")), where)

    assert (said.external_id, said.phone, said.email, said.time_zone) == ("ours-1", "+358401112222", UNSET, UNSET)
    assert said.attributes == {"tier": "gold"}
    assert patch_of(SendDetail("C1", 7, AT, ("", "", "", "", "")), where).external_id == "C1"


def test_notices_are_read_in_any_casing_and_with_numbers_as_texts():
    assert notice_of(b'{"EventTypeID":13,"TimeStamp":"x","CampaignID":324,"ChannelID":505}') == Notice(13, 324, 505)
    assert notice_of(b'{"eventtypeid":"4","CAMPAIGNID":"324"}') == Notice(4, 324, None)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"EventTypeID":true}', b'{"EventTypeID":-1}', b"[" * 5000, b"\xff", b'{"EventTypeID":1.5}'],
)
def test_what_is_no_notice_is_refused(body: bytes):
    with pytest.raises(Garbled):
        notice_of(body)


def test_rows_are_read_in_any_casing_and_with_numbers_as_ids():
    body = b'[{"customerID":96134,"TemplateID":"14","ScheduledTime":"2026-07-21 10:00:00","CustomerAttributes":["a",null]}]'

    assert send_details_of(body, 2) == [SendDetail("96134", 14, AT, ("a", ""))]
    assert send_details_of(b"[]", 2) == []


@pytest.mark.parametrize(
    "row",
    [
        b'{"TemplateID":14,"ScheduledTime":"2026-07-21 10:00:00","CustomerAttributes":["a"]}',
        b'{"CustomerID":"1","ScheduledTime":"2026-07-21 10:00:00","CustomerAttributes":["a"]}',
        b'{"CustomerID":"1","TemplateID":14,"CustomerAttributes":["a"]}',
        b'{"CustomerID":"1","TemplateID":14,"ScheduledTime":"tomorrow","CustomerAttributes":["a"]}',
        b'{"CustomerID":"1","TemplateID":14,"ScheduledTime":"2026-07-21 10:00:00","CustomerAttributes":"a"}',
        b'{"CustomerID":"1","TemplateID":14,"ScheduledTime":"2026-07-21 10:00:00","CustomerAttributes":["a","b"]}',
        b"7",
    ],
)
def test_a_row_that_is_none_spoils_its_page(row: bytes):
    with pytest.raises(Garbled):
        send_details_of(b"[" + row + b"]", 1)


@pytest.mark.parametrize("body", [b"{}", b'""', b"not json", b'"a\\nb"'])
def test_a_token_is_a_printable_json_string(body: bytes):
    with pytest.raises(Garbled):
        token_of(body)
