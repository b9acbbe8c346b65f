"""Trying a hub, check by check, and telling what came of it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp

from stentor.cli.conformance.checks import Check, Unmet
from stentor.cli.conformance.entering import entering
from stentor.cli.conformance.listener import listening
from stentor.cli.conformance.partner import CALL_S, Partner
from stentor.cli.conformance.pulling import pulling
from stentor.cli.conformance.report import Report, outcome_of
from stentor.cli.conformance.reporting import reporting
from stentor.cli.conformance.syncing import listeners, put_back, syncing
from stentor.cli.conformance.target import Target
from stentor.cli.output import Exit, end_with, fail, say
from stentor.errors import Problem

__all__ = ["Target", "try_hub"]

CHECKS: Sequence[Check[Partner]] = (*entering.all, *syncing.all, *pulling.all, *reporting.all)
"""In the order in which a partner comes to them."""


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
    report.end(what_is_tried="the hub", as_json=as_json)


async def tried(target: Target, *, is_told: bool = False) -> Report:
    """What came of all checks. Raises Unavailable where there is no hub, and Invalid for a place where nobody can listen."""
    timeout = aiohttp.ClientTimeout(total=CALL_S)
    async with (
        listening(target.listen, target.listener_url) as listener,
        aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        partner = Partner(target, http, listener)
        outcomes = [await outcome_of(check, partner) for check in entering.all]
        before = await _registered(partner)
        try:
            outcomes += [await outcome_of(check, partner) for check in syncing.all]
            if is_told and target.wait_s:
                say(f"Waiting up to {target.wait_s:g} s for a campaign by channel {target.channel}: publish one now.")
            outcomes += [await outcome_of(check, partner) for check in (*pulling.all, *reporting.all)]
        finally:
            await _put_back(partner, before)
    return Report.of(target.url, outcomes)


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
