"""Where somebody is, by what little is known of them."""

from zoneinfo import ZoneInfo

import pytest
from phonenumbers.tzdata import TIMEZONE_DATA

from stentor.domain.address import normal_phone
from stentor.guard.places import brand_zones, place_of, zones_of

FALLBACK = ("Europe/Lisbon",)


@pytest.mark.parametrize(
    ("place", "zones"),
    [
        ("Asia/Tokyo", ("Asia/Tokyo",)),
        ("", FALLBACK),
        ("Mars/Olympus", FALLBACK),
        ("+1415", ("America/Los_Angeles",)),
        ("+4915", ("Europe/Berlin",)),
        ("+9725", ("Asia/Jerusalem",)),
        # Freephone numbers of no country.
        ("+8001", FALLBACK),
        ("+0", FALLBACK),
        ("+", FALLBACK),
    ],
)
def test_a_place_means_the_zones_that_are_plausible(place: str, zones: tuple[str, ...]):
    assert zones_of(place, FALLBACK) == zones


def test_a_mobile_number_may_be_anywhere_in_its_country():
    assert {"Australia/Sydney", "Australia/Perth"} <= set(zones_of("+6141", FALLBACK))
    assert {"Europe/Moscow", "Asia/Vladivostok"} <= set(zones_of("+7916", FALLBACK))


def test_an_area_code_across_a_border_of_zones_means_both():
    assert {"America/Boise", "America/Los_Angeles"} <= set(zones_of("+1208", FALLBACK))


def test_an_area_code_that_lies_nowhere_means_all_of_north_america():
    assert {"America/St_Johns", "America/Los_Angeles", "Pacific/Honolulu"} <= set(zones_of("+1800", FALLBACK))


def test_the_own_zone_goes_before_the_phone():
    assert place_of("Asia/Tokyo", "+14155550123") == "Asia/Tokyo"
    assert place_of(None, "+14155550123") == "+1415"
    assert place_of(None, None) == ""


def test_every_zone_that_a_number_can_lead_to_is_known_to_this_machine():
    names = {name for zones in TIMEZONE_DATA.values() for name in zones} - {"Etc/Unknown"}

    assert [name for name in names if not ZoneInfo(name)] == []


def test_a_brand_without_a_zone_is_anywhere_in_its_country():
    assert brand_zones("Asia/Tokyo", "US") == ("Asia/Tokyo",)
    assert brand_zones("UTC", None) == ("UTC",)
    assert {"America/New_York", "Pacific/Honolulu"} <= set(brand_zones("UTC", "US"))
    assert brand_zones("UTC", "DE") == ("Europe/Berlin", "Europe/Busingen")


def test_numbers_as_they_are_stored_begin_with_what_a_place_needs():
    number = normal_phone("(415) 555-0123", "US")

    assert isinstance(number, str)
    assert place_of(None, number) == "+1415"
