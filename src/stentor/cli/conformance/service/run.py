"""Trying a service: the scripted hub is served, its script is played, and every check looks at what the service did."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from stentor.cli.conformance.checks import Check
from stentor.cli.conformance.report import Report, outcome_of
from stentor.cli.conformance.service.book import Book
from stentor.cli.conformance.service.calling import calling
from stentor.cli.conformance.service.door import Door
from stentor.cli.conformance.service.fetching import fetching
from stentor.cli.conformance.service.joining import joining
from stentor.cli.conformance.service.notices import Notifier
from stentor.cli.conformance.service.script import play
from stentor.cli.conformance.service.target import Target
from stentor.cli.conformance.service.telling import telling
from stentor.cli.conformance.serving import serving
from stentor.cli.output import end_with, say
from stentor.errors import Problem, Unavailable

__all__ = ["Target", "try_service"]

CHECKS: Sequence[Check[Book]] = (*calling.all, *joining.all, *fetching.all, *telling.all)
"""In the order in which a service comes to them; some look back at all that it did."""


def try_service(target: Target, *, as_json: bool) -> None:
    """Tries the service and prints a table, or one JSON object. Ends with 1 where a check failed, with 3 where nobody came.

    Credentials that nobody chose are made up for this run, and said.
    """
    password = target.password or secrets.token_urlsafe(18)
    key = target.key or f"kit_{secrets.token_urlsafe(24)}"
    if not target.password:
        say(f"Password: {password}")
    if not target.key:
        say(f"X-API-KEY: {key}")
    target = msgspec.structs.replace(target, password=password, key=key)
    try:
        report = asyncio.run(_served_and_tried(target))
    except Problem as error:
        end_with(error)
    report.end(what_is_tried="the service", as_json=as_json)


async def _served_and_tried(target: Target) -> Report:
    async with hub_for(target) as book:
        return await tried(book, tell=say)


@asynccontextmanager
async def hub_for(target: Target) -> AsyncIterator[Book]:
    """The scripted hub, served at the `url` of its book. Raises Invalid for a place where nobody can listen."""
    book = Book(target)
    async with serving(Door(book).app(), target.listen) as book.url:
        yield book


async def tried(book: Book, *, tell: Callable[[str], None] = lambda _: None) -> Report:
    """What came of all checks. Raises Unavailable where no service came, and Invalid for a bad signing secret."""
    target = book.target
    tell(f"The hub is at {book.url}. Its ChannelID is {target.channel}, and the user name {target.username}.")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        await play(book, Notifier(book, http), tell)
    if not book.calls and not any(one.status for one in book.notices):
        raise Unavailable(
            f"No service came to {book.url} within {target.wait_s:g} s. Point it there and start it, or say a longer --wait."
        )
    return Report.of(_listener_of(book) or book.url, [await outcome_of(check, book) for check in CHECKS])


def _listener_of(book: Book) -> str:
    return next((url for event in (13, 1) for url in book.urls_of(event)), "")
