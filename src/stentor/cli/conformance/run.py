"""Trying a hub, check by check, and telling what came of it."""

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from stentor.cli.conformance.checks import Check, NotTried, Outcome, Unmet
from stentor.cli.conformance.entering import entering
from stentor.cli.conformance.listener import listening
from stentor.cli.conformance.partner import CALL_S, Partner
from stentor.cli.conformance.pulling import pulling
from stentor.cli.conformance.reporting import reporting
from stentor.cli.conformance.syncing import listeners, put_back, syncing
from stentor.cli.conformance.target import Target
from stentor.cli.output import Exit, end_with, fail, print_json, say, table
from stentor.errors import Problem

__all__ = ["Target", "try_hub"]

CHECKS: Sequence[Check] = (*entering.all, *syncing.all, *pulling.all, *reporting.all)
"""In the order in which a partner comes to them."""

_WORDS = {"passed": "passed", "failed": "FAILED", "not_tried": "not tried"}


class Report(msgspec.Struct, frozen=True):
    """What came of all checks."""

    url: str
    passed: int
    failed: int
    not_tried: int
    checks: list[Outcome]


def try_hub(target: Target, *, as_json: bool) -> None:
    """Tries the hub and prints a table, or one JSON object. Ends with 1 where a check failed."""
    if not target.key and not (target.username and target.password):
        fail(
            "say --username with the password in HUB_PASSWORD, or a key in HUB_KEY; --password and --key "
            "take them too, where nobody else sees this machine's processes.",
            Exit.USAGE,
        )
    try:
        report = asyncio.run(tried(target, is_told=not as_json))
    except Problem as error:
        end_with(error)
    if as_json:
        print_json(report)
    else:
        _show(report)
    raise SystemExit(int(Exit.FAILED if report.failed else Exit.DONE))


async def tried(target: Target, *, is_told: bool = False) -> Report:
    """What came of all checks. Raises Unavailable where there is no hub, and Invalid for a place where nobody can listen."""
    timeout = aiohttp.ClientTimeout(total=CALL_S)
    async with (
        listening(target.listen, target.listener_url) as listener,
        aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        partner = Partner(target, http, listener)
        outcomes = [await _tried(check, partner) for check in entering.all]
        before = await _registered(partner)
        try:
            outcomes += [await _tried(check, partner) for check in syncing.all]
            if is_told and target.wait_s:
                say(f"Waiting up to {target.wait_s:g} s for a campaign by channel {target.channel}: publish one now.")
            outcomes += [await _tried(check, partner) for check in (*pulling.all, *reporting.all)]
        finally:
            await _put_back(partner, before)
    counts = Counter(one.result for one in outcomes)
    return Report(target.url, counts["passed"], counts["failed"], counts["not_tried"], outcomes)


async def _tried(check: Check, partner: Partner) -> Outcome:
    try:
        await check.trial(partner)
    except NotTried as missing:
        return Outcome(check.fact, check.says, "not_tried", came=str(missing))
    except Unmet as unmet:
        return Outcome(check.fact, check.says, "failed", unmet.expected, unmet.came)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # An answer of quite another shape: a name that is not there, a text where an object was to be.
        return Outcome(
            check.fact, check.says, "failed", "an answer of the documented shape", f"{type(error).__name__} {error}"
        )
    return Outcome(check.fact, check.says, "passed")


async def _registered(partner: Partner) -> list[dict[str, Any]]:
    try:
        return await listeners(partner)
    except Unmet:
        return []


async def _put_back(partner: Partner, before: list[dict[str, Any]]) -> None:
    try:
        await put_back(partner, before)
    except (Unmet, Problem) as error:
        say(
            f"The listeners that were there before could not be registered again: {error}. Register them yourself: {before}"
        )


def _show(report: Report) -> None:
    rows = [("row", "result", "what the hub is to do")]
    for one in report.checks:
        rows.append((one.fact, _WORDS[one.result], one.says))
        if one.result == "failed":
            rows += [("", "", f"  expected: {one.expected}"), ("", "", f"  came:     {one.came}")]
        elif one.result == "not_tried":
            rows.append(("", "", f"  because {one.came}"))
    sys.stdout.write(table(rows) + "\n")
    sys.stdout.write(f"\n{report.passed} passed, {report.failed} failed, {report.not_tried} not tried.\n")
