"""Rules of schedules as they are written: what is understood, and what is refused with which words."""

from datetime import UTC, datetime

import pytest

from stentor.domain.timetable import CRON_CHARS_MAX, Rule, checked_rule
from stentor.errors import Invalid

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "cron",
    [
        "0 9 * * *",
        "*/5 8-18 * * MON-FRI",
        "0,30 9 1,15 jan-mar *",
        "0 12 L * *",
        "0 12 LW * *",
        "0 9 * * 5L",
        "5 4 * * sun#1",
    ],
)
def test_what_debians_cron_reads_is_read(cron: str):
    rule = Rule(time_zone="europe/berlin", cron=cron)

    assert checked_rule(rule, NOW) == Rule(time_zone="Europe/Berlin", cron=cron)


@pytest.mark.parametrize(
    "at", ["2026-12-24T18:00", "2026-12-24T18:00:30", "2026-12-24T18:00Z", "2026-12-24T18:00+05:30"]
)
def test_a_time_has_an_offset_or_is_the_places_own(at: str):
    assert checked_rule(Rule(time_zone="UTC", at=at), NOW).at == at


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("", "five fields"),
        ("@daily", "five fields"),
        ("0 0 9 * * *", "five fields"),
        ("0 9 * * " + ",".join(["mon"] * CRON_CHARS_MAX), "five fields"),
        ("0 9 * * 1#2/3", "five fields"),
        ("0 9 * * \u0661", "five fields"),
        ("60 9 * * *", "Bad minute"),
        ("0 9 * jul-jan *", "Bad month"),
        ("*/0 9 * * *", "Bad minute"),
        ("0 L * * *", "Bad hour"),
        ("0 9 31 4,6 *", "Bad day-of-month"),
    ],
)
def test_what_is_no_rule_is_refused_in_words_that_say_where(cron: str, said: str):
    with pytest.raises(Invalid, match=said):
        checked_rule(Rule(time_zone="UTC", cron=cron), NOW)


@pytest.mark.parametrize(
    "at", ["2026-12-24", "2026-12-24 18:00", "20261224T1800", "2026-12-24T25:00", "2026-12-24T18:00:00.5Z"]
)
def test_what_is_no_time_is_refused(at: str):
    with pytest.raises(Invalid, match="Write the time"):
        checked_rule(Rule(time_zone="UTC", at=at), NOW)


@pytest.mark.parametrize("at", ["2026-11-21T10:00", "2026-11-21T11:00+02:00"])
def test_a_time_that_is_past_is_refused(at: str):
    with pytest.raises(Invalid, match="to come"):
        checked_rule(Rule(time_zone="UTC", at=at), NOW)


@pytest.mark.fault("S12")
@pytest.mark.parametrize(
    ("time_zone", "at"),
    [
        ("America/New_York", "9999-12-31T23:59"),
        ("Europe/Berlin", "9999-12-31T23:59Z"),
        ("UTC", "9999-12-31T23:59-12:00"),
        ("Europe/Berlin", "0001-01-01T00:00"),
        ("America/New_York", "0001-01-01T00:00Z"),
    ],
)
def test_a_time_in_a_year_that_there_is_not_everywhere_is_refused(time_zone: str, at: str):
    with pytest.raises(Invalid, match="no such time ever comes"):
        checked_rule(Rule(time_zone=time_zone, at=at), NOW)
