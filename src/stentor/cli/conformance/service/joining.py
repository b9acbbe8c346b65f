"""Checks of how the service joins a hub: its listener, its templates, its apps."""

from stentor.cli.conformance.checks import Checks, NotTried, expect
from stentor.cli.conformance.service.book import Book
from stentor.cli.conformance.service.notices import CANCELLED, EXECUTED, PROCESSED
from stentor.cli.conformance.service.reading import ITEMS_MAX

joining = Checks[Book]()


def _answers_200(book: Book, event: int) -> None:
    notices = [one for one in book.notices if one.event == event]
    if not notices:
        raise NotTried(f"nobody listens to event {event}")
    for one in notices:
        came = one.trouble if one.status is None else str(one.status)
        expect(one.status == 200, f"200 from {one.url} for campaign {one.campaign}", came)


@joining.check("F4.3.2", "it registers a listener for campaigns that are ready")
async def registers(book: Book) -> None:
    if book.target.url and not book.registered:
        raise NotTried("its listener was said on the command line")
    came = f"listeners for {sorted(book.registered)}" if book.registered else "none"
    expect(bool(book.registered & {EXECUTED, PROCESSED}), f"a listener for event {EXECUTED} or {PROCESSED}", came)


@joining.check("F4.4.7", "its listener answers 200 when a campaign is ready on the channel")
async def hears_executed(book: Book) -> None:
    _answers_200(book, EXECUTED)


@joining.check("F4.4.1", "and when one is ready on any channel")
async def hears_processed(book: Book) -> None:
    _answers_200(book, PROCESSED)


@joining.check("F4.4.4", "and when one was cancelled")
async def hears_cancelled(book: Book) -> None:
    _answers_200(book, CANCELLED)


@joining.check("F4.3.5", "it adds its templates to the channel")
async def adds_templates(book: Book) -> None:
    expect(bool(book.batches), "AddChannelTemplates", "none")


@joining.check("F4.8.C5", "it says at most 100 things in a call")
async def says_no_more(book: Book) -> None:
    wrong = [call.asked for call in book.calls if call.reason.startswith(f"At most {ITEMS_MAX} items")]
    expect(not wrong, f"at most {ITEMS_MAX} items", wrong)


@joining.check("F4.3.11", "its apps have ids and names")
async def adds_apps(book: Book) -> None:
    calls = [call for call in book.calls if call.function == "integrations/addchannelapps" and not call.trouble]
    if not calls:
        raise NotTried("it has no apps")
    wrong = [call.reason for call in calls if call.status != 200]
    expect(not wrong, "AppID and AppName", wrong)
