"""`stentor conformance service` finds nothing wrong with a service that does as documented, and names what one does wrong."""

import asyncio
import socket
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from command_line import run_stentor
from service_under_test import CHANNEL, GaveUp, Service, serviced
from stentor.cli.conformance.report import Report
from stentor.cli.conformance.service.campaigns import values_of
from stentor.cli.conformance.service.run import CHECKS, Target, hub_for, tried

pytestmark = pytest.mark.anyio

TARGET = Target(
    channel=CHANNEL, username="kit", password="secret", key="a key", wait_s=3, settle_s=0.05, retry_after_s=0
)


async def report_of(change: Callable[[Service], Any] = lambda _: None, **target: Any) -> Report:
    """What the kit finds of such a service."""
    async with hub_for(msgspec.structs.replace(TARGET, **target)) as book, serviced(book.url) as service:
        change(service)
        trial = asyncio.create_task(tried(book))
        with suppress(GaveUp):
            await service.join()
        return await trial


def of(report: Report, result: str) -> dict[str, tuple[str, str]]:
    return {one.fact: (one.expected, one.came) for one in report.checks if one.result == result}


async def test_a_service_that_does_as_documented_passes_every_check():
    report = await report_of(lambda service: setattr(service, "per_call", 51))

    assert of(report, "failed") == {}
    assert of(report, "not_tried") == {"F4.4.1": ("", "nobody listens to event 1")}
    assert report.passed == len(CHECKS) - 1
    assert report.url.endswith("/hear?brand=1&EventTypeID=13")


MISTAKES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "it fetches again what it is told again": ({"forgets_nothing": False}, {"F4.4.7"}),
    "it stops at its first page": ({"reads_on": False}, {"F4.5.3", "F4.8.C11", "F4.5.4"}),
    "it stays out when its token is over": ({"logs_in_again": False}, {"F4.2.10"}),
    "it sends ahead of time": ({"keeps_times": False}, {"F4.8.C14"}),
    "it says too many templates at once": ({"per_call": 102}, {"F4.8.C5", "F4.7.1"}),
    "its listener says 202": ({"answer": 202}, {"F4.4.7", "F4.4.4"}),
    "it leaves out the day": ({"event_of_people": {}}, {"F4.8.C7", "F4.7.1", "F4.3.10"}),
    "it names people of other templates": (
        {"event_of_people": {"InteractionDate": "2026-11-21", "CustomerIDs": ["kit-01", "kit-02"]}},
        {"F4.3.10"},
    ),
    "it does not know which campaign it means": (
        {"event_of_people": {"InteractionDate": "2026-11-21", "CampaignID": 7}},
        {"F4.3.10"},
    ),
}


@pytest.mark.parametrize(("mistake", "rows"), MISTAKES.values(), ids=MISTAKES.keys())
async def test_a_mistake_is_named(mistake: dict[str, Any], rows: set[str]):
    def make(service: Service) -> None:
        service.per_call = 100
        for name, value in mistake.items():
            setattr(service, name, value)

    report = await report_of(make, wait_s=0.3)

    assert rows <= of(report, "failed").keys()


async def test_an_impatient_service_is_told_how_long_it_should_have_waited():
    report = await report_of(lambda service: setattr(service, "is_patient", False), retry_after_s=1)

    assert of(report, "failed").keys() == {"F4.7.6"}
    assert of(report, "failed")["F4.7.6"][0] == "1 s between both calls"


def test_a_list_leads_to_nobody_and_its_last_person_is_unknown():
    names = ("Email", "Phone", "Tier")

    assert values_of(0, 2_500, names) == ["kit-1@example.org", "+12025550100", "Tier 1"]
    assert values_of(1_999, 2_500, names)[1] == "+19165550199"
    assert values_of(2_499, 2_500, names) == ["", "", ""]


def test_every_check_names_a_row():
    rows = tomllib.loads((Path(__file__).parent / "facts.toml").read_text(encoding="utf-8"))["rows"]

    assert {check.fact for check in CHECKS} <= rows.keys()


def test_the_command_says_what_is_wrong_and_that_nobody_came():
    command = ("conformance", "service", "--listen", "127.0.0.1:0", "--wait", "1")

    alone = run_stentor(*command)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = run_stentor("conformance", "service", "--listen", f"127.0.0.1:{port}")
    unsigned = run_stentor(*command, "--signing-secret", "abc")
    uncounted = run_stentor(*command, "--events", "all")

    assert (alone.exit_code, "No service came" in alone.stderr, "X-API-KEY: kit_" in alone.stderr) == (3, True, True)
    assert (busy.exit_code, "Say another --listen" in busy.stderr) == (1, True)
    assert (unsigned.exit_code, "whsec_" in unsigned.stderr) == (1, True)
    assert uncounted.exit_code == 2
