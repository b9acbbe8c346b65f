"""What the scripted hub does, step by step, and how long it waits for what the service does then."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from stentor.cli.conformance.service.book import Book, Campaign
from stentor.cli.conformance.service.notices import CANCELLED, EXECUTED, PROCESSED, Notifier

DOOMED_PEOPLE = 3
LATER = timedelta(hours=1)
"""When the cancelled campaign would have been sent."""

Say = Callable[[str], None]

_NUMBERS = 1_000_000_000
_DOOMED_S = 10.0


async def play(book: Book, notifier: Notifier, say: Say) -> None:
    """Plays the whole script, as far as the service goes along."""
    target = book.target
    say(f"Waiting up to {target.wait_s:g} s for the service to register a listener and its templates.")
    await book.until(lambda: book.is_joined() and bool(book.templates), target.wait_s)
    if not book.is_joined():
        return
    # Services remember the campaigns that they executed, also those of a kit that was run before.
    first = 1 + secrets.randbelow(_NUMBERS)
    now = datetime.now(UTC)
    book.main = main = book.announce(first, target.people, now)
    say(f"Campaign {main.number} is ready for {target.people} people: waiting until they are fetched.")
    ids = await _ready(notifier, main)
    # Hubs tell a second time what was answered and not heard.
    await _ready(notifier, main, ids)
    if await book.until(lambda: book.is_pulled(main), target.wait_s):
        await _ready(notifier, main, ids)
    book.unknown = first + 1
    await notifier.tell(EXECUTED, book.unknown)
    await _cancel(book, notifier, book.announce(first + 2, min(DOOMED_PEOPLE, target.people), now + LATER))
    say(f"Waiting up to {target.wait_s:g} s for what became of them.")
    await book.until(lambda: book.is_reported(main), target.wait_s)
    await book.until(lambda: False, target.settle_s)


async def _ready(notifier: Notifier, campaign: Campaign, ids: tuple[str, str] = ("", "")) -> tuple[str, str]:
    return (
        await notifier.tell(PROCESSED, campaign.number, ids[0]),
        await notifier.tell(EXECUTED, campaign.number, ids[1]),
    )


async def _cancel(book: Book, notifier: Notifier, campaign: Campaign) -> None:
    """Runs a campaign, and cancels it once it was fetched or could have been."""
    book.doomed = campaign
    await _ready(notifier, campaign)
    await book.until(lambda: book.is_pulled(campaign), min(_DOOMED_S, book.target.wait_s))
    campaign.is_cancelled = True
    await notifier.tell(CANCELLED, campaign.number)
